/** Quota and fencing: rules of the state machine that no client request reaches by itself. */
import { crc32 } from 'node:zlib';
import t from 'tap';
import { ByteReader, ByteWriter } from '../codec/bytes.ts';
import { COMMAND, beginCommand, encodeTxn } from '../codec/command.ts';
import { readError } from '../codec/reply.ts';
import type { Operation } from '../port.ts';
import { SESSION_WINDOW } from '../limits.ts';
import { ANSWER_ERROR, ANSWER_NO_SESSION, StateMachine } from './state-machine.ts';

/** Applies a command and returns 'ok' or the code of the refusal. */
function apply(state: StateMachine, term: number, write: (out: ByteWriter) => void): string {
  const command = new ByteWriter();
  write(command);
  const reply = new ByteWriter();
  state.apply({ index: state.appliedIndex + 1, term, data: command.view() }, reply);
  const answer = new ByteReader(reply.view());
  return answer.u8() === ANSWER_ERROR ? readError(answer).code : 'ok';
}

function txn(state: StateMachine, ...success: Operation[]): string {
  return apply(state, 1, (out) => encodeTxn(out, { compare: [], success, failure: [] }));
}

function put(key: string, bytes: number): Operation {
  return { kind: 'put', request: { key, value: new Uint8Array(bytes) } };
}

function command(state: StateMachine, term: number, kind: number, ...numbers: number[]): string {
  return apply(state, term, (out) => {
    beginCommand(out, kind);
    for (const number of numbers) out.varint(number);
  });
}

t.test('over quota, growth is refused; deletes and updates that do not grow pass', (t) => {
  const state = new StateMachine(crc32);
  t.equal(command(state, 1, COMMAND.configure, 10_000), 'ok');
  for (let i = 0; i < 9; i++) t.equal(txn(state, put(`key${i}`, 1000)), 'ok');
  t.equal(txn(state, put('big', 600)), 'ok', 'the one that crosses the line still passes');
  t.equal(state.quota.isFull, true);
  t.equal(txn(state, put('new', 1)), 'NO_SPACE');
  t.equal(txn(state, put('key0', 1001)), 'NO_SPACE');
  t.equal(txn(state, put('key0', 1000), put('new', 1)), 'NO_SPACE', 'all or nothing');
  t.equal(command(state, 1, COMMAND.leaseGrant, 60), 'NO_SPACE');
  const { revision } = state.mvcc;
  t.equal(txn(state, put('key0', 1000)), 'ok');
  t.equal(txn(state, put('key0', 10)), 'ok');
  t.equal(state.mvcc.revision, revision + 2);
  t.equal(command(state, 1, COMMAND.compact, revision), 'ok');
  t.equal(txn(state, { kind: 'deleteRange', request: { key: 'key1' } }), 'ok');
  t.equal(state.quota.isFull, false, 'the alarm clears itself');
  t.equal(txn(state, put('new', 1)), 'ok');
  t.end();
});

t.test('a revocation of another term is refused', (t) => {
  const state = new StateMachine(crc32);
  t.equal(command(state, 1, COMMAND.leaseGrant, 60), 'ok');
  const leaseId = state.appliedIndex;
  t.equal(command(state, 3, COMMAND.leaseRevoke, leaseId, 2), 'LEASE_NOT_FOUND');
  t.ok(state.leases.get(leaseId), 'the lease lives');
  t.equal(command(state, 3, COMMAND.leaseRevoke, leaseId, 3), 'ok');
  t.equal(state.leases.get(leaseId), undefined);
  t.end();
});

