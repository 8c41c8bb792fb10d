/**
 * Finds a key's id by its bytes: a hash table with open addressing and linear probing, at most half full.
 * Growing it at once would take tens of milliseconds at a million keys. So the old table stays while
 * each addition moves a few of its slots; until all are moved, both are asked.
 * Invariant: a known id is in the new table, or in a slot of the old one at or behind #moved, or in both.
 * Ids in the old one are known.
 */
import { assert } from '#base/assert.ts';
import { zerosU32 } from './columns.ts';
import { NONE } from './records.ts';

export interface TableKeys {
  /** 32 bits. */
  hash(id: number): number;
  /** 0 = the id is of this key. */
  compare(id: number, key: Uint8Array): number;
}

const SLOTS_MIN = 128;

/** Until a table that doubled is half full again, a quarter as many additions as it has slots are made. */
const SLOTS_MOVED_PER_ADD = 8;

/** In the old table, where an id was removed: the search goes on behind it. */
const REMOVED = 0xffffffff;

export class KeyTable {
  readonly #keys: TableKeys;
  #slots = zerosU32(SLOTS_MIN);
  #old: Uint32Array | undefined;
  /** Slots of the old table that are moved. */
  #moved = 0;
  #count = 0;

  constructor(keys: TableKeys) {
    this.#keys = keys;
  }

  /** Id of the key with this hash, or NONE. */
  find(key: Uint8Array, hash: number): number {
    const id = this.#findIn(this.#slots, key, hash);
    if (id !== NONE || this.#old === undefined) return id;
    return this.#findIn(this.#old, key, hash);
  }

  /** Adds an id whose key is not there. */
  add(id: number): void {
    this.#count++;
    if (this.#count * 2 > this.#slots.length) this.#grow();
    if (this.#old !== undefined) this.#move(this.#old);
    this.#enter(id);
  }

  remove(id: number): void {
    this.#count--;
    const old = this.#old;
    if (old !== undefined) {
      const slot = this.#slotOf(old, id);
      if (old[slot] === id) old[slot] = REMOVED;
    }
    const slot = this.#slotOf(this.#slots, id);
    if (this.#slots[slot] === id) this.#closeGap(slot);
    else assert(old !== undefined, `id ${id} is in the table`);
  }

  /** Makes room for so many keys; cheap where there are none yet. */
  expect(count: number): void {
    if (this.#count > 0) return;
    let length = this.#slots.length;
    while (length < count * 2) length *= 2;
    if (length > this.#slots.length) this.#slots = zerosU32(length);
  }

  #findIn(slots: Uint32Array, key: Uint8Array, hash: number): number {
    const keys = this.#keys;
    const mask = slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const id = slots[slot] as number; // Masked.
      if (id === NONE) return NONE;
      if (id !== REMOVED && keys.hash(id) === hash && keys.compare(id, key) === 0) return id;
    }
  }

  /** Where the id is, or the empty slot where the search for it ends. */
  #slotOf(slots: Uint32Array, id: number): number {
    const mask = slots.length - 1;
    let slot = this.#keys.hash(id) & mask;
    while (slots[slot] !== id && slots[slot] !== NONE) slot = (slot + 1) & mask;
    return slot;
  }

  #enter(id: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = this.#keys.hash(id) & mask;
    while (slots[slot] !== NONE) slot = (slot + 1) & mask;
    slots[slot] = id;
  }

  /** Empties a slot and moves up what was behind it, so that probing never needs markers. */
  #closeGap(empty: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let hole = empty;
    for (let slot = (hole + 1) & mask; slots[slot] !== NONE; slot = (slot + 1) & mask) {
      const other = slots[slot] as number; // Masked.
      const home = this.#keys.hash(other) & mask;
      if (((slot - home) & mask) >= ((slot - hole) & mask)) {
        slots[hole] = other;
        hole = slot;
      }
    }
    slots[hole] = NONE;
  }

  #grow(): void {
    assert(this.#old === undefined, 'a table is moved before the next one is half full');
    this.#old = this.#slots;
    this.#moved = 0;
    this.#slots = zerosU32(this.#slots.length * 2);
  }

  #move(old: Uint32Array): void {
    const end = Math.min(old.length, this.#moved + SLOTS_MOVED_PER_ADD);
    for (; this.#moved < end; this.#moved++) {
      const id = old[this.#moved] as number; // Below length.
      if (id !== NONE && id !== REMOVED) this.#enter(id);
    }
    if (end === old.length) this.#old = undefined;
  }
}
