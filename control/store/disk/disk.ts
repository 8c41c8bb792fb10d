/**
 * The Disk port: files of one directory, synchronous, because the thread that owns the log has
 * nothing else to do while it waits. Promises are those of POSIX and no more: written bytes are
 * durable after `sync`, a file's existence and name after `syncDirectory`. Errors are errno errors.
 * After a failed `sync` nothing is known of what was written since the last good one.
 */
import { isErrno } from '#base/errors.ts';

export interface DiskFile {
  /** Of an open file of the system; absent = it is none. */
  readonly fd?: number;
  readonly size: number;
  /** Reads up to `into.length` bytes from `at`; returns how many there were. */
  read(into: Uint8Array, at: number): number;
  /** Writes all of `bytes` at `at`, or throws (ENOSPC: some of them may be written). */
  write(bytes: Uint8Array, at: number): void;
  truncate(size: number): void;
  /** fdatasync: content, and the size if reading needs it. */
  sync(): void;
  close(): void;
}

export interface Disk {
  /** Names of the files in the directory, sorted. */
  list(): readonly string[];
  /** Makes a new, empty file; EEXIST if there is one. */
  create(name: string): DiskFile;
  /** Opens a file for reading and writing. */
  open(name: string): DiskFile;
  rename(from: string, to: string): void;
  remove(name: string): void;
  syncDirectory(): void;
}

/** Removes files that were being made when an earlier owner died; their names end in `.tmp`. */
export function removeUnfinished(disk: Disk): void {
  for (const name of disk.list()) if (name.endsWith('.tmp')) disk.remove(name);
}

/** True when a write failed because the disk, or the owner's share of it, is full. */
export function isNoSpace(error: unknown): boolean {
  return isErrno(error, 'ENOSPC', 'EDQUOT');
}
