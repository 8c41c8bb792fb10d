/**
 * Clients of a group that goes through faults, and what they can prove of it afterwards: what was
 * acknowledged is there once and at the revision that was told, what was refused is not there, no read was
 * older than a write acknowledged before it, and watches saw every revision once and in order.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import { StoreError } from '#control/store/store.ts';
import type { OwnStore, StoreErrorCode } from '#control/store/store.ts';

/** After a refusal, so that a member without a quorum is not asked a thousand times a second. */
const REFUSED_PAUSE_MS = 30;

export interface LoadOptions {
  readonly writersPerStore: number;
  /** Between the writes of one writer. */
  readonly pauseMs: number;
  readonly signal: AbortSignal;
}

/** Writers of new keys and readers, on each of several clients, until they are stopped. */
export class StoreLoad {
  /** Key to revision. */
  readonly acknowledged = new Map<string, number>();
  readonly unknown = new Set<string>();
  readonly refused = new Set<string>();
  readonly errors = new Map<StoreErrorCode, number>();
  readonly staleReads: string[] = [];
  reads = 0;
  /** The highest revision that a client was told of. */
  floor = 0;
  /** The longest that a write, and a read, waited for its end. */
  longestWriteMs = 0;
  longestReadMs = 0;
  readonly #work: Promise<void>[];
  readonly #options: LoadOptions;
  #next = 0;
  #isStopped = false;

  constructor(stores: readonly OwnStore[], options: LoadOptions) {
    this.#options = options;
    const { writersPerStore: length } = options;
    this.#work = stores.flatMap((store) => [
      ...Array.from({ length }, () => this.#write(store)),
      this.#read(store),
    ]);
  }

  /** Resolves when every request has ended. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#work);
  }

  async #write(store: OwnStore): Promise<void> {
    while (!this.#isStopped) {
      const key = `k${String(this.#next++).padStart(9, '0')}`;
      const put = { kind: 'put', request: { key, value: Buffer.from('x'.repeat(200)) } } as const;
      const startedAt = performance.now();
      const txn = store.txn({ compare: [], success: [put], failure: [] }, this.#options.signal);
      const pauseMs = await txn.then(
        ({ revision }) => {
          this.acknowledged.set(key, revision);
          this.floor = Math.max(this.floor, revision);
          return this.#options.pauseMs;
        },
        (error: unknown) => {
          const set = this.#count(error) === 'OUTCOME_UNKNOWN' ? this.unknown : this.refused;
          set.add(key);
          return REFUSED_PAUSE_MS;
        },
      );
      this.longestWriteMs = Math.max(this.longestWriteMs, performance.now() - startedAt);
      await sleep(pauseMs);
    }
  }

  async #read(store: OwnStore): Promise<void> {
    while (!this.#isStopped) {
      const { floor } = this;
      const startedAt = performance.now();
      try {
        const { revision } = await store.range({ key: 'k' }, this.#options.signal);
        this.reads++;
        if (revision < floor) this.staleReads.push(`${revision} after ${floor}`);
      } catch (error) {
        this.#count(error);
      }
      this.longestReadMs = Math.max(this.longestReadMs, performance.now() - startedAt);
      await sleep(REFUSED_PAUSE_MS);
    }
  }

  #count(error: unknown): StoreErrorCode {
    if (!(error instanceof StoreError)) throw error;
    this.errors.set(error.code, (this.errors.get(error.code) ?? 0) + 1);
    return error.code;
  }
}

/** Follows every key of a store, and goes on where it was when its watch ends. */
export class StoreFollower {
  /** Key to revision. */
  readonly seen = new Map<string, number>();
  readonly violations: string[] = [];
  resumed = 0;
  revision: number;
  readonly #store: OwnStore;
  #isStopped = false;
  #end: () => void = () => {};
  readonly #work: Promise<void>;

  /** Behind `revision`. */
  constructor(store: OwnStore, revision: number) {
    this.#store = store;
    this.revision = revision;
    this.#work = this.#follow();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#end();
    await this.#work;
  }

  async #follow(): Promise<void> {
    while (!this.#isStopped) {
      try {
        await this.#watch();
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        if (error.code === 'CLOSED') return;
        if (error.code !== 'UNAVAILABLE') throw error;
        this.resumed++;
        await sleep(REFUSED_PAUSE_MS);
      }
    }
  }

  async #watch(): Promise<void> {
    const range = { key: '\0', rangeEnd: '\0' };
    using watch = this.#store.watch({ ...range, startRevision: this.revision + 1 });
    this.#end = () => watch[Symbol.dispose]();
    for await (const batch of watch) {
      if (batch.kind === 'progress') continue;
      // Every write of the load has a revision of its own, and nobody else writes.
      if (batch.revision !== this.revision + 1) {
        this.violations.push(`revision ${batch.revision} after ${this.revision}`);
      }
      this.revision = batch.revision;
      for (const { type, kv } of batch.events) {
        const isNew = type === 'put' && kv.version === 1 && kv.modRevision === batch.revision;
        if (!isNew || this.seen.has(kv.key)) this.violations.push(`${type} of ${kv.key}`);
        this.seen.set(kv.key, kv.modRevision);
      }
    }
  }
}

/** Compares what clients were told with what each of the members says at the end. */
export async function checkHistory(
  t: Test,
  load: StoreLoad,
  of: { readonly stores: readonly OwnStore[]; readonly signal: AbortSignal },
): Promise<void> {
  const everything = { key: 'k', rangeEnd: 'l', keysOnly: true };
  const revisions = new Set<number>();
  for (const [number, store] of of.stores.entries()) {
    const { kvs, revision } = await store.range(everything, of.signal);
    const kept = new Map(kvs.map((kv) => [kv.key, kv.modRevision]));
    const lost = [...load.acknowledged].filter(([key, at]) => kept.get(key) !== at);
    t.same(lost.slice(0, 10), [], `member ${number} keeps all, at the revision that was told`);
    const twice = kvs.filter(({ version }) => version !== 1).map(({ key }) => key);
    t.same(twice.slice(0, 10), [], `member ${number} executed each once`);
    const undone = [...load.refused].filter((key) => kept.has(key));
    t.same(undone.slice(0, 10), [], `member ${number} executed nothing that was refused`);
    const strangers = [...kept.keys()].filter(
      (key) => !load.acknowledged.has(key) && !load.unknown.has(key),
    );
    t.same(strangers.slice(0, 10), [], `member ${number} has nothing that nobody wrote`);
    revisions.add(revision);
  }
  t.equal(revisions.size, 1, 'all members are at one revision');
  t.same(load.staleReads.slice(0, 10), [], 'no read is older than a write acknowledged before it');
}

/** One line for people. */
export function describeLoad(load: StoreLoad): string {
  const errors = [...load.errors].map(([code, count]) => `${count} ${code}`).join(', ');
  const longest = `${Math.round(load.longestWriteMs)} and ${Math.round(load.longestReadMs)} ms`;
  return (
    `${load.acknowledged.size} acknowledged, ${load.refused.size} refused, ${load.unknown.size} unknown, ` +
    `${load.reads} reads (${errors || 'no errors'}); longest write and read: ${longest}`
  );
}
