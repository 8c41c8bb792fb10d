/** What another member asks a leader for its clients: bytes that are no request are refused, and end nothing. */
import t from 'tap';
import { ByteWriter } from '../codec/bytes.ts';
import { COMMAND, beginCommand, encodeTxn } from '../codec/command.ts';
import { writeMemberRequest } from '../codec/roster.ts';
import { MemoryDisk } from '../disk/memory-disk.ts';
import { crc32, sha256 } from '../native-digests.ts';
import { openEngine } from './open-engine.ts';
import { ASK } from './peers.ts';
import type { PeerMessage, Peers } from './peers.ts';

function bytes(write: (out: ByteWriter) => void): Uint8Array {
  const out = new ByteWriter();
  write(out);
  return out.take();
}

const put = { kind: 'put', request: { key: 'a', value: new Uint8Array(1) } } as const;
const txn = bytes((out) => encodeTxn(out, { compare: [], success: [put], failure: [] }));

const rows: [string, number, Uint8Array, string][] = [
  ['a write', ASK.propose, txn, 'taken'],
  ['a write that is cut', ASK.propose, txn.subarray(0, txn.length - 2), 'refused'],
  ['a write that goes on', ASK.propose, Buffer.concat([txn, txn]), 'refused'],
  ['nothing', ASK.propose, new Uint8Array(), 'refused'],
  [
    "a command that is the store's own",
    ASK.propose,
    bytes((out) => beginCommand(out, COMMAND.configure)),
    'refused',
  ],
  ['a keepalive of no lease', ASK.keepAlive, Uint8Array.of(9), 'refused'],
  ['a keepalive without an id', ASK.keepAlive, new Uint8Array(), 'refused'],
  ['no change of members', ASK.changeMembers, Uint8Array.of(0, 200), 'refused'],
  ['an unknown change of members', ASK.changeMembers, Uint8Array.of(77), 'refused'],
  [
    'a change of members',
    ASK.changeMembers,
    bytes((out) => writeMemberRequest(out, { kind: 'move', id: 12 })),
    'refused',
  ],
  ['something unknown', 99, txn, 'refused'],
];

function open(disk: MemoryDisk, sent: PeerMessage[]) {
  const peers: Peers = { send: (_to, message) => sent.push(message) > 0, setMembers: () => {} };
  const log = { info: () => {}, warn: () => {}, error: () => {} };
  const io = { disk, crc32, sha256, log, peers, random: () => 0.5, monotonicMs: () => 0 };
  return openEngine(io, {});
}

t.test('what was asked of a process before this one is neither taken nor answered', (t) => {
  const disk = new MemoryDisk();
  const sent: PeerMessage[] = [];
  const former = open(disk, sent);
  const ask = { kind: 'ask', id: 1, term: former.term, what: ASK.propose, body: txn } as const;
  former.abort();
  const engine = open(disk, sent);
  t.ok(engine.isLeader && engine.term > ask.term);
  const { lastIndex } = engine.tail;
  engine.receive(77, ask);
  while (engine.pump());
  t.equal(engine.tail.lastIndex, lastIndex);
  t.same(sent, []);
  engine.receive(77, { ...ask, term: engine.term });
  while (engine.pump());
  t.equal(engine.tail.lastIndex, lastIndex + 1);
  t.match(sent, [{ kind: 'answer', id: 1, result: 'taken' }]);
  engine.close();
  t.end();
});

t.test('a leader refuses what is no request of another member', async (t) => {
  const sent: PeerMessage[] = [];
  const engine = open(new MemoryDisk(), sent);
  for (const [id, [name, what, body, result]] of rows.entries()) {
    engine.receive(77, { kind: 'ask', id, term: engine.term, what, body });
    t.doesNotThrow(() => {
      while (engine.pump());
    }, name);
    const answer = sent.find((message) => message.kind === 'answer' && message.id === id);
    t.match(answer, { result }, name);
  }
  engine.close();
});
