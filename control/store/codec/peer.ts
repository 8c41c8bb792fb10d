/**
 * Encoding of what members say to each other (engine/peers.ts). Who sends is known from the connection,
 * so no message says it.
 *
 *   message  = u8 kind, fields in the order of `write`; flags are u8
 *   append   = term, prev index, prev term, commit index, entries
 *   entries  = n, entry{n}; indexes follow from the one before
 *   entry    = term, u8 has members, [members], data
 *   snapshot = index, term, members
 *   rosterNews = index, n, row{n} (roster.ts)
 *
 * The reader takes nothing that could break an invariant of the core: entries whose terms fall or exceed
 * the sender's, or configurations that are none, are RangeErrors, an unknown kind is UNSUPPORTED.
 */
import type { Entry, SnapshotMeta } from '#control/raft/raft.ts';
import type { PeerMessage } from '../engine/peers.ts';
import { APPEND_ENTRIES_MAX, CHECKPOINT_CHUNK_BYTES_LIMIT, MEMBERS_MAX } from '../limits.ts';
import { StoreError } from '../port.ts';
import { VERSION_FACTS, VERSION_MIN } from '../versions.ts';
import { ByteWriter } from './bytes.ts';
import type { ByteReader } from './bytes.ts';
import { SHA256_BYTES } from './digest.ts';
import { readMembers, writeMembers } from './members.ts';
import { readError, writeError } from './reply.ts';
import { readRosterRow, writeRosterRow } from './roster.ts';

type Kind = PeerMessage['kind'];
type Of<K extends Kind, M = PeerMessage> = M extends { readonly kind: infer Q }
  ? K extends Q
    ? M
    : never
  : never;

interface Codec<K extends Kind> {
  readonly number: number;
  /** Members that run an earlier version do not know it. */
  readonly since?: number;
  readonly write: (out: ByteWriter, message: Of<K>) => void;
  readonly read: (input: ByteReader) => Omit<Of<K>, 'kind'>;
}

function vote(number: number): Codec<'vote'> {
  return {
    number,
    write: (out, { term, lastIndex, lastTerm, isTransfer }) => {
      writeNumbers(out, term, lastIndex, lastTerm);
      writeFlag(out, isTransfer);
    },
    read: (input) => {
      const term = input.varint();
      const lastIndex = input.varint();
      const lastTerm = input.varint();
      return { term, lastIndex, lastTerm, isTransfer: readFlag(input) };
    },
  };
}

function voteResponse(number: number): Codec<'voteResponse'> {
  return {
    number,
    write: (out, { term, rejected }) => {
      out.varint(term);
      writeFlag(out, rejected);
    },
    read: (input) => ({ term: input.varint(), rejected: readFlag(input) }),
  };
}

