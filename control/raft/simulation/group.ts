/**
 * A group under a schedule drawn from a seed: messages, late and reordered disks, lagging state
 * machines, crashes, partitions, changes of members, transfers. The oracle looks after every event. At
 * the end everything heals and the group must converge. Nothing here is real: no clock, no I/O.
 */
import { assert, must } from '#base/assert.ts';
import { NO_MEMBERS, everyone, isJoint, isVoter, membersOf } from '../raft.ts';
import type { MemberChange, MemberId, Members, Message } from '../raft.ts';
import { TestMember, votersUpTo } from '../testing/member.ts';
import { Network } from './network.ts';
import { Oracle } from './oracle.ts';
import { Random } from './random.ts';
import { drawSettings } from './settings.ts';
import type { Settings, Weights } from './settings.ts';

/** Members that ever exist in a run, at most. */
const MEMBERS_MAX = 8;
/** Rounds of a healed network until everything must have settled. */
const HEAL_ROUNDS_MAX = 600;

const LEADERS_ACTIONS: readonly (keyof Weights)[] = [
  'propose',
  'read',
  'change',
  'transfer',
  'isolate',
  'crash',
];

export class Group {
  readonly random: Random;
  readonly settings: Settings;
  readonly members = new Map<MemberId, TestMember>();
  readonly oracle: Oracle;
  readonly #network: Network;
  readonly #down = new Set<MemberId>();
  readonly #hung = new Set<MemberId>();
  /** For each read, the highest index that was committed when it was asked. */
  readonly #readFloors = new Map<number, number>();
  readonly counts = {
    reads: 0,
    crashes: 0,
    landed: 0,
    reordered: 0,
    installed: 0,
    transfers: 0,
    hangs: 0,
    joins: 0,
  };
  #proposals = 0;
  #contexts = 0;

