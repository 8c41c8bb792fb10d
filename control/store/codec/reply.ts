/**
 * Encoding of answers and events, and their decoder on the client's side:
 *
 *   kv      = key, value, create, mod, version, lease
 *   range   = revision, count, u8 more, u32 n, kv{n}
 *   txn     = revision, u8 succeeded, n, result{n};  result = u8 op kind, body
 *   event   = u8 flags (1 delete, 2 has previous), kv, [kv]
 *   error   = u8 code, compact revision, message
 *
 * Decoded values are views on the frame that carried them.
 */
import { NO_LEASE, StoreError } from '../port.ts';
import type {
  KeyValue,
  LeaseId,
  MemberStatus,
  OperationResult,
  RangeResponse,
  SnapshotInfo,
  StoreAlarm,
  StoreErrorCode,
  TxnResponse,
  WatchEvent,
} from '../port.ts';
import type { ByteReader, ByteWriter } from './bytes.ts';
import { OP } from './command.ts';

export const EVENT_DELETE = 1;
export const EVENT_HAS_PREVIOUS = 2;

/** Wire numbers of error codes; only ever appended to. */
export const ERROR_CODES: readonly StoreErrorCode[] = [
  'COMPACTED',
  'FUTURE_REVISION',
  'NO_SPACE',
  'TOO_LARGE',
  'DUPLICATE_KEY',
  'LEASE_NOT_FOUND',
  'INVALID_REQUEST',
  'UNAVAILABLE',
  'OUTCOME_UNKNOWN',
  'CORRUPT',
  'CLOSED',
  'UNSUPPORTED',
];

export function writeError(out: ByteWriter, error: StoreError): void {
  out.u8(ERROR_CODES.indexOf(error.code));
  out.varint(error.compactRevision ?? 0);
  out.latin1(error.message.replaceAll(/[^\0-\xff]/g, '?'));
}

export function readError(input: ByteReader): StoreError {
  // A later version may have more of them.
  const code = ERROR_CODES[input.u8()] ?? 'UNSUPPORTED';
  const compactRevision = input.varint();
  return new StoreError(code, input.latin1(), code === 'COMPACTED' ? { compactRevision } : {});
}

export function readKeyValue(input: ByteReader): KeyValue {
  const key = input.latin1();
  const value = input.bytesView();
  const createRevision = input.varint();
  const modRevision = input.varint();
  const version = input.varint();
  return { key, value, createRevision, modRevision, version, leaseId: readLeaseId(input) };
}

export function readLeaseId(input: ByteReader): LeaseId {
  const id = input.varint();
  return id === 0 ? NO_LEASE : String(id);
}

export function readRangeResponse(input: ByteReader): RangeResponse {
  const revision = input.varint();
  const count = input.varint();
  const more = input.u8() === 1;
  const length = input.u32();
  const kvs: KeyValue[] = [];
  for (let i = 0; i < length; i++) kvs.push(readKeyValue(input));
  return { kvs, count, more, revision };
}

export function readTxnResponse(input: ByteReader): TxnResponse {
  const revision = input.varint();
  const succeeded = input.u8() === 1;
  const length = input.varint();
  const results: OperationResult[] = [];
  for (let i = 0; i < length; i++) results.push(readResult(input));
  return { succeeded, results, revision };
}

function readResult(input: ByteReader): OperationResult {
  const kind = input.u8();
  if (kind === OP.range) return { kind: 'range', response: readRangeResponse(input) };
  if (kind === OP.put) {
    return input.u8() === 0 ? { kind: 'put' } : { kind: 'put', prevKv: readKeyValue(input) };
  }
  const deleted = input.varint();
  const length = input.varint();
  const prevKvs: KeyValue[] = [];
  for (let i = 0; i < length; i++) prevKvs.push(readKeyValue(input));
  return { kind: 'deleteRange', deleted, prevKvs };
}

export function readEvent(input: ByteReader): WatchEvent {
  const flags = input.u8();
  const type = (flags & EVENT_DELETE) === 0 ? 'put' : 'delete';
  const kv = readKeyValue(input);
  if ((flags & EVENT_HAS_PREVIOUS) === 0) return { type, kv };
  return { type, kv, prevKv: readKeyValue(input) };
}

export function writeStatus(out: ByteWriter, status: MemberStatus): void {
  out.varint(status.revision);
  out.varint(status.compactRevision);
  out.varint(status.raftTerm);
  out.varint(status.raftIndex);
  out.varint(status.keyCount);
  out.varint(status.liveBytes);
  out.varint(status.walBytes);
  out.varint(status.memberId);
  out.varint(status.leaderId);
  out.varint(status.quotaBytes);
  out.varint(status.version);
  out.u8(ALARMS.reduce((bits, alarm, i) => bits | (status.alarms.includes(alarm) ? 1 << i : 0), 0));
}

/** Bits of a status, from the lowest. */
const ALARMS: readonly StoreAlarm[] = ['NO_SPACE', 'NEARLY_FULL', 'DISK_FULL', 'CORRUPT'];

export function writeSnapshotInfo(out: ByteWriter, info: SnapshotInfo & { handle: number }): void {
  out.varint(info.handle);
  out.varint(info.groupId);
  out.varint(info.revision);
  out.varint(info.index);
  out.varint(info.bytes);
}

export function readSnapshotInfo(input: ByteReader): SnapshotInfo & { handle: number } {
  const handle = input.varint();
  const groupId = input.varint();
  const revision = input.varint();
  const index = input.varint();
  return { handle, groupId, revision, index, bytes: input.varint() };
}

export function readStatus(input: ByteReader): MemberStatus {
  const revision = input.varint();
  const compactRevision = input.varint();
  const raftTerm = input.varint();
  const raftIndex = input.varint();
  const keyCount = input.varint();
  const liveBytes = input.varint();
  const walBytes = input.varint();
  const memberId = input.varint();
  const leaderId = input.varint();
  const quotaBytes = input.varint();
  const version = input.varint();
  const bits = input.u8();
  return {
    revision,
    compactRevision,
    raftTerm,
    raftIndex,
    keyCount,
    liveBytes,
    walBytes,
    memberId,
    leaderId,
    quotaBytes,
    version,
    alarms: ALARMS.filter((_alarm, i) => (bits & (1 << i)) !== 0),
  };
}
