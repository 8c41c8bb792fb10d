/**
 * Random schedules of messages (lost, doubled, reordered), late disks and crashes over groups of one,
 * three and five. After every step the invariants of the Raft paper's figure 3 hold; at the end the
 * network heals, the group converges, and every acknowledged proposal and no early read was seen.
 * `RAFT_SEED=n node control/raft/safety.test.ts` replays one seed; RAFT_SEEDS sets their number.
 */
import t from 'tap';
import { assert } from '#base/assert.ts';
import type { Entry, Message } from './raft.ts';
import { testMembers } from './testing.ts';
import type { TestMember } from './testing.ts';

function randomOf(seed: number): () => number {
  let state = seed | 0;
  return () => {
    // mulberry32: seeds next to each other give unrelated runs.
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

class Schedule {
  readonly random: () => number;
  readonly members: TestMember[];
  network: Message[] = [];
  /** Committed entries as the first member to apply them saw them, by index. */
  readonly truth = new Map<number, Entry>();
  readonly leaders = new Map<number, number>();
  readonly counts = { committed: 0, leaders: 0, reads: 0, restarts: 0, snapshots: 0 };
  /** For each read, the highest index that was committed when it was asked. */
  readonly readFloors = new Map<number, number>();
  readonly #lossy: { loss: number; double: number; crash: number; lateDisk: number };
  #proposals = 0;
  #contexts = 0;

  constructor(seed: number) {
    this.random = randomOf(seed);
    const size = [1, 3, 3, 3, 5][this.#below(5)] ?? 3;
    this.members = testMembers(size, this.random);
    // The probabilities differ from run to run as well, so that quiet and wild runs both occur.
    this.#lossy = {
      loss: this.random() * 0.3,
      double: this.random() * 0.2,
      crash: this.random() * 0.02,
      lateDisk: this.random(),
    };
  }

  step(): void {
    const member = this.#any(this.members);
    const dice = this.random();
    if (dice < 0.5) this.#deliver();
    else if (dice < 0.75) this.#work(member);
    else if (dice < 0.85) member.raft.tick();
    else if (dice < 0.93) this.#propose(member);
    else if (dice < 0.96) this.#read(member);
    else if (dice < 0.97) this.#compact(member);
    else if (this.random() < this.#lossy.crash * 20) this.#restart(member);
    this.check();
  }

  heal(): void {
    for (let round = 0; round < 400; round++) {
      for (const member of this.members) {
        if (round % 3 === 0) member.raft.tick();
        while (member.raft.hasReady || member.held.length > 0) {
          this.#take(member);
          this.network.push(...member.persist());
        }
      }
      const messages = this.network;
      this.network = [];
      for (const message of messages) this.#step(message);
      this.check();
    }
    const leader = this.members.find(({ raft }) => raft.isLeader);
    assert(leader !== undefined, 'a healed group has a leader');
    for (const { raft } of this.members) {
      assert(raft.status.appliedIndex === leader.raft.lastIndex, 'a healed group converges');
    }
  }

  check(): void {
    for (const { id, raft } of this.members) {
      const { role, term, commitIndex, appliedIndex, lastIndex } = raft.status;
      assert(appliedIndex <= commitIndex, 'applied <= committed');
      assert(commitIndex <= lastIndex, 'committed <= last');
      if (role !== 'leader') continue;
      const known = this.leaders.get(term);
      assert(known === undefined || known === id, `term ${term} has one leader`);
      if (known === undefined) this.counts.leaders++;
      this.leaders.set(term, id);
    }
  }

  #take(member: TestMember): void {
    const before = member.applied.length;
    const ready = member.take();
    if (ready === undefined) return;
    if (ready.snapshot !== undefined) this.counts.snapshots++;
    this.network.push(...ready.messages);
    for (const entry of ready.committed) {
      const known = this.truth.get(entry.index);
      assert(known === undefined || known.term === entry.term, 'members apply equal entries');
      if (known === undefined) this.counts.committed++;
      this.truth.set(entry.index, entry);
    }
    assert(member.applied.length >= before, 'applied grows');
    for (const { context, index } of ready.readStates) {
      const floor = this.readFloors.get(context) ?? 0;
      assert(index >= floor, `read ${context} at ${index} misses a write at ${floor}`);
      this.counts.reads++;
    }
  }

  #work(member: TestMember): void {
    this.#take(member);
    if (this.random() < this.#lossy.lateDisk && member.held.length < 4) return;
    this.network.push(...member.persist());
  }

  #deliver(): void {
    if (this.network.length === 0) return;
    const at = this.#below(this.network.length);
    const message = this.network[at] as Message; // Below length.
    if (this.random() >= this.#lossy.double) this.network.splice(at, 1);
    if (this.random() >= this.#lossy.loss) this.#step(message);
    if (this.network.length > 300) this.network.splice(0, 100);
  }

  #step(message: Message): void {
    const member = this.members[message.to - 1];
    assert(member !== undefined, 'messages go to members');
    member.raft.step(message);
  }

  #propose(member: TestMember): void {
    if (!member.raft.isLeader) return;
    member.raft.propose(Buffer.from(`${++this.#proposals}`));
  }

  #read(member: TestMember): void {
    const context = ++this.#contexts;
    const applied = this.members.map(({ raft }) => raft.status.appliedIndex);
    if (member.raft.read(context)) this.readFloors.set(context, Math.max(...applied));
  }

  #compact(member: TestMember): void {
    const { appliedIndex, firstIndex } = member.raft.status;
    const onDisk = member.disk.entries.some(({ index }) => index === appliedIndex);
    if (onDisk && appliedIndex >= firstIndex) member.compact(appliedIndex);
  }

  #restart(member: TestMember): void {
    member.restart();
    this.counts.restarts++;
  }

  #any<T>(list: readonly T[]): T {
    return list[this.#below(list.length)] as T; // Below length.
  }

  #below(bound: number): number {
    return Math.floor(this.random() * bound);
  }
}

function runSeed(seed: number): Schedule['counts'] {
  const schedule = new Schedule(seed);
  try {
    for (let i = 0; i < 1500; i++) schedule.step();
    schedule.heal();
  } catch (error) {
    throw new Error(`RAFT_SEED=${seed} node control/raft/safety.test.ts`, { cause: error });
  }
  return schedule.counts;
}

t.test('random schedules keep the invariants and converge', (t) => {
  const only = process.env['RAFT_SEED'];
  const count = Number(process.env['RAFT_SEEDS'] ?? 400);
  const seeds = only === undefined ? Array.from({ length: count }, (_, i) => i) : [Number(only)];
  const sum = { committed: 0, leaders: 0, reads: 0, restarts: 0, snapshots: 0 };
  for (const seed of seeds) {
    const counts = runSeed(seed);
    for (const key of Object.keys(sum) as (keyof typeof sum)[]) sum[key] += counts[key];
  }
  t.comment(JSON.stringify(sum));
  if (only !== undefined) return t.end();
  // A soak in which something never happened proves nothing about it.
  for (const [what, times] of Object.entries(sum)) t.ok(times > count / 10, `${what}: ${times}`);
  return t.end();
});
