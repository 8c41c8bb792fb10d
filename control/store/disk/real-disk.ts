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
  renameSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '#base/errors.ts';
import { StoreError } from '../port.ts';
import type { Disk, DiskFile } from './disk.ts';

const LOCK_NAME = 'LOCK';

export class RealDisk implements Disk, Disposable {
  readonly #directory: string;

  /** Makes the directory when missing and locks it; StoreError UNAVAILABLE when it is in use. */
  constructor(directory: string) {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    this.#directory = directory;
    lock(join(directory, LOCK_NAME));
  }

  list(): readonly string[] {
    return readdirSync(this.#directory)
      .filter((name) => name !== LOCK_NAME)
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
    const fd = openSync(this.#directory, 'r');
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }

  /** Gives the directory up. */
  [Symbol.dispose](): void {
    unlinkSync(join(this.#directory, LOCK_NAME));
  }
}

class RealFile implements DiskFile {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
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

function lock(path: string): void {
  const own = ownerText(process.pid);
  try {
    writeFileSync(path, own, { flag: 'wx', mode: 0o600 });
    return;
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
  }
  const holder = readFileSync(path, 'utf8');
  const pid = Number.parseInt(holder, 10);
  if (Number.isInteger(pid) && holder === ownerText(pid)) {
    throw new StoreError('UNAVAILABLE', `store directory is in use by process ${pid}: ${path}`);
  }
  writeFileSync(path, own, { mode: 0o600 });
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
    return isDead ? '' : `${pid} ${fields[19]} ${boot}\n`;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ESRCH')) return ''; // No such process: equals no lock.
    throw error;
  }
}
