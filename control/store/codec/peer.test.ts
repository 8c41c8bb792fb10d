/** Messages between members: both ways alike, and nothing but what the core can take. */
import fc from 'fast-check';
import t from 'tap';
import type { Entry, Members } from '#control/raft/raft.ts';
import type { PeerMessage } from '../engine/peers.ts';
import { StoreError } from '../port.ts';
import { ByteReader } from './bytes.ts';
import { checkRequests } from './check-request.ts';
import { decodeHello, encodeHello } from './hello.ts';
import { PeerEncoder, decodePeerMessage, encodePeerMessage } from './peer.ts';

const members: Members = {
  voters: [2, 7],
  votersOutgoing: [2, 9],
  learners: [11],
  learnersNext: [9],
  autoLeave: true,
};

const entries: Entry[] = [
  { index: 8, term: 3, data: Buffer.from('a') },
  { index: 9, term: 4, data: Buffer.from(''), members },
];

const sha256 = new Uint8Array(32).fill(200);
const error = new StoreError('NO_SPACE', 'disk is full');

const messages: PeerMessage[] = [
  { kind: 'vote', term: 5, lastIndex: 2 ** 40, lastTerm: 4, isTransfer: true },
  { kind: 'preVote', term: 6, lastIndex: 1, lastTerm: 1, isTransfer: false },
  { kind: 'voteResponse', term: 5, rejected: true },
  { kind: 'preVoteResponse', term: 5, rejected: false },
  { kind: 'append', term: 5, prevIndex: 7, prevTerm: 3, commitIndex: 6, entries },
  { kind: 'append', term: 5, prevIndex: 0, prevTerm: 0, commitIndex: 0, entries: [] },
  { kind: 'appendResponse', term: 5, index: 9, rejected: true, hintIndex: 3, hintTerm: 2 },
  { kind: 'heartbeat', term: 5, commitIndex: 4, commitTerm: 2, readCounter: 3 },
  { kind: 'heartbeatResponse', term: 5, readCounter: 3 },
  { kind: 'timeoutNow', term: 5 },
  { kind: 'read', term: 5, readId: 2 ** 52 },
  { kind: 'readResponse', term: 5, readId: 7, index: 8 },
  {
    kind: 'snapshotOffer',
    term: 5,
    snapshot: { index: 9, term: 4, members },
    manifest: Buffer.from('manifest'),
  },
  { kind: 'chunkRequest', index: 9, sha256 },
  { kind: 'chunk', index: 9, sha256, bytes: new Uint8Array(3000).fill(1) },
  { kind: 'chunk', index: 9, sha256, bytes: undefined },
  { kind: 'snapshotFailed', index: 9 },
  { kind: 'ask', id: 4, term: 3, what: 1, body: Buffer.from('command') },
  { kind: 'answer', id: 4, result: 'taken', index: 9, term: 4, value: 2 ** 52 },
  { kind: 'answer', id: 4, result: 'value', value: 7 },
  { kind: 'answer', id: 4, result: 'notLeader' },
  { kind: 'answer', id: 4, result: 'refused', error },
  { kind: 'termRequest' },
  { kind: 'termResponse', term: 5, matchIndex: 9, matchTerm: 4 },
  { kind: 'membersNews', index: 9, members },
  { kind: 'rosterRequest' },
  { kind: 'rosterNews', index: 9, rows: [] },
  { kind: 'rosterNews', index: 9, rows: [{ id: 7, key: 'k', address: 'a:1', isToVote: true }] },
  { kind: 'stateHash', index: 9 },
  { kind: 'statement', version: 3, isConfirmed: true, memoryBytes: 2 ** 40 },
  { kind: 'stateHashAnswer', index: 9, hash: { a: 2 ** 32 - 1, b: 0 } },
  { kind: 'fence', index: 9, hash: { a: 1, b: 2 } },
  { kind: 'entryRequest', after: 7, to: { index: 9, term: 4 } },
  {
    kind: 'entryResponse',
    after: 7,
    to: { index: 9, term: 4 },
    refusal: 'none',
    prevTerm: 3,
    entries,
  },
  {
    kind: 'entryResponse',
    after: 7,
    to: { index: 9, term: 4 },
    refusal: 'released',
    prevTerm: 0,
    entries: [],
  },
  { kind: 'checkpointRequest', index: 9 },
];

