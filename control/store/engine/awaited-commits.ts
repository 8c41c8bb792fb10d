/**
 * Entries that this leader took for other members, which wait to hear of their commit: news of those does
 * not wait for the next entries.
 */
export class AwaitedCommits {
  /** The first whose commit may be untold, 0 = none, and the last. */
  #first = 0;
  #last = 0;

  /** The entry at `index` was taken for another member. */
  proposed(index: number): void {
    this.#first ||= index;
    this.#last = index;
  }

  /** Whether such an entry is committed, and may be untold. */
  isAny(commitIndex: number): boolean {
    return this.#first !== 0 && commitIndex >= this.#first;
  }

  /** The others are told of everything up to here. */
  told(commitIndex: number): void {
    if (commitIndex < this.#first) return;
    this.#first = this.#last > commitIndex ? commitIndex + 1 : 0;
  }
}
