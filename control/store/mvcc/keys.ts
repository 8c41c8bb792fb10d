/**
 * The keys that the store knows, living or with kept history: bytes in slabs, one row of columns per
 * key, a hash table for points and an ordered index for ranges. A key stays until physical
 * compaction drops its last record.
 * Invariant: every key id is in the hash table and in the ordered index, once.
 */
import { assert } from '#base/assert.ts';
import { growU32 } from './columns.ts';
import { KeyTable } from './key-table.ts';
import { NONE } from './records.ts';
import { NO_ADDRESS, Slabs } from './slab.ts';

/** Key ids of one stretch of the order. `live` counts keys whose newest record is no tombstone. */
interface Chunk {
  ids: Uint32Array;
  count: number;
  live: number;
}

/** A position in the order: valid until a key is added or dropped. */
export interface KeyPosition {
  chunk: number;
  slot: number;
}

const CHUNK_KEYS_MAX = 512;

export class Keys {
  /** Newest record of each key. */
  head: Uint32Array = new Uint32Array(64);
  #address: Uint32Array = new Uint32Array(64);
  #size: Uint32Array = new Uint32Array(64);
  #hash: Uint32Array = new Uint32Array(64);
  #nextFree: Uint32Array = new Uint32Array(64);
  #free = NONE;
  #used = 1;
  #count = 0;
  readonly #table = new KeyTable(this);
  readonly #chunks: Chunk[] = [];
  readonly #slabs: Slabs;

