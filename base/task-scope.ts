/**
 * Structured concurrency: every promise has an owner. The first task that fails stops its siblings,
 * and its error is rethrown by `join` with the task's name. Leaving the scope stops what still runs
 * and waits for it.
 */

export class TaskScope implements AsyncDisposable {
  readonly #stop = new AbortController();
  readonly #running = new Set<Promise<void>>();
  readonly #parent: AbortSignal;
  readonly #onParentAbort: () => void;
  #failure: Error | undefined;

  constructor(parent: AbortSignal) {
    this.#parent = parent;
    this.#onParentAbort = () => this.#stop.abort(parent.reason);
    if (parent.aborted) this.#onParentAbort();
    else parent.addEventListener('abort', this.#onParentAbort, { once: true });
  }

  /** Aborts when the parent does, when a task failed, or when the scope is left. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  get runningCount(): number {
    return this.#running.size;
  }

  /** Starts `run` as a task of this scope. A rejection with the abort reason is an orderly end. */
  spawn(name: string, run: (signal: AbortSignal) => Promise<void>): void {
    const signal = this.#stop.signal;
    const task: Promise<void> = Promise.resolve()
      .then(() => run(signal))
      .catch((error: unknown) => {
        if (signal.aborted && error === signal.reason) return; // Stopped on request.
        this.#failure ??= new Error(`task '${name}' failed`, { cause: error });
        this.#stop.abort(this.#failure);
      })
      .finally(() => this.#running.delete(task));
    this.#running.add(task);
  }

  /** Waits until no task runs, those spawned meanwhile included; throws the first failure. */
  async join(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Stops every task and waits for it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#parent.removeEventListener('abort', this.#onParentAbort);
    this.#stop.abort(new Error('task scope left'));
    while (this.#running.size > 0) await Promise.all(this.#running);
  }
}
