/**
 * The Disk port on a real directory. It holds a lock file with the owner's process id and start
 * time, so that two stores never write one directory, and a lock that a killed process left is
 * recognised as stale.
 */
import {
  closeSync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  readlinkSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { isErrno } from '#base/errors.ts';
import { StoreError } from '../port.ts';
import type { Disk, DiskFile } from './disk.ts';

const LOCK_NAME = 'LOCK';

export class RealDisk implements Disk, Disposable {
  readonly #directory: string;

  /** Makes the directory when missing and locks it; StoreError UNAVAILABLE when it is in use. */
  constructor(directory: string) {
    makeDurably(directory);
    this.#directory = directory;
    lock(join(directory, LOCK_NAME));
  }

  list(): readonly string[] {
    return readdirSync(this.#directory)
      .filter((name) => !name.startsWith(LOCK_NAME))
      .sort();
  }

  create(name: string): DiskFile {
    return new RealFile(openSync(join(this.#directory, name), 'wx+', 0o600));
  }

  open(name: string): DiskFile {
    return new RealFile(openSync(join(this.#directory, name), 'r+'));
  }

  rename(from: string, to: string): void {
    renameSync(join(this.#directory, from), join(this.#directory, to));
  }

  remove(name: string): void {
    unlinkSync(join(this.#directory, name));
  }

  syncDirectory(): void {
    syncDirectory(this.#directory);
  }

  /** Gives the directory up. */
  [Symbol.dispose](): void {
    unlinkSync(join(this.#directory, LOCK_NAME));
  }
}

/** Opens any file for reading, beside all directories of stores. */
export function openForReading(path: string): DiskFile {
  return new RealFile(openSync(path, 'r'));
}

class RealFile implements DiskFile {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  get fd(): number {
    return this.#fd;
  }

  get size(): number {
    return fstatSync(this.#fd).size;
  }

  read(into: Uint8Array, at: number): number {
    let done = 0;
    while (done < into.length) {
      const count = readSync(this.#fd, into, done, into.length - done, at + done);
      if (count === 0) break;
      done += count;
    }
    return done;
  }

  write(bytes: Uint8Array, at: number): void {
    let done = 0;
    while (done < bytes.length) {
      done += writeSync(this.#fd, bytes, done, bytes.length - done, at + done);
    }
  }

  truncate(size: number): void {
    ftruncateSync(this.#fd, size);
  }

  sync(): void {
    fdatasyncSync(this.#fd);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** Makes the directory and those above it, with names that survive a power cut. */
function makeDurably(directory: string): void {
  const first = mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (first === undefined) return; // It was there.
  let made = resolve(directory);
  for (;;) {
    syncDirectory(dirname(made));
    if (made === resolve(first)) return;
    made = dirname(made);
  }
}

export function syncDirectory(directory: string): void {
  const fd = openSync(directory, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * The lock is a symbolic link whose target names the owner: made with its content in one step, and
 * without a block of its own, so that a store on a full disk can start.
 */
function lock(path: string): void {
  const own = ownerText(process.pid);
  for (;;) {
    try {
      symlinkSync(own, path);
      return;
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) throw error;
    }
    removeStale(path);
  }
}

/** Removes the lock of a dead process; StoreError UNAVAILABLE when its owner lives. */
function removeStale(path: string): void {
  const taken = `${path}.${process.pid}`;
  try {
    const holder = readlinkSync(path);
    const pid = Number.parseInt(holder, 10);
    if (Number.isInteger(pid) && holder === ownerText(pid)) {
      throw new StoreError('UNAVAILABLE', `store directory is in use by process ${pid}: ${path}`);
    }
    // Of several processes that start at once, one gets it.
    renameSync(path, taken);
    if (readlinkSync(taken) === holder) unlinkSync(taken);
    else renameSync(taken, path); // Another was faster, and this is its own.
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error; // Gone meanwhile: try again.
  }
}

/** Names a process beyond the reuse of its id: id, start time in clock ticks, boot. */
function ownerText(pid: number): string {
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold blanks; state and start time are fields 1 and 20 behind it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // A zombie writes no more, once its other threads have left the kernel.
    const isDead = fields[0] === 'Z' && readdirSync(`/proc/${pid}/task`).length === 1;
    return isDead ? '' : `${pid} ${fields[19]} ${boot}`;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ESRCH')) return ''; // No such process: equals no lock.
    throw error;
  }
}
