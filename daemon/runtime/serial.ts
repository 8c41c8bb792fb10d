/** Runs tasks of one key one after another, in order of arrival; tasks of different keys at once. */

export class Serial {
  readonly #tails = new Map<string, Promise<void>>();

  /** The result of `task`; a rejection of an earlier task of the key does not reach later ones. */
  async run<T>(key: string, task: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key);
    const gate = Promise.withResolvers<void>();
    this.#tails.set(key, gate.promise);
    try {
      await before;
      return await task();
    } finally {
      if (this.#tails.get(key) === gate.promise) this.#tails.delete(key);
      gate.resolve();
    }
  }
}
