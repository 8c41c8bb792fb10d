/**
 * The operator's command. Exit codes: 0 done, 1 the machine refused or failed, 2 wrong usage or files,
 * 3 not reachable or not allowed, 130 interrupted. Errors are one line on standard error.
 */
import { constants } from 'node:os';
import { bareboat } from './commands.ts';
import { explainFailure } from './failure.ts';

const stop = new AbortController();
process.once('SIGINT', () => stop.abort(new Error('interrupted')));
process.stdout.on('error', () => process.exit(0)); // The reader of a pipe has seen enough.
const io = {
  out: (text: string) => process.stdout.write(`${text}\n`),
  write: (bytes: Uint8Array) => process.stdout.write(bytes),
  note: (text: string) => process.stderr.write(`${text}\n`),
  nowMs: () => Date.now(),
  signal: stop.signal,
};
try {
  await bareboat(io).parseAsync();
  process.exit(0);
} catch (error) {
  if (stop.signal.aborted) process.exit(128 + constants.signals.SIGINT);
  const { code, line } = explainFailure(error);
  if (line !== undefined) process.stderr.write(`bareboat: ${line}\n`);
  process.exit(code);
}
