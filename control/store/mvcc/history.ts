/**
 * Record ids in order of revision, from the compact revision to now: what watches read. A ring that
 * grows by doubling; positions are absolute and never reused, so a cursor is one number.
 * Beside each entry stands the running sum of the hashes of all records that compaction drops once it
 * has passed the entry, so that it takes them out of the state hash without looking at them.
 * Invariant: mod[record at p] <= mod[record at p + 1].
 */
import { assert } from '#base/assert.ts';
import { growU32 } from './records.ts';
import { HashSum } from './state-hash.ts';
import type { Lanes } from './state-hash.ts';

export class History {
  #ring = new Uint32Array(1024);
  #dropA = new Uint32Array(1024);
  #dropB = new Uint32Array(1024);
  readonly #dropped = new HashSum();
  /** The sum behind the last entry that was shifted out. */
  readonly #base = new HashSum();
  #first = 0;
  #end = 0;

  /** Position of the oldest entry. */
  get first(): number {
    return this.#first;
  }

  /** One past the newest entry. */
  get end(): number {
    return this.#end;
  }

  at(position: number): number {
    assert(position >= this.#first && position < this.#end, 'history position is kept');
    return this.#ring[position & (this.#ring.length - 1)] as number; // Masked.
  }

  /** The part goes out of the state hash when compaction has passed the entry pushed next. */
  drop(part: Lanes): void {
    this.#dropped.add(part);
  }

  push(record: number): void {
    if (this.#end - this.#first === this.#ring.length) this.#grow();
    const slot = this.#end++ & (this.#ring.length - 1);
    this.#ring[slot] = record;
    this.#dropA[slot] = this.#dropped.a;
    this.#dropB[slot] = this.#dropped.b;
  }

  /** Drops the oldest entry. */
  shift(): void {
    assert(this.#first < this.#end, 'history has an entry to drop');
    const slot = this.#first++ & (this.#ring.length - 1);
    this.#base.a = this.#dropA[slot] as number; // Masked.
    this.#base.b = this.#dropB[slot] as number; // Masked.
  }

  /** Sum of the hashes of all that compaction drops when it has passed the entries before `end`. */
  droppedBefore(end: number): Lanes {
    if (end === this.#first) return this.#base;
    assert(end > this.#first && end <= this.#end, 'history position is kept');
    const slot = (end - 1) & (this.#ring.length - 1);
    return { a: this.#dropA[slot] as number, b: this.#dropB[slot] as number }; // Masked.
  }

  #grow(): void {
    const length = this.#ring.length;
    // Every entry keeps its slot or moves up by the old length, as its position's next bit says.
    const grow = (old: Uint32Array) => {
      const grown = growU32(old, length * 2);
      grown.copyWithin(length, 0, length);
      return grown;
    };
    this.#ring = grow(this.#ring);
    this.#dropA = grow(this.#dropA);
    this.#dropB = grow(this.#dropB);
  }

  /** Position of the first entry whose revision, by `mod`, is at least `revision`. */
  seek(revision: number, mod: Float64Array): number {
    let low = this.#first;
    let high = this.#end;
    while (low < high) {
      const middle = low + Math.floor((high - low) / 2);
      if ((mod[this.at(middle)] as number) < revision) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
