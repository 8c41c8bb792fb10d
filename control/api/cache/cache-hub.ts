/**
 * Feeds all watch caches from one watch of the store, so that they show the same revision at any
 * time: a transaction is applied to every cache it touches before anything else runs.
 *
 * Consistent reads ask the store for its revision and wait until the feed has come so far; reads
 * that arrive while a question is under way share the next one (etcd's ReadIndex batching).
 */
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { TaskScope } from '#base/task-scope.ts';
import type { Store, Watch } from '#control/store/store.ts';
import { serviceUnavailable, tooLargeResourceVersion } from '../errors.ts';
import {
  EVENT_TRIM_PERIOD_MS,
  LOAD_PAGE_COUNT,
  PROGRESS_ASK_MS,
  RELOAD_PAUSE_MS_MAX,
  RELOAD_PAUSE_MS_MIN,
  REVISION_WAIT_MS,
} from '../limits.ts';
import type { CacheChange, ResourceCache } from './resource-cache.ts';

export const REGISTRY = '/registry/';

/** The smallest string above all that begin with `prefix`, whose last unit must be below 255. */
export function rangeEndOf(prefix: string): string {
  const last = prefix.length - 1;
  return prefix.slice(0, last) + String.fromCharCode(prefix.charCodeAt(last) + 1);
}

interface Waiter {
  readonly revision: number;
  readonly resolve: () => void;
}

export class CacheHub {
  readonly #io: { store: Store; clock: Clock; log: Log };
  /** By storage prefix below /registry/, `apps/deployments`. */
  readonly #caches: ReadonlyMap<string, ResourceCache>;
  /** States before it are gone from the store, though caches may still know them. */
  compactRevision = 0;
  #revision = 0;
  #waiters: Waiter[] = [];
  /** Of `run`, and the watch that it follows; while there are none, reads wait for a load. */
  #tasks: TaskScope | undefined;
  #watch: Watch | undefined;
  #isAskingProgress = false;
  #asking: Promise<number> | undefined;
  #askingNext: Promise<number> | undefined;
  #ready = false;

  constructor(
    io: { store: Store; clock: Clock; log: Log },
    caches: ReadonlyMap<string, ResourceCache>,
  ) {
    this.#io = io;
    this.#caches = caches;
  }

  /** Everything up to this revision is in the caches. */
  get revision(): number {
    return this.#revision;
  }

  get ready(): boolean {
    return this.#ready;
  }

  /** Loads all caches; afterwards `run` must be going for them to move on. */
  async load(signal: AbortSignal): Promise<void> {
    const loaded = new Map<ResourceCache, { key: string; value: Uint8Array; revision: number }[]>();
    let revision = 0;
    let from = REGISTRY;
    for (;;) {
      const page = await this.#io.store.range(
        { key: from, rangeEnd: rangeEndOf(REGISTRY), revision, limit: LOAD_PAGE_COUNT },
        signal,
      );
      if (revision === 0) revision = page.revision;
      for (const kv of page.kvs) {
        const found = this.#locate(kv.key);
        if (found === undefined) continue;
        const list = loaded.get(found.cache) ?? [];
        loaded.set(found.cache, list);
        list.push({ key: found.key, value: kv.value, revision: kv.modRevision });
      }
      const last = page.kvs.at(-1);
      if (!page.more || last === undefined) break;
      from = `${last.key}\0`;
    }
    for (const cache of this.#caches.values()) cache.load(loaded.get(cache) ?? [], revision);
    this.#advance(revision);
    this.#ready = true;
  }

