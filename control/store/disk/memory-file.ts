/**
 * One file of a MemoryDisk, twice: `cache` is what programs read and write (the page cache), `durable`
 * is what a power cut leaves. A sector is dirty while the kernel would still write it out. A failed
 * sync takes dirty marks away without making anything durable, as Linux does, so that a second sync
 * that succeeds proves nothing about the sectors of the first.
 * Invariant: where the cache differs from `durable`, the sector is dirty or a sync failed on it.
 */

export const SECTOR_BYTES = 512;

/** What a power cut does, sector by sector. */
export interface CutChoices {
  /** Whether an unsynced sector, or an unsynced size, reached the disk. */
  readonly keep: () => boolean;
  /** Bytes of the new content at the start of a sector that is half written; undefined = none is. */
  readonly tear?: () => number | undefined;
}

/** Where the device puts a sector that it is told to write: elsewhere, or nowhere. */
export type Misdirection = { readonly file: MemoryFile; readonly sector: number } | 'nowhere';

export class MemoryFile {
  readonly #cache = new Content();
  readonly #durable = new Content();
  readonly #dirty = new Set<number>();
  #isSizeDirty = false;
  readonly #broken = new Set<number>();

  /** What programs read. */
  get cache(): Uint8Array<ArrayBuffer> {
    return this.#cache.bytes;
  }

  /** True when reading these bytes meets a sector that the device cannot read. */
  isBroken(at: number, count: number): boolean {
    if (this.#broken.size === 0 || count === 0) return false;
    const last = sectorOf(at + count - 1);
    for (let sector = sectorOf(at); sector <= last; sector++) {
      if (this.#broken.has(sector)) return true;
    }
    return false;
  }

  write(bytes: Uint8Array, at: number): void {
    const end = at + bytes.length;
    if (end > this.cache.length) this.resize(end);
    this.#soil(at, end);
    this.cache.set(bytes, at);
  }

  /** Cuts, or grows with zeros. */
  resize(size: number): void {
    const old = this.cache.length;
    if (size === old) return;
    // What is cut reads as zeros if the file grows again: so it changes, too.
    this.#soil(size, old);
    this.#cache.resize(size);
    this.#isSizeDirty = true;
  }

  #soil(start: number, end: number): void {
    if (start >= end) return;
    const last = sectorOf(end - 1);
    for (let sector = sectorOf(start); sector <= last; sector++) this.#dirty.add(sector);
  }

  /** All dirty sectors become durable, where the device was told to put them. */
  sync(misdirect?: (sector: number) => Misdirection | undefined): void {
    const size = this.#isSizeDirty ? this.cache.length : this.#sizeWritten();
    this.#durable.resize(size);
    this.#isSizeDirty = false;
    for (const sector of this.#dirty) {
      const target = misdirect?.(sector);
      if (target === undefined) {
        this.#durable.take(sector, this.#cache);
        this.#broken.delete(sector);
      } else if (target !== 'nowhere') {
        target.file.#durable.put(target.sector, this.#cache.sector(sector));
      }
    }
    this.#dirty.clear();
  }

  /**
   * A sync that failed: the sectors count as clean and are not durable. What is read afterwards is
   * what was written (`kept`, ext4 and XFS) or what the disk holds (`dropped`, btrfs).
   */
  failSync(mode: 'kept' | 'dropped'): void {
    if (mode === 'dropped') {
      for (const sector of this.#dirty) this.#cache.take(sector, this.#durable);
      if (this.#isSizeDirty) this.#cache.resize(this.#durable.bytes.length);
    }
    this.#dirty.clear();
    this.#isSizeDirty = false;
  }

  /** The kernel drops clean pages: what differs from the disk without being dirty shows. */
  evict(): void {
    const count = Math.ceil(this.cache.length / SECTOR_BYTES);
    for (let sector = 0; sector < count; sector++) {
      if (!this.#dirty.has(sector)) this.#cache.take(sector, this.#durable);
    }
  }

  cut(choices: CutChoices): void {
    const isNewSize = this.#isSizeDirty && choices.keep();
    const left = new Content(this.#durable.bytes.slice());
    if (isNewSize) left.resize(this.cache.length);
    for (const sector of this.#dirty) {
      if (!choices.keep()) continue;
      const bytes = this.#cache.sector(sector);
      const torn = choices.tear?.();
      if (torn !== undefined) bytes.set(this.#durable.sector(sector).subarray(torn), torn);
      left.put(sector, bytes);
    }
    this.#settle(left.bytes);
  }

  /** Changes what is on the disk behind everybody's back. */
  damage(change: (bytes: Uint8Array) => void): void {
    const bytes = this.cache.slice();
    change(bytes);
    this.#settle(bytes);
  }

  /** Reads of this sector fail until it is written and synced again. */
  breakSector(sector: number): void {
    this.#broken.add(sector);
  }

  /** A file that holds what is durable in this one. */
  durableCopy(): MemoryFile {
    const copy = new MemoryFile();
    copy.#settle(this.#durable.bytes.slice());
    for (const sector of this.#broken) copy.#broken.add(sector);
    return copy;
  }

  /** A size that a failed sync left behind grows with what is written beyond it (ext4, XFS). */
  #sizeWritten(): number {
    const { length } = this.#durable.bytes;
    let size = length;
    for (const sector of this.#dirty) size = Math.max(size, (sector + 1) * SECTOR_BYTES);
    return Math.min(size, Math.max(this.cache.length, length));
  }

  #settle(bytes: Uint8Array<ArrayBuffer>): void {
    this.#cache.set(bytes);
    this.#durable.set(bytes.slice());
    this.#dirty.clear();
    this.#isSizeDirty = false;
  }
}

/** Bytes that grow by doubling. Invariant: behind their end the room is zero. */
class Content {
  #room: Uint8Array<ArrayBuffer>;
  bytes: Uint8Array<ArrayBuffer>;

  constructor(bytes = new Uint8Array(0)) {
    this.#room = bytes;
    this.bytes = bytes;
  }

  set(bytes: Uint8Array<ArrayBuffer>): void {
    this.#room = bytes;
    this.bytes = bytes;
  }

  /** Cuts, or grows with zeros. */
  resize(size: number): void {
    const { length } = this.bytes;
    if (size < length) this.bytes.fill(0, size);
    else if (size > this.#room.length) {
      this.#room = new Uint8Array(Math.max(size, 2 * length));
      this.#room.set(this.bytes);
    }
    this.bytes = this.#room.subarray(0, size);
  }

  /** A copy of the sector; zeros where the bytes have ended. */
  sector(sector: number): Uint8Array {
    const copy = new Uint8Array(SECTOR_BYTES);
    copy.set(this.bytes.subarray(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES));
    return copy;
  }

  /** Puts a sector there, as far as the bytes reach. */
  put(sector: number, bytes: Uint8Array): void {
    const start = sector * SECTOR_BYTES;
    if (start >= this.bytes.length) return;
    this.bytes.set(bytes.subarray(0, Math.min(SECTOR_BYTES, this.bytes.length - start)), start);
  }

  /** The sector as the other holds it; zeros where that has ended. */
  take(sector: number, from: Content): void {
    const start = sector * SECTOR_BYTES;
    const end = Math.min(start + SECTOR_BYTES, this.bytes.length);
    if (start >= end) return;
    const part = from.bytes.subarray(start, end);
    this.bytes.set(part, start);
    if (start + part.length < end) this.bytes.fill(0, start + part.length, end);
  }
}

function sectorOf(at: number): number {
  return Math.floor(at / SECTOR_BYTES);
}