t.test('a command that is not understood stops the state machine', (t) => {
  const rows: [string, number[], { code: string; message?: RegExp }][] = [
    ['version', [2, 1, 0, 0], { code: 'UNSUPPORTED', message: /^log entry 1: .* version 2/ }],
    ['kind', [1, 99, 0, 0], { code: 'UNSUPPORTED', message: /^log entry 1: .* kind 99/ }],
    ['comparison', [1, 1, 0, 0, 1, 9, 0, 1, 97, 0, 1, 0, 0, 0, 0, 0], { code: 'UNSUPPORTED' }],
    ['operation', [1, 1, 0, 0, 0, 2, 0, 0, 0, 1, 9, 0], { code: 'UNSUPPORTED' }],
    ['end', [1, 1, 0, 0, 7], { code: 'CORRUPT', message: /^log entry 1: .* ends early/ }],
    ['head', [1], { code: 'CORRUPT' }],
  ];
  for (const [name, bytes, error] of rows) {
    const entry = { index: 1, term: 1, data: new Uint8Array(bytes) };
    t.throws(() => new StateMachine(crc32).apply(entry, new ByteWriter()), error, name);
  }
  t.end();
});

t.test('an expiry decided on an earlier count of the lease is refused', (t) => {
  const state = new StateMachine(crc32);
  t.equal(command(state, 1, COMMAND.raiseVersion, 2), 'ok');
  t.equal(command(state, 1, COMMAND.leaseGrant, 60), 'ok');
  const id = state.appliedIndex;
  t.equal(command(state, 1, COMMAND.leaseCheckpoint, 1, id, 60_000), 'ok', 'renewed meanwhile');
  t.equal(command(state, 1, COMMAND.leaseExpire, id, 1, 0), 'LEASE_NOT_FOUND');
  t.equal(command(state, 2, COMMAND.leaseExpire, id, 1, 1), 'LEASE_NOT_FOUND', 'of another term');
  t.equal(state.leases.size, 1);
  t.equal(command(state, 2, COMMAND.leaseExpire, id, 2, 1), 'ok');
  t.equal(state.leases.size, 0);
  t.end();
});

t.test('a command that its session has forgotten is not executed, and nobody says it was', (t) => {
  const state = new StateMachine(crc32);
  const session = state.appliedIndex + 1;
  t.equal(command(state, 1, COMMAND.openSession), 'ok');
  const send = (sequence: number, key: string) =>
    apply(state, 1, (out) => {
      const request = { compare: [], success: [put(key, 1)], failure: [] };
      encodeTxn(out, request, { session, sequence });
    });
  t.equal(send(SESSION_WINDOW + 5, 'new'), 'ok');
  t.equal(send(5, 'stale'), 'OUTCOME_UNKNOWN');
  t.equal(send(6, 'hole'), 'ok', 'the oldest that is remembered');
  t.equal(send(6, 'twice'), 'ok', 'as the first time');
  const other = { session: session + 1, sequence: 1 };
  const out = new ByteWriter();
  encodeTxn(out, { compare: [], success: [put('expired', 1)], failure: [] }, other);
  const reply = new ByteWriter();
  state.apply({ index: state.appliedIndex + 1, term: 1, data: out.view() }, reply);
  t.equal(reply.view()[0], ANSWER_NO_SESSION);
  const kept = ['new', 'stale', 'hole', 'twice', 'expired'].filter(
    (key) => state.mvcc.current(Buffer.from(key)) !== 0,
  );
  t.same(kept, ['new', 'hole']);
  t.end();
});

t.test('a command of a later version stops the state machine, with what it is', (t) => {
  for (const [name, data] of [
    ['a version', [99, COMMAND.txn, 0, 0]],
    ['a kind', [1, 99, 0, 0]],
    ['a kind of another version', [1, COMMAND.raiseVersion, 0, 0]],
  ] as const) {
    const state = new StateMachine(crc32);
    const entry = { index: 1, term: 1, data: Uint8Array.from(data) };
    t.throws(
      () => state.apply(entry, new ByteWriter()),
      { code: 'UNSUPPORTED', message: /^log entry 1: command has/ },
      name,
    );
  }
  const old = new StateMachine(crc32, { checkpointLogBytes: 1000, runsAs: 1 });
  t.throws(() => command(old, 1, COMMAND.raiseVersion, 2), { code: 'UNSUPPORTED' });
  const present = new StateMachine(crc32);
  t.throws(() => command(present, 1, COMMAND.raiseVersion, 3), { code: 'UNSUPPORTED' });
  t.end();
});
