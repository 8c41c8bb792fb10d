/**
 * Transactions on the state machine: evaluate the comparisons, check the chosen branch as a whole,
 * then run it. The check comes first because a branch must not fail half-way.
 */
import { assert } from '#base/assert.ts';
import { ByteReader, type ByteWriter } from '../codec/bytes.ts';
import { OP, RESULTS, TARGETS } from '../codec/command.ts';
import { readKeyRange, readRangeBody } from '../codec/read-command.ts';
import { NONE } from '../mvcc/records.ts';
import { grows } from './need.ts';
import { checkedRevision, writeRangeResponse, writeRecord } from './range.ts';
import { leaseNotFound, noSpace } from './refusals.ts';
import type { StateMachine } from './state-machine.ts';

/** Applies the transaction at `input` and writes its response. */
export function applyTxn(state: StateMachine, input: ByteReader, reply: ByteWriter): void {
  const succeeded = compareAll(state, input);
  const successBytes = input.u32();
  const successAt = input.skip(successBytes);
  const branch = succeeded
    ? new ByteReader(input.bytes, successAt, successAt + successBytes)
    : new ByteReader(input.bytes, successAt + successBytes, input.end);
  checkBranch(state, new ByteReader(branch.bytes, branch.at, branch.end));
  const count = branch.varint();
  const revisionAt = reply.varintGap(); // Known after the operations.
  reply.u8(succeeded ? 1 : 0);
  reply.varint(count);
  for (let i = 0; i < count; i++) runOperation(state, branch, reply);
  state.mvcc.end();
  reply.fillVarint(revisionAt, state.mvcc.revision);
}

function compareAll(state: StateMachine, input: ByteReader): boolean {
  const count = input.varint();
  let holds = true;
  for (let i = 0; i < count; i++) {
    const target = TARGETS[input.u8()];
    const result = RESULTS[input.u8()];
    const record = state.mvcc.current(input.bytesView());
    let order: number;
    if (target === 'value') {
      const wanted = input.bytesView();
      // As in etcd, a comparison with the value of an absent key never holds.
      if (record === NONE) {
        holds = false;
        continue;
      }
      order = compareBytes(state.mvcc.value(record), wanted);
    } else {
      assert(target !== undefined, 'a comparison has a known target');
      order = compareNumber(state, record, target) - input.varint();
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

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    const difference = (a[i] as number) - (b[i] as number); // Both in bounds.
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

function checkBranch(state: StateMachine, input: ByteReader): void {
  const count = input.varint();
  for (let i = 0; i < count; i++) {
    const kind = input.u8();
    if (kind === OP.range) {
      checkedRevision(state.mvcc, readRangeBody(input).revision);
    } else if (kind === OP.put) {
      const key = input.bytesView();
      const value = input.bytesView();
      const lease = input.varint();
      input.skip(1);
      if (lease !== 0 && state.leases.get(lease) === undefined) throw leaseNotFound(lease);
      if (state.noSpace && grows(state, key, value.length)) throw noSpace();
    } else {
      assert(kind === OP.deleteRange, `operation kind ${kind} is known`);
      readKeyRange(input);
      input.skip(1);
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
