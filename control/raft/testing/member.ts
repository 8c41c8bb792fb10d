/**
 * One member with a disk and a state machine in memory, for tests of the core: every disk write and
 * crash happens when the test says so. Nothing here is random or timed.
 *
 * The disk follows the contract of ready.ts: writes may finish in any order and count in order. A
 * crash keeps what counts, and as many of the following writes as the test lets land. The state
 * machine is lost with the process, as the store's is, and starts again from the snapshot.
 */
import { assert, must } from '#base/assert.ts';
import { Raft } from '../raft.ts';
import type {
  Entry,
  HardState,
  LogIndex,
  MemberId,
  Members,
  Message,
  RaftConfig,
  Ready,
  SnapshotMeta,
} from '../raft.ts';

export interface TestDisk {
  hardState: HardState;
  snapshot: SnapshotMeta | undefined;
  entries: Entry[];
}

/** A write that does not count as durable yet. */
interface HeldWrite {
  readonly ready: Ready;
  isFinished: boolean;
}

export type MemberSetup = Pick<RaftConfig, 'id' | 'members' | 'random'> &
  Partial<Pick<RaftConfig, 'heartbeatTicks' | 'electionTicks' | 'limits'>>;

export class TestMember {
  readonly id: MemberId;
  readonly disk: TestDisk = {
    hardState: { term: 0, vote: 0, commitIndex: 0 },
    snapshot: undefined,
    entries: [],
  };
  raft: Raft;
  /** Oldest first. */
  held: HeldWrite[] = [];
  /** What the state machine got behind the snapshot. */
  applied: Entry[] = [];
  /** Taken to be applied, oldest first: the work of a state machine that lags. */
  unapplied: { readonly entries: readonly Entry[]; readonly lastIndex: LogIndex }[] = [];
  readonly reads: { context: number; index: LogIndex }[] = [];
  readonly #setup: MemberSetup;

  constructor(setup: MemberSetup) {
    this.id = setup.id;
    this.#setup = setup;
    this.raft = this.#start();
  }

  /** Crashes, with the first `landed` writes held on disk though nobody was told; starts again. */
  restart(landed = 0): void {
    for (const { ready } of this.held.slice(0, landed)) foldInto(this.disk, ready);
    this.held = [];
    this.applied = [];
    this.unapplied = [];
    this.raft = this.#start();
  }

  /** Takes the next Ready; the disk and the state machine are not told yet. */
  take(): Ready | undefined {
    if (!this.raft.hasReady) return undefined;
    const ready = this.raft.ready();
    this.held.push({ ready, isFinished: false });
    if (ready.snapshot !== undefined) {
      this.applied = [];
      // The snapshot holds what was being applied; the news of that may still come late.
      this.unapplied = this.unapplied.map(({ lastIndex }) => ({ entries: [], lastIndex }));
    }
    const last = ready.committed.at(-1);
    if (last !== undefined) {
      this.unapplied.push({ entries: ready.committed, lastIndex: last.index });
    }
    this.reads.push(...ready.readStates);
    return ready;
  }

  /** Applies the oldest batch that was taken, if there is one, and says so. */
  apply(): void {
    const batch = this.unapplied.shift();
    if (batch === undefined) return;
    for (const entry of batch.entries) {
      const last = this.applied.at(-1)?.index ?? this.#appliedFrom;
      assert(entry.index === last + 1, `entry ${entry.index} is applied after ${last}`);
      this.applied.push(entry);
    }
    this.raft.applied(batch.lastIndex);
  }

  get #appliedFrom(): LogIndex {
    // A snapshot under way to the disk is installed in the state machine already.
    const installing = this.held.findLast(({ ready }) => ready.snapshot !== undefined);
    return installing?.ready.snapshot?.index ?? this.disk.snapshot?.index ?? 0;
  }

  /** Finishes the held write at `place`, the oldest by default; returns the messages that may leave. */
  persist(place = 0): readonly Message[] {
    const write = must(
      this.held.filter(({ isFinished }) => !isFinished)[place],
      `write ${place} of member ${this.id} is held`,
    );
    write.isFinished = true;
    const durable = this.raft.persisted(write.ready.sequence);
    const messages: Message[] = [];
    while ((this.held[0]?.ready.sequence ?? Number.POSITIVE_INFINITY) <= durable) {
      const { ready } = must(this.held.shift(), 'a write is held');
      foldInto(this.disk, ready);
      messages.push(...ready.messagesAfterPersist);
    }
    return messages;
  }

  get isWriting(): boolean {
    return this.held.some(({ isFinished }) => !isFinished);
  }

  /** Keeps a snapshot of the state at `index` and offers it; false when members are not known there. */
  snapshot(index: LogIndex): boolean {
    const described = must(this.raft.describe(index), `entry ${index} is committed and kept`);
    assert(index <= this.raft.status.appliedIndex, `entry ${index} is applied`);
    if (!this.raft.offerSnapshot(index)) return false;
    this.disk.snapshot = described;
    this.disk.entries = this.disk.entries.filter((entry) => entry.index > index);
    this.applied = this.applied.filter((entry) => entry.index > index);
    return true;
  }

  /** The same, and drops the log before it. */
  compact(index: LogIndex): boolean {
    if (!this.snapshot(index)) return false;
    this.raft.compact(index);
    return true;
  }

  #start(): Raft {
    const { id, members, random, heartbeatTicks = 1, electionTicks = 3, limits } = this.#setup;
    const config = { id, members, random, heartbeatTicks, electionTicks };
    const { hardState, snapshot, entries } = this.disk;
    return new Raft(limits === undefined ? config : { ...config, limits }, {
      hardState,
      snapshot,
      entries: [...entries],
      appliedIndex: snapshot?.index ?? 0,
    });
  }
}

/** What recovery reads back once the write is on disk. */
function foldInto(disk: TestDisk, ready: Ready): void {
  if (ready.snapshot !== undefined && ready.snapshot.index > (disk.snapshot?.index ?? 0)) {
    disk.snapshot = ready.snapshot;
    disk.entries = [];
  }
  if (ready.hardState !== undefined) disk.hardState = ready.hardState;
  const [first] = ready.entries;
  if (first === undefined) return;
  disk.entries = disk.entries.filter(({ index }) => index < first.index);
  const kept = disk.snapshot?.index ?? 0;
  disk.entries.push(...ready.entries.filter(({ index }) => index > kept));
}

/** Members 1 to `count`, all of them voters. */
export function votersUpTo(count: number): readonly MemberId[] {
  return Array.from({ length: count }, (_, place) => place + 1);
}

/** `voters=1,2 outgoing=1 learners=3 learnersNext=4 autoLeave`. */
export function showMembers(members: Members): string {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = members;
  const lists = { voters, outgoing: votersOutgoing, learners, learnersNext };
  const words = Object.entries(lists)
    .filter(([name, ids]) => name === 'voters' || ids.length > 0)
    .map(([name, ids]) => `${name}=${ids.join(',')}`);
  return [...words, ...(autoLeave ? ['autoLeave'] : [])].join(' ');
}
