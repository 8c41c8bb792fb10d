/**
 * What a request must fulfil before any store sees it, one rule for every Store: the same request is
 * refused with the same code whether our engine or an external etcd stands behind the port.
 */
import { KEY_BYTES_MAX, LEASE_TTL_SECONDS_MAX, TXN_OPS_MAX } from '../limits.ts';
import { NO_LEASE, StoreError } from '../port.ts';
import type { KeyRange, LeaseId, Operation, TxnRequest, WatchRequest } from '../port.ts';

/** INVALID_REQUEST unless the key has 1 to KEY_BYTES_MAX code units. */
export function checkKey(key: string): void {
  if (key.length === 0) throw invalidRequest('key is empty');
  if (key.length > KEY_BYTES_MAX) {
    throw invalidRequest(`key of ${key.length} bytes exceeds ${KEY_BYTES_MAX}`);
  }
}

/** INVALID_REQUEST unless `value` is an integer from 0 to 2^53 - 1. */
export function checkCount(value: number, what: string): void {
  if (Number.isSafeInteger(value) && value >= 0) return;
  throw invalidRequest(`${what} ${value} is not a count`);
}

/** Throws INVALID_REQUEST when no key can be in the range: as in etcd, such a watch is a mistake. */
export function checkWatch(request: WatchRequest): void {
  checkKey(request.key);
  checkCount(request.startRevision ?? 0, 'start revision');
  const { key, rangeEnd = '' } = request;
  if (rangeEnd === '' || rangeEnd === '\0' || rangeEnd > key) return;
  throw invalidRequest(`watch from ${JSON.stringify(key)} to ${JSON.stringify(rangeEnd)} is empty`);
}

export function checkTtl(ttlSeconds: number): void {
  const isInRange = ttlSeconds >= 1 && ttlSeconds <= LEASE_TTL_SECONDS_MAX;
  if (Number.isSafeInteger(ttlSeconds) && isInRange) return;
  throw invalidRequest(`lease ttl of ${ttlSeconds} s is out of range`);
}

/** INVALID_REQUEST unless it is a decimal number of 64 bits. */
export function checkLeaseId(leaseId: LeaseId): void {
  if (leaseId === NO_LEASE) return;
  const isNumber = /^-?\d{1,19}$/.test(leaseId);
  if (isNumber && BigInt.asIntN(64, BigInt(leaseId)) === BigInt(leaseId)) return;
  throw invalidRequest(`lease id ${leaseId} is not a number of 64 bits`);
}

/**
 * Throws INVALID_REQUEST or DUPLICATE_KEY. Both branches count, as in etcd, whichever would run.
 *
 * A branch that writes reads the present only. A past or future revision may be refused, and etcd
 * (3.6.8 too) forgets that where nobody waits for the answer: followers, and the member itself when it
 * replays its log, apply the branch that the client was told is refused.
 */
export function checkTxn(request: TxnRequest): void {
  if (request.compare.length > TXN_OPS_MAX) {
    throw invalidRequest(`${request.compare.length} comparisons exceed ${TXN_OPS_MAX}`);
  }
  checkBranch(request.success);
  checkBranch(request.failure);
}

/** A key may be put once per branch, and not both put and deleted: etcd's rule. */
function checkBranch(operations: readonly Operation[]): void {
  if (operations.length > TXN_OPS_MAX) {
    throw invalidRequest(`branch of ${operations.length} operations exceeds ${TXN_OPS_MAX}`);
  }
  if (operations.length < 2) return;
  const isReading = operations.some((o) => o.kind === 'range' && (o.request.revision ?? 0) !== 0);
  if (isReading && operations.some((operation) => operation.kind !== 'range')) {
    throw invalidRequest('a branch that writes reads at a revision');
  }
  const puts = new Set<string>();
  for (const operation of operations) {
    if (operation.kind !== 'put') continue;
    const { key } = operation.request;
    if (puts.has(key)) throw duplicateKey(key);
    puts.add(key);
  }
  for (const operation of operations) {
    if (operation.kind !== 'deleteRange') continue;
    for (const key of puts) if (isInRange(key, operation.request)) throw duplicateKey(key);
  }
}

function isInRange(key: string, range: KeyRange): boolean {
  if (range.rangeEnd === undefined || range.rangeEnd === '') return key === range.key;
  return key >= range.key && (range.rangeEnd === '\0' || key < range.rangeEnd);
}

function duplicateKey(key: string): StoreError {
  return new StoreError('DUPLICATE_KEY', `key ${JSON.stringify(key)} is written twice`);
}

export function invalidRequest(text: string): StoreError {
  return new StoreError('INVALID_REQUEST', text);
}
