/** Who waits for the next change of something that has a name. */

export class Waiters {
  readonly #waiting = new Map<string, Set<() => void>>();

  /** Resolves at the next `wake` of `name`, or when `signal` fires. */
  async next(name: string, signal?: AbortSignal): Promise<void> {
    const waiting = this.#waiting.get(name) ?? new Set();
    this.#waiting.set(name, waiting);
    const gate = Promise.withResolvers<void>();
    const resolve = () => gate.resolve();
    waiting.add(resolve);
    signal?.addEventListener('abort', resolve, { once: true });
    if (signal?.aborted === true) resolve();
    await gate.promise;
    signal?.removeEventListener('abort', resolve);
    waiting.delete(resolve);
    if (waiting.size === 0 && this.#waiting.get(name) === waiting) this.#waiting.delete(name);
  }

  wake(name: string): void {
    const waiting = this.#waiting.get(name);
    this.#waiting.delete(name);
    for (const resolve of waiting ?? []) resolve();
  }
}
