/**
 * The Store port: what the API server asks of its one source of truth. Semantics are etcd's v3 KV,
 * Watch and Lease (reference/store.md), so that an external etcd can stand behind the same port and
 * one contract suite compares both.
 *
 * Keys are byte strings held as JS strings of code units 0 to 255 (latin1): their code-unit order is
 * byte order. Values are bytes that nobody changes after handing them over. Revisions are integers
 * up to 2^53, strictly increasing by one per write transaction, starting at 1.
 */

export type Revision = number;

/**
 * A lease's id: a decimal number that callers only hand back. A string, because etcd's ids are
 * 63 bits long and do not fit a JS number. NO_LEASE stands for none.
 */
export type LeaseId = string;

export const NO_LEASE: LeaseId = '0';

export interface KeyValue {
  readonly key: string;
  readonly value: Uint8Array;
  /** Revision of the transaction that created this key (after its last deletion). */
  readonly createRevision: Revision;
  /** Revision of the last transaction that changed this key. */
  readonly modRevision: Revision;
  /** Number of changes since creation, 1 for a new key. */
  readonly version: number;
  /** Lease that the key is attached to, or NO_LEASE. */
  readonly leaseId: LeaseId;
}

/** Keys from `key` up to but excluding `rangeEnd`; absent = exactly `key`; `\0` = all from `key`. */
export interface KeyRange {
  readonly key: string;
  readonly rangeEnd?: string | undefined;
}

export interface RangeRequest extends KeyRange {
  /** Read the state as of this revision; absent or 0 = the latest. */
  readonly revision?: Revision | undefined;
  /** At most this many key-values; absent or 0 = all. */
  readonly limit?: number | undefined;
  readonly keysOnly?: boolean | undefined;
  readonly countOnly?: boolean | undefined;
  /** True: answer from this member's applied state without asking the leader. */
  readonly serializable?: boolean | undefined;
}

export interface RangeResponse {
  /** In key order. */
  readonly kvs: readonly KeyValue[];
  /** Number of keys in the range at that revision, whatever the limit. */
  readonly count: number;
  readonly more: boolean;
  /** The store's current revision when the request was served. */
  readonly revision: Revision;
}

export interface PutRequest {
  readonly key: string;
  readonly value: Uint8Array;
  readonly leaseId?: LeaseId | undefined;
  readonly prevKv?: boolean | undefined;
}

export interface DeleteRangeRequest extends KeyRange {
  readonly prevKv?: boolean | undefined;
}

export type Compare = { readonly key: string; readonly result: '=' | '!=' | '<' | '>' } & (
  | { readonly target: 'mod' | 'create' | 'version'; readonly value: number }
  | { readonly target: 'lease'; readonly value: LeaseId }
  | { readonly target: 'value'; readonly value: Uint8Array }
);

export type Operation =
  | { readonly kind: 'range'; readonly request: RangeRequest }
  | { readonly kind: 'put'; readonly request: PutRequest }
  | { readonly kind: 'deleteRange'; readonly request: DeleteRangeRequest };

export type OperationResult =
  | { readonly kind: 'range'; readonly response: RangeResponse }
  | { readonly kind: 'put'; readonly prevKv?: KeyValue | undefined }
  | {
      readonly kind: 'deleteRange';
      readonly deleted: number;
      readonly prevKvs: readonly KeyValue[];
    };

/**
 * All of `success` when every comparison holds, else all of `failure`; atomically, one revision. A
 * branch puts a key once, does not put and delete it, and reads at a revision only if it does not write.
 */
export interface TxnRequest {
  readonly compare: readonly Compare[];
  readonly success: readonly Operation[];
  readonly failure: readonly Operation[];
  /**
   * Part of a deletion that ends in less: what it adds to a key that is there passes where a store that is
   * full refuses growth. Of no effect on an external cluster, which has no reserve.
   */
  readonly isRelief?: boolean | undefined;
}

export interface TxnResponse {
  readonly succeeded: boolean;
  readonly results: readonly OperationResult[];
  /** The revision of this transaction when it wrote, else the store's current revision. */
  readonly revision: Revision;
}

