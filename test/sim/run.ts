/**
 * One randomised life of a group of stores: clients read and write (load.ts), members crash with their
 * unsynced writes lost, links break, disks rot, members come and go (faults.ts); at the end everything
 * heals, the members must agree, and all that clients were told must hold. Everything follows from the
 * seed. A run goes on until it counts: enough writes, changes of leader, and watches taken up again.
 *
 *   node test/sim/run.ts SEED            one run, prints `hash: HEX`
 *   node test/sim/run.ts COUNT FIRST     many seeds; with `beside` behind it, members write their logs
 *                                        beside their turns, as with a thread for it
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { assert } from '#base/assert.ts';
import { SeededRandom } from '#control/store/testing/seeded-random.ts';
import { FAULTS, Faults } from './faults.ts';
import { Group } from './group.ts';
import type { GroupSettings } from './group.ts';
import { Load } from './load.ts';
import { addTable, formatTable } from './member-states.ts';
import type { FaultTable } from './member-states.ts';
import { VERSION_RANGES } from './upgrades.ts';

/** Of virtual time: until a healed group must have settled. */
const HEAL_MS_MAX = 120_000;
/** Of virtual time: how long a run lasts at least, and until it must count. */
const RUN_MS = 20_000;
const RUN_MS_MAX = 600_000;
const STEP_MS = 2000;
/** From here on what a run lacks is brought about. */
const RUN_MS_PATIENT = 60_000;

/** What makes a run count; fewer writes are for tests that want to be short. */
export interface Enough {
  readonly writes: number;
  readonly leaderChanges: number;
  readonly watchesResumed: number;
}

export const ENOUGH: Enough = { writes: 1000, leaderChanges: 2, watchesResumed: 1 };

export interface RunResult {
  readonly counts: Readonly<Record<string, number>>;
  readonly table: FaultTable;
  readonly virtualMs: number;
  /** Of the whole trace. */
  readonly hash: string;
}

export class StoreRun {
  readonly #group: Group;
  readonly #enough: Enough;
  readonly #counts = new Map<string, number>();

  constructor(seed: number, enough = ENOUGH, wal: 'inline' | 'beside' = 'inline') {
    const random = new SeededRandom(seed);
    this.#enough = enough;
    const { first, last } = random.pick(VERSION_RANGES);
    const settings: GroupSettings = {
      transition: random.pick(['auto', 'joint']),
      checkpointLogBytes: random.pick([3000, 10_000, 100_000]),
      segmentBytes: random.pick([4000, 20_000]),
      preallocateBytes: random.pick([2048, 8192]),
      ballastPieceBytes: random.pick([2048, 8192]),
      logTailEntries: random.pick([5, 20, 200]),
      // With the shortest election that is allowed, two candidates often stand in one term.
      ...random.pick([
        {},
        { heartbeatMs: 100, electionMs: 1000 },
        { heartbeatMs: 50, electionMs: 250 },
      ]),
      runsAsVersion: first,
      lastVersion: last,
      areAsking: true,
    };
    this.#group = new Group(random, settings, wal);
  }

