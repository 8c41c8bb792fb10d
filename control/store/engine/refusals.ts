/** The refusals of the state machine, worded once. */
import { StoreError } from '../port.ts';

export function compacted(revision: number, compactRevision: number): StoreError {
  const text = `revision ${revision} is compacted, compact revision is ${compactRevision}`;
  return new StoreError('COMPACTED', text, { compactRevision });
}

export function futureRevision(revision: number, current: number): StoreError {
  const text = `revision ${revision} is in the future, store is at ${current}`;
  return new StoreError('FUTURE_REVISION', text);
}

export function leaseNotFound(id: number): StoreError {
  return new StoreError('LEASE_NOT_FOUND', `lease ${id} does not exist`);
}

export function noSpace(): StoreError {
  return new StoreError('NO_SPACE', 'store quota is exceeded: delete objects or raise the quota');
}

/** Nobody can be asked, and nothing confirmed. */
export function leaderless(): StoreError {
  return new StoreError('UNAVAILABLE', 'no member leads the store');
}
