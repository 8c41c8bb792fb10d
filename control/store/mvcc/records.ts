/**
 * Columns of the revision records: one row per kept version of a key, in typed arrays. Row 0 is
 * "none". A tombstone has version 0. Rows of one key form a chain from new to old through `prev`:
 * mod[prev[r]] < mod[r]. Free rows are chained through `prev` as well.
 */

import { growF64, growU32 } from './columns.ts';
import type { Lanes } from './state-hash.ts';

export const NONE = 0;

export class Records {
  keyId: Uint32Array = new Uint32Array(64);
  mod: Float64Array = new Float64Array(64);
  /** Order of the record within its revision. */
  sub: Uint32Array = new Uint32Array(64);
  create: Float64Array = new Float64Array(64);
  version: Uint32Array = new Uint32Array(64);
  lease: Float64Array = new Float64Array(64);
  prev: Uint32Array = new Uint32Array(64);
  /** Where the value lies in the value slabs, and its length. */
  address: Uint32Array = new Uint32Array(64);
  size: Uint32Array = new Uint32Array(64);
  /** Its part of the state hash. */
  hashA: Uint32Array = new Uint32Array(64);
  hashB: Uint32Array = new Uint32Array(64);
  #used = 1;
  #free = NONE;

  allocate(): number {
    const id = this.#free;
    if (id !== NONE) {
      this.#free = this.prev[id] as number; // Free rows are in bounds.
      return id;
    }
    if (this.#used === this.mod.length) this.#grow(this.mod.length * 2);
    return this.#used++;
  }

  /** Makes room for so many rows at once. */
  expect(count: number): void {
    let capacity = this.mod.length;
    while (capacity < count + 1) capacity *= 2;
    if (capacity > this.mod.length) this.#grow(capacity);
  }

  /** The record's part of the state hash. */
  setHash(id: number, hash: Lanes): void {
    this.hashA[id] = hash.a;
    this.hashB[id] = hash.b;
  }

  hash(id: number): Lanes {
    return { a: this.hashA[id] as number, b: this.hashB[id] as number }; // Ids are made here.
  }

  release(id: number): void {
    this.keyId[id] = NONE;
    this.prev[id] = this.#free;
    this.#free = id;
  }

  #grow(capacity: number): void {
    this.keyId = growU32(this.keyId, capacity);
    this.mod = growF64(this.mod, capacity);
    this.sub = growU32(this.sub, capacity);
    this.create = growF64(this.create, capacity);
    this.version = growU32(this.version, capacity);
    this.lease = growF64(this.lease, capacity);
    this.prev = growU32(this.prev, capacity);
    this.address = growU32(this.address, capacity);
    this.size = growU32(this.size, capacity);
    this.hashA = growU32(this.hashA, capacity);
    this.hashB = growU32(this.hashB, capacity);
  }
}