export interface WatchRequest extends KeyRange {
  /** First revision to deliver; absent or 0 = from the next write on. */
  readonly startRevision?: Revision | undefined;
  readonly prevKv?: boolean | undefined;
}

export interface WatchEvent {
  readonly type: 'put' | 'delete';
  /** For a delete: key and modRevision only, with an empty value. */
  readonly kv: KeyValue;
  readonly prevKv?: KeyValue | undefined;
}

/** Whole revisions only: the events of one transaction never come in two batches. */
export type WatchBatch =
  | { readonly kind: 'events'; readonly revision: Revision; readonly events: readonly WatchEvent[] }
  /** Everything up to `revision` was delivered. */
  | { readonly kind: 'progress'; readonly revision: Revision };

/**
 * Ends with StoreError COMPACTED when `startRevision` is below the compact revision (the error's
 * `compactRevision`), also when the watcher fell behind a compaction. Reading slowly costs the
 * store no memory: a watch that lags is a cursor into kept history. Events may be shared between
 * watches of one client; nobody changes them. Disposing ends the iteration.
 */
export interface Watch extends AsyncIterable<WatchBatch>, Disposable {
  /**
   * Asks for a progress batch; it comes after all events up to its revision. Questions that wait may
   * share one.
   */
  requestProgress(): void;
}

export interface Store {
  range(request: RangeRequest, signal: AbortSignal): Promise<RangeResponse>;
  txn(request: TxnRequest, signal: AbortSignal): Promise<TxnResponse>;
  /** Throws INVALID_REQUEST, for an empty range too. Sees every later write of this client. */
  watch(request: WatchRequest): Watch;
  /**
   * History below `revision` becomes unreadable; the state at `revision` itself stays. Throws
   * COMPACTED when `revision` is not above the compact revision, FUTURE_REVISION when it is above
   * the current one.
   */
  compact(revision: Revision, signal: AbortSignal): Promise<void>;
  /** The store may grant more than was asked for, never less. */
  leaseGrant(ttlSeconds: number, signal: AbortSignal): Promise<GrantedLease>;
  /** Deletes the keys of the lease in one revision. */
  leaseRevoke(leaseId: LeaseId, signal: AbortSignal): Promise<void>;
  /** Resolves to the remaining TTL, or throws LEASE_NOT_FOUND. */
  leaseKeepAlive(leaseId: LeaseId, signal: AbortSignal): Promise<number>;
  status(signal: AbortSignal): Promise<StoreStatus>;
  close(): Promise<void>;
}

export interface GrantedLease {
  readonly leaseId: LeaseId;
  readonly ttlSeconds: number;
}

export interface StoreStatus {
  readonly revision: Revision;
  /** The lowest revision that can still be read, 0 when nothing was ever compacted. */
  readonly compactRevision: Revision;
}

/** What our own store offers beside its data. An external cluster is run with its own tools. */
export interface StoreAdmin {
  memberStatus(signal: AbortSignal): Promise<MemberStatus>;
  members(signal: AbortSignal): Promise<GroupMembers>;
  /**
   * Adds a learner, which becomes a voter by itself once it has caught up if it is to vote. The ids are
   * what the new member is started with. A key that is a member's gives that member's ids, so that one
   * may ask again when the answer was lost.
   */
  addMember(member: NewMember, signal: AbortSignal): Promise<AddedMember>;
  /** Gives a member another key or address. */
  updateMember(member: NewMember & { readonly id: number }, signal: AbortSignal): Promise<void>;
  /** UNAVAILABLE when too few of the voters left would answer. */
  removeMember(id: number, signal: AbortSignal): Promise<void>;
  /**
   * Another id for a member that cannot go on under its own, in one change: the old id goes, the new one
   * comes as a learner and becomes a voter again by itself. INVALID_REQUEST when no member has the key,
   * UNAVAILABLE while the member still takes part, or when too few voters would be left.
   */
  rejoin(member: FormerMember, signal: AbortSignal): Promise<AddedMember>;
  /**
   * As addMember, by the new member itself, which holds a token of the group (join-token.ts).
   * INVALID_REQUEST when the token is unknown or has expired.
   */
  join(member: NewMember & { readonly token: string }, signal: AbortSignal): Promise<AddedMember>;
  /** Begins to hand leadership to a voter. */
  moveLeader(id: number, signal: AbortSignal): Promise<void>;
  /**
   * The whole state, everything acknowledged so far included, as a file of which a store can be made again
   * (restore.ts). Who opened it reads its pieces one after the other, and soon; disposing ends that.
   * Throws UNAVAILABLE when the member cannot make one, or the link to it broke meanwhile.
   */
  snapshot(signal: AbortSignal): Promise<StoreSnapshot>;
}

