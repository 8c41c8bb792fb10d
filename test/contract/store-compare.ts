/**
 * Runs the same random steps on stores and on the twin, and compares complete answers and watch
 * streams. Stores may begin at any revision and give leases any id: answers are compared after both
 * are mapped to the twin's.
 *
 * Watches run beside the steps. They are read to the present before a compaction or restart, since
 * what a lagging watch still gets then is a matter of time; reading them asks for progress, which
 * must name exactly the present revision behind exactly the kept events.
 */
import { inspect, isDeepStrictEqual } from 'node:util';
import { NO_LEASE, StoreError } from '#control/store/store.ts';
import type { KeyRange, LeaseId, Store, Watch, WatchBatch } from '#control/store/store.ts';
import { buildRange, buildTxn } from './store-steps.ts';
import type { Resolver, Slot, Step } from './store-steps.ts';
import { StoreTwin } from './store-twin.ts';

const { signal } = new AbortController();

/** Long, so that no lease runs out during a run. */
const TTL_SECONDS = 5000;

/** For a watch to come to the present. */
const WATCH_MS_MAX = 10_000;

/** An id that no store grants: ours are small numbers, etcd's are random ones of 63 bits. */
const NEVER_GRANTED: LeaseId = '9007199254740995';

export interface Target {
  readonly name: string;
  /** Nobody else writes to it, and it holds no key. */
  readonly store: Store;
  /** Closes or kills the store and opens it again on the same data. */
  readonly restart?: () => Promise<Store>;
}

/** Throws an Error with both answers at the first difference. */
export async function compareSteps(
  targets: readonly Target[],
  steps: readonly Step[],
): Promise<void> {
  const comparison = new Comparison(await Promise.all(targets.map((target) => Member.of(target))));
  for (const step of steps) await comparison.step(step);
  await comparison.finish();
}

/** How a store, or the twin, names what steps leave open. */
interface Names {
  readonly revision: (twinRevision: number) => number;
  readonly leaseId: (slot: Slot) => LeaseId;
}

interface OpenWatch {
  readonly range: KeyRange;
  readonly startRevision: number;
  readonly prevKv: boolean;
  readonly watches: readonly Watch[];
}

class Member implements Names {
  readonly name: string;
  store: Store;
  readonly restart: Target['restart'];
  readonly leases = new Map<Slot, LeaseId>();
  /** Every lease ever granted here, with the twin's name for it. */
  readonly leaseNames = new Map<LeaseId, LeaseId>();
  readonly #offset: number;

  private constructor(target: Target, revision: number) {
    this.name = target.name;
    this.store = target.store;
    this.restart = target.restart;
    this.#offset = revision - 1;
  }

  static async of(target: Target): Promise<Member> {
    return new Member(target, (await target.store.range({ key: 'a' }, signal)).revision);
  }

  revision(twinRevision: number): number {
    return twinRevision <= 0 ? 0 : twinRevision + this.#offset;
  }

  leaseId(slot: Slot): LeaseId {
    return slot === 0 ? NO_LEASE : (this.leases.get(slot) ?? NEVER_GRANTED);
  }

