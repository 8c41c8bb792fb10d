/**
 * What members say to each other, and the port over which they do: the messages of the Raft core, and
 * what the host adds (contents of snapshots, requests to the leader, questions at start). Any message
 * may be lost, doubled, late or out of order; who sends one does not wait for it. Encoding:
 * codec/peer.ts.
 */
import type {
  Entry,
  InstallSnapshot,
  LogIndex,
  Members,
  Message,
  SnapshotMeta,
} from '#control/raft/raft.ts';
import type { Lanes } from '../mvcc/state-hash.ts';
import type { StoreError } from '../port.ts';
import type { EntryId } from '../wal/format.ts';
import type { RosterRow } from './roster.ts';

/** A snapshot is there to be fetched, in chunks named by their hashes. */
export interface SnapshotOffer {
  readonly kind: 'snapshotOffer';
  /** Of the leader that offers it. */
  readonly term: number;
  readonly snapshot: SnapshotMeta;
  /** Encoded, as it stands in the checkpoint. */
  readonly manifest: Uint8Array;
}

export interface ChunkRequest {
  readonly kind: 'chunkRequest';
  /** Of the snapshot. */
  readonly index: number;
  readonly sha256: Uint8Array;
}

export interface Chunk {
  readonly kind: 'chunk';
  readonly index: number;
  readonly sha256: Uint8Array;
  /** Undefined: the sender has it no more. */
  readonly bytes: Uint8Array | undefined;
}

/** The receiver gives up on a snapshot. */
export interface SnapshotFailed {
  readonly kind: 'snapshotFailed';
  readonly index: number;
}

/** What only a leader can do, asked by another member for its own client. */
export const ASK = { propose: 1, keepAlive: 2, changeMembers: 3 } as const;

export interface Ask {
  readonly kind: 'ask';
  /** Of the asker's making. */
  readonly id: number;
  /** Which the member leads that is asked. */
  readonly term: number;
  /** One of ASK. */
  readonly what: number;
  readonly body: Uint8Array;
}

export type Answer =
  /** Stands in the log there, if nothing intervenes; `value` is a new member's id. */
  | {
      readonly result: 'taken';
      readonly index: number;
      readonly term: number;
      readonly value: number;
    }
  | { readonly result: 'value'; readonly value: number }
  /** Not done; whoever leads now is to be asked. */
  | { readonly result: 'notLeader' }
  | { readonly result: 'refused'; readonly error: StoreError };

export type AskAnswer = { readonly kind: 'answer'; readonly id: number } & Answer;

/** Of a member that has started: which term is the highest you know? */
export interface TermRequest {
  readonly kind: 'termRequest';
}

/** Where a log ends. */
export interface LogTail {
  readonly lastIndex: number;
  readonly lastTerm: number;
}

export interface TermResponse {
  readonly kind: 'termResponse';
  readonly term: number;
  /** A leader's: how much of the log the asker acknowledged. */
  readonly matchIndex: number;
  /** Of the entry there; 0 when the leader's log does not reach back to it. */
  readonly matchTerm: number;
}

/** Beside it, from members that have heard of any: who the group is behind this index, which is committed. */
export interface MembersNews {
  readonly kind: 'membersNews';
  readonly index: LogIndex;
  readonly members: Members;
}

/** Somebody of the group knocks who is not known here: who are the members? */
export interface RosterRequest {
  readonly kind: 'rosterRequest';
}

/** They were these behind this index, which is applied here. */
export interface RosterNews {
  readonly kind: 'rosterNews';
  readonly index: LogIndex;
  readonly rows: readonly RosterRow[];
}

/** Of a leader: what is the hash of your state behind this index? */
export interface StateHashRequest {
  readonly kind: 'stateHash';
  readonly index: number;
}

export interface StateHashAnswer {
  readonly kind: 'stateHashAnswer';
  readonly index: number;
  readonly hash: Lanes;
}

/** This is what a quorum's state is behind this index: whoever differs is to end. */
export interface Fence {
  readonly kind: 'fence';
  readonly index: number;
  readonly hash: Lanes;
}

/** To the leader: what this member runs, and on what (statements.ts). */
export interface Statement {
  readonly kind: 'statement';
  readonly version: number;
  /** It will not go back to the software before. */
  readonly isConfirmed: boolean;
  readonly memoryBytes: number;
}

/**
 * Of a member whose log has a hole: the entries behind `after` in a log that holds the entry `to`. By
 * that entry the logs are equal up to it (wal/join.ts).
 */
export interface EntryRequest {
  readonly kind: 'entryRequest';
  readonly after: LogIndex;
  readonly to: EntryId;
}

/** Answers it in part: the asker asks on behind the last entry. */
export interface EntryResponse {
  readonly kind: 'entryResponse';
  readonly after: LogIndex;
  readonly to: EntryId;
  /** Why there are none: `to` is not in the log here, or what is behind `after` is not kept any more. */
  readonly refusal: 'none' | 'lacking' | 'released';
  /** Of the entry at `after`. */
  readonly prevTerm: number;
  /** From the one behind `after` on. */
  readonly entries: readonly Entry[];
}

/** Of a member that cannot read its checkpoint: offer me yours of this index, or say snapshotFailed. */
export interface CheckpointRequest {
  readonly kind: 'checkpointRequest';
  readonly index: LogIndex;
}

type Envelope = 'from' | 'to';
type Bare<M> = M extends Message ? Omit<M, Envelope> : never;

/** The content of a snapshot goes in chunks; the core's own message stays at home. */
export type RaftMessage = Bare<Exclude<Message, InstallSnapshot>>;

export type PeerMessage =
  | RaftMessage
  | SnapshotOffer
  | ChunkRequest
  | Chunk
  | SnapshotFailed
  | Ask
  | AskAnswer
  | TermRequest
  | TermResponse
  | MembersNews
  | RosterRequest
  | RosterNews
  | StateHashRequest
  | StateHashAnswer
  | Fence
  | Statement
  | EntryRequest
  | EntryResponse
  | CheckpointRequest;

export interface Peers {
  /** Sends, or loses it. False = it did not even leave, for want of a connection. */
  send(to: number, message: PeerMessage): boolean;
  /** Who the members are, and where; called at start and whenever that changes. */
  setMembers(rows: readonly RosterRow[]): void;
}

/** Of a group of one. */
export const NO_PEERS: Peers = { send: () => false, setMembers: () => {} };