function decode(bytes: Uint8Array): PeerMessage {
  return decodePeerMessage(new ByteReader(bytes));
}

t.test('a message is read as it was written', (t) => {
  for (const message of messages) t.same(decode(encodePeerMessage(message)), message, message.kind);
  const kinds = new Set(messages.map(({ kind }) => kind));
  t.equal(kinds.size, 29, 'every kind');
  t.end();
});

t.test('an encoder gives each message its own bytes, and one append for all', (t) => {
  const encoder = new PeerEncoder();
  const encoded = messages.map((message) => encoder.encode(message));
  for (const [i, message] of messages.entries()) {
    t.same(encoded[i], encodePeerMessage(message), `${message.kind} after what followed`);
  }
  const append = { kind: 'append', term: 5, prevIndex: 7, prevTerm: 3, commitIndex: 7 } as const;
  const first = encoder.encode({ ...append, entries });
  t.equal(encoder.encode({ ...append, entries: [...entries] }), first, 'to another member');
  const other = { index: 9, term: 4, data: Buffer.from('b') };
  const others: PeerMessage[] = [
    { ...append, entries: entries.slice(0, 1) },
    { ...append, commitIndex: 8, entries },
    { ...append, entries: [entries[0] as Entry, other] },
    { ...append, term: 6, entries },
    { ...append, prevTerm: 2, entries },
    { ...append, entries: [] },
  ];
  for (const message of others) t.same(encoder.encode(message), encodePeerMessage(message));
  t.end();
});

const bad: [string, PeerMessage][] = [
  [
    'terms that fall',
    {
      kind: 'append',
      term: 5,
      prevIndex: 7,
      prevTerm: 4,
      commitIndex: 0,
      entries: [{ index: 8, term: 3, data: sha256 }],
    },
  ],
  [
    'an entry of a later term than the sender',
    { kind: 'append', term: 3, prevIndex: 7, prevTerm: 3, commitIndex: 0, entries },
  ],
  [
    'a learner that votes',
    {
      kind: 'snapshotOffer',
      term: 5,
      snapshot: { index: 1, term: 1, members: { ...members, learners: [2] } },
      manifest: sha256,
    },
  ],
  [
    'members out of order',
    {
      kind: 'snapshotOffer',
      term: 5,
      snapshot: { index: 1, term: 1, members: { ...members, voters: [7, 2] } },
      manifest: sha256,
    },
  ],
  [
    'a snapshot of nothing',
    { kind: 'snapshotOffer', term: 5, snapshot: { index: 0, term: 0, members }, manifest: sha256 },
  ],
];

t.test('what would break an invariant is refused', (t) => {
  for (const [name, message] of bad) {
    t.throws(() => decode(encodePeerMessage(message)), RangeError, name);
  }
  t.throws(() => decode(Uint8Array.of(99)), { code: 'UNSUPPORTED' });
  t.end();
});

/** Valid messages with some bytes changed, cut or added; and bytes of no meaning. */
const damaged = fc.oneof(
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }) },
  {
    weight: 4,
    arbitrary: fc
      .tuple(
        fc.constantFrom(...messages),
        fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { maxLength: 3 }),
        fc.nat(40),
      )
      .map(([message, changes, cut]) => {
        const bytes = encodePeerMessage(message);
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        return bytes.subarray(0, cut > 30 ? bytes.length - (cut - 30) : bytes.length);
      }),
  },
);

function refusesOrTakes(read: () => unknown): void {
  try {
    read();
  } catch (thrown) {
    if (!(thrown instanceof RangeError) && !(thrown instanceof StoreError)) throw thrown;
  }
}

t.test('no bytes break a reader', (t) => {
  const { DECODER_RUNS = '20000' } = process.env;
  const hello = { socketClass: 'bulk', groupId: 1, from: 2, to: 3 } as const;
  const says = { lastIndex: 4, lastTerm: 5, version: 2, versionMin: 1, groupVersion: 1 };
  const seed = encodeHello({ ...hello, ...says });
  fc.assert(
    fc.property(damaged, (bytes) => {
      refusesOrTakes(() => decode(bytes));
      refusesOrTakes(() => checkRequests(bytes));
      refusesOrTakes(() =>
        decodeHello(new ByteReader(Buffer.concat([seed.subarray(0, 5), bytes]))),
      );
    }),
    { numRuns: Number(DECODER_RUNS) },
  );
  t.end();
});