/** Numbers are only ever added to. */
const CODECS: { readonly [K in Kind]: Codec<K> } = {
  vote: vote(1),
  preVote: vote(2),
  voteResponse: voteResponse(3),
  preVoteResponse: voteResponse(4),
  append: {
    number: 5,
    write: (out, { term, prevIndex, prevTerm, commitIndex, entries }) => {
      writeNumbers(out, term, prevIndex, prevTerm, commitIndex);
      writeEntries(out, entries);
    },
    read: (input) => {
      const term = input.varint();
      const prevIndex = input.varint();
      const prevTerm = input.varint();
      const commitIndex = input.varint();
      const entries = readEntries(input, { index: prevIndex, term: prevTerm }, term);
      return { term, prevIndex, prevTerm, commitIndex, entries };
    },
  },
  appendResponse: {
    number: 6,
    write: (out, { term, index, rejected, hintIndex, hintTerm }) => {
      writeNumbers(out, term, index, hintIndex, hintTerm);
      writeFlag(out, rejected);
    },
    read: (input) => {
      const term = input.varint();
      const index = input.varint();
      const hintIndex = input.varint();
      const hintTerm = input.varint();
      return { term, index, hintIndex, hintTerm, rejected: readFlag(input) };
    },
  },
  heartbeat: {
    number: 7,
    write: (out, { term, commitIndex, commitTerm, readCounter }) =>
      writeNumbers(out, term, commitIndex, commitTerm, readCounter),
    read: (input) => {
      const term = input.varint();
      const commitIndex = input.varint();
      const commitTerm = input.varint();
      return { term, commitIndex, commitTerm, readCounter: input.varint() };
    },
  },
  heartbeatResponse: {
    number: 8,
    write: (out, { term, readCounter }) => writeNumbers(out, term, readCounter),
    read: (input) => ({ term: input.varint(), readCounter: input.varint() }),
  },
  timeoutNow: {
    number: 9,
    write: (out, { term }) => out.varint(term),
    read: (input) => ({ term: input.varint() }),
  },
  read: {
    number: 10,
    write: (out, { term, readId }) => writeNumbers(out, term, readId),
    read: (input) => ({ term: input.varint(), readId: input.varint() }),
  },
  readResponse: {
    number: 11,
    write: (out, { term, readId, index }) => writeNumbers(out, term, readId, index),
    read: (input) => ({ term: input.varint(), readId: input.varint(), index: input.varint() }),
  },
  snapshotOffer: {
    number: 12,
    write: (out, { term, snapshot, manifest }) => {
      writeNumbers(out, term, snapshot.index, snapshot.term);
      writeMembers(out, snapshot.members);
      out.bytes(manifest);
    },
    read: (input) => {
      const term = input.varint();
      return { term, snapshot: readSnapshot(input, term), manifest: input.bytesView() };
    },
  },
  chunkRequest: {
    number: 13,
    write: (out, { index, sha256 }) => {
      out.varint(index);
      out.raw(sha256);
    },
    read: (input) => ({ index: input.varint(), sha256: readHash(input) }),
  },
  chunk: {
    number: 14,
    write: (out, { index, sha256, bytes }) => {
      out.varint(index);
      out.raw(sha256);
      writeFlag(out, bytes !== undefined);
      if (bytes !== undefined) out.bytes(bytes);
    },
    read: (input) => {
      const index = input.varint();
      const sha256 = readHash(input);
      const bytes = readFlag(input) ? input.bytesView() : undefined;
      if ((bytes?.length ?? 0) > CHECKPOINT_CHUNK_BYTES_LIMIT) {
        throw new RangeError('chunk is too long');
      }
      return { index, sha256, bytes };
    },
  },
  snapshotFailed: {
    number: 15,
    write: (out, { index }) => out.varint(index),
    read: (input) => ({ index: input.varint() }),
  },
  ask: {
    number: 16,
    write: (out, { id, term, what, body }) => {
      writeNumbers(out, id, term, what);
      out.bytes(body);
    },
    read: (input) => {
      const id = input.varint();
      const term = input.varint();
      return { id, term, what: input.varint(), body: input.bytesView() };
    },
  },
  answer: {
    number: 17,
    write: (out, message) => {
      writeNumbers(out, message.id, RESULTS.indexOf(message.result));
      if (message.result === 'taken') {
        writeNumbers(out, message.index, message.term, message.value);
      } else if (message.result === 'value') out.varint(message.value);
      else if (message.result === 'refused') writeError(out, message.error);
    },
    read: (input) => {
      const id = input.varint();
      const result = RESULTS[input.varint()];
      if (result === 'taken') {
        const index = input.varint();
        const term = input.varint();
        return { id, result, index, term, value: input.varint() };
      }
      if (result === 'value') return { id, result, value: input.varint() };
      if (result === 'refused') return { id, result, error: readError(input) };
      if (result === 'notLeader') return { id, result };
      throw new RangeError('answer has an unknown result');
    },
  },
  termRequest: { number: 18, write: () => {}, read: () => ({}) },
  termResponse: {
    number: 19,
    write: (out, { term, matchIndex, matchTerm }) => writeNumbers(out, term, matchIndex, matchTerm),
    read: (input) => {
      const term = input.varint();
      const matchIndex = input.varint();
      return { term, matchIndex, matchTerm: input.varint() };
    },
  },
  stateHash: {
    number: 20,
    write: (out, { index }) => out.varint(index),
    read: (input) => ({ index: input.varint() }),
  },
  stateHashAnswer: { number: 21, write: writeStateHash, read: readStateHash },
  fence: { number: 22, write: writeStateHash, read: readStateHash },
  statement: {
    number: 23,
    since: VERSION_FACTS,
    write: (out, { version, isConfirmed, memoryBytes }) => {
      out.varint(version);
      writeFlag(out, isConfirmed);
      out.varint(memoryBytes);
    },
    read: (input) => {
      const version = input.varint();
      return { version, isConfirmed: readFlag(input), memoryBytes: input.varint() };
    },
  },
  entryRequest: {
    number: 24,
    since: VERSION_FACTS,
    write: (out, { after, to }) => writeNumbers(out, after, to.index, to.term),
    read: (input) => {
      const after = input.varint();
      return { after, to: { index: input.varint(), term: input.varint() } };
    },
  },
  entryResponse: {
    number: 25,
    since: VERSION_FACTS,
    write: (out, { after, to, refusal, prevTerm, entries }) => {
      writeNumbers(out, after, to.index, to.term, REFUSALS.indexOf(refusal), prevTerm);
      writeEntries(out, entries);
    },
    read: (input) => {
      const after = input.varint();
      const to = { index: input.varint(), term: input.varint() };
      const refusal = REFUSALS[input.varint()];
      if (refusal === undefined) throw new RangeError('refusal of entries is unknown');
      const prevTerm = input.varint();
      const entries = readEntries(input, { index: after, term: prevTerm }, to.term);
      return { after, to, refusal, prevTerm, entries };
    },
  },
  checkpointRequest: {
    number: 26,
    since: VERSION_FACTS,
    write: (out, { index }) => out.varint(index),
    read: (input) => ({ index: input.varint() }),
  },
  membersNews: {
    number: 27,
    since: VERSION_FACTS,
    write: (out, { index, members }) => {
      out.varint(index);
      writeMembers(out, members);
    },
    read: (input) => ({ index: input.varint(), members: readMembers(input) }),
  },
  rosterRequest: { number: 28, since: VERSION_FACTS, write: () => {}, read: () => ({}) },
  rosterNews: {
    number: 29,
    since: VERSION_FACTS,
    write: (out, { index, rows }) => {
      writeNumbers(out, index, rows.length);
      for (const row of rows) writeRosterRow(out, row);
    },
    read: (input) => {
      const index = input.varint();
      const count = input.varint();
      if (count > MEMBERS_MAX) throw new RangeError(`${count} members are too many`);
      return { index, rows: Array.from({ length: count }, () => readRosterRow(input)) };
    },
  },
};

