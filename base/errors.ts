/** Narrowing of operating errors: what a `catch` may look at before it goes on or rethrows. */

export interface ErrnoError extends Error {
  code: string;
  errno?: number;
  syscall?: string;
}

/** True when `error` is an errno error with one of `codes` (`ENOENT`, `EEXIST`, ...). */
export function isErrno(error: unknown, ...codes: string[]): error is ErrnoError {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') {
    return false;
  }
  return codes.length === 0 || codes.includes(error.code);
}

/** The message of whatever was thrown, with the messages of its causes behind it. */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${errorText(error.cause)}`;
}
