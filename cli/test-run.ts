/** Runs the CLI inside a test's process, as cli/main.ts does in one of its own. */
import { bareboat } from './commands.ts';
import { explainFailure } from './failure.ts';

export interface Result {
  /** The exit code. */
  readonly code: number;
  readonly out: string;
  /** What went to standard error. */
  readonly notes: string;
}

export async function runCli(args: readonly string[], signal: AbortSignal): Promise<Result> {
  const out: string[] = [];
  const notes: string[] = [];
  const io = {
    out: (text: string) => out.push(`${text}\n`),
    write: (bytes: Uint8Array) => out.push(Buffer.from(bytes).toString()),
    note: (text: string) => notes.push(`${text}\n`),
    nowMs: () => Date.now(),
    signal,
  };
  const result = (code: number) => ({ code, out: out.join(''), notes: notes.join('') });
  try {
    await bareboat(io).parseAsync(args, { from: 'user' });
    return result(0);
  } catch (error) {
    const { code, line } = explainFailure(error);
    if (line !== undefined) notes.push(`${line}\n`);
    return result(code);
  }
}