  /** An answer of the store as the twin would put it. */
  normalise(value: unknown): unknown {
    if (value instanceof Uint8Array) return [...value];
    if (Array.isArray(value)) return value.map((item) => this.normalise(item));
    if (typeof value !== 'object' || value === null) return value;
    const entries = Object.entries(value).map(([key, field]): [string, unknown] => {
      if (/[rR]evision$/.test(key) && typeof field === 'number' && field > 0) {
        return [key, field - this.#offset];
      }
      if (key === 'leaseId') return [key, this.leaseNames.get(field as LeaseId) ?? field]; // An id.
      return [key, this.normalise(field)];
    });
    return Object.fromEntries(entries);
  }
}

class Comparison {
  readonly #members: readonly Member[];
  readonly #twin = new StoreTwin();
  readonly #leases = new Map<Slot, LeaseId>();
  readonly #twinNames: Names = {
    revision: (revision) => Math.max(0, revision),
    leaseId: (slot) => (slot === 0 ? NO_LEASE : (this.#leases.get(slot) ?? NEVER_GRANTED)),
  };
  #watches: OpenWatch[] = [];
  #grantCount = 0;

  constructor(members: readonly Member[]) {
    this.#members = members;
  }

  async step(step: Step): Promise<void> {
    switch (step.kind) {
      case 'txn': {
        const build = (names: Names) => buildTxn(step, this.#resolver(names));
        const twin = build(this.#twinNames);
        return this.#same(
          step,
          () => this.#twin.txn(twin),
          (member) => member.store.txn(build(member), signal),
        );
      }
      case 'range': {
        const build = (names: Names) => buildRange(step.request, this.#resolver(names));
        const twin = build(this.#twinNames);
        return this.#same(
          step,
          () => this.#twin.range(twin),
          (member) => member.store.range(build(member), signal),
        );
      }
      case 'compact':
        return this.#compact(step);
      case 'watch':
        return this.#watch(step);
      case 'grant':
        return this.#grant(step.slot);
      case 'revoke': {
        const twin = this.#twinNames.leaseId(step.slot);
        return this.#same(
          step,
          () => this.#twin.leaseRevoke(twin),
          (member) => member.store.leaseRevoke(member.leaseId(step.slot), signal),
        );
      }
      case 'keepAlive': {
        const twin = this.#twinNames.leaseId(step.slot);
        return this.#same(
          step,
          () => this.#twin.leaseKeepAlive(twin),
          (member) => member.store.leaseKeepAlive(member.leaseId(step.slot), signal),
        );
      }
      case 'restart':
        return this.#restart();
    }
  }

  async finish(): Promise<void> {
    await this.#drain();
    await this.#endFutureWatches();
  }

  /** Turns what steps name relative to the present into numbers of a store. */
  #resolver(names: Names): Resolver {
    const present = this.#twin.revision;
    return {
      revision: (at) => names.revision(at === undefined ? 0 : present - at.back),
      leaseId: (slot) => names.leaseId(slot),
    };
  }

  /** Runs a step on the twin and on every store; the answers, or the codes of errors, are equal. */
  async #same(
    step: Step,
    onTwin: () => unknown,
    onMember: (member: Member) => Promise<unknown>,
  ): Promise<void> {
    const answers = await Promise.all(
      this.#members.map((member) => outcome(() => onMember(member))),
    );
    const expected = plain(await outcome(onTwin));
    for (const [index, member] of this.#members.entries()) {
      compare({ member, step, expected, found: member.normalise(answers[index]) });
    }
  }

  async #compact(step: Step & { kind: 'compact' }): Promise<void> {
    const revision = Math.max(0, this.#twin.revision - step.at.back);
    if (this.#twin.canCompact(revision)) await this.#drain();
    await this.#same(
      step,
      () => this.#twin.compact(revision),
      (member) => member.store.compact(member.revision(revision), signal),
    );
  }

