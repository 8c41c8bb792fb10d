/**
 * The Disk port in memory, with the faults that a power cut and a full or failing disk bring. Every
 * file has what is written (`content`) and what is durable (`durable`); `crash` keeps of the unsynced
 * 512-byte sectors a chosen part, in any combination, as a disk cache may.
 * For tests and the simulator.
 */
import { must } from '#base/assert.ts';
import type { Disk, DiskFile } from './disk.ts';

const SECTOR_BYTES = 512;

interface MemoryFile {
  content: Uint8Array;
  durable: Uint8Array;
}

export interface DiskFaults {
  /** Bytes that all files together may hold; beyond it ENOSPC. */
  capacityBytes: number;
  /** Whether the next sync fails; what was written stays readable and is not durable. */
  failSync: () => boolean;
}

export class MemoryDisk implements Disk {
  #files = new Map<string, MemoryFile>();
  #durableNames = new Map<string, MemoryFile>();
  readonly faults: DiskFaults = {
    capacityBytes: Number.POSITIVE_INFINITY,
    failSync: () => false,
  };
  syncCount = 0;

  list(): readonly string[] {
    return [...this.#files.keys()].sort();
  }

  create(name: string): DiskFile {
    if (this.#files.has(name)) throw errno('EEXIST', name);
    const file = { content: new Uint8Array(0), durable: new Uint8Array(0) };
    this.#files.set(name, file);
    return this.#handle(file);
  }

  open(name: string): DiskFile {
    return this.#handle(this.#find(name));
  }

  rename(from: string, to: string): void {
    this.#files.set(to, this.#find(from));
    this.#files.delete(from);
  }

  remove(name: string): void {
    this.#find(name);
    this.#files.delete(name);
  }

  syncDirectory(): void {
    this.#durableNames = new Map(this.#files);
  }

  /**
   * Power fails: names go back to the last directory sync; of each file's unsynced sectors those
   * stay for which `keep` says so.
   */
  crash(keep: () => boolean): void {
    for (const file of this.#durableNames.values()) {
      const { content, durable } = file;
      // The size, too, is unsynced metadata: it goes one way or the other.
      const size = content.length === durable.length || keep() ? content.length : durable.length;
      const after = new Uint8Array(size);
      after.set(durable.subarray(0, size));
      for (let at = 0; at < size; at += SECTOR_BYTES) {
        const sector = content.subarray(at, Math.min(at + SECTOR_BYTES, size));
        if (keep()) after.set(sector, at);
      }
      file.content = after;
      file.durable = after.slice();
    }
    this.#files = new Map(this.#durableNames);
  }

  /** Changes bytes behind the store's back, durably. */
  damage(name: string, change: (bytes: Uint8Array) => void): void {
    const file = this.#find(name);
    change(file.content);
    file.durable = file.content.slice();
  }

  #find(name: string): MemoryFile {
    const file = this.#files.get(name);
    if (file === undefined) throw errno('ENOENT', name);
    return file;
  }

  #resize(file: MemoryFile, size: number): void {
    let used = size - file.content.length;
    for (const other of this.#files.values()) used += other.content.length;
    if (size > file.content.length && used > this.faults.capacityBytes) throw errno('ENOSPC', '');
    const resized = new Uint8Array(size);
    resized.set(file.content.subarray(0, size));
    file.content = resized;
  }

  #handle(file: MemoryFile): DiskFile {
    const resize = (size: number) => this.#resize(file, size);
    const sync = () => {
      this.syncCount++;
      if (this.faults.failSync()) throw errno('EIO', '');
      file.durable = file.content.slice();
    };
    return {
      get size() {
        return file.content.length;
      },
      read(into, at) {
        const part = file.content.subarray(at, at + into.length);
        into.set(part);
        return part.length;
      },
      write(bytes, at) {
        if (at + bytes.length > file.content.length) resize(at + bytes.length);
        must(file.content, 'file has content').set(bytes, at);
      },
      truncate: resize,
      sync,
      close() {},
    };
  }
}

function errno(code: string, name: string): Error {
  return Object.assign(new Error(`${code}: ${name}`), { code });
}
