/**
 * A group of simulated members and its clients, in virtual time. The group is made as in the product:
 * one member founds it, the others are added, join as learners, and become voters by themselves.
 */
import { assert, must } from '#base/assert.ts';
import { isErrno } from '#base/errors.ts';
import { everyone } from '#control/raft/raft.ts';
import type { Link } from '#control/store/client/calls.ts';
import { StoreClient } from '#control/store/client/client.ts';
import { checkRequests } from '#control/store/codec/check-request.ts';
import { WATCH_LIMITS } from '#control/store/limits.ts';
import type { WatchLimits } from '#control/store/limits.ts';
import type { Engine } from '#control/store/engine/engine.ts';
import type { EngineSettings } from '#control/store/engine/open-engine.ts';
import { StoreError } from '#control/store/port.ts';
import { VERSION } from '#control/store/versions.ts';
import type { SeededRandom } from '#control/store/testing/seeded-random.ts';
import { simAsker } from './asking.ts';
import { EventQueue } from './event-queue.ts';
import { PowerFailure, SimMember } from './member.ts';
import { Network } from './network.ts';
import { Oracle } from './oracle.ts';
import { Trace } from './trace.ts';
import { lowest } from './upgrades.ts';
import type { VersionRange } from './upgrades.ts';

const CLIENT_DELAY_MS = 0.2;
/** V8 frees memory between turns of the event loop. */
const EVENTS_UNSETTLED_MAX = 100;
const { signal } = new AbortController();

/** A client, linked to one member at a time; it finds another when that dies. */
export class SimClient {
  readonly store: StoreClient;
  readonly #group: Group;
  readonly #limits: WatchLimits;
  #member: SimMember | undefined;
  #isLinked = true;

  constructor(group: Group, member: SimMember) {
    this.#group = group;
    const { time, random } = group;
    this.#limits = {
      inflightBytes: random.pick([200, WATCH_LIMITS.inflightBytes]),
      catchUpEvents: random.pick([3, WATCH_LIMITS.catchUpEvents]),
    };
    const stirring = (run: () => void) => () => {
      group.stir();
      run();
    };
    const timers = {
      soon: (run: () => void) => time.after(0, stirring(run)),
      later: (ms: number, run: () => void) => time.after(ms, stirring(run)),
    };
    this.store = new StoreClient(this.#link(member), timers, this.#limits);
  }

  /** Its member died, or is left. */
  unlink(member: SimMember): void {
    if (this.#member !== member || !this.#isLinked) return;
    this.#isLinked = false;
    this.#group.stir();
    this.store.disconnected();
    this.#group.time.after(50, () => this.#relink());
  }

  leave(): void {
    if (this.#member !== undefined) this.unlink(this.#member);
  }

  #relink(): void {
    const { members, oracle } = this.#group;
    const up = members.filter((member) => member.isUp && !oracle.suspects.has(member));
    if (up.length === 0) {
      this.#group.time.after(50, () => this.#relink());
      return;
    }
    this.#isLinked = true;
    this.#group.stir();
    this.store.connected(this.#link(this.#group.random.pick(up)));
  }

  #link(member: SimMember): Link {
    this.#member = member;
    const engine = must(member.engine, 'a link goes to a member that is up');
    const { time } = this.#group;
    const isCurrent = () => member.engine === engine && this.#member === member && this.#isLinked;
    const receive = (bytes: Uint8Array) => {
      if (!isCurrent()) return;
      this.#group.trace.note('answer', { atMs: time.nowMs, from: member.id }, bytes);
      this.#group.stir();
      this.store.receive(bytes);
    };
    const connection = engine.connect(
      (bytes) => member.whenAwake(() => time.after(CLIENT_DELAY_MS, () => receive(bytes))),
      this.#limits,
    );
    return {
      send: (bytes) => {
        checkRequests(bytes); // What a client over a network sends must pass.
        time.after(CLIENT_DELAY_MS, () => {
          if (!isCurrent()) return;
          connection.inbox.push(bytes);
          member.pump();
        });
      },
      close: () => Promise.resolve(engine.disconnect(connection)),
    };
  }
}

/** Most syncs beside a member's turns take a hundredth of it. */
const SYNC_MS_MAX = 50;

export interface GroupSettings extends EngineSettings {
  /** Members begin as `runsAsVersion`, and may be upgraded up to this one; absent = the present one. */
  readonly lastVersion?: number | undefined;
  /** Members ask the others to be taken in (asking.ts); absent = each such step is a test's to take. */
  readonly areAsking?: boolean | undefined;
}

export class Group {
  readonly random: SeededRandom;
  readonly time = new EventQueue();
  readonly trace = new Trace();
  readonly oracle = new Oracle();
  readonly network: Network;
  readonly members: SimMember[] = [];
  readonly clients: SimClient[] = [];
  /** Ended by themselves, which no fault explains. */
  failures: unknown[] = [];
  /** Whether a fault explains that a member ended so. */
  isExplained: (member: SimMember, error: unknown) => boolean = () => false;
  /** Whether a fault explains that a member's directory is damaged. */
  isDamageExplained: (member: SimMember) => boolean = () => true;
  /** Whether a fault explains that a member asks to be taken in under another id. */
  isComingInExplained: (member: SimMember) => boolean = () => true;
  /** Called after each event on a member. */
  watch: (member: SimMember) => void = () => {};
  /** Whether the others learn at once that a process ended, as from the kernel below it. */
  readonly #areEndsTold: boolean;
  readonly #turnMs: number;
  readonly #settings: GroupSettings;
  readonly versions: VersionRange;
  /** The highest that a member knows the group to have. */
  #version = 0;
  readonly #syncMs: (() => number) | undefined;
  readonly #pauses = new Set<() => void>();
  /** Ids that are being removed, or were. */
  readonly #dismissed = new Set<number>();
  /** Whether a promise may have been settled that someone waits for. */
  #isStirred = false;
  #sinceSettled = 0;
  #machines = 0;
  #isGrown = false;

