/** Valid messages of every kind that the store's decoders take, by chance. */
import type { Entry, Members } from '#control/raft/raft.ts';
import { ByteWriter } from '#control/store/codec/bytes.ts';
import { COMMAND, OP, RESULTS, TARGETS, beginCommand } from '#control/store/codec/command.ts';
import { REQUEST, beginFrame, endFrame } from '#control/store/codec/frame.ts';
import { SOCKET_CLASSES } from '#control/store/codec/hello.ts';
import type { Hello } from '#control/store/codec/hello.ts';
import { ERROR_CODES } from '#control/store/codec/reply.ts';
import { writeMemberRequest } from '#control/store/codec/roster.ts';
import type { MemberRequest } from '#control/store/codec/roster.ts';
import type { PeerMessage } from '#control/store/engine/peers.ts';
import type { RosterRow } from '#control/store/engine/roster.ts';
import { StoreError } from '#control/store/port.ts';
import type { SeededRandom } from '#control/store/testing/seeded-random.ts';
import { NotingWriter } from './fields.ts';
import type { Sample } from './fields.ts';

type Random = SeededRandom;

export function number(random: Random): number {
  return random.chance(0.8) ? random.below(300) : random.below(2 ** random.between(1, 53));
}

export function blob(random: Random, most = 40): Uint8Array {
  return new Uint8Array(random.below(most)).fill(random.below(256));
}

function rosterRows(random: Random): RosterRow[] {
  return Array.from({ length: random.below(5) }, () => ({
    id: number(random),
    key: 'k'.repeat(random.below(64)),
    address: 'a'.repeat(random.below(20)),
    isToVote: random.chance(0.5),
  }));
}

export function members(random: Random): Members {
  const ids = Array.from({ length: 8 }, (_, i) => i * 1000 + 1 + random.below(1000));
  const isJoint = random.chance(0.3);
  const votersOutgoing = isJoint ? ids.slice(1, 4) : [];
  const voters = ids.slice(0, random.between(isJoint ? 1 : 0, 3));
  const learners = random.chance(0.3) ? ids.slice(5, 7) : [];
  const demoted = votersOutgoing.filter((id) => !voters.includes(id));
  const learnersNext = isJoint && random.chance(0.5) ? demoted : [];
  return {
    voters,
    votersOutgoing,
    learners,
    learnersNext,
    autoLeave: isJoint && random.chance(0.5),
  };
}

function entries(random: Random, index: number, term: number, termMax: number): Entry[] {
  let at = term;
  return Array.from({ length: random.below(4) }, (_, i) => {
    at = Math.min(termMax, at + random.below(2));
    const entry = { index: index + 1 + i, term: at, data: blob(random) };
    return random.chance(0.2) ? { ...entry, members: members(random) } : entry;
  });
}

const hash = (random: Random) => new Uint8Array(32).fill(random.below(256));
const lanes = (random: Random) => ({ a: random.below(2 ** 32), b: random.below(2 ** 32) });
function error(random: Random): StoreError {
  const code = random.pick(ERROR_CODES);
  const facts = code === 'COMPACTED' ? { compactRevision: number(random) } : {};
  return new StoreError(code, 'why'.repeat(random.below(4)), facts);
}

