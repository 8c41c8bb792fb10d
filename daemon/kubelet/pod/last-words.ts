/**
 * Termination messages: the file that the container wrote, or, if the pod asks for it and the
 * container failed without one, the end of its log.
 */
import { open } from 'node:fs/promises';
import { isErrno } from '#base/errors.ts';
import type { Container } from '../../runtime/port.ts';
import { exitCodeOf } from '../lifecycle/containers.ts';
import type { AnyContainer } from '../lifecycle/model.ts';
import {
  TERMINATION_LOG_BYTES_MAX,
  TERMINATION_LOG_LINES_MAX,
  TERMINATION_MESSAGE_BYTES_MAX,
} from '../limits.ts';

export async function readLastWords(
  record: Container,
  spec: AnyContainer | undefined,
  messagePath: string,
): Promise<string> {
  const message = await readEnds(messagePath, { fromStart: TERMINATION_MESSAGE_BYTES_MAX });
  const fallback = spec?.terminationMessagePolicy === 'FallbackToLogsOnError';
  if (message !== '' || !fallback || exitCodeOf(record) === 0) return message;
  // Log lines carry time stamps and stream names, which do not count: read more than is shown.
  const log = await readEnds(record.logPath, { fromEnd: TERMINATION_LOG_BYTES_MAX * 4 });
  return lastLines(log);
}

/** The end of a log as text. Its last newline is left out: the log does not tell if there was one. */
export function lastLines(log: string): string {
  const lines = log.split('\n').filter((line) => line !== '');
  let text = '';
  for (const line of lines.slice(-TERMINATION_LOG_LINES_MAX)) {
    const [prefix = '', tag] = /^\S+ std(?:out|err) ([FP]) ?/.exec(line) ?? [];
    text += line.slice(prefix.length) + (tag === 'P' ? '' : '\n');
  }
  return text.replace(/\n$/, '').slice(-TERMINATION_LOG_BYTES_MAX);
}

/** The first or last bytes of a file; empty when there is none. */
async function readEnds(
  path: string,
  range: { readonly fromStart?: number; readonly fromEnd?: number },
): Promise<string> {
  try {
    await using file = await open(path, 'r');
    const { size } = await file.stat();
    const length = Math.min(size, range.fromStart ?? range.fromEnd ?? 0);
    const position = range.fromStart === undefined ? size - length : 0;
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
    return buffer.subarray(0, bytesRead).toString('utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return ''; // Never written, or cleaned up already.
    throw error;
  }
}