  /**
   * Follows the store until `signal` aborts. A broken feed ends all watches and loads again, as often
   * as the store needs to answer.
   */
  async run(signal: AbortSignal): Promise<void> {
    await using tasks = new TaskScope(signal);
    this.#tasks = tasks;
    tasks.spawn('trim caches', (until) => this.#trim(until));
    let pauseMs = RELOAD_PAUSE_MS_MIN;
    while (!signal.aborted) {
      try {
        if (!this.#ready) await this.load(signal);
        pauseMs = RELOAD_PAUSE_MS_MIN;
        await this.#follow(signal);
      } catch (error) {
        if (signal.aborted) return;
        this.#io.log.warn('watch of the store broke, loading again', { error });
      }
      if (signal.aborted) return;
      this.#ready = false;
      this.#revision = 0; // Until the load is done, every read waits.
      for (const cache of this.#caches.values()) cache.reset();
      await this.#io.clock.sleep(pauseMs, signal);
      pauseMs = Math.min(pauseMs * 2, RELOAD_PAUSE_MS_MAX);
    }
  }

  async #trim(signal: AbortSignal): Promise<void> {
    const { clock } = this.#io;
    for (;;) {
      await clock.sleep(EVENT_TRIM_PERIOD_MS, signal);
      for (const cache of this.#caches.values()) cache.trim(clock.nowMs());
    }
  }

  async #follow(signal: AbortSignal): Promise<void> {
    using watch = this.#io.store.watch({
      key: REGISTRY,
      rangeEnd: rangeEndOf(REGISTRY),
      startRevision: this.#revision + 1,
    });
    this.#watch = watch;
    const stop = () => watch[Symbol.dispose]();
    signal.addEventListener('abort', stop, { once: true });
    try {
      for await (const batch of watch) {
        if (batch.kind === 'events') {
          const nowMs = this.#io.clock.nowMs();
          for (const event of batch.events) {
            const found = this.#locate(event.kv.key);
            if (found === undefined) continue;
            const value = event.type === 'put' ? event.kv.value : undefined;
            const change: CacheChange = { key: found.key, value };
            found.cache.apply(change, event.kv.modRevision, nowMs);
          }
        }
        this.#advance(batch.revision);
      }
    } finally {
      this.#watch = undefined;
      signal.removeEventListener('abort', stop);
    }
  }

  /** Resolves once the caches hold everything up to `revision`; 504 after REVISION_WAIT_MS. */
  async waitFor(revision: number, signal: AbortSignal): Promise<void> {
    if (this.#revision >= revision) return;
    using deadline = this.#io.clock.deadline(REVISION_WAIT_MS, signal);
    if (!this.#isAskingProgress && this.#tasks !== undefined) {
      this.#isAskingProgress = true;
      this.#tasks.spawn('ask for progress', (until) => this.#askProgress(until));
    }
    await new Promise<void>((resolve, reject) => {
      const waiter = { revision, resolve };
      this.#waiters.push(waiter);
      deadline.signal.addEventListener(
        'abort',
        () => {
          this.#waiters = this.#waiters.filter((w) => w !== waiter);
          reject(tooLargeResourceVersion(revision, this.#revision));
        },
        { once: true },
      );
    });
  }

  /**
   * A revision that changed nothing below REGISTRY, as those of other users of an external etcd, comes
   * with no event: the watch tells only when asked that it has passed.
   */
  async #askProgress(signal: AbortSignal): Promise<void> {
    try {
      do {
        await this.#io.clock.sleep(PROGRESS_ASK_MS, signal);
        if (this.#waiters.length > 0) this.#watch?.requestProgress();
      } while (this.#waiters.length > 0);
    } finally {
      this.#isAskingProgress = false;
    }
  }

  /** Resolves once the caches hold every write acknowledged before this call. */
  async waitForLatest(signal: AbortSignal): Promise<void> {
    const revision = await this.#latestRevision(signal);
    if (this.#revision < revision) await this.waitFor(revision, signal);
  }

  #latestRevision(signal: AbortSignal): Promise<number> {
    if (this.#asking === undefined) return this.#ask(signal);
    // A question under way may have been answered before this read arrived.
    this.#askingNext ??= this.#asking.then(
      () => this.#ask(signal),
      () => this.#ask(signal),
    );
    return this.#askingNext;
  }

  #ask(signal: AbortSignal): Promise<number> {
    this.#askingNext = undefined;
    const question = this.#io.store
      .range({ key: REGISTRY, countOnly: true }, signal)
      .then((answer) => answer.revision)
      .catch((error: unknown) => {
        throw Object.assign(serviceUnavailable('the store does not answer'), { cause: error });
      })
      .finally(() => {
        if (this.#asking === question) this.#asking = undefined;
      });
    this.#asking = question;
    return question;
  }

  /** The cache that a key of the store belongs to, and the key in it. */
  #locate(storeKey: string): { cache: ResourceCache; key: string } | undefined {
    const group = storeKey.indexOf('/', REGISTRY.length);
    const resource = storeKey.indexOf('/', group + 1);
    if (group < 0 || resource < 0) return undefined;
    const cache = this.#caches.get(storeKey.slice(REGISTRY.length, resource));
    return cache === undefined ? undefined : { cache, key: storeKey.slice(resource + 1) };
  }

  #advance(revision: number): void {
    if (revision <= this.#revision) return;
    this.#revision = revision;
    if (this.#waiters.length === 0) return;
    const due = this.#waiters.filter((w) => w.revision <= revision);
    this.#waiters = this.#waiters.filter((w) => w.revision > revision);
    for (const waiter of due) waiter.resolve();
  }
}
