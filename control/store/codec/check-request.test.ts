/**
 * What a client of another process may send: each row is a message that a client of ours does not make, and
 * that would end a member, or, once it stands in the log, all of them.
 */
import t from 'tap';
import { ByteReader, ByteWriter } from './bytes.ts';
import { checkRequests } from './check-request.ts';
import { COMMAND, OP, beginCommand, encodeTxn } from './command.ts';
import { REQUEST, beginFrame, endFrame } from './frame.ts';

function request(kind: number, write: (out: ByteWriter) => void): Uint8Array {
  const out = new ByteWriter();
  const lengthAt = beginFrame(out, 1, kind);
  write(out);
  endFrame(out, lengthAt);
  return out.take();
}

type Operation = (out: ByteWriter) => void;

const put =
  (key: string): Operation =>
  (out) => {
    out.u8(OP.put);
    out.latin1(key);
    out.bytes(Uint8Array.of(1));
    out.varint(0);
    out.u8(0);
  };

const deleteRange =
  (key: string, end?: string): Operation =>
  (out) => {
    out.u8(OP.deleteRange);
    out.latin1(key);
    out.u8(end === undefined ? 0 : 1);
    if (end !== undefined) out.latin1(end);
    out.u8(0);
  };

const rangeAt =
  (revision: number): Operation =>
  (out) => {
    out.u8(OP.range);
    out.latin1('a');
    out.u8(0);
    out.varint(revision);
    out.varint(0);
    out.u8(0);
  };

/** As the encoder writes it, but for its checks. */
function txn(
  success: readonly Operation[],
  failure: readonly Operation[] = [],
  origin = { session: 7, sequence: 1 },
): Uint8Array {
  const branch = (operations: readonly Operation[]) => {
    const out = new ByteWriter();
    out.varint(operations.length);
    for (const operation of operations) operation(out);
    return out.take();
  };
  return request(REQUEST.propose, (out) => {
    beginCommand(out, COMMAND.txn, origin);
    out.varint(0);
    const bytes = branch(success);
    out.u32(bytes.length);
    out.raw(bytes);
    out.raw(branch(failure));
  });
}

const unsafe = (out: ByteWriter) => out.raw(Uint8Array.of(255, 255, 255, 255, 255, 255, 255, 31));

const refused: [string, Uint8Array, RegExp][] = [
  ['a key put twice in a branch', txn([put('a'), put('a')]), /written twice/],
  ['the same in the other branch', txn([], [put('b'), put('a'), put('b')]), /written twice/],
  ['a key put and deleted', txn([put('a'), deleteRange('a')]), /written twice/],
  ['a key deleted with a range and put', txn([deleteRange('a', 'c'), put('b')]), /written twice/],
  ['a key deleted with all, and put', txn([deleteRange('a', '\0'), put('b')]), /written twice/],
  ['a branch that writes and reads the past', txn([put('a'), rangeAt(3)]), /reads at a revision/],
  [
    'a command without a number in its session',
    txn([put('a')], [], { session: 7, sequence: 0 }),
    /number/,
  ],
  [
    'a number beyond 2^53',
    request(REQUEST.propose, (out) => {
      out.u8(1);
      out.u8(COMMAND.compact);
      out.varint(7);
      unsafe(out);
      out.varint(1);
    }),
    /53 bits/,
  ],
];
for (const [name, message, pattern] of refused) {
  t.test(`checkRequests() refuses ${name}`, async (t) => {
    t.throws(() => checkRequests(message), pattern);
    t.throws(() => checkRequests(message), RangeError);
  });
}

const taken: [string, Uint8Array][] = [
  ['different keys', txn([put('a'), put('b'), deleteRange('c', 'd')])],
  ['the same key in both branches', txn([put('a')], [put('a')])],
  ['a key deleted twice', txn([deleteRange('a'), deleteRange('a', 'b')])],
  ['a branch that reads the past', txn([rangeAt(3), rangeAt(4)])],
  ['a command without a session', txn([put('a')], [], { session: 0, sequence: 0 })],
  [
    'what the encoder writes',
    request(REQUEST.propose, (out) => {
      const request = { key: 'a', value: Uint8Array.of(1) };
      encodeTxn(out, { compare: [], success: [{ kind: 'put', request }], failure: [] });
    }),
  ],
];
for (const [name, message] of taken) {
  t.test(`checkRequests() takes ${name}`, async (t) => {
    t.doesNotThrow(() => checkRequests(message));
  });
}

t.test('ByteReader.varint() reads what a number holds, and no more', async (t) => {
  for (const value of [0, 127, 128, 2 ** 28, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
    const out = new ByteWriter();
    out.varint(value);
    t.equal(new ByteReader(out.take()).varint(), value);
  }
  const out = new ByteWriter();
  unsafe(out);
  t.throws(() => new ByteReader(out.take()).varint(), RangeError);
});