const PEER: ((random: Random) => PeerMessage)[] = [
  (r) => ({
    kind: r.chance(0.5) ? 'vote' : 'preVote',
    term: number(r),
    lastIndex: number(r),
    lastTerm: number(r),
    isTransfer: r.chance(0.5),
  }),
  (r) => ({
    kind: r.chance(0.5) ? 'voteResponse' : 'preVoteResponse',
    term: number(r),
    rejected: r.chance(0.5),
  }),
  (r) => {
    const [prevIndex, prevTerm] = [number(r), r.below(300)];
    const term = prevTerm + r.below(5);
    const sent = entries(r, prevIndex, prevTerm, term);
    return { kind: 'append', term, prevIndex, prevTerm, commitIndex: number(r), entries: sent };
  },
  (r) => ({
    kind: 'appendResponse',
    term: number(r),
    index: number(r),
    rejected: r.chance(0.5),
    hintIndex: number(r),
    hintTerm: number(r),
  }),
  (r) => ({
    kind: 'heartbeat',
    term: number(r),
    commitIndex: number(r),
    commitTerm: number(r),
    readCounter: number(r),
  }),
  (r) => ({ kind: 'heartbeatResponse', term: number(r), readCounter: number(r) }),
  (r) => ({ kind: 'timeoutNow', term: number(r) }),
  (r) => ({ kind: 'read', term: number(r), readId: number(r) }),
  (r) => ({ kind: 'readResponse', term: number(r), readId: number(r), index: number(r) }),
  (r) => ({
    kind: 'snapshotOffer',
    term: 300 + number(r),
    snapshot: { index: 1 + number(r), term: 1 + r.below(300), members: members(r) },
    manifest: blob(r),
  }),
  (r) => ({ kind: 'chunkRequest', index: number(r), sha256: hash(r) }),
  (r) => ({
    kind: 'chunk',
    index: number(r),
    sha256: hash(r),
    bytes: r.chance(0.7) ? blob(r, 400) : undefined,
  }),
  (r) => ({ kind: 'snapshotFailed', index: number(r) }),
  (r) => ({ kind: 'ask', id: number(r), term: number(r), what: r.below(4), body: blob(r) }),
  (r) => ({
    kind: 'answer',
    id: number(r),
    result: 'taken',
    index: number(r),
    term: number(r),
    value: number(r),
  }),
  (r) => ({ kind: 'answer', id: number(r), result: 'value', value: number(r) }),
  (r) => ({ kind: 'answer', id: number(r), result: 'notLeader' }),
  (r) => ({ kind: 'answer', id: number(r), result: 'refused', error: error(r) }),
  () => ({ kind: 'termRequest' }),
  (r) => ({
    kind: 'termResponse',
    term: number(r),
    matchIndex: number(r),
    matchTerm: number(r),
  }),
  (r) => ({ kind: 'membersNews', index: number(r), members: members(r) }),
  () => ({ kind: 'rosterRequest' }),
  (r) => ({ kind: 'rosterNews', index: number(r), rows: rosterRows(r) }),
  (r) => ({ kind: 'stateHash', index: number(r) }),
  (r) => ({
    kind: r.chance(0.5) ? 'stateHashAnswer' : 'fence',
    index: number(r),
    hash: lanes(r),
  }),
  (r) => ({ kind: 'entryRequest', after: number(r), to: { index: number(r), term: number(r) } }),
  (r) => {
    const [after, prevTerm] = [number(r), r.below(300)];
    const to = { index: number(r), term: prevTerm + r.below(5) };
    const sent = entries(r, after, prevTerm, to.term);
    const refusal = r.pick(['none', 'lacking', 'released'] as const);
    return { kind: 'entryResponse', after, to, refusal, prevTerm, entries: sent };
  },
  (r) => ({ kind: 'checkpointRequest', index: number(r) }),
  (r) => ({
    kind: 'statement',
    version: number(r),
    isConfirmed: r.chance(0.5),
    memoryBytes: number(r),
  }),
];

export function peerMessage(random: Random): PeerMessage {
  return random.pick(PEER)(random);
}

export function hello(random: Random): Hello {
  return {
    socketClass: random.pick(SOCKET_CLASSES),
    groupId: number(random),
    from: number(random),
    to: number(random),
    lastIndex: number(random),
    lastTerm: number(random),
    version: number(random),
    versionMin: number(random),
    groupVersion: number(random),
  };
}

export function memberRequest(random: Random): MemberRequest {
  const id = number(random);
  const row = { key: 'k'.repeat(random.below(80)), address: 'a:1', isToVote: random.chance(0.5) };
  const rows: MemberRequest[] = [
    { kind: 'add', ...row },
    { kind: 'remove', id },
    { kind: 'describe', row: { id, ...row } },
    { kind: 'move', id },
    { kind: 'rejoin', formerId: id, key: row.key, address: '' },
  ];
  return random.pick(rows);
}

const KEYS = ['a', 'ab', 'b', 'b\0', 'c/1', 'c/2', 'd\xff', 'x'.repeat(300)];