  /** `wal`: members write their logs in their turns, or beside them. */
  constructor(random: SeededRandom, settings: GroupSettings, wal: 'inline' | 'beside' = 'inline') {
    this.random = random;
    const { runsAsVersion: first = VERSION, lastVersion: last = VERSION } = settings;
    this.versions = { first, last };
    this.#syncMs = wal === 'inline' ? undefined : () => random.next() ** 4 * SYNC_MS_MAX;
    this.#settings = settings;
    this.#areEndsTold = random.chance(0.5);
    this.#turnMs = random.pick([0, 0.05, 0.5]);
    this.network = new Network({
      time: this.time,
      random,
      deliver: (from, to, bytes) => this.member(to)?.receive(from, bytes),
      broke: (at, other) => this.#tell(at, (engine) => engine.unreachable(other)),
      greet: (one, other) => {
        this.#greet(one, other);
        this.#greet(other, one);
      },
    });
    this.#create(this.#newMachine());
  }

  member(id: number): SimMember | undefined {
    return this.members.find((member) => member.id === id);
  }

  get leader(): SimMember | undefined {
    const leaders = this.members.filter(({ engine }) => engine?.isLeader === true);
    const term = ({ engine }: SimMember) => engine?.status().raftTerm ?? 0;
    return leaders.toSorted((a, b) => term(b) - term(a))[0];
  }

  connect(member: SimMember): SimClient {
    const client = new SimClient(this, member);
    this.clients.push(client);
    return client;
  }

  /** Adds a member through a client, and starts it. */
  async add(client: SimClient): Promise<SimMember> {
    const machine = this.#newMachine();
    const wanted = { ...machine, isToVote: true };
    const join = await this.insist(client, (store) => store.addMember(wanted, signal));
    return this.#create(machine, join);
  }

  /** Takes a member out of the group. */
  dismiss(client: SimClient, id: number): Promise<void> {
    this.#dismissed.add(id);
    return this.insist(client, (store) => store.removeMember(id, signal));
  }

