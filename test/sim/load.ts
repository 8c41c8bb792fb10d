/**
 * What the clients of a simulated group do, and what they check themselves: reads and writes that the
 * oracle compares later, watches (watchers.ts), and leases that must not run out early.
 */
import { assert } from '#base/assert.ts';
import { StoreError } from '#control/store/port.ts';
import type { Operation, RangeRequest, TxnResponse } from '#control/store/port.ts';
import type { Group, SimClient } from './group.ts';
import { CLOCK_SKEW_MAX } from './process-time.ts';
import type { ClientOperation, Found } from './client-history.ts';
import { Watcher } from './watchers.ts';

const { signal } = new AbortController();
export const KEYS = ['a', 'b', 'b/1', 'b/2', 'c', 'd'];
const WIDE_KEYS = Array.from({ length: 60 }, (_, i) => `wide/${String(i).padStart(2, '0')}`);
const WORKERS = 4;
const LEASE_SECONDS = 3;
const CLOCK_SHARE = 1 / (1 + CLOCK_SKEW_MAX);

type Told = Pick<ClientOperation, 'revision' | 'wrote' | 'found' | 'compared' | 'previous'>;
type Count = (what: string, by?: number) => void;

export class Load {
  readonly #group: Group;
  readonly #count: Count;
  readonly #tasks: Promise<void>[] = [];
  readonly #watchers: readonly Watcher[];
  /** Operations between compactions, about. */
  readonly #compactEvery: number;
  readonly #pauseMsMax: number;
  #running = 0;
  #writes = 0;
  #isEnding = false;