  async #grant(slot: Slot): Promise<void> {
    const name = `lease ${++this.#grantCount}`;
    this.#leases.set(slot, name);
    this.#twin.leaseGrant(name, TTL_SECONDS);
    for (const member of this.#members) {
      const { leaseId, ttlSeconds } = await member.store.leaseGrant(TTL_SECONDS, signal);
      if (ttlSeconds !== TTL_SECONDS) throw new Error(`${member.name} granted ${ttlSeconds} s`);
      if (member.leaseNames.has(leaseId))
        throw new Error(`${member.name} granted ${leaseId} twice`);
      member.leases.set(slot, leaseId);
      member.leaseNames.set(leaseId, name);
    }
  }

  #watch(step: Step & { kind: 'watch' }): void {
    const { range, prevKv, at } = step;
    if (isEmpty(range)) {
      for (const { store } of this.#members) refuseWatch(store, range);
      return;
    }
    const startRevision = Math.max(1, this.#twin.revision - at.back);
    const isFromNow = at.back === -1;
    const watches = this.#members.map((member) => {
      const start = isFromNow ? 0 : member.revision(startRevision);
      return member.store.watch({ ...range, startRevision: start, prevKv });
    });
    this.#watches.push({ range, startRevision, prevKv, watches });
  }

  /** Reads every watch that has begun to the present, compares what it gave, and ends it. */
  async #drain(): Promise<void> {
    const hasBegun = (watch: OpenWatch) => watch.startRevision <= this.#twin.revision + 1;
    const due = this.#watches.filter(hasBegun);
    this.#watches = this.#watches.filter((watch) => !hasBegun(watch));
    await Promise.all(due.map((open) => this.#readToPresent(open)));
  }

  async #readToPresent(open: OpenWatch): Promise<void> {
    const { range, startRevision, prevKv, watches } = open;
    const { revision, compactRevision } = this.#twin;
    const expected =
      startRevision < compactRevision
        ? { batches: [], end: { error: 'COMPACTED', compactRevision } }
        : {
            batches: this.#twin.batches(range, startRevision, prevKv),
            end: { kind: 'progress', revision },
          };
    const step = { watch: { range, startRevision, prevKv } };
    await Promise.all(
      this.#members.map(async (member, index) => {
        const found = await readUntilProgress(watches[index] as Watch, member.revision(revision)); // One each.
        compare({ member, step, expected: plain(expected), found: member.normalise(found) });
      }),
    );
  }

  /** A watch whose start was not reached gave nothing, not even progress. */
  async #endFutureWatches(): Promise<void> {
    for (const { watches, startRevision } of this.#watches) {
      for (const watch of watches) {
        const first = watch[Symbol.asyncIterator]().next();
        await new Promise((resolve) => setImmediate(resolve));
        watch[Symbol.dispose]();
        const { value, done } = await first;
        if (done !== true) throw new Error(`watch from ${startRevision} gave ${inspect(value)}`);
      }
    }
    this.#watches = [];
  }

  async #restart(): Promise<void> {
    await this.#drain();
    await this.#endFutureWatches();
    for (const member of this.#members) {
      if (member.restart !== undefined) member.store = await member.restart();
    }
  }
}

function isEmpty({ key, rangeEnd = '' }: KeyRange): boolean {
  return rangeEnd !== '' && rangeEnd !== '\0' && rangeEnd <= key;
}

function refuseWatch(store: Store, range: KeyRange): void {
  let watch: Watch;
  try {
    watch = store.watch(range);
  } catch (error) {
    if (error instanceof StoreError && error.code === 'INVALID_REQUEST') return;
    throw error;
  }
  watch[Symbol.dispose]();
  throw new Error(`watch of the empty range ${inspect(range)} was not refused`);
}

async function readUntilProgress(
  watch: Watch,
  revision: number,
): Promise<{ batches: WatchBatch[]; end: unknown }> {
  const batches: WatchBatch[] = [];
  const deadline = setTimeout(() => watch[Symbol.dispose](), WATCH_MS_MAX);
  watch.requestProgress();
  try {
    for await (const batch of watch) {
      if (batch.kind === 'events') batches.push(batch);
      else if (batch.revision >= revision) return { batches, end: batch };
      else watch.requestProgress(); // It was on its way before the last write.
    }
    return { batches, end: `no progress to ${revision} in ${WATCH_MS_MAX} ms` };
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return { batches, end: { error: error.code, compactRevision: error.compactRevision } };
  } finally {
    clearTimeout(deadline);
  }
}

async function outcome(run: () => unknown): Promise<unknown> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof StoreError) return { error: error.code };
    throw error;
  }
}

function compare(parts: {
  readonly member: Member;
  readonly step: unknown;
  readonly expected: unknown;
  readonly found: unknown;
}): void {
  if (isDeepStrictEqual(parts.found, parts.expected)) return;
  const show = (value: unknown) => inspect(plain(value), { depth: 12, breakLength: 100 });
  throw new Error(
    `${parts.member.name}: ${show(parts.found)}\ntwin: ${show(parts.expected)}\nat: ${show(parts.step)}`,
  );
}

/** Values on different kinds of memory are equal by content. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return [...value];
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]));
}