  constructor() {
    this.#slabs = new Slabs({
      addressOf: (id) => this.#address[id] ?? NO_ADDRESS,
      moved: (id, address) => {
        this.#address[id] = address;
      },
    });
  }

  /** Makes room for so many keys at once; cheap where there are none yet. */
  expect(count: number): void {
    let capacity = this.head.length;
    while (capacity < count + 1) capacity *= 2;
    if (capacity > this.head.length) this.#growColumns(capacity);
    this.#table.expect(count);
  }

  /** Keys known, deleted ones with history included. */
  get count(): number {
    return this.#count;
  }

  get storedBytes(): number {
    return this.#slabs.liveBytes;
  }

  get reservedBytes(): number {
    return this.#slabs.reservedBytes;
  }

  relocateSlice(bytesMax: number): boolean {
    return this.#slabs.relocateSlice(bytesMax);
  }

  /** A hash of the key's bytes, 32 bits. */
  hash(id: number): number {
    return this.#hash[id] as number; // Key ids are only made here.
  }

  size(id: number): number {
    return this.#size[id] as number; // Key ids are only made here.
  }

  /** The key's bytes, as a view that is valid until keys are added or moved. */
  bytes(id: number): Uint8Array {
    const address = this.#address[id] as number; // Key ids are only made here.
    const size = this.size(id);
    if (size === 0) return EMPTY;
    const at = this.#slabs.offset(address);
    return this.#slabs.bytesOf(address).subarray(at, at + size);
  }

  /** Id of the key, or NONE. */
  find(key: Uint8Array): number {
    return this.#table.find(key, hashOf(key));
  }

  /** Adds a key that is not there, without records; not live until `setLive`. */
  add(key: Uint8Array): number {
    const id = this.#allocate();
    this.#address[id] = this.#slabs.add(id, key, 0, key.length);
    this.#size[id] = key.length;
    this.#hash[id] = hashOf(key);
    this.head[id] = NONE;
    this.#count++;
    this.#table.add(id);
    this.#insertOrdered(id, key);
    return id;
  }

  /** Forgets a key that is not live. */
  drop(id: number): void {
    const position = this.seek(this.bytes(id));
    const chunk = this.#chunks[position.chunk];
    assert(chunk !== undefined && chunk.ids[position.slot] === id, 'a dropped key is in order');
    chunk.ids.copyWithin(position.slot, position.slot + 1, chunk.count);
    chunk.count--;
    if (chunk.count === 0) this.#chunks.splice(position.chunk, 1);
    this.#table.remove(id);
    this.#slabs.free(this.#address[id] as number, this.size(id)); // Of a known key.
    this.#address[id] = NO_ADDRESS;
    this.#nextFree[id] = this.#free;
    this.#free = id;
    this.#count--;
  }

  /** Tells the ordered index that a key came to life (+1) or was deleted (-1). */
  addLive(id: number, change: 1 | -1): void {
    const position = this.seek(this.bytes(id));
    const chunk = this.#chunks[position.chunk];
    assert(chunk !== undefined, 'a known key is in order');
    chunk.live += change;
  }

  /** Position of the first key that is not below `key`. */
  seek(key: Uint8Array): KeyPosition {
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const chunk = this.#chunks[middle] as Chunk; // Below length.
      if (this.compare(chunk.ids[chunk.count - 1] as number, key) < 0) low = middle + 1;
      else high = middle;
    }
    const chunk = this.#chunks[low];
    if (chunk === undefined) return { chunk: low, slot: 0 };
    let from = 0;
    let to = chunk.count;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (this.compare(chunk.ids[middle] as number, key) < 0) from = middle + 1;
      else to = middle;
    }
    return { chunk: low, slot: from };
  }

  /** The key at `position`, which moves on by one; NONE at the end. */
  next(position: KeyPosition): number {
    const chunk = this.#chunks[position.chunk];
    if (chunk === undefined) return NONE;
    const id = chunk.ids[position.slot] as number; // Positions stay inside their chunk.
    position.slot++;
    if (position.slot >= chunk.count) {
      position.chunk++;
      position.slot = 0;
    }
    return id;
  }

  /** Live keys from `position` up to `end`; undefined = to the last key. */
  countLive(position: KeyPosition, end: KeyPosition, isLive: (id: number) => boolean): number {
    let count = 0;
    while (position.chunk < end.chunk && position.slot > 0)
      count += this.#oneLive(position, isLive);
    for (; position.chunk < end.chunk; position.chunk++) {
      count += this.#chunks[position.chunk]?.live ?? 0;
    }
    while (position.chunk === end.chunk && position.slot < end.slot) {
      count += this.#oneLive(position, isLive);
    }
    return count;
  }

  end(): KeyPosition {
    return { chunk: this.#chunks.length, slot: 0 };
  }

  /** Below 0, 0 or above 0 as the key of `id` sorts before, equals or follows `key`. */
  compare(id: number, key: Uint8Array): number {
    const size = this.size(id);
    if (size === 0) return -key.length;
    const address = this.#address[id] as number; // Key ids are only made here.
    const bytes = this.#slabs.bytesOf(address);
    const at = this.#slabs.offset(address);
    const shared = size < key.length ? size : key.length;
    for (let i = 0; i < shared; i++) {
      const difference = (bytes[at + i] as number) - (key[i] as number); // Both in bounds.
      if (difference !== 0) return difference;
    }
    return size - key.length;
  }

  #oneLive(position: KeyPosition, isLive: (id: number) => boolean): number {
    return isLive(this.next(position)) ? 1 : 0;
  }

  #insertOrdered(id: number, key: Uint8Array): void {
    const position = this.seek(key);
    let chunk = this.#chunks[position.chunk];
    if (chunk === undefined) {
      // Behind the last key: goes to the end of the last chunk.
      chunk = this.#chunks.at(-1);
      if (chunk === undefined) {
        chunk = { ids: new Uint32Array(CHUNK_KEYS_MAX), count: 0, live: 0 };
        this.#chunks.push(chunk);
      }
      position.chunk = this.#chunks.length - 1;
      position.slot = chunk.count;
    }
    if (chunk.count === CHUNK_KEYS_MAX) {
      const cut = this.#split(position);
      if (position.slot > cut || (position.slot === cut && cut === CHUNK_KEYS_MAX)) {
        position.chunk++;
        position.slot -= cut;
      }
      chunk = this.#chunks[position.chunk] as Chunk; // One of the two halves.
    }
    chunk.ids.copyWithin(position.slot + 1, position.slot, chunk.count);
    chunk.ids[position.slot] = id;
    chunk.count++;
  }

  /** Cuts a full chunk in two and returns where. Appending at the very end leaves it full. */
  #split(position: KeyPosition): number {
    const chunk = this.#chunks[position.chunk] as Chunk; // The caller's.
    const cut = position.slot === CHUNK_KEYS_MAX ? CHUNK_KEYS_MAX : CHUNK_KEYS_MAX / 2;
    const ids = new Uint32Array(CHUNK_KEYS_MAX);
    ids.set(chunk.ids.subarray(cut, chunk.count));
    const upper: Chunk = { ids, count: chunk.count - cut, live: 0 };
    for (let i = 0; i < upper.count; i++) {
      if (this.liveOf(ids[i] as number)) upper.live++;
    }
    chunk.live -= upper.live;
    chunk.count = cut;
    this.#chunks.splice(position.chunk + 1, 0, upper);
    return cut;
  }

  /** Set by the owner of the records: whether a key's newest record is no tombstone. */
  liveOf: (id: number) => boolean = () => false;

  #allocate(): number {
    const id = this.#free;
    if (id !== NONE) {
      this.#free = this.#nextFree[id] as number; // Free rows are in bounds.
      return id;
    }
    if (this.#used === this.head.length) this.#growColumns(this.head.length * 2);
    return this.#used++;
  }

  #growColumns(capacity: number): void {
    this.head = growU32(this.head, capacity);
    this.#address = growU32(this.#address, capacity);
    this.#size = growU32(this.#size, capacity);
    this.#hash = growU32(this.#hash, capacity);
    this.#nextFree = growU32(this.#nextFree, capacity);
  }
}

const EMPTY = new Uint8Array(0);

/** FNV-1a, then mixed, since the table uses the low bits. */
export function hashOf(key: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ (key[i] as number), 0x01000193);
  hash ^= hash >>> 15;
  return Math.imul(hash, 0x2c1b3c6d) >>> 0;
}