  constructor(group: Group, count: Count) {
    this.#group = group;
    this.#count = count;
    const { random } = group;
    this.#compactEvery = random.pick([50, 200, 600]);
    this.#pauseMsMax = random.pick([10, 40]);
    const client = () => group.connect(random.pick(group.members));
    for (let number = 0; number < WORKERS; number++) this.#start(this.#work(number, client()));
    this.#start(this.#holdLeases(client()));
    this.#watchers = [
      new Watcher(group, { client: client(), range: { key: '\0', rangeEnd: '\0' }, count }),
      new Watcher(group, { client: client(), range: { key: 'b', rangeEnd: 'c' }, count }),
    ];
  }

  /** Clients end with what they are at. */
  end(): void {
    this.#isEnding = true;
  }

  get isIdle(): boolean {
    return this.#running === 0;
  }

  get hasWatchedAll(): boolean {
    return this.#watchers.every((watcher) => watcher.hasSeenAll);
  }

  /** A watch breaks, and is taken up again. */
  breakWatch(): void {
    for (const watcher of this.#watchers) watcher.leave();
  }

  /** After the group closed: throws what a client met. */
  async settle(): Promise<void> {
    await Promise.all([...this.#tasks, ...this.#watchers.map((watcher) => watcher.end())]);
  }

  #start(task: Promise<void>): void {
    this.#running++;
    const done = () => {
      this.#running--;
    };
    task.then(done, done);
    this.#tasks.push(task);
  }

  /** One client: an operation after the other, with pauses. */
  async #work(number: number, client: SimClient): Promise<void> {
    const { time, oracle, random } = this.#group;
    const { clients } = oracle;
    while (!this.#isEnding) {
      await this.#group.pause(random.next() * this.#pauseMsMax);
      const calledAt = time.nowMs;
      const value = `value ${++this.#writes} of ${number}`;
      try {
        const told = await this.#operate(client, value);
        clients.told({ ...told, client: number, calledAt, answeredAt: time.nowMs });
        this.#count(told.wrote === undefined ? 'reads' : 'writes acknowledged');
      } catch (error) {
        this.#refused(client, error);
        const isUnknown = error instanceof StoreError && isOutcomeUnknown(error);
        if (isUnknown) clients.unknown({ value, calledAt });
        else clients.refused(value, error instanceof StoreError ? error.message : '');
      }
    }
  }

  #refused(client: SimClient, error: unknown): void {
    if (!(error instanceof StoreError)) throw error;
    this.#count(`refused: ${error.code}`);
    if (error.code === 'UNAVAILABLE' || error.code === 'OUTCOME_UNKNOWN') client.leave();
  }

  #operate(client: SimClient, value: string): Promise<Told> {
    const { random } = this.#group;
    if (random.chance(1 / this.#compactEvery)) return this.#compact(client);
    const kind = random.below(20);
    if (kind < 6) return this.#read(client);
    if (kind < 14) return this.#put(client, value);
    if (kind < 16) return this.#delete(client);
    if (kind < 19) return this.#swap(client, value);
    return this.#putMany(client, value);
  }

  async #read({ store }: SimClient): Promise<Told> {
    const { random, oracle } = this.#group;
    const request = random.pick<RangeRequest>([
      { key: random.pick(KEYS) },
      { key: random.pick(KEYS) },
      { key: '\0', rangeEnd: '\0' },
      { key: 'b', rangeEnd: 'c', limit: 1 },
      { key: 'b', rangeEnd: 'wide/3' },
    ]);
    const back = random.chance(0.3) ? random.below(60) : 0;
    const at = back === 0 ? 0 : Math.max(0, oracle.revision - back);
    const answer = await store.range(at === 0 ? request : { ...request, revision: at }, signal);
    const found: Found = { request, answer, at: at === 0 ? answer.revision : at };
    return { revision: answer.revision, found };
  }

  async #put({ store }: SimClient, value: string): Promise<Told> {
    const key = this.#group.random.pick(KEYS);
    const answer = await store.txn(only([put(key, value, true)]), signal);
    const [result] = answer.results;
    assert(result?.kind === 'put', 'a put is answered as one');
    const previous = { key, kv: result.prevKv };
    return { revision: answer.revision, wrote: new Map([[key, value]]), previous };
  }

  /** Many keys in one revision: history grows, and compactions have something to do. */
  async #putMany({ store }: SimClient, value: string): Promise<Told> {
    const keys = WIDE_KEYS.slice(this.#group.random.below(WIDE_KEYS.length - 20));
    const written = keys.map((key, i) => [key, i === 0 ? value : `${value}, ${i}`] as const);
    const operations = written.map(([key, text]) => put(key, text, false));
    const { revision } = await store.txn(only(operations), signal);
    return { revision, wrote: new Map(written) };
  }

  async #delete({ store }: SimClient): Promise<Told> {
    const { random } = this.#group;
    const range = random.chance(0.2) ? { key: 'b', rangeEnd: 'c' } : { key: random.pick(KEYS) };
    const operation: Operation = { kind: 'deleteRange', request: { ...range, prevKv: true } };
    const { revision, results } = await store.txn(only([operation]), signal);
    const [result] = results;
    assert(result?.kind === 'deleteRange', 'a delete is answered as one');
    assert(result.deleted === result.prevKvs.length, 'what is deleted is told');
    if (result.deleted === 0) return { revision };
    return { revision, wrote: new Map(result.prevKvs.map(({ key }) => [key, undefined])) };
  }

  /** A write on the condition that nobody else wrote. */
  async #swap({ store }: SimClient, value: string): Promise<Told> {
    const key = this.#group.random.pick(KEYS);
    const { kvs } = await store.range({ key }, signal);
    const mod = kvs[0]?.modRevision ?? 0;
    const answer: TxnResponse = await store.txn(
      {
        compare: [{ key, target: 'mod', result: '=', value: mod }],
        success: [put(key, value, false)],
        failure: [],
      },
      signal,
    );
    const { revision, succeeded } = answer;
    const compared = { key, mod, succeeded };
    if (!succeeded) return { revision, compared };
    return { revision, compared, wrote: new Map([[key, value]]) };
  }

  async #compact({ store }: SimClient): Promise<Told> {
    const { random } = this.#group;
    const read = await store.range({ key: 'a' }, signal);
    if (read.revision > 100) {
      await store.compact(read.revision - random.between(1, 90), signal);
      this.#count('compactions');
    }
    return { revision: read.revision };
  }

  /** Keeps a lease alive for a while, then lets it run out or ends it; then the next. */
  async #holdLeases(client: SimClient): Promise<void> {
    const { oracle, random, time } = this.#group;
    for (let number = 0; !this.#isEnding; number++) {
      const key = `lease ${number}`;
      const aliveSince = (ms: number) =>
        oracle.leases.set(key, ms + LEASE_SECONDS * 1000 * CLOCK_SHARE);
      try {
        aliveSince(time.nowMs);
        const { leaseId } = await client.store.leaseGrant(LEASE_SECONDS, signal);
        await client.store.txn(only([put(key, key, false, leaseId)]), signal);
        for (let times = random.below(4); times > 0 && !this.#isEnding; times--) {
          await this.#group.pause(random.next() * LEASE_SECONDS * 600);
          const askedAt = time.nowMs;
          const ttlSeconds = await client.store.leaseKeepAlive(leaseId, signal);
          assert(ttlSeconds === LEASE_SECONDS, 'a lease is kept alive for its whole time');
          aliveSince(askedAt);
          this.#count('leases kept alive');
        }
        if (random.chance(0.2)) {
          oracle.leases.set(key, 0); // It may go from now on.
          await client.store.leaseRevoke(leaseId, signal);
        }
      } catch (error) {
        this.#refused(client, error);
      }
      await this.#group.pause(random.next() * 500);
    }
  }
}

/** Whether the write may have been executed. */
function isOutcomeUnknown({ code }: StoreError): boolean {
  return code === 'OUTCOME_UNKNOWN' || code === 'CLOSED';
}

function put(key: string, text: string, prevKv: boolean, leaseId?: string): Operation {
  return { kind: 'put', request: { key, value: Buffer.from(text), prevKv, leaseId } };
}

function only(operations: readonly Operation[]) {
  return { compare: [], success: operations, failure: [] };
}
