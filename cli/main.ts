/**
 * The operator's command. Exit codes: 0 done, 1 the machine refused or failed, 2 wrong usage or files,
 * 3 not reachable or not allowed. Errors are one line on standard error.
 */
import { CommanderError } from 'commander';
import { errorText } from '#base/errors.ts';
import { ConfigError } from '#base/machine-config.ts';
import { ProtocolError } from '#base/protocol/frames.ts';
import { bareboat } from './commands.ts';
import { UsageError } from './connect.ts';

const REFUSED = new Set(['PERMISSION_DENIED', 'UNAUTHENTICATED', 'UNAVAILABLE']);

/** The exit code that belongs to what was thrown, and the line that says it; none when it was said. */
export function explainFailure(error: unknown): { code: number; line: string | undefined } {
  if (error instanceof CommanderError) {
    return { code: error.exitCode === 0 ? 0 : 2, line: undefined };
  }
  if (error instanceof ConfigError) return { code: 2, line: error.message };
  if (error instanceof UsageError) return { code: 2, line: error.message };
  if (error instanceof ProtocolError) {
    return { code: REFUSED.has(error.code) ? 3 : 1, line: error.message };
  }
  return { code: 1, line: errorText(error) };
}

const stop = new AbortController();
process.once('SIGINT', () => stop.abort(new Error('interrupted')));
process.stdout.on('error', () => process.exit(0)); // The reader of a pipe has seen enough.
const io = {
  out: (text: string) => process.stdout.write(`${text}\n`),
  note: (text: string) => process.stderr.write(`${text}\n`),
  nowMs: () => Date.now(),
  signal: stop.signal,
};
try {
  await bareboat(io).parseAsync();
  process.exit(0);
} catch (error) {
  const { code, line } = explainFailure(error);
  if (line !== undefined) process.stderr.write(`bareboat: ${line}\n`);
  process.exit(code);
}
