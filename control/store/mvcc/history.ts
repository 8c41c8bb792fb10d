/**
 * Record ids in order of revision, from the compact revision to now: what watches read. A ring that
 * grows by doubling; positions are absolute and never reused, so a cursor is one number.
 * Invariant: mod[record at p] <= mod[record at p + 1].
 */
import { assert } from '#base/assert.ts';

export class History {
  #ring = new Uint32Array(1024);
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

  push(record: number): void {
    const length = this.#ring.length;
    if (this.#end - this.#first === length) {
      const grown = new Uint32Array(length * 2);
      for (let p = this.#first; p < this.#end; p++) {
        grown[p & (length * 2 - 1)] = this.#ring[p & (length - 1)] as number; // Masked.
      }
      this.#ring = grown;
    }
    this.#ring[this.#end++ & (this.#ring.length - 1)] = record;
  }

  /** Drops the oldest entry. */
  shift(): void {
    assert(this.#first < this.#end, 'history has an entry to drop');
    this.#first++;
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
