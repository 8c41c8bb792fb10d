/**
 * What the clients of a simulated group do, and what they check themselves: reads and writes that the
 * oracle compares later, a watch of everything, and leases that must not run out early.
 */
import { assert } from '#base/assert.ts';
import { StoreError } from '#control/store/port.ts';
import type { Compare, Operation } from '#control/store/port.ts';
import type { Group, SimClient } from './group.ts';
import type { ClientOperation } from './oracle.ts';

const { signal } = new AbortController();
const KEYS = ['a', 'b', 'b/1', 'b/2', 'c', 'd'];
const LEASE_SECONDS = 3;
/** Clocks of members run up to a tenth too fast. */
const CLOCK_SHARE = 0.9;

type Told = Pick<ClientOperation, 'revision' | 'wrote' | 'found'>;
type Count = (what: string, by?: number) => void;

export class Load {
  readonly #group: Group;
  readonly #count: Count;
  readonly #tasks: Promise<void>[] = [];
  readonly #watcher: Promise<void>;
  #running = 0;
  #writes = 0;
  #isEnding = false;
  #isOver = false;
  /** Everything up to this revision came over the watch. */
  #watched = 1;

  constructor(group: Group, count: Count) {
    this.#group = group;
    this.#count = count;
    const client = () => group.connect(group.random.pick(group.members));
    for (const number of [0, 1, 2]) this.#start(this.#work(number, client()));
    this.#start(this.#holdLeases(client()));
    this.#watcher = this.#watch(client());
  }

  /** Clients end with what they are at. */
  end(): void {
    this.#isEnding = true;
  }

  get isIdle(): boolean {
    return this.#running === 0;
  }

  get hasWatchedAll(): boolean {
    return this.#watched >= this.#group.oracle.revision;
  }

  /** After the group closed: throws what a client met. */
  async settle(): Promise<void> {
    this.#isOver = true;
    await Promise.all([...this.#tasks, this.#watcher]);
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
    while (!this.#isEnding) {
      await this.#group.pause(random.next() * 40);
      const calledAt = time.nowMs;
      const value = `value ${++this.#writes} of ${number}`;
      try {
        const told = await this.#operate(client, value);
        oracle.operations.push({ ...told, client: number, calledAt, answeredAt: time.nowMs });
        this.#count(told.wrote === undefined ? 'reads' : 'writes acknowledged');
      } catch (error) {
        this.#refused(client, error);
      }
    }
  }

  #refused(client: SimClient, error: unknown): void {
    if (!(error instanceof StoreError)) throw error;
    this.#count(`refused: ${error.code}`);
    if (error.code === 'UNAVAILABLE' || error.code === 'OUTCOME_UNKNOWN') client.leave();
  }

  async #operate({ store }: SimClient, value: string): Promise<Told> {
    const { random } = this.#group;
    const key = random.pick(KEYS);
    const kind = random.below(10);
    if (kind < 3) {
      const range = kind === 0 ? { key: '\0', rangeEnd: '\0' } : { key };
      const { kvs, revision } = await store.range(range, signal);
      return { revision, found: { kvs, key: kind === 0 ? undefined : key } };
    }
    const put: Operation = { kind: 'put', request: { key, value: Buffer.from(value) } };
    if (kind < 8) return wrote(await store.txn(only(put), signal), [[key, value]]);
    if (kind === 8) {
      const remove: Operation = { kind: 'deleteRange', request: { key } };
      return wrote(await store.txn(only(remove), signal), [[key, undefined]]);
    }
    const read = await store.range({ key }, signal);
    if (random.chance(0.1) && read.revision > 100) {
      await store.compact(read.revision - random.between(20, 90), signal);
      this.#count('compactions');
    }
    const mod = read.kvs[0]?.modRevision ?? 0;
    const compare: Compare[] = [{ key, target: 'mod', result: '=', value: mod }];
    const answer = await store.txn({ compare, success: [put], failure: [] }, signal);
    if (!answer.succeeded) return { revision: answer.revision };
    return { revision: answer.revision, wrote: new Map([[key, value]]) };
  }

  /** Watches everything, on whatever member it is linked to: each revision, once, in order, whole. */
  async #watch(client: SimClient): Promise<void> {
    const { store } = client;
    const { oracle } = this.#group;
    while (!this.#isOver) {
      try {
        const startRevision = this.#watched + 1;
        using watch = store.watch({ key: '\0', rangeEnd: '\0', startRevision });
        watch.requestProgress();
        for await (const batch of watch) {
          const from = this.#watched;
          this.#watched = batch.revision;
          if (batch.kind === 'progress') oracle.checkQuiet(from + 1, batch.revision);
          else {
            oracle.checkQuiet(from + 1, batch.revision - 1);
            oracle.checkEvents(batch.revision, batch.events);
            this.#count('revisions watched');
          }
        }
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        this.#count(`watch ended: ${error.code}`);
        // What was compacted is not there to be watched.
        if (error.code === 'COMPACTED') this.#watched = (error.compactRevision ?? 1) - 1;
        if (error.code === 'UNAVAILABLE') client.leave(); // A member that was removed has no news.
        if (!this.#isOver) await this.#group.pause(100);
      }
    }
  }

  /** Keeps a lease alive for a while, then lets it run out; then the next. */
  async #holdLeases(client: SimClient): Promise<void> {
    const { oracle, random, time } = this.#group;
    for (let number = 0; !this.#isEnding; number++) {
      const key = `lease ${number}`;
      const aliveSince = (ms: number) =>
        oracle.leases.set(key, ms + LEASE_SECONDS * 1000 * CLOCK_SHARE);
      try {
        aliveSince(time.nowMs);
        const { leaseId } = await client.store.leaseGrant(LEASE_SECONDS, signal);
        const request = { key, value: Buffer.from(key), leaseId };
        await client.store.txn(only({ kind: 'put', request }), signal);
        for (let times = random.below(4); times > 0 && !this.#isEnding; times--) {
          await this.#group.pause(random.next() * LEASE_SECONDS * 600);
          const askedAt = time.nowMs;
          const ttlSeconds = await client.store.leaseKeepAlive(leaseId, signal);
          assert(ttlSeconds === LEASE_SECONDS, 'a lease is kept alive for its whole time');
          aliveSince(askedAt);
          this.#count('leases kept alive');
        }
      } catch (error) {
        this.#refused(client, error);
      }
      await this.#group.pause(random.next() * 500);
    }
  }
}

function only(operation: Operation) {
  return { compare: [], success: [operation], failure: [] };
}

function wrote(
  answer: {
    readonly revision: number;
    readonly results: readonly { readonly kind: string; readonly deleted?: number }[];
  },
  changes: readonly (readonly [string, string | undefined])[],
): Told {
  const isNothing = answer.results.some(({ deleted }) => deleted === 0);
  const { revision } = answer;
  return isNothing ? { revision } : { revision, wrote: new Map(changes) };
}