  describe(): string {
    const lines = this.#group.members.map(({ id, engine, logged }) => {
      const { members } = engine?.state ?? {};
      const status = { ...engine?.status(), isLeader: engine?.isLeader, members };
      return `${id}: ${JSON.stringify(status)}\n  ${logged.slice(-5).join('\n  ')}`;
    });
    const { oracle, time } = this.#group;
    const suspects = [...oracle.suspects].map(({ id }) => id).join();
    return [`at ${time.nowMs} ms, suspects: ${suspects}`, ...lines].join('\n');
  }

  async run(): Promise<RunResult> {
    const group = this.#group;
    const count = (what: string, by = 1) => this.#count(what, by);
    try {
      await group.grow(3);
      const { leaderCount } = group.oracle.log;
      const load = new Load(group, count);
      const faults = new Faults(group, count);
      await group.run(RUN_MS);
      for (;;) {
        const leaderChanges = group.oracle.log.leaderCount - leaderCount;
        const lack = this.#lack(leaderChanges);
        if (lack === undefined) break;
        assert(group.time.nowMs < RUN_MS_MAX, `a run has ${lack} at last`);
        if (group.time.nowMs > RUN_MS_PATIENT) {
          if (lack === 'writes') faults.rest(STEP_MS / 2);
          else if (lack === 'leader changes') faults.crashLeader();
          else if (lack === 'watches resumed') load.breakWatch();
        }
        await group.run(STEP_MS);
      }
      load.end();
      faults.heal();
      await group.runUntil(() => load.isIdle && faults.isSettled, HEAL_MS_MAX);
      await faults.settle();
      faults.heal(); // Who came back since, maybe with software of before.
      await group.runUntil(() => group.oracle.areLeasesOver, HEAL_MS_MAX);
      await group.runUntil(() => this.#hasConverged() && load.hasWatchedAll, HEAL_MS_MAX);
      for (const member of this.#voters()) group.oracle.checkFinal(member);
      group.close();
      await load.settle();
      group.oracle.clients.check();
      count('leader changes', group.oracle.log.leaderCount - leaderCount);
      count('snapshots installed', group.oracle.installed);
      count('leases', group.oracle.leases.size);
      const counts = Object.fromEntries(this.#counts);
      const { hash } = group.trace;
      return { counts, table: faults.table, virtualMs: group.time.nowMs, hash };
    } finally {
      group.close();
    }
  }

  #count(what: string, by = 1): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + by);
  }

  #lack(leaderChanges: number): string | undefined {
    const { writes, watchesResumed } = this.#enough;
    if ((this.#counts.get('writes acknowledged') ?? 0) < writes) return 'writes';
    if (leaderChanges < this.#enough.leaderChanges) return 'leader changes';
    if ((this.#counts.get('watches resumed') ?? 0) < watchesResumed) return 'watches resumed';
    return undefined;
  }

  #voters() {
    const { leader, members } = this.#group;
    return (leader?.engine?.state.members.voters ?? []).map((id) => {
      const member = members.find((other) => other.id === id);
      assert(member !== undefined, `voter ${id} is a member of the group`);
      return member;
    });
  }

  /** Who is a member holds all that the leader holds, and nobody is left a learner. */
  #hasConverged(): boolean {
    const { engine } = this.#group.leader ?? {};
    if (engine === undefined) return false;
    const { appliedIndex, members, version } = engine.state;
    if (version < this.#group.versions.last) return false;
    if (members.learners.length > 0 || members.votersOutgoing.length > 0) return false;
    return this.#voters().every((member) => member.engine?.state.appliedIndex === appliedIndex);
  }
}

/** The memory of slabs does not weigh on V8, which would let thousands of stores pile up. */
const RSS_BYTES_MAX = 700 * 2 ** 20;
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void; // Exposed by the flag.

/** Runs a seed; throws an error that says how to replay it. */
export async function runSeed(
  seed: number,
  enough = ENOUGH,
  wal: 'inline' | 'beside' = 'inline',
): Promise<RunResult> {
  if (process.memoryUsage.rss() > RSS_BYTES_MAX) collect();
  const run = new StoreRun(seed, enough, wal);
  try {
    return await run.run();
  } catch (error) {
    const replay =
      wal === 'inline' ? `make sim SEED=${seed}` : `node test/sim/run.ts 1 ${seed} beside`;
    const text = `seed ${seed} failed, replay: ${replay}`;
    throw new Error(`${text}\n${run.describe()}`, { cause: error });
  }
}

/** What several runs came to. */
export class Tally {
  seeds = 0;
  virtualMs = 0;
  readonly counts: Record<string, number> = {};
  readonly table: FaultTable = {};

  add(result: Pick<RunResult, 'counts' | 'table' | 'virtualMs'>, seeds = 1): void {
    this.seeds += seeds;
    this.virtualMs += result.virtualMs;
    for (const [what, number] of Object.entries(result.counts)) {
      this.counts[what] = (this.counts[what] ?? 0) + number;
    }
    addTable(this.table, result.table);
  }

  format(): string {
    const counts = Object.entries(this.counts)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([what, number]) => `${String(number).padStart(10)} ${what}`);
    const hours = (this.virtualMs / 3_600_000).toFixed(2);
    const sum = `${this.seeds} seeds, ${hours} simulated hours`;
    return [...counts, formatTable(this.table, FAULTS), sum].join('\n');
  }
}

if (import.meta.main) {
  const [one = '1', first, mode] = process.argv.slice(2);
  const wal = mode === 'beside' ? mode : 'inline';
  const [count, from] = first === undefined ? [1, Number(one)] : [Number(one), Number(first)];
  const tally = new Tally();
  let hash = '';
  for (let seed = from; seed < from + count; seed++) {
    const result = await runSeed(seed, ENOUGH, wal);
    ({ hash } = result);
    tally.add(result);
  }
  console.log(tally.format());
  if (count === 1) console.log(`hash: ${hash}`);
}
