/** Files that the command line names: what cannot be read is wrong usage; keys are for their owner only. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { isErrno } from '#base/errors.ts';
import { ConfigError } from '#base/machine-config.ts';

/** The command line, or the files that it names, are wrong: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The text of `path`. Throws UsageError when it cannot be read. */
export function readInput(path: string): string {
  return explained('read', path, () => readFileSync(path, 'utf8'));
}

/** Its size in bytes. Throws UsageError unless it is a file that is there. */
export function sizeOfInput(path: string): number {
  const stat = explained('read', path, () => statSync(path));
  if (stat.isDirectory()) throw new UsageError(`cannot read ${path}: it is a directory`);
  return stat.size;
}

/** What `parse` makes of the text of `path`. Throws UsageError that names the file and the field. */
export function parseInput<T>(path: string, parse: (text: string) => T): T {
  const text = readInput(path);
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new UsageError(`${path}: ${error.message}`, { cause: error });
  }
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
  ENOTDIR: 'a part of its path is no directory',
  EROFS: 'its file system is read-only',
  ENOSPC: 'no space left',
};

/** Does what reads or writes `path`; an error of the system becomes a UsageError. */
export function explained<T>(what: 'read' | 'write', path: string, act: () => T): T {
  try {
    const result = act();
    if (!(result instanceof Promise)) return result;
    // Still a promise of the same.
    return result.catch((error: unknown) => {
      throw usageError(what, path, error);
    }) as T;
  } catch (error) {
    throw usageError(what, path, error);
  }
}

function usageError(what: 'read' | 'write', path: string, error: unknown): unknown {
  if (!isErrno(error)) return error;
  const absent = what === 'read' ? 'it does not exist' : 'its directory does not exist';
  const reason = error.code === 'ENOENT' ? absent : (REASONS[error.code] ?? error.code);
  return new UsageError(`cannot ${what} ${path}: ${reason}`, { cause: error });
}

/** Makes a directory and those above it. Throws UsageError. */
export function makeDirectory(path: string): void {
  explained('write', path, () => mkdirSync(path, { recursive: true }));
}

/** Writes what anybody may read. Throws UsageError. */
export function writeOutput(path: string, text: string): void {
  explained('write', path, () => writeFileSync(path, text));
}

/**
 * Writes keys: readable by the owner only, also where an older file was not, and whole or not at all. What is
 * no regular file (a pipe, /dev/stdout) is written to as it is. Throws UsageError.
 */
export function writeSecretFile(path: string, text: string): void {
  explained('write', path, () => writeSecret(path, text));
}

function writeSecret(path: string, text: string): void {
  const target = existsSync(path) ? realpathSync(path) : path;
  if (existsSync(target) && !statSync(target).isFile()) {
    writeFileSync(target, text);
    return;
  }
  const staged = `${target}.new`;
  writeFileSync(staged, text, { mode: 0o600 });
  chmodSync(staged, 0o600); // One that was left behind keeps its mode.
  renameSync(staged, target);
}
