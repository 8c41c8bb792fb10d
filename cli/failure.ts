/** What the CLI says of a failure, and the exit code that goes with it. */
import { CommanderError } from 'commander';
import { errorText } from '#base/errors.ts';
import { ConfigError } from '#base/machine-config.ts';
import { ProtocolError } from '#base/protocol/frames.ts';
import { UsageError } from './files.ts';

const REFUSED = new Set(['PERMISSION_DENIED', 'UNAUTHENTICATED', 'UNAVAILABLE']);

/** The exit code (cli/main.ts) that belongs to what was thrown, and the line that says it; none when it was said. */
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
