/**
 * The Disk port in memory, with the faults that a power cut and a full or failing disk bring. Every
 * file has what is written (`content`) and what is durable (`durable`); `crash` keeps of the unsynced
 * 512-byte sectors a chosen part, in any combination, as a disk cache may.
 * For tests and the simulator.
 */
import type { Disk, DiskFile } from './disk.ts';

const SECTOR_BYTES = 512;

interface MemoryFile {
  content: Uint8Array;
  /** Content at the last good sync, except in the dirty sectors, where `before` has it. */
  durableSize: number;
  /** Sectors written since the last good sync, as they were then. */
  before: Map<number, Uint8Array>;
}

export interface DiskFaults {
  /** Bytes that all files together may hold; beyond it ENOSPC. */
  capacityBytes: number;
  /** Whether the next sync fails; what was written stays readable and is not durable. */
  failSync: () => boolean;
  /** Called before anything changes the disk; throws to let the power fail there. */
  beforeChange: () => void;
}

export class MemoryDisk implements Disk {
  #files = new Map<string, MemoryFile>();
  #durableNames = new Map<string, MemoryFile>();
  readonly faults: DiskFaults = {
    capacityBytes: Number.POSITIVE_INFINITY,
    failSync: () => false,
    beforeChange: () => {},
  };
  syncCount = 0;

  list(): readonly string[] {
    return [...this.#files.keys()].sort();
  }

  create(name: string): DiskFile {
    this.faults.beforeChange();
    if (this.#files.has(name)) throw errno('EEXIST', name);
    const file = { content: new Uint8Array(0), durableSize: 0, before: new Map() };
    this.#files.set(name, file);
    return this.#handle(file);
  }

  open(name: string): DiskFile {
    return this.#handle(this.#find(name));
  }

  rename(from: string, to: string): void {
    this.faults.beforeChange();
    this.#files.set(to, this.#find(from));
    this.#files.delete(from);
  }

  remove(name: string): void {
    this.faults.beforeChange();
    this.#find(name);
    this.#files.delete(name);
  }

  syncDirectory(): void {
    this.faults.beforeChange();
    this.#durableNames = new Map(this.#files);
  }

  /**
   * Power fails: names go back to the last directory sync; of each file's unsynced sectors those
   * stay for which `keep` says so.
   */
  crash(keep: () => boolean): void {
    for (const file of this.#durableNames.values()) {
      // The size, too, is unsynced metadata: it goes one way or the other.
      const size = keep() ? file.content.length : file.durableSize;
      for (const [sector, old] of file.before) {
        if (!keep()) putSector(file.content, sector, old);
      }
      const after = new Uint8Array(size);
      after.set(file.content.subarray(0, size));
      const firstNew = Math.ceil(file.durableSize / SECTOR_BYTES) * SECTOR_BYTES;
      for (let at = firstNew; at < size; at += SECTOR_BYTES) {
        if (!keep()) after.fill(0, at, at + SECTOR_BYTES);
      }
      settle(file, after);
    }
    this.#files = new Map(this.#durableNames);
  }

  /** Changes bytes behind the store's back, durably. */
  damage(name: string, change: (bytes: Uint8Array) => void): void {
    const file = this.#find(name);
    change(file.content);
    settle(file, file.content);
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
    if (size < file.content.length) remember(file, size, file.content.length - size);
    const resized = new Uint8Array(size);
    resized.set(file.content.subarray(0, size));
    file.content = resized;
  }

  #handle(file: MemoryFile): DiskFile {
    const resize = (size: number) => {
      this.faults.beforeChange();
      this.#resize(file, size);
    };
    const sync = () => {
      this.faults.beforeChange();
      this.syncCount++;
      if (this.faults.failSync()) throw errno('EIO', '');
      settle(file, file.content);
    };
    const beforeChange = () => this.faults.beforeChange();
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
        else beforeChange();
        remember(file, at, bytes.length);
        file.content.set(bytes, at);
      },
      truncate: resize,
      sync,
      close() {},
    };
  }
}

/** Keeps the durable content of the sectors that a write is about to change. */
function remember(file: MemoryFile, at: number, count: number): void {
  const last = Math.floor((at + count - 1) / SECTOR_BYTES);
  for (let sector = Math.floor(at / SECTOR_BYTES); sector <= last; sector++) {
    const start = sector * SECTOR_BYTES;
    if (start >= file.durableSize) return; // New space: zeros are what was there before.
    if (file.before.has(sector)) continue;
    file.before.set(sector, file.content.slice(start, start + SECTOR_BYTES));
  }
}

function putSector(content: Uint8Array, sector: number, bytes: Uint8Array): void {
  const start = sector * SECTOR_BYTES;
  if (start >= content.length) return;
  const end = Math.min(start + SECTOR_BYTES, content.length);
  content.fill(0, start, end);
  content.set(bytes.subarray(0, end - start), start);
}

/** All of `content` is durable now. */
function settle(file: MemoryFile, content: Uint8Array): void {
  file.content = content;
  file.durableSize = content.length;
  file.before.clear();
}

function errno(code: string, name: string): Error {
  return Object.assign(new Error(`${code}: ${name}`), { code });
}