function keyRange(out: ByteWriter, random: Random): void {
  out.latin1(random.pick(KEYS));
  const end = random.pick([undefined, '\0', random.pick(KEYS)]);
  out.u8(end === undefined ? 0 : 1);
  if (end !== undefined) out.latin1(end);
}

function range(out: ByteWriter, random: Random, revision: number): void {
  keyRange(out, random);
  out.varint(revision);
  out.varint(random.below(4));
  out.u8(random.below(4));
}

function operations(out: ByteWriter, random: Random, isReading: boolean): void {
  const count = random.below(4);
  out.varint(count);
  const keys = new Set(KEYS);
  for (let i = 0; i < count; i++) {
    const kind = isReading ? OP.range : random.pick([OP.range, OP.put, OP.put, OP.deleteRange]);
    out.u8(kind);
    if (kind === OP.range) range(out, random, isReading ? random.below(20) : 0);
    else {
      const key = random.pick([...keys]);
      keys.delete(key);
      out.latin1(key);
      if (kind === OP.put) {
        out.bytes(blob(random, 200));
        out.varint(random.chance(0.2) ? number(random) : 0);
      } else out.u8(0);
      out.u8(random.below(2));
    }
  }
}

function txn(out: ByteWriter, random: Random, isReading: boolean): void {
  const compares = random.below(3);
  out.varint(compares);
  for (let i = 0; i < compares; i++) {
    const target = random.pick(TARGETS);
    out.u8(TARGETS.indexOf(target));
    out.u8(random.below(RESULTS.length));
    out.latin1(random.pick(KEYS));
    if (target === 'value') out.bytes(blob(random));
    else out.varint(number(random));
  }
  const lengthAt = out.length;
  out.u32(0);
  operations(out, random, isReading);
  out.patchU32(lengthAt, out.length - lengthAt - 4);
  operations(out, random, isReading);
}

/** A session's id is the index of the entry that opened it: small ones are met. */
function origin(random: Random): { session: number; sequence: number } {
  if (random.chance(0.5)) return { session: 0, sequence: 0 };
  return { session: random.below(40), sequence: 1 + random.below(2000) };
}

function command(out: ByteWriter, random: Random): void {
  const kind = random.pick([
    COMMAND.txn,
    COMMAND.txn,
    COMMAND.txn,
    COMMAND.reliefTxn,
    COMMAND.compact,
    COMMAND.leaseGrant,
    COMMAND.leaseRevoke,
    COMMAND.openSession,
  ]);
  beginCommand(out, kind, origin(random));
  if (kind === COMMAND.txn || kind === COMMAND.reliefTxn) txn(out, random, false);
  else if (kind === COMMAND.compact) out.varint(random.below(200));
  else if (kind === COMMAND.leaseGrant) out.varint(1 + random.below(100));
  else if (kind === COMMAND.leaseRevoke) {
    out.varint(random.below(200));
    out.varint(0);
  }
}

const ONE_NUMBER: ReadonlySet<number> = new Set([
  REQUEST.leaseKeepAlive,
  REQUEST.watchTaken,
  REQUEST.snapshotClose,
]);

/** One message of a client: some frames. */
export function requests(random: Random): Sample {
  const out = new NotingWriter();
  for (let count = 1 + random.below(3); count > 0; count--) {
    const kinds = Object.values(REQUEST);
    const kind = random.chance(0.5) ? REQUEST.propose : random.pick(kinds);
    const lengthAt = beginFrame(out, random.below(100), kind);
    if (kind === REQUEST.propose) command(out, random);
    else if (kind === REQUEST.range) range(out, random, random.below(20));
    else if (kind === REQUEST.readTxn) {
      beginCommand(out, COMMAND.txn);
      txn(out, random, true);
    } else if (ONE_NUMBER.has(kind)) {
      out.varint(random.below(200));
    } else if (kind === REQUEST.watch) {
      keyRange(out, random);
      out.varint(random.below(20));
      out.u8(random.below(2));
    } else if (kind === REQUEST.snapshotRead) {
      for (const most of [4, 5000, 100_000]) out.varint(random.below(most));
    } else if (kind === REQUEST.changeMembers) writeMemberRequest(out, memberRequest(random));
    endFrame(out, lengthAt);
  }
  return out.sample();
}
