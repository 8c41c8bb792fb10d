/**
 * The Disk port in memory, with the faults that power cuts and full, failing or lying disks bring.
 * For tests and the simulator. What is lost is chosen by functions that the test gives, so that a
 * seed replays a run.
 *
 *   power cut         unsynced sectors survive in any combination, torn inside a sector if wanted;
 *                     names changed since the last directory sync survive up to some change, or in
 *                     any combination
 *   failed sync       content kept in the page cache but not durable, or dropped (memory-file.ts)
 *   full disk         ENOSPC, after a part was written
 *   lying disk        a sector lands elsewhere or nowhere; bits rot; a sector cannot be read
 *   older disk        `image` and `rollBack`; `wipe` for a new one
 */
import type { Disk, DiskFile } from './disk.ts';
import { MemoryFile } from './memory-file.ts';
import type { CutChoices, Misdirection } from './memory-file.ts';

export { SECTOR_BYTES } from './memory-file.ts';

export interface DiskFaults {
  /** Bytes that all files together may hold; beyond it ENOSPC. */
  capacityBytes: number;
  /** How the next sync of this file fails, with EIO; undefined = it does not. */
  failSync: (name: string) => 'kept' | 'dropped' | undefined;
  /** Whether the next directory sync fails, with EIO; the names may survive all the same. */
  failDirectorySync: () => boolean;
  /** Called before anything changes the disk; throws to let the power fail there. */
  beforeChange: () => void;
  /** Where a synced sector goes instead of its place. */
  misdirect: (
    name: string,
    sector: number,
  ) => { name: string; sector: number } | 'nowhere' | undefined;
}

export interface PowerCut extends CutChoices {
  /**
   * Which unsynced changes of names survive: those before some point (a journal, the default), or any
   * of them.
   */
  readonly names?: 'prefix' | 'any';
}

type Names = Map<string, MemoryFile>;

export type DiskImage = ReadonlyMap<string, MemoryFile>;

export class MemoryDisk implements Disk {
  #names: Names = new Map();
  #durableNames: Names = new Map();
  /** Changes of names since the last directory sync. */
  #nameChanges: ((names: Names) => void)[] = [];
  readonly faults: DiskFaults = {
    capacityBytes: Number.POSITIVE_INFINITY,
    failSync: () => undefined,
    failDirectorySync: () => false,
    beforeChange: () => {},
    misdirect: () => undefined,
  };
  syncCount = 0;
  /** Grows whenever a name comes, goes or moves. */
  nameChangeCount = 0;

  list(): readonly string[] {
    return [...this.#names.keys()].sort();
  }

  create(name: string): DiskFile {
    this.faults.beforeChange();
    if (this.#names.has(name)) throw errno('EEXIST', name);
    const file = new MemoryFile();
    this.#change((names) => names.set(name, file));
    return this.#handle(name, file);
  }

  open(name: string): DiskFile {
    return this.#handle(name, this.#find(name));
  }

  rename(from: string, to: string): void {
    this.faults.beforeChange();
    const file = this.#find(from);
    this.#change((names) => {
      if (names.get(from) === file) names.delete(from);
      names.set(to, file);
    });
  }

  remove(name: string): void {
    this.faults.beforeChange();
    const file = this.#find(name);
    this.#change((names) => {
      if (names.get(name) === file) names.delete(name);
    });
  }

  syncDirectory(): void {
    this.faults.beforeChange();
    if (this.faults.failDirectorySync()) throw errno('EIO', 'directory');
    this.#durableNames = new Map(this.#names);
    this.#nameChanges = [];
  }

  /** Power fails; what is there afterwards is what the disk held. */
  crash(cut: PowerCut): void {
    const names = new Map(this.#durableNames);
    for (const change of this.#nameChanges) {
      if (cut.keep()) change(names);
      else if (cut.names !== 'any') break;
    }
    for (const file of new Set(names.values())) file.cut(cut);
    this.#reset(names);
  }

  /** Memory pressure: the page cache lets go of all that is clean. */
  evict(): void {
    for (const file of this.#names.values()) file.evict();
  }

  /** Changes bytes of a file behind the store's back, durably. */
  damage(name: string, change: (bytes: Uint8Array) => void): void {
    this.#find(name).damage(change);
  }

  /** Reads of this sector fail with EIO until it is written again. */
  breakSector(name: string, sector: number): void {
    this.#find(name).breakSector(sector);
  }

  /** What is durable now, for `rollBack`. */
  image(): DiskImage {
    return new Map([...this.#durableNames].map(([name, file]) => [name, file.durableCopy()]));
  }

  /** The disk is what it was when the image was taken: a restored backup of a machine. */
  rollBack(image: DiskImage): void {
    this.#reset(new Map([...image].map(([name, file]) => [name, file.durableCopy()])));
  }

  /** A new disk stands in the old one's place. */
  wipe(): void {
    this.#reset(new Map());
  }

  get bytesUsed(): number {
    let bytes = 0;
    for (const file of new Set(this.#names.values())) bytes += file.cache.length;
    return bytes;
  }

  #reset(names: Names): void {
    this.#names = names;
    this.#durableNames = new Map(names);
    this.#nameChanges = [];
    this.nameChangeCount++;
  }

  #change(change: (names: Names) => void): void {
    change(this.#names);
    this.#nameChanges.push(change);
    this.nameChangeCount++;
  }

  #find(name: string): MemoryFile {
    const file = this.#names.get(name);
    if (file === undefined) throw errno('ENOENT', name);
    return file;
  }

  /** The size to which `file` can grow, at most `size`. */
  #sizeAllowed(file: MemoryFile, size: number): number {
    const room = Math.max(0, this.faults.capacityBytes - this.bytesUsed);
    return Math.min(size, file.cache.length + room);
  }

  #handle(name: string, file: MemoryFile): DiskFile {
    const { faults } = this;
    return {
      get size() {
        return file.cache.length;
      },
      read(into, at) {
        const part = file.cache.subarray(at, at + into.length);
        if (file.isBroken(at, part.length)) throw errno('EIO', name);
        into.set(part);
        return part.length;
      },
      write: (bytes, at) => {
        faults.beforeChange();
        const end = at + bytes.length;
        const allowed = end > file.cache.length ? this.#sizeAllowed(file, end) : end;
        file.write(bytes.subarray(0, Math.max(0, allowed - at)), at);
        if (allowed < end) throw errno('ENOSPC', name);
      },
      truncate: (size) => {
        faults.beforeChange();
        if (this.#sizeAllowed(file, size) < size) throw errno('ENOSPC', name);
        file.resize(size);
      },
      sync: () => {
        faults.beforeChange();
        this.syncCount++;
        const failure = faults.failSync(name);
        if (failure !== undefined) {
          file.failSync(failure);
          throw errno('EIO', name);
        }
        file.sync((sector) => this.#misdirection(name, sector));
      },
      close() {},
    };
  }

  #misdirection(name: string, sector: number): Misdirection | undefined {
    const target = this.faults.misdirect(name, sector);
    if (target === undefined || target === 'nowhere') return target;
    return { file: this.#find(target.name), sector: target.sector };
  }
}

function errno(code: string, name: string): Error {
  return Object.assign(new Error(`${code}: ${name}`), { code });
}
