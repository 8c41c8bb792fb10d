/**
 * What a failed call to etcd means. etcd tells its refusals apart by the text of the gRPC status
 * alone (api/v3 rpctypes): the texts below are part of its protocol.
 */
import { status } from '@grpc/grpc-js';
import type { ServiceError } from '@grpc/grpc-js';
import { StoreError } from '../port.ts';
import type { StoreErrorCode } from '../port.ts';

export interface Failure {
  readonly error: StoreError;
  /** The call did not happen, and another member may be able to take it. */
  readonly isForOtherMember: boolean;
  /** The connection, or the member behind it, is of no use for now. */
  readonly isConnectionBad: boolean;
}

/** Refusals by etcd's state machine or its checks: nothing was changed, asking again is no use. */
const REFUSALS: readonly (readonly [string, StoreErrorCode])[] = [
  ['etcdserver: mvcc: required revision has been compacted', 'COMPACTED'],
  ['etcdserver: mvcc: required revision is a future revision', 'FUTURE_REVISION'],
  ['etcdserver: mvcc: database space exceeded', 'NO_SPACE'],
  ['etcdserver: requested lease not found', 'LEASE_NOT_FOUND'],
  ['etcdserver: duplicate key given in txn request', 'DUPLICATE_KEY'],
  ['etcdserver: request is too large', 'TOO_LARGE'],
  ['grpc: received message larger than max', 'TOO_LARGE'], // Of the server, about the request.
  ['etcdserver: too large lease TTL', 'INVALID_REQUEST'],
  ['etcdserver: corrupt cluster', 'CORRUPT'],
  ['etcdserver: too many requests', 'UNAVAILABLE'],
];

/** The member cannot serve the call; it has not begun it. */
const NOT_HERE: readonly string[] = [
  'etcdserver: no leader',
  'etcdserver: rpc not supported for learner',
];

/** Codes of refusals before anything was done, whatever the text. */
const CERTAIN: Readonly<Partial<Record<number, StoreErrorCode>>> = {
  [status.INVALID_ARGUMENT]: 'INVALID_REQUEST',
  [status.PERMISSION_DENIED]: 'UNAVAILABLE',
  [status.UNAUTHENTICATED]: 'UNAVAILABLE',
  [status.UNIMPLEMENTED]: 'UNSUPPORTED',
};

/** `writes`: the call may have changed the store, so without a refusal its outcome is unknown. */
export function explainFailure(cause: ServiceError, writes: boolean): Failure {
  const text = cause.details;
  const refused = REFUSALS.find(([known]) => text.startsWith(known))?.[1];
  const code = refused ?? CERTAIN[cause.code];
  if (code !== undefined) {
    const error = new StoreError(code, `etcd refused: ${text}`, { cause });
    return { error, isForOtherMember: false, isConnectionBad: false };
  }
  if (NOT_HERE.some((known) => text.startsWith(known))) {
    const error = new StoreError('UNAVAILABLE', `etcd cannot serve: ${text}`, { cause });
    return { error, isForOtherMember: true, isConnectionBad: true };
  }
  return {
    error: unanswered(text, writes, cause),
    isForOtherMember: !writes,
    isConnectionBad: true,
  };
}

/** A call that was sent and got no answer of its own. */
export function unanswered(why: string, writes: boolean, cause: unknown): StoreError {
  return writes
    ? new StoreError('OUTCOME_UNKNOWN', `etcd did not confirm a write: ${why}`, { cause })
    : new StoreError('UNAVAILABLE', `etcd did not answer: ${why}`, { cause });
}

/** grpc-js's own refusal of an answer that is larger than RECEIVE_BYTES_MAX. */
export function isAnswerTooLarge(error: unknown): boolean {
  return (
    error instanceof Error &&
    (error as Partial<ServiceError>).code === status.RESOURCE_EXHAUSTED && // Absent on others.
    error.message.includes('Received message larger than max')
  );
}
