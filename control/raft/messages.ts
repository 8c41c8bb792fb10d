/**
 * What members of a group say to each other. Any message may be lost, doubled, late or out of order.
 * `term` is the sender's, except for pre-votes, which ask about (and are granted in) the next one.
 */
import type { Entry, LogIndex, MemberId, SnapshotMeta, Term } from './types.ts';

interface Envelope {
  readonly from: MemberId;
  readonly to: MemberId;
  readonly term: Term;
}

export interface VoteRequest extends Envelope {
  readonly kind: 'vote' | 'preVote';
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
  /** The leader itself asked for this election: members that hear it vote all the same. */
  readonly isTransfer: boolean;
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
  /** min(match of the receiver, commitIndex): the receiver holds that much durably. */
  readonly commitIndex: LogIndex;
  /** Of the entry there; 0 when the leader's log does not reach back to it. */
  readonly commitTerm: Term;
  /** The leader's read counter; comes back in the response. */
  readonly readCounter: number;
}

export interface HeartbeatResponse extends Envelope {
  readonly kind: 'heartbeatResponse';
  readonly readCounter: number;
}

/** The content goes by the host's own ways; this message is given to `step` when it has arrived. */
export interface InstallSnapshot extends Envelope {
  readonly kind: 'snapshot';
  readonly snapshot: SnapshotMeta;
}

/** The receiver holds the whole log and is to be elected at once (thesis 3.10). */
export interface TimeoutNow extends Envelope {
  readonly kind: 'timeoutNow';
}

/** A read that a follower passes to the leader; `readId` is of the follower's making. */
export interface ReadRequest extends Envelope {
  readonly kind: 'read';
  readonly readId: number;
}

/** The read may be answered once everything up to `index` is applied. */
export interface ReadResponse extends Envelope {
  readonly kind: 'readResponse';
  readonly readId: number;
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
  | TimeoutNow
  | ReadRequest
  | ReadResponse;

/** Only the leader of a term sends these in it. */
export function isFromLeader(message: Message): boolean {
  const { kind } = message;
  return kind === 'append' || kind === 'heartbeat' || kind === 'snapshot' || kind === 'timeoutNow';
}
