/**
 * Transactions on the state machine: evaluate the comparisons, check the chosen branch as a whole,
 * then run it. The check comes first because a branch must not fail half-way.
 */
import { ByteReader, type ByteWriter } from '../codec/bytes.ts';
import { OP } from '../codec/command.ts';
import { readCompare, readKeyRange, readOperation, readRangeBody } from '../codec/read-command.ts';
import { compareBytes } from '../mvcc/byte-range.ts';
import { NONE } from '../mvcc/records.ts';
import { growthOf } from './need.ts';
import { checkedRevision, writeRangeResponse, writeRecord } from './range.ts';
import { leaseNotFound, noSpace } from './refusals.ts';
import { OUTCOME } from './sessions.ts';
import type { StateMachine } from './state-machine.ts';

/** Applies the transaction at `input` and writes its response; returns an OUTCOME. */
export function applyTxn(
  state: StateMachine,
  input: ByteReader,
  reply: ByteWriter,
  isRelief = false,
): number {
  const succeeded = compareAll(state, input);
  const branch = branchOf(input, succeeded);
  checkBranch(state, new ByteReader(branch.bytes, branch.at, branch.end), isRelief);
  const count = branch.varint();
  const revisionAt = reply.varintGap(); // Known after the operations.
  reply.u8(succeeded ? 1 : 0);
  reply.varint(count);
  for (let i = 0; i < count; i++) runOperation(state, branch, reply);
  const wrote = state.mvcc.end();
  reply.fillVarint(revisionAt, state.mvcc.revision);
  if (succeeded) return wrote ? OUTCOME.succeededWriting : OUTCOME.succeeded;
  return wrote ? OUTCOME.failedWriting : OUTCOME.failed;
}

/** The branch that runs, behind the comparisons. */
export function branchOf(input: ByteReader, succeeded: boolean): ByteReader {
  const successBytes = input.u32();
  const failureAt = input.skip(successBytes) + successBytes;
  return succeeded
    ? new ByteReader(input.bytes, failureAt - successBytes, failureAt)
    : new ByteReader(input.bytes, failureAt, input.end);
}

function compareAll(state: StateMachine, input: ByteReader): boolean {
  const count = input.varint();
  let holds = true;
  for (let i = 0; i < count; i++) {
    const compare = readCompare(input);
    const { result } = compare;
    const record = state.mvcc.current(compare.key);
    let order: number;
    if (compare.target === 'value') {
      // As in etcd, a comparison with the value of an absent key never holds.
      if (record === NONE) {
        holds = false;
        continue;
      }
      order = compareBytes(state.mvcc.value(record), compare.value);
    } else {
      order = compareNumber(state, record, compare.target) - compare.value;
    }
    if (result === '=') holds &&= order === 0;
    else if (result === '!=') holds &&= order !== 0;
    else if (result === '<') holds &&= order < 0;
    else holds &&= order > 0;
  }
  return holds;
}

/** An absent key compares as zero in every number. */
function compareNumber(
  state: StateMachine,
  record: number,
  target: 'mod' | 'create' | 'version' | 'lease',
): number {
  return record === NONE ? 0 : (state.mvcc.records[target][record] as number); // Kept record.
}

function checkBranch(state: StateMachine, input: ByteReader, isRelief: boolean): void {
  const { quota, mvcc } = state;
  let reserveBytes = isRelief ? quota.bytes - mvcc.liveBytes : 0;
  for (let count = input.varint(); count > 0; count--) {
    const operation = readOperation(input);
    if (operation.kind === OP.range) {
      checkedRevision(state.mvcc, operation.body.revision);
    } else if (operation.kind === OP.put) {
      const { key, value, lease } = operation;
      if (lease !== 0 && state.leases.get(lease) === undefined) throw leaseNotFound(lease);
      if (!quota.isFull) continue;
      const bytes = growthOf(state, key, value.length);
      if (bytes === 0) continue;
      // Deletions are finished on what is kept back; what is new is no part of one.
      if (bytes > reserveBytes || mvcc.current(key) === NONE) throw noSpace();
      reserveBytes -= bytes;
    }
  }
}

function runOperation(state: StateMachine, input: ByteReader, reply: ByteWriter): void {
  const kind = input.u8();
  reply.u8(kind);
  if (kind === OP.range) writeRangeResponse(state.mvcc, readRangeBody(input), reply);
  else if (kind === OP.put) runPut(state, input, reply);
  else runDeleteRange(state, input, reply);
}

function runPut(state: StateMachine, input: ByteReader, reply: ByteWriter): void {
  const { mvcc, leases } = state;
  const key = input.bytesView();
  const value = input.bytesView();
  const lease = input.varint();
  const wantsPrevious = input.u8() === 1;
  const old = mvcc.current(key);
  if (wantsPrevious && old !== NONE) {
    reply.u8(1);
    writeRecord(mvcc, old, false, reply);
  } else {
    reply.u8(0);
  }
  const oldLease = old === NONE ? 0 : (mvcc.records.lease[old] as number); // Kept record.
  const record = mvcc.put(key, value, lease);
  const keyId = mvcc.records.keyId[record] as number; // Just written.
  if (oldLease !== lease && oldLease !== 0) leases.detach(oldLease, keyId);
  if (lease !== 0) leases.attach(lease, keyId);
}

function runDeleteRange(state: StateMachine, input: ByteReader, reply: ByteWriter): void {
  const { mvcc } = state;
  const range = readKeyRange(input);
  const wantsPrevious = input.u8() === 1;
  const doomed: number[] = [];
  mvcc.scan(range, { revision: mvcc.revision, limit: 0 }, (record) => doomed.push(record));
  reply.varint(doomed.length);
  reply.varint(wantsPrevious ? doomed.length : 0);
  for (const record of doomed) {
    if (wantsPrevious) writeRecord(mvcc, record, false, reply);
    deleteKey(state, mvcc.records.keyId[record] as number); // A living record.
  }
}

/** Deletes a living key and takes it off its lease. */
export function deleteKey(state: StateMachine, keyId: number): void {
  const old = state.mvcc.delete(keyId);
  const lease = state.mvcc.records.lease[old] as number; // Kept record.
  if (lease !== 0) state.leases.detach(lease, keyId);
}
