/**
 * Rate-limited queue of keys (client-go's workqueue): a key is in it at most once, is never handled
 * by two workers at a time, and comes again when it was added while being handled. Retries wait
 * 5 ms * 2^failures, at most 1000 s. Its size is bounded by the number of keys: they name objects.
 */
import type { Clock } from '../clock.ts';
import { errorText } from '../errors.ts';
import type { Log } from '../log.ts';
import { TaskScope } from '../task-scope.ts';
import { isKubeError } from './client.ts';
import { QUEUE_BACKOFF_MS_MAX, QUEUE_BACKOFF_MS_MIN } from './limits.ts';

export interface BackoffOptions {
  readonly backoffMsMin?: number;
  readonly backoffMsMax?: number;
}

interface Delayed {
  readonly atMs: number;
  readonly stop: AbortController;
}

export class WorkQueue implements Disposable {
  readonly #clock: Clock;
  readonly #backoffMsMin: number;
  readonly #backoffMsMax: number;
  /** In order of addition; a Map's keys would do, but shift() of a Set needs an iterator. */
  readonly #ready = new Set<string>();
  readonly #active = new Set<string>();
  /** Added while active: becomes ready when done. */
  readonly #again = new Set<string>();
  readonly #delayed = new Map<string, Delayed>();
  readonly #failures = new Map<string, number>();
  readonly #waiters: ((key: string) => void)[] = [];
  #closed = false;

  constructor(clock: Clock, options: BackoffOptions = {}) {
    this.#clock = clock;
    this.#backoffMsMin = options.backoffMsMin ?? QUEUE_BACKOFF_MS_MIN;
    this.#backoffMsMax = options.backoffMsMax ?? QUEUE_BACKOFF_MS_MAX;
  }

  /** Keys ready to be handled. */
  get length(): number {
    return this.#ready.size;
  }

  add(key: string): void {
    if (this.#closed) return;
    if (this.#active.has(key)) {
      this.#again.add(key);
      return;
    }
    if (this.#ready.has(key)) return;
    const waiter = this.#waiters.shift();
    if (waiter === undefined) {
      this.#ready.add(key);
      return;
    }
    this.#active.add(key);
    waiter(key);
  }

  /** Adds after `ms`; of two delays for one key the earlier counts. */
  addAfter(key: string, ms: number): void {
    if (this.#closed) return;
    if (ms <= 0) {
      this.add(key);
      return;
    }
    const atMs = this.#clock.monotonicMs() + ms;
    const old = this.#delayed.get(key);
    if (old !== undefined) {
      if (old.atMs <= atMs) return;
      old.stop.abort(new Error('replaced by an earlier delay'));
    }
    const delayed: Delayed = { atMs, stop: new AbortController() };
    this.#delayed.set(key, delayed);
    this.#clock.sleep(Math.min(ms, 2 ** 31 - 1), delayed.stop.signal).then(
      () => {
        this.#delayed.delete(key);
        this.add(key);
      },
      () => undefined, // Replaced or closed.
    );
  }

  /** Adds after the back-off that this key's failures have earned, and counts one more. */
  addRateLimited(key: string): void {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    this.addAfter(key, Math.min(this.#backoffMsMin * 2 ** failures, this.#backoffMsMax));
  }

  /** The key was handled well: its failures no longer count. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  retries(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  /** Waits for a key. The caller owes one done(key). */
  get(signal: AbortSignal): Promise<string> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      for (const key of this.#ready) {
        this.#ready.delete(key);
        this.#active.add(key);
        resolve(key);
        return;
      }
      const onKey = (key: string) => {
        signal.removeEventListener('abort', onAbort);
        resolve(key);
      };
      const onAbort = () => {
        this.#waiters.splice(this.#waiters.indexOf(onKey), 1);
        reject(signal.reason);
      };
      this.#waiters.push(onKey);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  done(key: string): void {
    this.#active.delete(key);
    if (this.#again.delete(key)) this.add(key);
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    for (const { stop } of this.#delayed.values()) stop.abort(new Error('queue closed'));
    this.#delayed.clear();
    this.#ready.clear();
  }
}

export interface WorkerOptions {
  readonly name: string;
  readonly queue: WorkQueue;
  readonly workers: number;
  readonly log: Log;
  /** Handles one key. A number returned asks to be called again after so many milliseconds. */
  readonly sync: (key: string, signal: AbortSignal) => Promise<number | void>;
}

/** Handles keys until aborted; a failure is logged and the key tried again with back-off. */
export async function runWorkers(options: WorkerOptions, signal: AbortSignal): Promise<void> {
  await using tasks = new TaskScope(signal);
  for (let i = 0; i < options.workers; i++) {
    tasks.spawn(`${options.name} ${i}`, (stop) => runWorker(options, stop));
  }
  await tasks.join();
  signal.throwIfAborted();
}

async function runWorker(options: WorkerOptions, signal: AbortSignal): Promise<never> {
  const { queue, name, log, sync } = options;
  for (;;) {
    const key = await queue.get(signal);
    try {
      const againMs = await sync(key, signal);
      queue.forget(key);
      if (typeof againMs === 'number') queue.addAfter(key, againMs);
    } catch (error) {
      signal.throwIfAborted();
      // Both are the ordinary way of learning that the cache is behind; not so when they go on.
      const isOrdinary = isKubeError(error, 'Conflict', 'NotFound') && queue.retries(key) < 5;
      const level = isOrdinary ? 'debug' : 'warn';
      log[level](`${name} failed`, { key, error: errorText(error), retries: queue.retries(key) });
      queue.addRateLimited(key);
    } finally {
      queue.done(key);
    }
  }
}
