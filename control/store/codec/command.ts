/**
 * Encoding of commands, as they stand in log entries and in requests:
 *
 *   command = u8 version, u8 kind, session, sequence, body;  session 0 = none
 *             version = that of the group from which on the kind has this layout (software.ts)
 *   txn     = n, compare{n}, u32 byte length of success, ops success, ops failure
 *   compare = u8 target, u8 result, key, number or bytes
 *   ops     = n, op{n};  op = u8 kind, body
 *   range   = key, u8 has end, [end], revision, limit, u8 flags
 *   describeMember = a row of the roster (roster.ts)
 *   reliefTxn = as txn: part of a deletion, which may use the reserve of a store that is full
 *   memberMemory = member id, bytes;  raiseVersion = version;  leaseExpire = id, term, generation
 *
 * The encoder checks requests (StoreError INVALID_REQUEST, DUPLICATE_KEY, TOO_LARGE), because it
 * runs where the caller is. Decoder: read-command.ts.
 */
import { NO_LEASE, StoreError } from '../port.ts';
import type { Compare, KeyRange, LeaseId, Operation, RangeRequest, TxnRequest } from '../port.ts';
import { TXN_BYTES_MAX } from '../limits.ts';
import { VERSION_FACTS, VERSION_MIN } from '../versions.ts';
import type { ByteWriter } from './bytes.ts';
import { checkCount, checkKey, checkLeaseId, checkTxn } from './check.ts';

export const COMMAND = {
  txn: 1,
  compact: 2,
  leaseGrant: 3,
  leaseRevoke: 4,
  leaseCheckpoint: 5,
  configure: 6,
  openSession: 7,
  describeMember: 8,
  memberMemory: 9,
  raiseVersion: 10,
  reliefTxn: 11,
  leaseExpire: 12,
} as const;

/** By kind: the versions of a group from which on its log holds it in another layout (software.ts). */
export const COMMAND_LAYOUTS: Readonly<Record<number, readonly number[]>> = Object.fromEntries(
  Object.values(COMMAND).map((kind) => [kind, [commandSince(kind)]]),
);

/** The version of a group from which on its log may hold this kind of command. */
export function commandSince(kind: number): number {
  return kind <= COMMAND.describeMember ? VERSION_MIN : VERSION_FACTS;
}

export function isTxn(kind: number): boolean {
  return kind === COMMAND.txn || kind === COMMAND.reliefTxn;
}

/** A reliefTxn for a group whose version knows none: the same without that. */
export function asTxn(command: Uint8Array): Uint8Array {
  const copy = command.slice();
  copy[0] = commandSince(COMMAND.txn);
  copy[1] = COMMAND.txn;
  return copy;
}

/** Which command of which client it is: a session (engine/sessions.ts) and a number in it. */
export interface Origin {
  readonly session: number;
  readonly sequence: number;
}

/** Of commands that nobody sends twice. */
export const NO_ORIGIN: Origin = { session: 0, sequence: 0 };

export const OP = { range: 1, put: 2, deleteRange: 3 } as const;

export const TARGETS = ['mod', 'create', 'version', 'lease', 'value'] as const;
export const RESULTS = ['=', '!=', '<', '>'] as const;

export const RANGE_KEYS_ONLY = 1;
export const RANGE_COUNT_ONLY = 2;

export function beginCommand(out: ByteWriter, kind: number, origin: Origin = NO_ORIGIN): void {
  out.u8(commandSince(kind));
  out.u8(kind);
  out.varint(origin.session);
  out.varint(origin.sequence);
}

/** Checks and writes a transaction. Nothing of it stays in `out` when it throws. */
export function encodeTxn(out: ByteWriter, request: TxnRequest, origin: Origin = NO_ORIGIN): void {
  const start = out.length;
  try {
    writeTxn(out, request, origin);
    const bytes = out.length - start;
    if (bytes > TXN_BYTES_MAX) {
      throw new StoreError('TOO_LARGE', `transaction of ${bytes} bytes exceeds ${TXN_BYTES_MAX}`);
    }
  } catch (error) {
    out.truncate(start);
    throw invalid(error);
  }
}

function writeTxn(out: ByteWriter, request: TxnRequest, origin: Origin): void {
  checkTxn(request);
  beginCommand(out, request.isRelief === true ? COMMAND.reliefTxn : COMMAND.txn, origin);
  out.varint(request.compare.length);
  for (const compare of request.compare) writeCompare(out, compare);
  const lengthAt = out.length;
  out.u32(0);
  writeOps(out, request.success);
  out.patchU32(lengthAt, out.length - lengthAt - 4);
  writeOps(out, request.failure);
}

export function encodeRange(out: ByteWriter, request: RangeRequest): void {
  const start = out.length;
  try {
    writeRange(out, request);
  } catch (error) {
    out.truncate(start);
    throw invalid(error);
  }
}

/** True when neither branch can write. */
export function isReadOnly(request: TxnRequest): boolean {
  const reads = (operation: Operation) => operation.kind === 'range';
  return request.success.every(reads) && request.failure.every(reads);
}

export function writeKeyRange(out: ByteWriter, range: KeyRange): void {
  writeKey(out, range.key);
  if (range.rangeEnd === undefined || range.rangeEnd === '') {
    out.u8(0);
  } else {
    out.u8(1);
    out.latin1(range.rangeEnd);
  }
}

function writeRange(out: ByteWriter, request: RangeRequest): void {
  writeKeyRange(out, request);
  writeCount(out, request.revision ?? 0, 'revision');
  writeCount(out, request.limit ?? 0, 'limit');
  const keysOnly = request.keysOnly === true ? RANGE_KEYS_ONLY : 0;
  out.u8(keysOnly | (request.countOnly === true ? RANGE_COUNT_ONLY : 0));
}

function writeOps(out: ByteWriter, operations: readonly Operation[]): void {
  out.varint(operations.length);
  for (const operation of operations) {
    out.u8(OP[operation.kind]);
    if (operation.kind === 'range') {
      writeRange(out, operation.request);
    } else if (operation.kind === 'put') {
      writeKey(out, operation.request.key);
      out.bytes(operation.request.value);
      writeLeaseId(out, operation.request.leaseId ?? NO_LEASE);
      out.u8(operation.request.prevKv === true ? 1 : 0);
    } else {
      writeKeyRange(out, operation.request);
      out.u8(operation.request.prevKv === true ? 1 : 0);
    }
  }
}

function writeCompare(out: ByteWriter, compare: Compare): void {
  out.u8(TARGETS.indexOf(compare.target));
  out.u8(RESULTS.indexOf(compare.result));
  writeKey(out, compare.key);
  if (compare.target === 'value') out.bytes(compare.value);
  else if (compare.target === 'lease') writeLeaseId(out, compare.value);
  else writeCount(out, compare.value, compare.target);
}

function writeKey(out: ByteWriter, key: string): void {
  checkKey(key);
  out.latin1(key);
}

export function writeCount(out: ByteWriter, value: number, what: string): void {
  checkCount(value, what);
  out.varint(value);
}

/** Ids of this store fit a number. One that does not is another store's: no lease here has it. */
export function writeLeaseId(out: ByteWriter, leaseId: LeaseId): void {
  checkLeaseId(leaseId);
  writeCount(out, Math.min(Number(leaseId), Number.MAX_SAFE_INTEGER), 'lease id');
}

function invalid(error: unknown): unknown {
  if (!(error instanceof RangeError)) return error;
  return new StoreError('INVALID_REQUEST', `key is not bytes: ${error.message}`, { cause: error });
}
