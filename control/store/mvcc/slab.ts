/**
 * Append-only slabs of bytes, outside the JavaScript heap so that a collection never walks them.
 *
 *   block  = u32 owner, u32 length, bytes, padding to 8
 *   address = position in units of 8 bytes: slab number, then offset inside the slab
 *
 * The owner is whoever holds the address (a record or key id), so that a slab can be scanned and
 * its live blocks moved away: `relocateSlice` empties the slabs with the most garbage in bounded
 * slices, and an empty slab is used again. There is no other defragmentation.
 * Invariant: liveBytes[slab] = sum of the block sizes in it that were not freed.
 */
import { assert } from '#base/assert.ts';
import { SLAB_BYTES } from '../limits.ts';

/** Address of an empty byte string, which has no block. */
export const NO_ADDRESS = 0xffffffff;

const UNITS_PER_SLAB = SLAB_BYTES / 8;
const UNIT_SHIFT = Math.log2(UNITS_PER_SLAB);
const UNIT_MASK = UNITS_PER_SLAB - 1;
const HEADER_BYTES = 8;
const EMPTY_SLABS_KEPT = 2;

export interface SlabOwner {
  /** The address that `owner` holds now; compared to tell live blocks from dead ones. */
  addressOf(owner: number): number;
  moved(owner: number, address: number): void;
}

interface Slab {
  bytes: Uint8Array;
  words: Uint32Array;
  usedUnits: number;
  liveBytes: number;
}

export class Slabs {
  readonly #slabs: Slab[] = [];
  readonly #empty: number[] = [];
  readonly #owner: SlabOwner;
  #current = -1;
  /** Slab being emptied, and the next unit to look at in it. */
  #victim = -1;
  #victimUnit = 0;
  #liveBytes = 0;

  constructor(owner: SlabOwner) {
    this.#owner = owner;
  }

  get liveBytes(): number {
    return this.#liveBytes;
  }

  get reservedBytes(): number {
    return this.#slabs.reduce((sum, slab) => sum + slab.bytes.length, 0);
  }

  /** Copies `count` bytes of `source` from `at` into a new block. */
  add(owner: number, source: Uint8Array, at: number, count: number): number {
    if (count === 0) return NO_ADDRESS;
    const address = this.#allocate(owner, count);
    const slab = this.#slabs[address >>> UNIT_SHIFT] as Slab; // Just allocated.
    const to = (address & UNIT_MASK) * 8 + HEADER_BYTES;
    if (count > 64) slab.bytes.set(source.subarray(at, at + count), to);
    else for (let i = 0; i < count; i++) slab.bytes[to + i] = source[at + i] as number; // In bounds.
    return address;
  }

  free(address: number, count: number): void {
    if (address === NO_ADDRESS) return;
    const number = address >>> UNIT_SHIFT;
    const slab = this.#slabs[number];
    assert(slab !== undefined, `slab ${number} of a freed block exists`);
    const size = blockBytes(count);
    slab.liveBytes -= size;
    this.#liveBytes -= size;
    assert(slab.liveBytes >= 0, 'no block is freed twice');
    if (slab.liveBytes === 0 && number !== this.#current && number !== this.#victim) {
      this.#recycle(number);
    }
  }

  /** The slab's bytes; the block's content starts at `offset(address)`. */
  bytesOf(address: number): Uint8Array {
    return (this.#slabs[address >>> UNIT_SHIFT] as Slab).bytes; // Addresses are only made here.
  }

  offset(address: number): number {
    return (address & UNIT_MASK) * 8 + HEADER_BYTES;
  }

  /** Moves live blocks out of one mostly dead slab, at most `bytesMax` scanned; true = more to do. */
  relocateSlice(bytesMax: number): boolean {
    if (this.#victim < 0) this.#chooseVictim();
    if (this.#victim < 0) return false;
    const slab = this.#slabs[this.#victim] as Slab; // Chosen above.
    let budget = bytesMax;
    while (this.#victimUnit < slab.usedUnits && budget > 0) {
      const word = this.#victimUnit * 2;
      const owner = slab.words[word] as number; // Below usedUnits.
      const count = slab.words[word + 1] as number; // Same.
      const address = ((this.#victim << UNIT_SHIFT) | this.#victimUnit) >>> 0;
      if (this.#owner.addressOf(owner) === address) {
        const moved = this.add(owner, slab.bytes, this.#victimUnit * 8 + HEADER_BYTES, count);
        this.#owner.moved(owner, moved);
        this.free(address, count);
      }
      const size = blockBytes(count);
      this.#victimUnit += size / 8;
      budget -= size;
    }
    if (this.#victimUnit >= slab.usedUnits) {
      assert(slab.liveBytes === 0, 'a scanned slab holds nothing live');
      const done = this.#victim;
      this.#victim = -1;
      this.#recycle(done);
    }
    return true;
  }

  /** A full slab is worth emptying when at least half of it is dead and others share the cost. */
  #chooseVictim(): void {
    let lowest = SLAB_BYTES / 2;
    for (const [number, slab] of this.#slabs.entries()) {
      if (number === this.#current || slab.usedUnits === 0) continue;
      if (slab.liveBytes < lowest) {
        lowest = slab.liveBytes;
        this.#victim = number;
        this.#victimUnit = 0;
      }
    }
  }

  #recycle(number: number): void {
    const slab = this.#slabs[number] as Slab; // Callers hold a valid number.
    slab.usedUnits = 0;
    // A few stay at hand; the memory of the others goes back, only their number is kept.
    if (this.#empty.length >= EMPTY_SLABS_KEPT) setMemory(slab, 0);
    this.#empty.unshift(number);
  }

  #allocate(owner: number, count: number): number {
    const size = blockBytes(count);
    assert(size <= SLAB_BYTES, 'a block fits in a slab');
    const units = size / 8;
    let slab = this.#slabs[this.#current];
    if (slab === undefined || slab.usedUnits + units > UNITS_PER_SLAB) {
      slab = this.#openSlab();
    }
    const unit = slab.usedUnits;
    slab.usedUnits += units;
    slab.liveBytes += size;
    this.#liveBytes += size;
    slab.words[unit * 2] = owner;
    slab.words[unit * 2 + 1] = count;
    return ((this.#current << UNIT_SHIFT) | unit) >>> 0;
  }

  #openSlab(): Slab {
    const full = this.#current;
    let number = this.#empty.pop();
    if (number === undefined) {
      number = this.#slabs.length;
      const none = { bytes: new Uint8Array(0), words: new Uint32Array(0) };
      this.#slabs.push({ ...none, usedUnits: 0, liveBytes: 0 });
    }
    const slab = this.#slabs[number] as Slab; // Just chosen.
    if (slab.bytes.length === 0) setMemory(slab, SLAB_BYTES);
    this.#current = number;
    // A slab that died while it was the current one was not recycled by free().
    if (full >= 0 && full !== this.#victim && this.#slabs[full]?.liveBytes === 0) {
      this.#recycle(full);
    }
    return slab;
  }
}

function setMemory(slab: Slab, bytes: number): void {
  const memory = new SharedArrayBuffer(bytes);
  slab.bytes = new Uint8Array(memory);
  slab.words = new Uint32Array(memory);
}

function blockBytes(count: number): number {
  return (HEADER_BYTES + count + 7) & ~7;
}
