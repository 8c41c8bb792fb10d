/**
 * One randomised life of a group of stores: clients read and write (load.ts), members crash with their
 * unsynced writes lost, links break, members come and go (faults.ts); at the end everything heals, the
 * members must agree, and all that clients were told must hold. Everything follows from the seed.
 *
 *   node test/sim/run.ts SEED            one run, prints `hash: HEX`
 *   node test/sim/run.ts COUNT FIRST     many seeds
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { assert } from '#base/assert.ts';
import { SeededRandom } from '#control/store/testing/seeded-random.ts';
import { VERSION } from '#control/store/versions.ts';
import { Faults } from './faults.ts';
import { Group } from './group.ts';
import { Load } from './load.ts';

/** Of virtual time: until a healed group must have settled. */
const HEAL_MS_MAX = 60_000;

export class StoreRun {
  readonly #group: Group;
  readonly #durationMs: number;
  readonly counts = new Map<string, number>();

  constructor(seed: number, durationMs: number) {
    const random = new SeededRandom(seed);
    this.#durationMs = durationMs;
    this.#group = new Group(random, {
      checkpointLogBytes: random.pick([3000, 10_000, 100_000]),
      segmentBytes: random.pick([4000, 20_000]),
      preallocateBytes: random.pick([2048, 8192]),
      ballastPieceBytes: random.pick([2048, 8192]),
      logTailEntries: random.pick([5, 20, 200]),
      ...random.pick([{}, { heartbeatMs: 100, electionMs: 1000 }]),
      runsAsVersion: random.pick([VERSION, VERSION, VERSION - 1]),
    });
  }

  /** What the members agreed on at the end. */
  get digest(): string {
    return this.#group.oracle.digest;
  }

  describe(): string {
    const lines = this.#group.members.map(({ id, engine, logged }) => {
      const { members } = engine?.state ?? {};
      const status = { ...engine?.status(), isLeader: engine?.isLeader, members };
      return `${id}: ${JSON.stringify(status)}\n  ${logged.slice(-5).join('\n  ')}`;
    });
    return [`at ${this.#group.time.nowMs} ms`, ...lines].join('\n');
  }

  async run(): Promise<void> {
    const group = this.#group;
    const count = (what: string, by = 1) =>
      void this.counts.set(what, (this.counts.get(what) ?? 0) + by);
    try {
      await group.grow(3);
      const load = new Load(group, count);
      const faults = new Faults(group, count);
      await group.run(this.#durationMs);
      load.end();
      faults.heal();
      await group.runUntil(() => load.isIdle && !faults.isChanging, HEAL_MS_MAX);
      await faults.settle();
      await group.runUntil(() => group.oracle.areLeasesOver, HEAL_MS_MAX);
      await group.runUntil(() => this.#hasConverged() && load.hasWatchedAll, HEAL_MS_MAX);
      group.close();
      await load.settle();
      group.oracle.checkClients();
      count('leaders', group.oracle.leaderChanges);
      count('snapshots installed', group.oracle.installed);
      count('leases', group.oracle.leases.size);
      count('virtual seconds', Math.round(group.time.nowMs / 1000));
    } finally {
      group.close();
    }
  }

  /** Who is a member holds all that the leader holds, and nobody is left a learner. */
  #hasConverged(): boolean {
    const { leader, members } = this.#group;
    if (leader?.engine === undefined) return false;
    const { state } = leader.engine;
    if (state.version < VERSION) return false;
    const { voters, learners, votersOutgoing } = state.members;
    if (learners.length > 0 || votersOutgoing.length > 0) return false;
    return voters.every((id) => {
      const member = members.find((other) => other.id === id);
      assert(member !== undefined, `voter ${id} is a member of the group`);
      return member.engine?.state.appliedIndex === state.appliedIndex;
    });
  }
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