const REFUSALS = ['none', 'lacking', 'released'] as const;

const RESULTS = ['taken', 'value', 'refused', 'notLeader'] as const;

const KINDS: ReadonlyMap<number, Kind> = new Map(
  Object.entries(CODECS).map(([kind, { number }]) => [number, kind as Kind]), // Keys of CODECS.
);

/** The version of members from which on they understand this message. */
export function sinceVersion({ kind }: PeerMessage): number {
  return CODECS[kind].since ?? VERSION_MIN;
}

export function encodePeerMessage(
  message: PeerMessage,
  out = new ByteWriter(),
): Uint8Array<ArrayBuffer> {
  const codec = CODECS[message.kind] as Codec<Kind>; // Belongs to the kind.
  out.u8(codec.number);
  codec.write(out, message);
  return out.copy();
}

/** Encodes one message after the other in the same memory, and an append for several members once. */
export class PeerEncoder {
  readonly #out = new ByteWriter();
  #append: { readonly message: Of<'append'>; readonly bytes: Uint8Array<ArrayBuffer> } | undefined;

  /** The result may be that of the last call: it is not to be changed. */
  encode(message: PeerMessage): Uint8Array<ArrayBuffer> {
    if (message.kind !== 'append' || message.entries.length === 0) {
      return encodePeerMessage(message, this.#out);
    }
    if (this.#append === undefined || !isSameAppend(this.#append.message, message)) {
      this.#append = { message, bytes: encodePeerMessage(message, this.#out) };
    }
    return this.#append.bytes;
  }
}

/** Entries are those of one log: where both ends are the same, so is what is between. */
function isSameAppend(a: Of<'append'>, b: Of<'append'>): boolean {
  return (
    a.term === b.term &&
    a.prevIndex === b.prevIndex &&
    a.prevTerm === b.prevTerm &&
    a.commitIndex === b.commitIndex &&
    a.entries.length === b.entries.length &&
    a.entries[0] === b.entries[0] &&
    a.entries.at(-1) === b.entries.at(-1)
  );
}

/** Byte strings are views on the input. Throws RangeError, or StoreError UNSUPPORTED. */
export function decodePeerMessage(input: ByteReader): PeerMessage {
  const number = input.u8();
  const kind = KINDS.get(number);
  if (kind === undefined) throw new StoreError('UNSUPPORTED', `message of unknown kind ${number}`);
  const message = { kind, ...CODECS[kind].read(input) } as PeerMessage; // Belongs to the kind.
  if (input.remaining > 0) throw new RangeError('message is longer than its fields');
  return message;
}

function writeNumbers(out: ByteWriter, ...numbers: number[]): void {
  for (const number of numbers) out.varint(number);
}

function writeStateHash(out: ByteWriter, { index, hash }: Pick<Of<'fence'>, 'index' | 'hash'>) {
  out.varint(index);
  out.u32(hash.a);
  out.u32(hash.b);
}

function readStateHash(input: ByteReader) {
  return { index: input.varint(), hash: { a: input.u32(), b: input.u32() } };
}

function writeFlag(out: ByteWriter, flag: boolean): void {
  out.u8(flag ? 1 : 0);
}

function readFlag(input: ByteReader): boolean {
  return input.u8() === 1;
}

function readHash(input: ByteReader): Uint8Array {
  const at = input.skip(SHA256_BYTES);
  return input.bytes.subarray(at, at + SHA256_BYTES);
}

function readSnapshot(input: ByteReader, termMax: number): SnapshotMeta {
  const index = input.varint();
  const term = input.varint();
  if (index === 0 || term === 0 || term > termMax) throw new RangeError('snapshot is none');
  return { index, term, members: readMembers(input) };
}

function writeEntries(out: ByteWriter, entries: readonly Entry[]): void {
  out.varint(entries.length);
  for (const entry of entries) {
    out.varint(entry.term);
    writeFlag(out, entry.members !== undefined);
    if (entry.members !== undefined) writeMembers(out, entry.members);
    out.bytes(entry.data);
  }
}

function readEntries(
  input: ByteReader,
  before: { index: number; term: number },
  termMax: number,
): Entry[] {
  const entries: Entry[] = [];
  let { index, term } = before;
  const sent = input.varint();
  if (sent > APPEND_ENTRIES_MAX) throw new RangeError(`${sent} entries are too many`);
  for (let count = sent; count > 0; count--) {
    const next = input.varint();
    if (next < term || next > termMax) throw new RangeError('terms of entries fall');
    term = next;
    index++;
    const members = readFlag(input) ? readMembers(input) : undefined;
    const data = input.bytesView();
    entries.push(members === undefined ? { index, term, data } : { index, term, data, members });
  }
  return entries;
}