export interface SnapshotInfo {
  readonly groupId: number;
  readonly revision: Revision;
  /** Of the log entry behind which the state is. */
  readonly index: number;
  /** Of the file. */
  readonly bytes: number;
}

export interface StoreSnapshot extends SnapshotInfo, AsyncDisposable {
  pieces(signal: AbortSignal): AsyncIterable<Uint8Array>;
}

export interface NewMember {
  /** Hash of its public key. */
  readonly key: string;
  /** Where the others reach it. */
  readonly address: string;
  readonly isToVote: boolean;
}

export interface FormerMember {
  /** 0 = it does not know any more. */
  readonly formerId: number;
  /** Hash of its public key. */
  readonly key: string;
  /** Empty: where it was reached before. */
  readonly address: string;
}

export interface AddedMember {
  readonly groupId: number;
  readonly memberId: number;
}

export interface GroupMember {
  readonly id: number;
  readonly key: string;
  readonly address: string;
  readonly role: 'voter' | 'learner';
}

export interface GroupMembers {
  readonly groupId: number;
  /** 0 = none is known. */
  readonly leaderId: number;
  readonly members: readonly GroupMember[];
}

/** Our own store. */
export type OwnStore = Store & StoreAdmin;

/** One member of our own store. */
export interface MemberStatus extends StoreStatus {
  readonly raftTerm: number;
  readonly raftIndex: number;
  readonly keyCount: number;
  /** Bytes of live keys and values, and how many there may be. */
  readonly liveBytes: number;
  readonly quotaBytes: number;
  readonly walBytes: number;
  readonly memberId: number;
  /** 0 = none is known. */
  readonly leaderId: number;
  /** Of the group (versions.ts). */
  readonly version: number;
  readonly alarms: readonly StoreAlarm[];
}

export type StoreAlarm =
  /** 95 % of the quota was reached, and not yet left for 90 %: creates and growth are refused. */
  | 'NO_SPACE'
  /** 80 % of the quota. */
  | 'NEARLY_FULL'
  /** The disk of this member has no room: it takes what does not grow. */
  | 'DISK_FULL'
  /** A leader's: the states of the voters differ and none is a quorum's: writes are refused. */
  | 'CORRUPT';

export type StoreErrorCode =
  | 'COMPACTED'
  | 'FUTURE_REVISION'
  | 'NO_SPACE'
  | 'TOO_LARGE'
  | 'DUPLICATE_KEY'
  | 'LEASE_NOT_FOUND'
  | 'INVALID_REQUEST'
  | 'UNAVAILABLE'
  | 'OUTCOME_UNKNOWN'
  | 'CORRUPT'
  | 'CLOSED'
  /**
   * Written by a newer version of this software: a file, a message or a command. Or an external
   * cluster that cannot be used: too old, or another one than before.
   */
  | 'UNSUPPORTED';

export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;
  /**
   * With COMPACTED, of a watch always: the compact revision, the lowest that can still be read. etcd
   * does not tell it to other requests.
   */
  readonly compactRevision: Revision | undefined;

  constructor(
    code: StoreErrorCode,
    message: string,
    options: { cause?: unknown; compactRevision?: Revision } = {},
  ) {
    super(message, { cause: options.cause });
    this.code = code;
    this.compactRevision = options.compactRevision;
  }
}
