/**
 * One randomised life of a group of stores: clients read and write, members crash with their unsynced
 * writes lost, links break, members come and go; at the end everything heals, the members must agree,
 * and all that clients were told must hold. Everything follows from the seed.
 *
 *   node test/sim/run.ts SEED            one run, prints `hash: HEX`
 *   node test/sim/run.ts COUNT FIRST     many seeds
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { assert } from '#base/assert.ts';
import type { EngineSettings } from '#control/store/engine/open-engine.ts';
import { StoreError } from '#control/store/port.ts';
import type { Compare, Operation } from '#control/store/port.ts';
import { SeededRandom } from '#control/store/testing/seeded-random.ts';
import { Group } from './group.ts';
import type { SimClient } from './group.ts';
import { PowerFailure } from './member.ts';
import type { SimMember } from './member.ts';
import type { NetworkFaults } from './network.ts';
import type { ClientOperation } from './oracle.ts';

const { signal } = new AbortController();
const KEYS = ['a', 'b', 'b/1', 'b/2', 'c', 'd'];
const MEMBERS_EVER_MAX = 7;
const HEAL_MS_MAX = 60_000;

type Told = Pick<ClientOperation, 'revision' | 'wrote' | 'found'>;

/** Chances of each kind of event, drawn per run. */
type Weights = Record<Fault, number>;
type Fault = 'crash' | 'cutPower' | 'isolate' | 'partition' | 'noise' | 'heal' | 'change' | 'move';

export class StoreRun {
  readonly #random: SeededRandom;
  readonly #group: Group;
  readonly #durationMs: number;
  readonly #faults: NetworkFaults;
  readonly #weights: Weights;
  readonly counts = new Map<string, number>();
  #writes = 0;
  #isEnding = false;
  #isOver = false;
  /** Everything up to this revision came over the watch. */
  #watched = 1;
  #working = 0;
  #membersEver = 3;
  #isChanging = false;
  readonly #changes: Promise<void>[] = [];

