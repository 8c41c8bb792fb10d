/**
 * Checks what a client sent over a network, or through another member, by the rules of the encoder (check.ts),
 * before the engine sees it. A client in this process is trusted to have encoded what it sends; one from
 * elsewhere must not be able to end a member, or to put into the log what stops all of them.
 */
import { ASK } from '../engine/peers.ts';
import { KEY_BYTES_MAX, TXN_BYTES_MAX, TXN_OPS_MAX } from '../limits.ts';
import { covers } from '../mvcc/byte-range.ts';
import type { ByteRange } from '../mvcc/byte-range.ts';
import { StoreError } from '../port.ts';
import type { ByteReader } from './bytes.ts';
import { ByteReader as Reader, latin1Text } from './bytes.ts';
import { COMMAND, OP, isTxn } from './command.ts';
import { REQUEST, readFrame } from './frame.ts';
import {
  readCommandHead,
  readCompare,
  readKeyRange,
  readOperation,
  readRangeBody,
} from './read-command.ts';
import { readMemberRequest } from './roster.ts';

/** Throws RangeError, or StoreError UNSUPPORTED, for a message that holds anything but requests. */
export function checkRequests(message: Uint8Array): void {
  const input = new Reader(message);
  while (input.remaining > 0) {
    const { kind, start, end } = readFrame(input);
    const body = new Reader(message, start, end);
    checkRequest(kind, body);
    if (body.remaining > 0) throw new RangeError(`request of kind ${kind} is too long`);
  }
}

/**
 * The same for who is not of the group now: it asks for an id for its own key, and, when that key is a
 * member's, who is of the group.
 */
export function checkOutsider(message: Uint8Array, key: string, isMember: boolean): void {
  checkRequests(message);
  const input = new Reader(message);
  while (input.remaining > 0) {
    const { kind, start, end } = readFrame(input);
    if (kind === REQUEST.members && isMember) continue;
    if (kind !== REQUEST.changeMembers)
      throw new RangeError(`request of kind ${kind} is a client's`);
    const request = readMemberRequest(new Reader(message, start, end));
    const isForItself =
      (request.kind === 'rejoin' || request.kind === 'join') && request.key === key;
    if (!isForItself) {
      throw new RangeError('a member asks for itself alone');
    }
  }
}

/**
 * Throws RangeError, or StoreError UNSUPPORTED, for what another member cannot ask a leader for a client
 * (`what` is one of ASK, engine/peers.ts).
 */
export function checkAsked(what: number, bytes: Uint8Array): void {
  const body = new Reader(bytes);
  if (what === ASK.propose) checkCommand(body);
  else if (what === ASK.keepAlive) body.varint();
  else if (what === ASK.changeMembers) readMemberRequest(body);
  else throw new StoreError('UNSUPPORTED', `a leader is asked for ${what}`);
  if (body.remaining > 0) throw new RangeError('request to a leader is too long');
}

function checkRequest(kind: number, body: ByteReader): void {
  if (kind === REQUEST.propose) checkCommand(body);
  else if (kind === REQUEST.range) checkKeyBytes(readRangeBody(body).range.start);
  else if (kind === REQUEST.readTxn) checkReadTxn(body);
  else if (kind === REQUEST.changeMembers) readMemberRequest(body);
  else if (ONE_NUMBER.has(kind)) body.varint();
  else if (kind === REQUEST.snapshotRead) {
    for (let i = 0; i < 3; i++) body.varint();
  } else if (kind === REQUEST.watch) {
    checkKeyBytes(readKeyRange(body).start);
    body.varint();
    body.u8();
  } else if (!BARE.has(kind)) {
    throw new StoreError('UNSUPPORTED', `request of unknown kind ${kind}`);
  }
}

const ONE_NUMBER: ReadonlySet<number> = new Set([
  REQUEST.leaseKeepAlive,
  REQUEST.watchTaken,
  REQUEST.snapshotClose,
]);

/** Requests without a body. */
const BARE: ReadonlySet<number> = new Set([
  REQUEST.status,
  REQUEST.members,
  REQUEST.snapshotOpen,
  REQUEST.unwatch,
  REQUEST.watchProgress,
]);

function checkCommand(body: ByteReader): void {
  if (body.remaining > TXN_BYTES_MAX) throw new RangeError('command is too long');
  const { kind, session, sequence } = readCommandHead(body);
  if (session !== 0 && sequence === 0) throw new RangeError('command has no number in its session');
  if (isTxn(kind)) checkTxn(body);
  else if (kind === COMMAND.compact || kind === COMMAND.leaseGrant) body.varint();
  else if (kind === COMMAND.leaseRevoke) {
    body.varint();
    if (body.varint() !== 0) throw new RangeError('a client names no term');
  } else if (kind !== COMMAND.openSession) {
    throw new StoreError('UNSUPPORTED', `command of kind ${kind} is the store's own`);
  }
}

function checkReadTxn(body: ByteReader): void {
  if (!isTxn(readCommandHead(body).kind)) throw new RangeError('only transactions read');
  if (checkTxn(body)) throw new RangeError('a transaction that is to read writes');
}

/** True when it may write. */
function checkTxn(body: ByteReader): boolean {
  for (let count = bounded(body); count > 0; count--) checkKeyBytes(readCompare(body).key);
  const successBytes = body.u32();
  const successAt = body.at;
  let isWriting = checkBranch(body);
  if (body.at - successAt !== successBytes) throw new RangeError('branch has a wrong length');
  isWriting = checkBranch(body) || isWriting;
  return isWriting;
}

function checkBranch(body: ByteReader): boolean {
  const puts: Uint8Array[] = [];
  const deletions: ByteRange[] = [];
  let isReadingAt = false;
  for (let count = bounded(body); count > 0; count--) {
    const operation = readOperation(body);
    if (operation.kind === OP.put) {
      checkKeyBytes(operation.key);
      puts.push(operation.key);
    } else if (operation.kind === OP.deleteRange) {
      checkKeyBytes(operation.range.start);
      deletions.push(operation.range);
    } else {
      checkKeyBytes(operation.body.range.start);
      if (operation.body.revision !== 0) isReadingAt = true;
    }
  }
  const isWriting = puts.length + deletions.length > 0;
  if (isWriting && isReadingAt) throw new RangeError('a branch that writes reads at a revision');
  checkWrittenOnce(puts, deletions);
  return isWriting;
}

/** A key changes once in a revision: the state relies on it, and so does who reads it back. */
function checkWrittenOnce(puts: readonly Uint8Array[], deletions: readonly ByteRange[]): void {
  if (puts.length + deletions.length < 2) return;
  const keys = new Set(puts.map((key) => latin1Text(key, 0, key.length)));
  const isDeleted = (key: Uint8Array) => deletions.some((range) => covers(range, key));
  if (keys.size === puts.length && !puts.some(isDeleted)) return;
  throw new RangeError('a key is written twice');
}

function bounded(body: ByteReader): number {
  const count = body.varint();
  if (count > TXN_OPS_MAX) throw new RangeError(`${count} operations are too many`);
  return count;
}

function checkKeyBytes(key: Uint8Array): void {
  if (key.length === 0 || key.length > KEY_BYTES_MAX) throw new RangeError('key has a bad length');
}
