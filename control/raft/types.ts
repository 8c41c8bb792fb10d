/**
 * Vocabulary of the Raft core: what goes in (messages, ticks, proposals, disk acknowledgements) and
 * what comes out (Ready). Words are those of the Raft paper. Terms and indexes start at 1; 0 means
 * "none". Member ids are positive integers below 2^53 that are never used twice.
 */

export type MemberId = number;
export type Term = number;
export type LogIndex = number;

export const NO_MEMBER = 0;

export interface Entry {
  readonly index: LogIndex;
  readonly term: Term;
  /** Opaque; empty for the entry that starts a leader's term. */
  readonly data: Uint8Array;
}

/** What must survive a restart beside the log. */
export interface HardState {
  readonly term: Term;
  /** Whom this member voted for in `term`. */
  readonly vote: MemberId;
  readonly commitIndex: LogIndex;
}

/**
 * Who votes. While a joint change runs, `votersOutgoing` is the old set and both must agree; it is
 * empty otherwise. Learners receive the log and do not count.
 */
export interface Members {
  readonly voters: readonly MemberId[];
  readonly votersOutgoing: readonly MemberId[];
  readonly learners: readonly MemberId[];
}

/** The state up to `index` stands in a snapshot that the host makes, sends and installs. */
export interface SnapshotMeta {
  readonly index: LogIndex;
  readonly term: Term;
  readonly members: Members;
}

interface Envelope {
  readonly from: MemberId;
  readonly to: MemberId;
  readonly term: Term;
}

export interface VoteRequest extends Envelope {
  readonly kind: 'vote' | 'preVote';
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
}

export interface VoteResponse extends Envelope {
  readonly kind: 'voteResponse' | 'preVoteResponse';
  readonly rejected: boolean;
}

export interface Append extends Envelope {
  readonly kind: 'append';
  readonly prevIndex: LogIndex;
  readonly prevTerm: Term;
  readonly entries: readonly Entry[];
  readonly commitIndex: LogIndex;
}

export interface AppendResponse extends Envelope {
  readonly kind: 'appendResponse';
  /** Accepted: the last index that matches. Rejected: the `prevIndex` that did not. */
  readonly index: LogIndex;
  readonly rejected: boolean;
  /** Rejected: the last entry that may match, so that the leader skips whole terms. */
  readonly hintIndex: LogIndex;
  readonly hintTerm: Term;
}

export interface Heartbeat extends Envelope {
  readonly kind: 'heartbeat';
  /** min(match of the receiver, commitIndex): the receiver may not hold more. */
  readonly commitIndex: LogIndex;
  /** The leader's read counter; comes back in the response. */
  readonly readCounter: number;
}

export interface HeartbeatResponse extends Envelope {
  readonly kind: 'heartbeatResponse';
  readonly readCounter: number;
}

export interface InstallSnapshot extends Envelope {
  readonly kind: 'snapshot';
  readonly snapshot: SnapshotMeta;
}

/** A read that a follower passes to the leader, and the index at which it may be answered. */
export interface ReadRequest extends Envelope {
  readonly kind: 'read';
  readonly context: number;
}

export interface ReadResponse extends Envelope {
  readonly kind: 'readResponse';
  readonly context: number;
  readonly index: LogIndex;
}

export type Message =
  | VoteRequest
  | VoteResponse
  | Append
  | AppendResponse
  | Heartbeat
  | HeartbeatResponse
  | InstallSnapshot
  | ReadRequest
  | ReadResponse;

/** The read `context` may be answered once everything up to `index` is applied. */
export interface ReadState {
  readonly context: number;
  readonly index: LogIndex;
}

/** The end of what a Ready asks to persist; given back to `persisted` when it is durable. */
export interface PersistMark {
  readonly index: LogIndex;
  readonly term: Term;
  /** The term when the mark was made; a mark of an older term proves nothing any more. */
  readonly inTerm: Term;
}

/**
 * Work for the host, in the order that safety needs:
 *
 * 1. `messages` may leave at once, beside the disk write: a leader replicates in parallel with it.
 * 2. `snapshot`, then `hardState` and `entries`, are made durable together. When `mustSync` is false
 *    losing them costs only time.
 * 3. After that: `persisted(mark)`, and `messagesAfterPersist` leave. These promise what step 2 made
 *    durable: votes, and acknowledged entries. Rejections wait with them; sending those early would
 *    be safe, but one rule is easier to keep than two.
 * 4. `committed` is applied in order at any time, then `applied(index)`. They are durable here
 *    already, so applying never runs ahead of the disk.
 */
export interface Ready {
  readonly messages: readonly Message[];
  readonly snapshot: SnapshotMeta | undefined;
  readonly hardState: HardState | undefined;
  readonly entries: readonly Entry[];
  readonly mustSync: boolean;
  readonly mark: PersistMark;
  readonly messagesAfterPersist: readonly Message[];
  readonly committed: readonly Entry[];
  readonly readStates: readonly ReadState[];
}

export interface RaftConfig {
  readonly id: MemberId;
  readonly members: Members;
  /** Ticks between heartbeats of a leader. */
  readonly heartbeatTicks: number;
  /** A follower campaigns after [1, 2) times this many ticks without a leader. */
  readonly electionTicks: number;
  /** In [0, 1); the only source of chance, so that a seed gives the same run. */
  readonly random: () => number;
}

/** What the host read back from its disk. */
export interface Restored {
  readonly hardState: HardState;
  readonly snapshot: SnapshotMeta | undefined;
  /** Entries behind the snapshot, without a gap. */
  readonly entries: readonly Entry[];
  /** The state machine stands here already. */
  readonly appliedIndex: LogIndex;
}
