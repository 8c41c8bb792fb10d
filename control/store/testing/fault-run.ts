/**
 * One randomised life of a store of one member: operations go in, the disk fails in every way that it
 * can, the store starts again, and what it holds is compared with the model. Everything follows from
 * the seed. The rule: the store holds what some prefix of the operations leaves, at least all that
 * was acknowledged, or it says that it is corrupt; and only a disk that lied may make it say so.
 *
 * `node control/store/testing/fault-run.ts SEEDS [FIRST [beside]]` runs many; `beside`: with the log written
 * beside the engine's turns.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { StoreClient } from '../client/client.ts';
import { MemoryDisk } from '../disk/memory-disk.ts';
import type { EngineSettings } from '../engine/open-engine.ts';
import { StoreError } from '../port.ts';
import { Asked } from './asked.ts';
import type { Found } from './asked.ts';
import { damageDisk } from './damage.ts';
import type { ModelOperation } from './model.ts';
import { chooseOperation } from './operations.ts';
import { SeededRandom } from './seeded-random.ts';
import { TestMember } from './test-member.ts';

class PowerFailure extends Error {}

const { signal } = new AbortController();

export class FaultRun {
  readonly #random: SeededRandom;
  readonly #disk = new MemoryDisk();
  readonly #settings: EngineSettings;
  readonly #isBeside: boolean;
  readonly #asked = new Asked();
  readonly counts = new Map<string, number>();
  #nowMs = 0;
  #operations = 0;
  /** Of a life that ended, when its client goes on in the next. */
  #client: StoreClient | undefined;

  /** `wal`: the log is written in the engine's turns, or beside them. */
  constructor(seed: number, wal: 'inline' | 'beside') {
    const random = new SeededRandom(seed);
    this.#random = random;
    this.#isBeside = wal === 'beside';
    this.#settings = {
      checkpointLogBytes: random.pick([500, 2000, 8000]),
      segmentBytes: random.pick([1000, 4000, 20_000]),
      preallocateBytes: random.pick([512, 2048, 8192]),
      ballastPieceBytes: random.pick([512, 2048]),
    };
  }

  async run(): Promise<void> {
    const lives = 1 + this.#random.below(5);
    for (let i = 0; i < lives; i++) await this.#live();
    await this.#liveOnLyingDisk();
  }

  async #live(): Promise<void> {
    const random = this.#random;
    const ending = random.pick(['cut', 'cut', 'sync', 'kill', 'close'] as const);
    let changesLeft = ending === 'cut' ? random.below(random.pick([10, 60, 200])) : Infinity;
    this.#disk.faults.beforeChange = () => {
      if (changesLeft-- <= 0) throw new PowerFailure('power failed');
    };
    const member = this.#open();
    if (member !== undefined) {
      member.keepsClient = random.chance(0.5);
      await this.#check(member, this.#asked.acknowledged);
      await this.#work(member, 4 + random.below(30));
      const hasFailed = member.isDead && !(member.failure instanceof PowerFailure);
      if (hasFailed) throw new Error('store ended by itself', { cause: member.failure });
      if (ending === 'sync') await this.#failSync(member);
      else if (ending === 'close') await member.close();
      member.kill();
      if (member.keepsClient) this.#client = member.client;
      this.#count(member.failure instanceof PowerFailure ? 'cut at work' : ending);
    }
    this.#disk.faults.beforeChange = () => {};
    await settle();
    const after = ending === 'cut' ? 'cut' : random.pick(['cut', 'evict', 'nothing'] as const);
    if (after === 'cut') this.#cut();
    else if (after === 'evict') this.#disk.evict();
    const next = this.#reopen();
    await next.run(); // A client that lived on sends once more what was not answered.
    if (member?.keepsClient === true) this.#checkAnswered();
    await this.#check(next, this.#asked.acknowledged);
    next.kill();
    await settle();
  }

  /** A client that lived on learned of all its writes what came of them. */
  #checkAnswered(): void {
    this.#count('client lived on');
    const open = this.#asked.outcomes.filter((outcome) => outcome === 'waiting');
    if (open.length > 0) throw new Error(`${open.length} writes were not answered`);
    if (this.#asked.outcomes.includes('unknown')) throw new Error('a write is unknown for ever');
  }

  /** Undefined when the power failed meanwhile. */
  #open(): TestMember | undefined {
    try {
      return this.#reopen();
    } catch (error) {
      if (!(error instanceof PowerFailure)) throw error;
      this.#count('cut at start');
      return undefined;
    }
  }

  #reopen(): TestMember {
    const io = {
      disk: this.#disk,
      random: this.#random.next,
      monotonicMs: () => this.#nowMs,
      settings: this.#settings,
      isBeside: this.#isBeside,
    };
    const member = new TestMember(io, this.#client);
    this.#client = undefined;
    return member;
  }

  async #work(member: TestMember, steps: number): Promise<void> {
    const random = this.#random;
    const fullAt = random.chance(0.3) ? random.below(steps) : -1;
    for (let step = 0; step < steps && !member.isDead; step++) {
      if (step === fullAt) await this.#fillDisk(member);
      for (let i = random.below(5); i >= 0; i--) this.#issue(member);
      await member.run();
      this.#nowMs += 100;
      if (random.chance(0.5)) member.tick();
    }
    await member.run();
  }

  /** The disk fills up: nothing but refusals, and all goes on when there is space. */
  async #fillDisk(member: TestMember): Promise<void> {
    const random = this.#random;
    const { faults } = this.#disk;
    faults.capacityBytes = this.#disk.bytesUsed + random.below(4000);
    for (let step = random.below(30); step >= 0 && !member.isDead; step--) {
      this.#issue(member);
      await member.run();
      member.tick();
    }
    const isFull = this.#asked.outcomes.includes('refused');
    this.#count(isFull ? 'full disk' : 'disk nearly full');
    faults.capacityBytes = Number.POSITIVE_INFINITY;
    for (let ticks = 0; ticks < 40; ticks++) member.tick();
    await member.run();
    if (member.isDead) return;
    const last = this.#issue(member, { kind: 'put', key: 'a', value: 'after full', lease: 0 });
    await member.run();
    if (last.outcome === 'refused') throw new Error('refused on a roomy disk');
  }

  async #failSync(member: TestMember): Promise<void> {
    const mode = this.#random.pick(['kept', 'dropped'] as const);
    this.#disk.faults.failSync = () => mode;
    for (let i = 0; i < 3 && !member.isDead; i++) {
      this.#issue(member, { kind: 'put', key: 'a', value: `failed ${mode}`, lease: 0 });
      await member.run();
    }
    this.#disk.faults.failSync = () => undefined;
    if (!member.isDead) throw new Error('a failed sync did not end the store');
  }

  #cut(): void {
    const random = this.#random;
    const share = random.pick([0, 0.1, 0.5, 0.9, 1]);
    const isTearing = random.chance(0.3);
    this.#disk.crash({
      keep: () => random.chance(share),
      tear: () => (isTearing && random.chance(0.3) ? random.below(512) : undefined),
      names: random.pick(['prefix', 'any']),
    });
  }

  /** At the end of the run the disk lies; then a wrong state is the only failure. */
  async #liveOnLyingDisk(): Promise<void> {
    const member = this.#reopen();
    const damage = damageDisk(this.#disk, this.#random);
    await this.#work(member, 10);
    if (this.#random.chance(0.5)) await member.close();
    member.kill();
    await settle();
    damage.strike();
    const { acknowledged } = this.#asked;
    let next: TestMember;
    try {
      next = this.#reopen();
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== 'CORRUPT') throw error;
      this.#count(`${damage.name}: found`);
      return;
    }
    const kept = await this.#check(next, 0);
    next.kill();
    if (kept >= acknowledged) this.#count(`${damage.name}: harmless`);
    else if (damage.mayLoseTail) this.#count(`${damage.name}: tail lost`);
    else throw new Error(`${damage.name} lost ${acknowledged - kept} operations unseen`);
  }

  #issue(member: TestMember, wanted?: ModelOperation): { readonly outcome: string } {
    const { leases, state: known } = this.#asked;
    const number = ++this.#operations;
    const operation = wanted ?? chooseOperation(this.#random, { known, leases, number });
    return this.#asked.issue(member.client, operation);
  }

  /** Compares what the store holds; returns how many operations it kept. */
  async #check(member: TestMember, atLeast: number): Promise<number> {
    const all = member.client.range({ key: '\0', rangeEnd: '\0' }, signal);
    const status = member.client.status(signal);
    const both = Promise.all([all, status]).catch((error: unknown) => error);
    await member.run();
    if (member.isDead) return 0; // The power failed again.
    const answer = await both;
    if (!Array.isArray(answer)) throw answer;
    const [{ kvs, revision }, { compactRevision }] = answer as [Found, Found]; // As asked above.
    return this.#asked.match({ kvs, revision, compactRevision }, atLeast);
  }

  #count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }
}

/** Lets rejected promises reach those that wait for them. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** The memory of slabs does not weigh on V8, which would let thousands of stores pile up. */
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void; // Exposed by the flag.

/** Runs seeds one after the other; throws with the seed of the first that fails. */
export async function runSeeds(
  first: number,
  count: number,
  wal: 'inline' | 'beside' = 'inline',
): Promise<Map<string, number>> {
  const totals = new Map<string, number>();
  for (let seed = first; seed < first + count; seed++) {
    if (seed % 10 === 0) collect();
    const run = new FaultRun(seed, wal);
    try {
      await run.run();
    } catch (error) {
      const again = `node control/store/testing/fault-run.ts 1 ${seed} ${wal}`;
      throw new Error(`seed ${seed} failed, replay: ${again}`, { cause: error });
    }
    for (const [what, number] of run.counts) totals.set(what, (totals.get(what) ?? 0) + number);
  }
  return totals;
}

if (import.meta.main) {
  const [count = '100', first = '1', mode] = process.argv.slice(2);
  const wal = mode === 'beside' ? mode : 'inline';
  const totals = [...(await runSeeds(Number(first), Number(count), wal))];
  totals.sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [what, number] of totals) console.log(`${String(number).padStart(8)} ${what}`);
}