  constructor(seed: number, durationMs: number) {
    const random = new SeededRandom(seed);
    this.#random = random;
    this.#durationMs = durationMs;
    const settings: EngineSettings = {
      checkpointLogBytes: random.pick([3000, 10_000, 100_000]),
      segmentBytes: random.pick([4000, 20_000]),
      preallocateBytes: random.pick([2048, 8192]),
      ballastPieceBytes: 512,
      logTailEntries: random.pick([5, 20, 200]),
    };
    this.#faults = {
      loss: random.pick([0, 0.02, 0.1, 0.3]),
      double: random.pick([0, 0.05, 0.2]),
      delayMsMax: random.pick([2, 10, 60]),
      late: random.pick([0, 0.02, 0.1]),
    };
    const weight = () => random.pick([0, 1, 1, 3]);
    this.#weights = {
      crash: weight(),
      cutPower: weight(),
      isolate: weight(),
      partition: weight(),
      noise: weight(),
      heal: 2,
      change: weight(),
      move: random.pick([0, 0, 1]),
    };
    this.#group = new Group(random, settings);
  }

  /** What the members agreed on at the end. */
  get digest(): string {
    return this.#group.oracle.digest;
  }

  get seconds(): number {
    return this.#group.time.nowMs / 1000;
  }

  describe(): string {
    const lines = this.#group.members.map(({ id, engine, logged }) => {
      const { members } = engine?.state ?? {};
      const status = { ...engine?.status(), isLeader: engine?.isLeader, members };
      return `${id}: ${JSON.stringify(status)}\n  ${logged.slice(-5).join('\n  ')}`;
    });
    return [`at ${this.#group.time.nowMs} ms, ${this.#working} clients work`, ...lines].join('\n');
  }

  async run(): Promise<void> {
    const group = this.#group;
    try {
      await group.grow(3);
      const workers = [0, 1, 2].map((number) =>
        this.#client(number, group.connect(this.#random.pick(group.members))),
      );
      const watcher = this.#watch(group.connect(this.#random.pick(group.members)));
      this.#scheduleFault();
      await group.run(this.#durationMs);
      await this.#heal(workers);
      const last = () => this.#watched >= group.oracle.revision;
      await group.runUntil(last, HEAL_MS_MAX);
      this.#isOver = true;
      group.oracle.checkClients();
      group.close();
      await watcher;
      this.#count('leaders', group.oracle.leaderChanges);
      this.#count('snapshots installed', group.oracle.installed);
      this.#count('virtual seconds', Math.round(this.seconds));
    } finally {
      group.close();
    }
  }

  /** One client: an operation after the other, with pauses. */
  async #client(number: number, client: SimClient): Promise<void> {
    const { time, oracle } = this.#group;
    this.#working++;
    while (!this.#isEnding) {
      await this.#group.pause(this.#random.next() * 40);
      const calledAt = time.nowMs;
      const value = `value ${++this.#writes} of ${number}`;
      try {
        const told = await this.#operate(client, value);
        oracle.operations.push({ ...told, client: number, calledAt, answeredAt: time.nowMs });
        this.#count(told.wrote === undefined ? 'reads' : 'writes acknowledged');
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        this.#count(`refused: ${error.code}`);
        if (error.code === 'UNAVAILABLE') client.leave();
      }
    }
    this.#working--;
  }

  /** Watches everything, on whatever member it is linked to: each revision, once, in order, whole. */
  async #watch({ store }: SimClient): Promise<void> {
    while (!this.#isOver) {
      try {
        using watch = store.watch({ key: '\0', rangeEnd: '\0', startRevision: this.#watched + 1 });
        watch.requestProgress();
        for await (const batch of watch) {
          const from = this.#watched;
          this.#watched = batch.revision;
          if (batch.kind === 'progress') this.#group.oracle.checkQuiet(from + 1, batch.revision);
          else {
            this.#group.oracle.checkQuiet(from + 1, batch.revision - 1);
            this.#group.oracle.checkEvents(batch.revision, batch.events);
            this.#count('events');
          }
        }
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        this.#count(`watch ended: ${error.code}`);
        // What was compacted is not there to be watched.
        if (error.code === 'COMPACTED') this.#watched = (error.compactRevision ?? 1) - 1;
        if (!this.#isOver) await this.#group.pause(100);
      }
    }
  }

  async #operate(client: SimClient, value: string): Promise<Told> {
    const { store } = client;
    const key = this.#random.pick(KEYS);
    const kind = this.#random.below(10);
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
    if (this.#random.chance(0.1) && read.revision > 100) {
      await store.compact(read.revision - this.#random.between(20, 90), signal);
      this.#count('compactions');
    }
    const mod = read.kvs[0]?.modRevision ?? 0;
    const compare: Compare[] = [{ key, target: 'mod', result: '=', value: mod }];
    const answer = await store.txn({ compare, success: [put], failure: [] }, signal);
    if (!answer.succeeded) return { revision: answer.revision };
    return { revision: answer.revision, wrote: new Map([[key, value]]) };
  }

  #scheduleFault(): void {
    this.#group.time.after(50 + this.#random.next() * 1500, () => {
      if (this.#isEnding) return;
      this.#fault();
      this.#scheduleFault();
    });
  }

  #fault(): void {
    const { members, network, leader } = this.#group;
    const up = members.filter(({ isUp }) => isUp);
    const some = this.#random.chance(0.5) && leader !== undefined ? leader : this.#random.pick(up);
    const fault = this.#drawFault();
    if (some === undefined) return;
    this.#count(some === leader ? `${fault} leader` : fault);
    if (fault === 'crash') this.#crash(some);
    else if (fault === 'cutPower') this.#cutPower(some);
    else if (fault === 'heal') network.heal();
    else if (fault === 'noise') network.faults = this.#faults;
    else if (fault === 'isolate') this.#isolate(some);
    else if (fault === 'partition') this.#partition();
    else if (fault === 'move') this.#move();
    else this.#changes.push(this.#change());
  }

  #drawFault(): Fault {
    const entries = Object.entries(this.#weights) as [Fault, number][]; // Keys of Weights.
    let draw = this.#random.next() * entries.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [fault, weight] of entries) {
      draw -= weight;
      if (draw < 0) return fault;
    }
    return 'heal';
  }

  /** The process dies; the page cache survives it, or not. */
  #crash(member: SimMember): void {
    member.kill();
    this.#restartLater(member, this.#random.chance(0.5));
  }

  /** The power fails within the next changes of the disk: in the middle of a write. */
  #cutPower(member: SimMember): void {
    let left = this.#random.below(12);
    const { life } = member;
    member.disk.faults.beforeChange = () => {
      if (left-- <= 0) throw new PowerFailure('power failed');
    };
    this.#group.time.after(500, () => {
      if (member.life === life) member.kill();
      this.#restartLater(member, true);
    });
  }

  #restartLater(member: SimMember, isPowerCut: boolean): void {
    const { life } = member;
    const afterMs = this.#random.next() * this.#random.pick([200, 2000, 8000]);
    this.#group.time.after(afterMs, () => this.#restart(member, life, isPowerCut));
  }

  #restart(member: SimMember, life: number, isPowerCut: boolean): void {
    if (member.life !== life || member.isUp || !this.#group.members.includes(member)) return;
    member.disk.faults.beforeChange = () => {};
    const share = this.#random.pick([0, 0.5, 1]);
    if (isPowerCut) member.disk.crash({ keep: () => this.#random.chance(share) });
    member.start();
  }

  #isolate(member: SimMember): void {
    const isOneWay = this.#random.chance(0.3);
    const isOut = this.#random.chance(0.5);
    for (const { id } of this.#group.members) {
      if (id === member.id) continue;
      const [from, to] = isOut ? [member.id, id] : [id, member.id];
      this.#group.network.cut(from, to, isOneWay);
    }
  }

  #partition(): void {
    const { members, network } = this.#group;
    const left = members.filter(() => this.#random.chance(0.5));
    for (const a of left) {
      for (const b of members) if (!left.includes(b)) network.cut(a.id, b.id, false);
    }
  }

  #move(): void {
    const { leader, members, clients } = this.#group;
    const to = this.#random.pick(members);
    if (leader === undefined || leader === to) return;
    clients[1]?.store.moveLeader(to.id, signal).catch(ignoreRefusal);
  }

  /** Adds a member, or removes one: the leader, too. */
  async #change(): Promise<void> {
    if (this.#isChanging) return;
    this.#isChanging = true;
    const { members, clients, leader } = this.#group;
    const store = this.#random.pick(clients.slice(1)).store;
    try {
      const isGrowing = members.length < 3 || (members.length < 5 && this.#random.chance(0.5));
      if (isGrowing && this.#membersEver < MEMBERS_EVER_MAX) {
        this.#membersEver++;
        await this.#group.add(store);
        this.#count('member added');
      } else if (members.length > 3) {
        const gone = this.#random.chance(0.4) ? leader : this.#random.pick(members);
        if (gone === undefined) return;
        await store.removeMember(gone.id, signal);
        this.#count(gone === leader ? 'leader removed' : 'member removed');
        await this.#group.pause(3000);
        this.#group.remove(gone);
      }
    } catch (error) {
      ignoreRefusal(error);
    } finally {
      this.#isChanging = false;
    }
  }

  async #heal(workers: readonly Promise<void>[]): Promise<void> {
    const group = this.#group;
    group.network.heal();
    this.#isEnding = true;
    for (const member of group.members) {
      member.disk.faults.beforeChange = () => {};
      this.#restart(member, member.life, true);
    }
    await group.runUntil(() => this.#working === 0 && !this.#isChanging, HEAL_MS_MAX);
    await Promise.all([...workers, ...this.#changes]);
    await group.runUntil(() => this.#hasConverged(), HEAL_MS_MAX);
  }

  /** Who is a member holds all that the leader holds, and nobody is left a learner. */
  #hasConverged(): boolean {
    const { leader, members } = this.#group;
    if (leader?.engine === undefined) return false;
    const { state } = leader.engine;
    const { voters, learners, votersOutgoing } = state.members;
    if (learners.length > 0 || votersOutgoing.length > 0) return false;
    return voters.every((id) => {
      const member = members.find((other) => other.id === id);
      assert(member !== undefined, `voter ${id} is a member of the group`);
      return member.engine?.state.appliedIndex === state.appliedIndex;
    });
  }

  #count(what: string, by = 1): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + by);
  }
}

function only(operation: Operation) {
  return { compare: [], success: [operation], failure: [] };
}

function wrote(
  answer: {
    revision: number;
    results: readonly { kind: string; deleted?: number }[];
  },
  changes: [string, string | undefined][],
) {
  const isNothing = answer.results.some(({ deleted }) => deleted === 0);
  const { revision } = answer;
  return isNothing ? { revision } : { revision, wrote: new Map(changes) };
}

function ignoreRefusal(error: unknown): void {
  if (!(error instanceof StoreError)) throw error;
}

/** The memory of slabs does not weigh on V8, which would let thousands of stores pile up. */
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void; // Exposed by the flag.

/** Runs seeds one after the other; throws with the seed of the first that fails. */
export async function runSeeds(
  first: number,
  count: number,
  durationMs = 20_000,
): Promise<{ counts: Map<string, number>; digests: string[] }> {
  const counts = new Map<string, number>();
  const digests: string[] = [];
  for (let seed = first; seed < first + count; seed++) {
    collect();
    const run = new StoreRun(seed, durationMs);
    try {
      await run.run();
    } catch (error) {
      const text = `seed ${seed} failed, replay: node test/sim/run.ts ${seed}`;
      throw new Error(`${text}\n${run.describe()}`, { cause: error });
    }
    digests.push(run.digest);
    for (const [what, number] of run.counts) counts.set(what, (counts.get(what) ?? 0) + number);
  }
  return { counts, digests };
}

if (import.meta.main) {
  const [one = '1', first] = process.argv.slice(2);
  const [count, from] = first === undefined ? [1, Number(one)] : [Number(one), Number(first)];
  const { counts, digests } = await runSeeds(from, count);
  for (const [what, number] of [...counts].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    console.log(`${String(number).padStart(8)} ${what}`);
  }
  if (count === 1) console.log(`hash: ${digests[0]}`);
}
