/** Reads log files and the kernel's log for the machine API: the last lines, then what comes. */
import { closeSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isErrno } from '#base/errors.ts';

const POLL_MS = 250;
const CHUNK_BYTES = 64 << 10;
/** The kernel's record buffer hands out one record a read, at most this long. */
const KMSG_RECORD_BYTES = 8192;

export interface FollowRequest {
  /** Lines from the end; 0 = all. */
  readonly tail: number;
  readonly follow: boolean;
}

/** The content of a log file in chunks; begins anew when the file was cut by rotation. */
export async function* readLogFile(
  path: string,
  request: FollowRequest,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const text = readIfPresent(path);
  const start = request.tail === 0 ? 0 : startOfLastLines(text, request.tail);
  for (let at = start; at < text.length; at += CHUNK_BYTES)
    yield text.subarray(at, at + CHUNK_BYTES);
  let position = text.length;
  while (request.follow && !signal.aborted) {
    await sleep(POLL_MS);
    const size = sizeOf(path);
    if (size < position) position = 0;
    while (size > position) {
      const chunk = readAt(path, position, Math.min(CHUNK_BYTES, size - position));
      if (chunk.length === 0) break;
      position += chunk.length;
      yield chunk;
    }
  }
}

/** Kernel messages as `[seconds] text` lines (Documentation/ABI/testing/dev-kmsg). */
export async function* readKernelLog(
  request: FollowRequest,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const O_NONBLOCK = 0o4000;
  const fd = openSync('/dev/kmsg', O_NONBLOCK);
  try {
    let lines = drain(fd);
    if (request.tail > 0) lines = lines.slice(-request.tail);
    for (;;) {
      if (lines.length > 0) yield Buffer.from(`${lines.join('\n')}\n`);
      if (!request.follow || signal.aborted) return;
      await sleep(POLL_MS);
      lines = drain(fd);
    }
  } finally {
    closeSync(fd);
  }
}

function drain(fd: number): string[] {
  const lines: string[] = [];
  const record = Buffer.alloc(KMSG_RECORD_BYTES);
  for (;;) {
    try {
      const count = readSync(fd, record);
      const text = record.toString('utf8', 0, count);
      const micros = Number(text.split(',')[2]);
      const message = text.slice(text.indexOf(';') + 1).split('\n')[0] ?? '';
      lines.push(`[${(micros / 1e6).toFixed(6).padStart(12)}] ${message}`);
    } catch (error) {
      if (isErrno(error, 'EAGAIN')) return lines; // Nothing more now.
      if (!isErrno(error, 'EPIPE')) throw error; // Records were overwritten: go on with what is there.
    }
  }
}

/** The last line of a log file, cut at 200 characters; empty when there is none. */
export function lastLine(path: string): string {
  const size = sizeOf(path);
  const text = readAtEnd(path, size);
  return (text.trimEnd().split('\n').at(-1) ?? '').slice(0, 200);
}

function readAtEnd(path: string, size: number): string {
  return size === 0
    ? ''
    : readAt(path, Math.max(0, size - 4096), Math.min(4096, size)).toString('utf8');
}

function startOfLastLines(text: Buffer, count: number): number {
  let at = text.length - 1;
  for (let left = count; left > 0 && at > 0; left--) at = text.lastIndexOf(10, at - 1);
  return at <= 0 ? 0 : at + 1;
}

function readIfPresent(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return Buffer.alloc(0); // Nothing was logged yet.
    throw error;
  }
}

function sizeOf(path: string): number {
  try {
    return statSync(path).size;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return 0; // Being rotated.
    throw error;
  }
}

function readAt(path: string, position: number, bytes: number): Buffer {
  const fd = openSync(path, 'r');
  try {
    const chunk = Buffer.alloc(bytes);
    return chunk.subarray(0, readSync(fd, chunk, 0, bytes, position));
  } finally {
    closeSync(fd);
  }
}
