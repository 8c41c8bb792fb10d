/** Chance from a seed (xorshift128), so that one number replays a run. For tests. */

export class SeededRandom {
  readonly #state = new Uint32Array(4);

  constructor(seed: number) {
    let mixed = (seed ^ 0x9e3779b9) >>> 0;
    for (let i = 0; i < 4; i++) {
      mixed = Math.imul(mixed ^ (mixed >>> 16), 0x45d9f3b) >>> 0;
      mixed = (mixed + 0x6d2b79f5 * (i + 1)) >>> 0;
      this.#state[i] = mixed | 1;
    }
    for (let i = 0; i < 16; i++) this.next();
  }

  /** In [0, 1). */
  readonly next = (): number => {
    const s = this.#state as { [index: number]: number }; // Four words.
    const t = s[3]! ^ (s[3]! << 11); // Same.
    s[3] = s[2]!; // Same.
    s[2] = s[1]!; // Same.
    s[1] = s[0]!; // Same.
    s[0] = s[0]! ^ (s[0]! >>> 19) ^ t ^ (t >>> 8); // Same.
    return (s[0] >>> 0) / 2 ** 32; // Just set.
  };

  /** In [0, bound). */
  below(bound: number): number {
    return Math.floor(this.next() * bound);
  }

  /** In [low, high]. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  chance(share: number): boolean {
    return this.next() < share;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T; // Callers give lists with something in them.
  }
}
