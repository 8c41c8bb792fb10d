/**
 * A group of members in memory, for tests of the core: every message, disk write and crash happens
 * when the test says so. Nothing here is random or timed.
 */
import { assert, must } from '#base/assert.ts';
import { Raft } from './raft.ts';
import type { Entry, HardState, MemberId, Members, Message, Ready, SnapshotMeta } from './raft.ts';

/** The durable part of a member. */
interface TestDisk {
  hardState: HardState;
  snapshot: SnapshotMeta | undefined;
  entries: Entry[];
}

export class TestMember {
  readonly id: MemberId;
  readonly disk: TestDisk;
  raft: Raft;
  /** Taken and not yet persisted, oldest first. */
  held: Ready[] = [];
  /** What the state machine got, by index; survives restarts like a state machine with a disk. */
  readonly applied: Entry[] = [];
  readonly reads: { context: number; index: number }[] = [];
  readonly #members: Members;
  readonly #random: () => number;

  constructor(id: MemberId, members: Members, random: () => number) {
    this.id = id;
    this.#members = members;
    this.#random = random;
    this.disk = {
      hardState: { term: 0, vote: 0, commitIndex: 0 },
      snapshot: undefined,
      entries: [],
    };
    this.raft = this.#start();
  }

  /** Loses everything that was not persisted. */
  restart(): void {
    this.held = [];
    this.raft = this.#start();
  }

  /** Takes the next Ready; its messages that need no disk are returned. */
  take(): Ready | undefined {
    if (!this.raft.hasReady) return undefined;
    const ready = this.raft.ready();
    this.held.push(ready);
    for (const entry of ready.committed) this.#apply(entry);
    const last = ready.committed.at(-1);
    if (last !== undefined) this.raft.applied(last.index);
    this.reads.push(...ready.readStates);
    return ready;
  }

  /** Persists the oldest Ready held and returns the messages that waited for it. */
  persist(): readonly Message[] {
    const ready = this.held.shift();
    if (ready === undefined) return [];
    const { disk } = this;
    if (ready.snapshot !== undefined) {
      disk.snapshot = ready.snapshot;
      disk.entries = [];
      this.applied.length = 0; // The snapshot's content comes by another way.
    }
    if (ready.hardState !== undefined) disk.hardState = ready.hardState;
    for (const entry of ready.entries) {
      disk.entries = disk.entries.filter(({ index }) => index < entry.index);
      disk.entries.push(entry);
    }
    this.raft.persisted(ready.mark);
    return ready.messagesAfterPersist;
  }

  /** Keeps a snapshot of what is applied up to `index` and drops the log before it. */
  compact(index: number): void {
    const entry = must(
      this.disk.entries.find((candidate) => candidate.index === index),
      `entry ${index} is on disk`,
    );
    this.disk.snapshot = { index, term: entry.term, members: this.#members };
    this.disk.entries = this.disk.entries.filter((candidate) => candidate.index > index);
    this.raft.compact(index);
  }

  #start(): Raft {
    const { hardState, snapshot, entries } = this.disk;
    const appliedIndex = Math.max(snapshot?.index ?? 0, this.applied.at(-1)?.index ?? 0);
    return new Raft(
      {
        id: this.id,
        members: this.#members,
        heartbeatTicks: 1,
        electionTicks: 3,
        random: this.#random,
      },
      {
        // A state machine with a disk of its own proves that what it applied was committed.
        hardState: {
          ...hardState,
          commitIndex: Math.max(hardState.commitIndex, appliedIndex),
        },
        snapshot,
        entries,
        appliedIndex,
      },
    );
  }

  #apply(entry: Entry): void {
    const last = this.applied.at(-1);
    assert(last === undefined || entry.index === last.index + 1, 'entries are applied in order');
    this.applied.push(entry);
  }
}

/** Members 1 to `count`, all of them voters. */
export function testMembers(count: number, random: () => number): TestMember[] {
  const voters = Array.from({ length: count }, (_, i) => i + 1);
  const members: Members = { voters, votersOutgoing: [], learners: [] };
  return voters.map((id) => new TestMember(id, members, random));
}