  /** Asks until it is told, here or there: a lost answer says nothing, and a refusal may pass. */
  async insist<T>(client: SimClient, ask: (store: StoreClient) => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await ask(client.store);
      } catch (error) {
        if (!(error instanceof StoreError) || error.code === 'CLOSED') throw error;
        client.leave();
        await this.pause(100); // The change before is not committed yet, or leadership moves.
      }
    }
  }

  /** Ends after so long, or when the group closes: no time passes behind that. */
  pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        this.#pauses.delete(end);
        this.stir();
        resolve();
      };
      this.#pauses.add(end);
      this.time.after(ms, end);
    });
  }

  /** A member that will not come back. */
  remove(member: SimMember): void {
    member.kill();
    this.members.splice(this.members.indexOf(member), 1);
  }

  /** Runs events for so long. */
  async run(ms: number): Promise<void> {
    const end = this.time.nowMs + ms;
    await this.runUntil(() => this.time.nextAtMs > end, ms);
  }

  /** Runs events until it is so; fails when that takes longer than `ms`. */
  async runUntil(isSo: () => boolean, ms: number): Promise<void> {
    const end = this.time.nowMs + ms;
    while (!isSo()) {
      assert(this.time.nextAtMs <= end + 1000, `it comes to that within ${ms} ms of virtual time`);
      this.time.step();
      if (this.#isStirred || ++this.#sinceSettled >= EVENTS_UNSETTLED_MAX) await this.#settle();
      if (this.failures.length > 0) {
        throw new Error('a member ended by itself', { cause: this.failures[0] });
      }
    }
  }

  /** A promise was, or is being, settled: who waits for it goes on before the next event. */
  stir(): void {
    this.#isStirred = true;
  }

  async #settle(): Promise<void> {
    this.#isStirred = false;
    this.#sinceSettled = 0;
    await settle();
  }

  async finish<T>(promise: Promise<T>, ms: number): Promise<T> {
    let isDone = false;
    const done = () => {
      isDone = true;
    };
    promise.then(done, done);
    await this.runUntil(() => isDone, ms);
    return promise;
  }

  /** From the founder to a group of so many voters. */
  async grow(voters: number): Promise<void> {
    const founder = must(this.members[0], 'a founder started');
    const client = this.connect(founder);
    while (this.members.length < voters) {
      const member = await this.finish(this.add(client), 20_000);
      const isVoter = () => member.engine?.state.members.voters.includes(member.id) === true;
      await this.runUntil(isVoter, 20_000);
    }
    this.#isGrown = true;
    await this.finish(client.store.close(), 10_000);
  }

  close(): void {
    const ended = new StoreError('CLOSED', 'simulation ended');
    for (const { store } of this.clients) store.end(ended);
    for (const member of this.members) member.abort();
    for (const end of this.#pauses) end();
  }

  /** The one says how far its log reaches. */
  #greet(one: number, other: number): void {
    const tail = this.member(one)?.engine?.tail;
    if (tail !== undefined) this.#tell(other, (engine) => engine.greeted(one, tail));
  }

  #tell(id: number, tell: (engine: Engine) => void): void {
    const member = this.member(id);
    if (member?.engine === undefined) return;
    tell(member.engine);
    member.pump();
  }

  #died(dead: SimMember, error: unknown): void {
    const isFault = error instanceof PowerFailure || isErrno(error, 'EIO');
    const isWanted = error === 'killed' || error === 'stopped';
    // One that was still asking is told that it is no member any more, and gives up.
    const isRefused = error instanceof StoreError && error.code === 'INVALID_REQUEST';
    const isOver = isRefused && this.#dismissed.has(dead.id);
    const isExpected = isWanted || isFault || isOver || this.isExplained(dead, error);
    if (!isExpected) this.failures.push(error);
    for (const client of this.clients) client.unlink(dead);
    if (!this.#areEndsTold) return;
    for (const { id } of this.members) if (id !== dead.id) this.network.reset(dead.id, id);
  }

  /** A group is raised when no member may run the version before any more. */
  #noteVersion({ engine }: SimMember): void {
    if (engine === undefined || engine.state.version <= this.#version) return;
    this.#version = engine.state.version;
    for (const id of everyone(engine.state.members)) {
      const { installed } = this.member(id) ?? {};
      const isReady = installed === undefined || lowest(installed) >= this.#version;
      assert(
        isReady,
        `a group of version ${this.#version} has member ${id}, which may run as before`,
      );
    }
  }

  /** A group that was raised takes no member of the software before. */
  #versionToJoin(): number {
    const { first, last } = this.versions;
    return this.#isGrown ? this.random.between(Math.max(first, this.#version), last) : first;
  }

  #newMachine(): { readonly key: string; readonly address: string } {
    const number = this.#machines++;
    return { key: `key ${number}`, address: `machine-${number}:1` };
  }

  #create(
    machine: { readonly key: string; readonly address: string },
    join?: EngineSettings['join'],
  ): SimMember {
    const member = new SimMember(
      {
        time: this.time,
        random: this.random,
        trace: this.trace,
        turnMs: this.#turnMs,
        syncMs: this.#syncMs,
        send: (from, to, bytes) => this.network.send(from, to, bytes),
        observe: (observed) => {
          this.oracle.observe(observed, this.time.nowMs);
          this.#noteVersion(observed);
          this.watch(observed);
        },
        says: (speaker, to, message) => this.oracle.log.says(speaker, to, message),
        ending: (dead) => this.oracle.log.ending(dead),
        repairs: (damaged, damage) => {
          if (!this.isDamageExplained(damaged)) this.failures.push(damage);
        },
        comesIn: (outcast) => {
          if (this.isComingInExplained(outcast)) return;
          this.failures.push(new Error(`member ${outcast.id} comes in anew without a reason`));
        },
        asker:
          this.#settings.areAsking === true
            ? (asking, of) => simAsker(this, asking, of)
            : undefined,
        stir: () => this.stir(),
        died: (dead, error) => this.#died(dead, error),
      },
      {
        ...this.#settings,
        runsAsVersion: this.#versionToJoin(),
        memoryBytes: this.random.pick([1, 2, 16]) * 2 ** 30,
        founder: machine,
        join,
      },
    );
    if (join !== undefined) member.id = join.memberId;
    this.members.push(member);
    return member;
  }
}

/** Lets promises that are settled reach those that wait for them. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
