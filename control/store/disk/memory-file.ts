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
  cache = new Uint8Array(0);
  #durable = new Uint8Array(0);
  readonly #dirty = new Set<number>();
  #isSizeDirty = false;
  readonly #broken = new Set<number>();

  /** True when reading these bytes meets a sector that the device cannot read. */
  isBroken(at: number, count: number): boolean {
    if (this.#broken.size === 0) return false;
    for (const sector of sectorsOf(at, count)) if (this.#broken.has(sector)) return true;
    return false;
  }

  write(bytes: Uint8Array, at: number): void {
    if (at + bytes.length > this.cache.length) this.resize(at + bytes.length);
    for (const sector of sectorsOf(at, bytes.length)) this.#dirty.add(sector);
    this.cache.set(bytes, at);
  }

  /** Cuts, or grows with zeros. */
  resize(size: number): void {
    const old = this.cache.length;
    if (size === old) return;
    // What is cut reads as zeros if the file grows again: so it changes, too.
    if (size < old) for (const sector of sectorsOf(size, old - size)) this.#dirty.add(sector);
    this.cache = resized(this.cache, size);
    this.#isSizeDirty = true;
  }

  /** All dirty sectors become durable, where the device was told to put them. */
  sync(misdirect?: (sector: number) => Misdirection | undefined): void {
    const size = this.#isSizeDirty ? this.cache.length : this.#sizeWritten();
    if (size !== this.#durable.length) this.#durable = resized(this.#durable, size);
    this.#isSizeDirty = false;
    for (const sector of this.#dirty) {
      const bytes = sectorAt(this.cache, sector);
      const target = misdirect?.(sector);
      if (target === undefined) {
        putSector(this.#durable, sector, bytes);
        this.#broken.delete(sector);
      } else if (target !== 'nowhere') {
        putSector(target.file.#durable, target.sector, bytes);
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
      for (const sector of this.#dirty) {
        putSector(this.cache, sector, sectorAt(this.#durable, sector));
      }
      if (this.#isSizeDirty) this.cache = resized(this.cache, this.#durable.length);
    }
    this.#dirty.clear();
    this.#isSizeDirty = false;
  }

  /** The kernel drops clean pages: what differs from the disk without being dirty shows. */
  evict(): void {
    const count = Math.ceil(this.cache.length / SECTOR_BYTES);
    for (let sector = 0; sector < count; sector++) {
      if (this.#dirty.has(sector)) continue;
      putSector(this.cache, sector, sectorAt(this.#durable, sector));
    }
  }

  cut(choices: CutChoices): void {
    const isNewSize = this.#isSizeDirty && choices.keep();
    const left = resized(this.#durable, isNewSize ? this.cache.length : this.#durable.length);
    for (const sector of this.#dirty) {
      if (!choices.keep()) continue;
      const bytes = sectorAt(this.cache, sector);
      const torn = choices.tear?.();
      if (torn !== undefined) bytes.set(sectorAt(this.#durable, sector).subarray(torn), torn);
      putSector(left, sector, bytes);
    }
    this.#settle(left);
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
    copy.#settle(this.#durable.slice());
    for (const sector of this.#broken) copy.#broken.add(sector);
    return copy;
  }

  /** A size that a failed sync left behind grows with what is written beyond it (ext4, XFS). */
  #sizeWritten(): number {
    let size = this.#durable.length;
    for (const sector of this.#dirty) size = Math.max(size, (sector + 1) * SECTOR_BYTES);
    return Math.min(size, Math.max(this.cache.length, this.#durable.length));
  }

  #settle(bytes: Uint8Array<ArrayBuffer>): void {
    this.cache = bytes;
    this.#durable = bytes.slice();
    this.#dirty.clear();
    this.#isSizeDirty = false;
  }
}

function* sectorsOf(at: number, count: number): Generator<number> {
  if (count === 0) return;
  const last = Math.floor((at + count - 1) / SECTOR_BYTES);
  for (let sector = Math.floor(at / SECTOR_BYTES); sector <= last; sector++) yield sector;
}

/** A copy of the sector; zeros where the file has ended. */
function sectorAt(bytes: Uint8Array, sector: number): Uint8Array {
  const copy = new Uint8Array(SECTOR_BYTES);
  copy.set(bytes.subarray(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES));
  return copy;
}

function putSector(into: Uint8Array, sector: number, bytes: Uint8Array): void {
  const start = sector * SECTOR_BYTES;
  if (start >= into.length) return;
  into.set(bytes.subarray(0, Math.min(SECTOR_BYTES, into.length - start)), start);
}

function resized(bytes: Uint8Array<ArrayBuffer>, size: number): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(size);
  copy.set(bytes.subarray(0, size));
  return copy;
}
