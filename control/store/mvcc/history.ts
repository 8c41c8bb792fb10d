/**
 * Record ids in order of revision, from the compact revision to now: what watches read. A queue in pages,
 * so that it grows without a copy; positions are absolute and never reused, so a cursor is one number.
 * Beside each entry stands the running sum of the hashes of all records that compaction drops once it
 * has passed the entry, so that it takes them out of the state hash without looking at them.
 * Invariant: mod[record at p] <= mod[record at p + 1].
 */
import { assert, must } from '#base/assert.ts';
import { HashSum } from './state-hash.ts';
import type { Lanes } from './state-hash.ts';

const PAGE_SHIFT = 10;
const PAGE_ENTRIES = 1 << PAGE_SHIFT;
const SLOT_MASK = PAGE_ENTRIES - 1;

interface Page {
  readonly records: Uint32Array;
  readonly dropA: Uint32Array;
  readonly dropB: Uint32Array;
}

export class History {
  /** The first one holds the oldest entry; where there is none, the next one comes into the first slot. */
  readonly #pages: Page[] = [];
  /** Position of the first slot of the first page. */
  #start = 0;
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
    const offset = position - this.#start;
    return this.#page(offset).records[offset & SLOT_MASK] as number; // Masked.
  }

  /** The part goes out of the state hash when compaction has passed the entry pushed next. */
  drop(part: Lanes): void {
    this.#dropped.add(part);
  }

  push(record: number): void {
    const offset = this.#end++ - this.#start;
    if (offset >> PAGE_SHIFT === this.#pages.length) this.#pages.push(newPage());
    const page = this.#page(offset);
    const slot = offset & SLOT_MASK;
    page.records[slot] = record;
    page.dropA[slot] = this.#dropped.a;
    page.dropB[slot] = this.#dropped.b;
  }

  /** Drops the oldest entry. */
  shift(): void {
    assert(this.#first < this.#end, 'history has an entry to drop');
    this.#base.set(this.#droppedAt(this.#first++));
    if (this.#first - this.#start < PAGE_ENTRIES) return;
    this.#pages.shift();
    this.#start += PAGE_ENTRIES;
  }

  /** Sum of the hashes of all that compaction drops when it has passed the entries before `end`. */
  droppedBefore(end: number): Lanes {
    if (end === this.#first) return this.#base;
    assert(end > this.#first && end <= this.#end, 'history position is kept');
    return this.#droppedAt(end - 1);
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

  #droppedAt(position: number): Lanes {
    const offset = position - this.#start;
    const { dropA, dropB } = this.#page(offset);
    const slot = offset & SLOT_MASK;
    return { a: dropA[slot] as number, b: dropB[slot] as number }; // Masked.
  }

  #page(offset: number): Page {
    return must(this.#pages[offset >> PAGE_SHIFT], 'pages reach to the last entry');
  }
}

function newPage(): Page {
  const column = () => new Uint32Array(PAGE_ENTRIES);
  return { records: column(), dropA: column(), dropB: column() };
}
