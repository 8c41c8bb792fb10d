/**
 * A group of simulated members and its clients, in virtual time. The group is made as in the product:
 * one member founds it, the others are added, join as learners, and become voters by themselves.
 */
import { assert, must } from '#base/assert.ts';
import { isErrno } from '#base/errors.ts';
import type { Link } from '#control/store/client/calls.ts';
import { StoreClient } from '#control/store/client/client.ts';
import { checkRequests } from '#control/store/codec/check-request.ts';
import type { EngineSettings } from '#control/store/engine/open-engine.ts';
import { StoreError } from '#control/store/port.ts';
import { VERSION } from '#control/store/versions.ts';
import type { SeededRandom } from '#control/store/testing/seeded-random.ts';
import { EventQueue } from './event-queue.ts';
import { PowerFailure, SimMember } from './member.ts';
import { Network } from './network.ts';
import { Oracle } from './oracle.ts';

const CLIENT_DELAY_MS = 0.2;
const { signal } = new AbortController();

/** A client, linked to one member at a time; it finds another when that dies. */
export class SimClient {
  readonly store: StoreClient;
  readonly #group: Group;
  #member: SimMember | undefined;
  #isLinked = true;

  constructor(group: Group, member: SimMember) {
    this.#group = group;
    const { time } = group;
    this.store = new StoreClient(this.#link(member), {
      soon: (run) => time.after(0, run),
      later: (ms, run) => time.after(ms, run),
    });
  }

  /** Its member died, or is left. */
  unlink(member: SimMember): void {
    if (this.#member !== member || !this.#isLinked) return;
    this.#isLinked = false;
    this.store.disconnected();
    this.#group.time.after(50, () => this.#relink());
  }

  leave(): void {
    if (this.#member !== undefined) this.unlink(this.#member);
  }

  #relink(): void {
    const up = this.#group.members.filter(({ isUp }) => isUp);
    if (up.length === 0) {
      this.#group.time.after(50, () => this.#relink());
      return;
    }
    this.#isLinked = true;
    this.store.connected(this.#link(this.#group.random.pick(up)));
  }

  #link(member: SimMember): Link {
    this.#member = member;
    const engine = must(member.engine, 'a link goes to a member that is up');
    const { time } = this.#group;
    const isCurrent = () => member.engine === engine && this.#member === member && this.#isLinked;
    const connection = engine.connect((bytes) =>
      time.after(CLIENT_DELAY_MS, () => {
        if (isCurrent()) this.store.receive(bytes);
      }),
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

export class Group {
  readonly random: SeededRandom;
  readonly time = new EventQueue();
  readonly oracle = new Oracle();
  readonly network: Network;
  readonly members: SimMember[] = [];
  readonly clients: SimClient[] = [];
  /** Ended by themselves, which no fault explains. */
  failures: unknown[] = [];
  readonly #settings: EngineSettings;
  #keys = 0;

  constructor(random: SeededRandom, settings: EngineSettings) {
    this.random = random;
    this.#settings = settings;
    this.network = new Network(this.time, random, (from, to, bytes) =>
      this.member(to)?.receive(from, bytes),
    );
    this.#create();
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

  /** Adds a member through a client, which asks until it is told, here or there; and starts it. */
  async add(client: SimClient): Promise<SimMember> {
    const wanted = { key: `key ${++this.#keys}`, address: '', isToVote: true };
    for (;;) {
      try {
        return this.#create(await client.store.addMember(wanted, signal));
      } catch (error) {
        if (!(error instanceof StoreError) || error.code === 'CLOSED') throw error;
        client.leave();
        await this.pause(100); // The change before is not committed yet, or leadership moves.
      }
    }
  }

  pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.time.after(ms, resolve));
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
      await settle();
      if (this.failures.length > 0) {
        throw new Error('a member ended by itself', { cause: this.failures[0] });
      }
    }
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
    await this.finish(client.store.close(), 10_000);
  }

  close(): void {
    const ended = new StoreError('CLOSED', 'simulation ended');
    for (const { store } of this.clients) store.end(ended);
    for (const { engine } of this.members) engine?.abort();
  }

  /** A group that was raised takes no member of the software before. */
  #versionToAdd(): number | undefined {
    const isRaised = this.members.some(({ engine }) => engine?.state.version === VERSION);
    const { runsAsVersion } = this.#settings;
    return isRaised || this.members.length >= 3 ? VERSION : runsAsVersion;
  }

  #create(join?: EngineSettings['join']): SimMember {
    const member = new SimMember(
      {
        time: this.time,
        random: this.random,
        send: (from, to, bytes) => this.network.send(from, to, bytes),
        observe: (observed) => this.oracle.observe(observed, this.time.nowMs),
        died: (dead, error) => {
          const isFault = error instanceof PowerFailure || isErrno(error, 'EIO');
          if (error !== 'killed' && !isFault) this.failures.push(error);
          for (const client of this.clients) client.unlink(dead);
        },
      },
      {
        ...this.#settings,
        runsAsVersion: this.#versionToAdd(),
        memoryBytes: this.random.pick([1, 2, 16]) * 2 ** 30,
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
