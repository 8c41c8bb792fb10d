/** Who may run when: tasks of one key one after another (Serial), so many of any kind at once (Gate). */

/** Tasks of one key in order of arrival; tasks of different keys at once. */
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

/**
 * Synchronous work of some milliseconds each, one piece in a turn of the event loop: thirty pods at once
 * must not keep everybody else waiting for the sum.
 */
export class Turns {
  readonly #gate = new Gate(1);

  run<T>(work: () => T): Promise<T> {
    return this.#gate.run(async () => {
      await new Promise<void>((resolve) => setImmediate(resolve));
      return work();
    });
  }
}

/** At most `countMax` tasks at a time, in order of arrival. */
export class Gate {
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(countMax: number) {
    this.#free = countMax;
  }

  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await task();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next(); // Its place goes over to the next one.
    }
  }
}
