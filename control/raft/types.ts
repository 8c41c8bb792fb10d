/**
 * Vocabulary of the Raft core: entries, terms, members, snapshots, and what a host brings along.
 * What members say to each other is in messages.ts, what the core asks of its host in ready.ts.
 * Words are those of the Raft paper. Terms and indexes start at 1; 0 means "none". Member ids are
 * positive integers below 2^53 that are never used twice.
 */
import type { Limits } from './limits.ts';

export type MemberId = number;
export type Term = number;
export type LogIndex = number;

/**
 * Who votes and who receives the log. Outside a joint change `votersOutgoing` is empty. While one
 * runs, `voters` are the new and `votersOutgoing` the old ones, and every decision needs a majority
 * of both. Learners receive the log and do not count. All lists ascend.
 *
 *   learners      disjoint from voters and votersOutgoing
 *   learnersNext  within votersOutgoing: voters that become learners when the joint change ends
 *   autoLeave     the leader ends the joint change by itself, once it is committed
 */
export interface Members {
  readonly voters: readonly MemberId[];
  readonly votersOutgoing: readonly MemberId[];
  readonly learners: readonly MemberId[];
  readonly learnersNext: readonly MemberId[];
  readonly autoLeave: boolean;
}

export interface Entry {
  readonly index: LogIndex;
  readonly term: Term;
  /** Opaque; empty for the entry that starts a leader's term. */
  readonly data: Uint8Array;
  /**
   * Present when the entry changes the members: the whole configuration that follows. It is in force
   * from the moment that the entry is in the log, committed or not (thesis 4.1).
   */
  readonly members?: Members;
}

/** What must survive a restart beside the log. */
export interface HardState {
  readonly term: Term;
  /** Whom this member voted for in `term`. */
  readonly vote: MemberId;
  readonly commitIndex: LogIndex;
}

/** The state up to `index` stands in a snapshot that the host makes, sends and installs. */
export interface SnapshotMeta {
  readonly index: LogIndex;
  readonly term: Term;
  /** In force at `index`, not later: entries behind it bring their own. */
  readonly members: Members;
}

/** The read `context` may be answered once everything up to `index` is applied. */
export interface ReadState {
  readonly context: number;
  readonly index: LogIndex;
}

export interface RaftConfig {
  readonly id: MemberId;
  /**
   * In force until the log or a snapshot says otherwise: the founders of a group, or `NO_MEMBERS`
   * for a member that joins one and learns from its log.
   */
  readonly members: Members;
  /** Ticks between heartbeats of a leader. */
  readonly heartbeatTicks: number;
  /** A follower campaigns after [1, 2) times this many ticks without a leader. */
  readonly electionTicks: number;
  /** In [0, 1); the only source of chance, so that a seed gives the same run. */
  readonly random: () => number;
  readonly limits?: Partial<Limits>;
}

/** What the host read back from its disk. */
export interface Restored {
  readonly hardState: HardState;
  readonly snapshot: SnapshotMeta | undefined;
  /** Entries behind the snapshot, without a gap. */
  readonly entries: readonly Entry[];
  /** The state machine stands here already. */
  readonly appliedIndex: LogIndex;
  /**
   * For a disk that may be older than what its member once promised (a restored backup): vote only in
   * terms above this one, the highest that a quorum of others has heard of. Infinity = not known yet:
   * this member neither votes nor campaigns before `voteAbove` says so.
   */
  readonly voteAboveTerm?: Term;
}