  readonly #actions: Readonly<Record<keyof Weights, (member: TestMember) => void>> = {
    deliver: () => this.#deliver(),
    take: (member) => this.#take(member),
    persist: (member) => this.#persist(member),
    apply: (member) => this.#at(member, () => member.apply()),
    tick: (member) => this.#at(member, () => member.raft.tick()),
    propose: (member) => this.#propose(member),
    read: (member) => this.#read(member),
    compact: (member) => this.#compact(member),
    crash: (member) => this.#crash(member),
    start: () => this.#start(this.random.pick([...this.#down])),
    change: (member) => this.#change(member),
    transfer: (member) => this.#transfer(member),
    campaign: (member) => this.#at(member, () => member.raft.campaign()),
    forget: (member) => this.#at(member, () => member.raft.forgetLeader()),
    upheaval: (member) => this.#upheaval(member),
    unreachable: (member) =>
      this.#at(member, () => member.raft.unreachable(this.random.between(1, MEMBERS_MAX))),
    partition: () => this.#partition(),
    isolate: ({ id }) => this.#network.isolate(id, [...this.members.keys()]),
    heal: () => this.#network.heal(),
    hangDisk: (member) => this.#hang(member),
    report: () => this.#report(),
  };

  constructor(seed: number) {
    this.random = new Random(seed);
    this.settings = drawSettings(this.random);
    const founders = votersUpTo(this.settings.founders);
    this.#network = new Network(this.random, this.settings.faults);
    this.oracle = new Oracle(founders, this.members);
    for (const id of founders) this.#create(id, membersOf(founders));
  }

  run(): void {
    for (let step = 0; step < this.settings.steps; step++) {
      const action = this.random.weighted(this.settings.weights);
      const member = this.#drawMember(action);
      if (member === undefined) this.#start(this.random.pick([...this.#down]));
      else this.#actions[action](member);
      if (action !== 'deliver' && member !== undefined) this.#maybeWork(member);
    }
    this.#heal();
  }

  /** Anybody who is up; mostly a leader, where only a leader can do it. */
  #drawMember(action: keyof Weights): TestMember | undefined {
    const up = [...this.members.values()].filter((member) => !this.#down.has(member.id));
    const wantsLeader = LEADERS_ACTIONS.includes(action) && this.random.chance(0.7);
    const leaders = wantsLeader ? up.filter(({ raft }) => raft.isLeader) : [];
    return this.random.pick(leaders.length > 0 ? leaders : up);
  }

  #create(id: MemberId, members: Members): TestMember {
    const { electionTicks, limits } = this.settings;
    const random = () => this.random.next();
    const member = new TestMember({ id, members, random, electionTicks, limits });
    this.members.set(id, member);
    this.oracle.observe(member);
    return member;
  }

  #at(member: TestMember, act: () => void): void {
    act();
    this.oracle.observe(member);
  }

  #isUp({ id }: TestMember): boolean {
    return !this.#down.has(id);
  }

  #deliver(): void {
    const message = this.#network.receive();
    if (message === undefined) return;
    this.#step(message);
    const member = this.members.get(message.to);
    if (member !== undefined) this.#maybeWork(member);
  }

  /** A quick member does at once what came of an event; others leave it to the schedule. */
  #maybeWork(member: TestMember): void {
    if (this.#down.has(member.id) || !this.random.chance(this.settings.eager)) return;
    this.#take(member);
    if (this.random.chance(this.settings.quickDisk)) {
      while (member.isWriting && !this.#hung.has(member.id)) this.#persist(member);
    }
  }

  #step(message: Message): void {
    const member = this.members.get(message.to);
    if (member === undefined || !this.#isUp(member)) return;
    this.#at(member, () => member.raft.step(message));
  }

  #take(member: TestMember): void {
    if (member.held.length >= this.settings.heldMax) return;
    const ready = member.take();
    this.oracle.observe(member);
    if (ready === undefined) return;
    this.oracle.handsOut(member, ready.committed);
    if (ready.snapshot !== undefined) this.counts.installed++;
    this.#send(member, ready.messages);
    for (const { context, index } of ready.readStates) {
      const floor = must(this.#readFloors.get(context), `read ${context} was asked`);
      assert(index >= floor, `read ${context} at ${index} misses a write at ${floor}`);
      this.#readFloors.delete(context);
      this.counts.reads++;
    }
  }

  #persist(member: TestMember): void {
    if (!member.isWriting || this.#hung.has(member.id)) return;
    const open = member.held.filter(({ isFinished }) => !isFinished).length;
    const place = this.random.chance(this.settings.reorderWrites) ? this.random.below(open) : 0;
    if (place > 0) this.counts.reordered++;
    const messages = member.persist(place);
    this.#send(member, messages);
    this.oracle.observe(member);
  }

  #send(member: TestMember, messages: readonly Message[]): void {
    for (const message of messages) {
      this.oracle.leaves(member, message);
      if (message.kind === 'timeoutNow') this.counts.transfers++;
    }
    this.#network.send(messages);
  }

  #propose(member: TestMember): void {
    this.#proposals++;
    const text = `${this.#proposals}`;
    const data = Uint8Array.from(text, (character) => character.charCodeAt(0));
    this.#at(member, () => member.raft.propose(data));
  }

  #read(member: TestMember): void {
    const context = ++this.#contexts;
    if (member.raft.read(context)) this.#readFloors.set(context, this.oracle.committedIndex);
    this.oracle.observe(member);
  }

  #compact(member: TestMember): void {
    const { appliedIndex, firstIndex } = member.raft.status;
    const kept = Math.max(firstIndex, (member.disk.snapshot?.index ?? 0) + 1);
    const durable = member.disk.entries.at(-1)?.index ?? 0;
    const highest = Math.min(appliedIndex, durable, member.applied.at(-1)?.index ?? 0);
    if (highest < kept) return;
    const index = this.random.between(kept, highest);
    if (this.random.chance(0.5)) member.snapshot(index);
    else member.compact(index);
    this.oracle.observe(member);
  }

  #crash(member: TestMember): void {
    this.counts.crashes++;
    const landed = this.random.below(member.held.length + 1);
    this.counts.landed += landed;
    this.#hung.delete(member.id);
    this.oracle.forget(member.id);
    member.restart(landed);
    if (this.random.chance(0.5)) this.#down.add(member.id);
    else this.oracle.observe(member);
  }

  #start(id: MemberId | undefined): void {
    if (id === undefined) return;
    this.#down.delete(id);
    this.oracle.observe(must(this.members.get(id), `member ${id} exists`));
  }

  #change(member: TestMember): void {
    const { raft } = member;
    if (!raft.isLeader) return;
    const changes = this.random.chance(0.3)
      ? this.#drawReplacement(raft.members)
      : Array.from({ length: this.random.between(1, 3) }, () => this.#drawChange(raft.members));
    const transition = this.random.weighted({ auto: 5, simple: 2, joint: 2, jointExplicit: 1 });
    this.#at(member, () => {
      if (this.random.chance(0.2)) raft.proposeLeave();
      else
        raft.proposeChange(
          changes.filter((change) => change !== undefined),
          { transition },
        );
    });
  }

  /** Most of the voters for others: two majorities that share nobody. */
  #drawReplacement(members: Members): readonly (MemberChange | undefined)[] {
    const leaving = members.voters.filter(() => this.random.chance(0.7));
    const learners = members.learners.map((id) => ({ kind: 'addVoter' as const, id }));
    const joining = leaving.slice(learners.length).map(() => this.#drawNewcomer('addVoter'));
    return [...leaving.map((id) => ({ kind: 'remove' as const, id })), ...learners, ...joining];
  }

  /** Adds someone new, promotes, demotes or removes. Who was removed never comes back. */
  #drawChange(members: Members): MemberChange | undefined {
    const kind = this.random.weighted({ addVoter: 3, addLearner: 2, remove: 2 });
    const present = everyone(members);
    if (kind === 'remove' || this.random.chance(0.6)) {
      const id = this.random.pick(present);
      return id === undefined ? undefined : { kind, id };
    }
    return this.#drawNewcomer(kind);
  }

  #drawNewcomer(kind: MemberChange['kind']): MemberChange | undefined {
    const id = this.members.size + 1;
    if (id > MEMBERS_MAX) return undefined;
    this.counts.joins++;
    this.#create(id, NO_MEMBERS);
    return { kind, id };
  }

  #transfer(member: TestMember): void {
    const to = this.random.pick(member.raft.members.voters);
    if (to !== undefined) this.#at(member, () => member.raft.transferLeadership(to));
  }

  #upheaval(candidate: TestMember): void {
    for (const member of this.members.values()) {
      if (this.#down.has(member.id) || member.raft.isLeader || this.random.chance(0.2)) continue;
      this.#at(member, () => {
        for (let i = 1; i < this.settings.electionTicks; i++) member.raft.tick();
      });
    }
    this.#at(candidate, () => candidate.raft.campaign());
  }

  #partition(): void {
    const ids = [...this.members.keys()];
    const [one, other] = [this.random.pick(ids), this.random.pick(ids)];
    if (this.random.chance(0.3) && one !== undefined && other !== undefined) {
      this.#network.cutLink(one, other);
    } else {
      this.#network.partition(ids);
    }
  }

  #hang(member: TestMember): void {
    if (this.#hung.delete(member.id)) return;
    this.#hung.add(member.id);
    this.counts.hangs++;
  }

  #report(): void {
    const report = this.#network.nextReport();
    const member = report === undefined ? undefined : this.members.get(report.sender);
    if (report === undefined || member === undefined || !this.#isUp(member)) return;
    this.#at(member, () => member.raft.snapshotEnded(report.receiver, report.outcome));
  }

  #heal(): void {
    this.#network.heal();
    this.#hung.clear();
    for (const id of this.#down) this.#start(id);
    for (let round = 0; round < HEAL_ROUNDS_MAX; round++) {
      for (const member of this.members.values()) this.#work(member, round % 3 === 0);
      for (const message of this.#network.receiveAll()) this.#step(message);
      for (let i = 0; i < MEMBERS_MAX; i++) this.#report();
      if (round % 20 === 19 && this.#isSettled()) return;
    }
    throw new Error(`a healed group converges: ${this.#describe()}`);
  }

  /** Everything that is due at one member, until nothing is. */
  #work(member: TestMember, isTick: boolean): void {
    if (isTick) this.#at(member, () => member.raft.tick());
    const { raft } = member;
    if (raft.isLeader && isJoint(raft.members) && !raft.members.autoLeave) raft.proposeLeave();
    while (raft.hasReady || member.isWriting || member.unapplied.length > 0) {
      this.#take(member);
      while (member.isWriting) {
        this.#send(member, member.persist());
        this.oracle.observe(member);
      }
      this.#at(member, () => member.apply());
    }
  }

  /** One leader, whose log all members of its configuration have applied, and no change under way. */
  #isSettled(): boolean {
    const leader = [...this.members.values()].find(
      ({ id, raft }) => raft.isLeader && isVoter(raft.members, id),
    );
    if (leader === undefined || isJoint(leader.raft.members)) return false;
    const { lastIndex, membersIndex, commitIndex } = leader.raft.status;
    if (commitIndex < lastIndex || membersIndex > commitIndex) return false;
    for (const id of everyone(leader.raft.members)) {
      const member = must(this.members.get(id), `member ${id} exists`);
      if (member.raft.status.appliedIndex < lastIndex) return false;
      this.oracle.checkHolds(member, Number.POSITIVE_INFINITY);
    }
    return typeof leader.raft.propose(new Uint8Array(1)) !== 'string';
  }

  #describe(): string {
    return [...this.members.values()]
      .map(({ id, raft }) => `${id}: ${JSON.stringify({ ...raft.status, members: raft.members })}`)
      .join('\n');
  }
}
