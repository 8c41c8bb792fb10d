/**
 * The hash of the logical state: a sum over its parts, so that it does not depend on their order and
 * can follow each change (reference/store.md section 8, rule 1). Each part (a record, a lease, a
 * session) is mixed into two lanes of 32 bits with all its fields; lanes are added without carry.
 * Equal states give equal hashes on every member, whatever their slabs, ids and slices look like.
 */

/** Two lanes; each wraps around at 2^32. */
export class HashSum {
  a = 0;
  b = 0;

  add(part: Lanes): void {
    this.a = (this.a + part.a) >>> 0;
    this.b = (this.b + part.b) >>> 0;
  }

  subtract(part: Lanes): void {
    this.a = (this.a - part.a) >>> 0;
    this.b = (this.b - part.b) >>> 0;
  }

  set(other: Lanes): void {
    this.a = other.a;
    this.b = other.b;
  }

  equals(other: Lanes): boolean {
    return isSameHash(this, other);
  }
}

export interface Lanes {
  readonly a: number;
  readonly b: number;
}

export function isSameHash(one: Lanes | undefined, other: Lanes): boolean {
  return one?.a === other.a && one.b === other.b;
}

/** Mixes the fields of one part: `begin(kind)`, a `u32` or `number` each, then the lanes `a`, `b`. */
export class HashMixer implements Lanes {
  #a = 0;
  #b = 0;

  /** `kind` keeps equal fields of different kinds of parts apart. */
  begin(kind: number): this {
    this.#a = 0x9e3779b9 ^ kind;
    this.#b = 0x85ebca6b + kind;
    return this;
  }

  u32(word: number): this {
    let a = Math.imul(this.#a ^ word, 0xcc9e2d51);
    a ^= a >>> 15;
    this.#a = Math.imul(a, 0x1b873593) + 0x52dce729;
    let b = Math.imul(this.#b ^ word, 0xa136aaad);
    b ^= b >>> 13;
    this.#b = Math.imul(b, 0x9f6d62d7) + 0x38495ab5;
    return this;
  }

  /** A non-negative integer below 2^53. */
  number(value: number): this {
    return this.u32(value % 2 ** 32).u32(Math.floor(value / 2 ** 32));
  }

  get a(): number {
    return finish(this.#a);
  }

  get b(): number {
    return finish(this.#b);
  }
}

function finish(lane: number): number {
  let mixed = lane ^ (lane >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

/** 16 hex digits. */
export function formatHash(hash: Lanes): string {
  const hex = (lane: number) => lane.toString(16).padStart(8, '0');
  return hex(hash.a) + hex(hash.b);
}

/** The hashes behind the last entries applied, by log index, and behind a few that were marked. */
export class HashHistory {
  readonly #a: Uint32Array;
  readonly #b: Uint32Array;
  readonly #capacity: number;
  #last = 0;
  #count = 0;
  readonly #marked = new Map<number, Lanes>();
  readonly #markedMax: number;

  constructor(capacity: number, markedMax = 0) {
    this.#capacity = capacity;
    this.#markedMax = markedMax;
    this.#a = new Uint32Array(capacity);
    this.#b = new Uint32Array(capacity);
  }

  /** Indexes come in order; a gap (a snapshot was installed) forgets what was before it. */
  push(index: number, hash: Lanes): void {
    this.#count = index === this.#last + 1 ? Math.min(this.#count + 1, this.#capacity) : 1;
    this.#last = index;
    this.#a[index % this.#capacity] = hash.a;
    this.#b[index % this.#capacity] = hash.b;
  }

  /** The hash behind the last entry is kept for longer. */
  mark(): void {
    const hash = this.at(this.#last);
    if (hash !== undefined) this.#marked.set(this.#last, hash);
    for (const index of this.#marked.keys()) {
      if (this.#marked.size <= this.#markedMax) break;
      this.#marked.delete(index);
    }
  }

  /** The hash of the state behind entry `index`, while it is kept. */
  at(index: number): Lanes | undefined {
    if (index > this.#last || index <= this.#last - this.#count) return this.#marked.get(index);
    const slot = index % this.#capacity;
    return { a: this.#a[slot] as number, b: this.#b[slot] as number }; // Below the capacity.
  }
}
