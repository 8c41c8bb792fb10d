/**
 * Layout of a checkpoint: the state after applying log index i, in file `checkpoint-<16 hex>.bin`
 * named by i. A backup is such a file, too.
 *
 *   file     = chunk{n}, manifest, trailer
 *   manifest = format version, group id, index, term, revision, compact revision, quota, u8 no space,
 *              log bytes, checkpoint mark, u32 u32 state hash, members, r, roster{r},
 *              group version, m, (member id, bytes of memory){m}, n, place{n}
 *   roster   = id, key, address, u8 is to vote; by id
 *   place    = u8 kind, length, number of rows, 32 bytes SHA-256 of the chunk; in the file's order
 *   trailer  = "BBCP", u32 format version, u32 manifest length, 32 bytes SHA-256 of the manifest;
 *              laid out so in every version. No sum covers its version, the manifest's counts.
 *
 *   chunk of records = record{n}, by key, per key from old to new
 *            record  = key, value, mod, sub, create, version, lease
 *   chunk of leases  = lease{n}, by id;  lease = id, ttl seconds, remaining ms, generation
 *   chunk of sessions = session{n}, by id
 *            session = id, last index, highest, m, (sequence, u8 outcome, revision){m}
 *
 *   members in force at the index, and what is known of each (engine/roster.ts); bounded, so they stand
 *   in the manifest. Format 1 has none of them; it is read, and no longer written. Format 2 ends with the
 *   roster, and its leases have no generation: what groups of version 1 write (versions.ts).
 *
 * Content and cuts depend on the logical state alone, so that equal members write equal files
 * (reference/store.md section 8, rule 5), and what did not change between two checkpoints is in equal
 * chunks: records are cut where the hash of a record says so, not by counting from the start.
 */
import { NO_MEMBERS } from '#control/raft/raft.ts';
import type { Members } from '#control/raft/raft.ts';
import type { ByteReader, ByteWriter } from '../codec/bytes.ts';
import { SHA256_BYTES } from '../codec/digest.ts';
import { readMembers, writeMembers } from '../codec/members.ts';
import { readRosterRow, writeRosterRow } from '../codec/roster.ts';
import type { MemberMemory } from '../engine/quota.ts';
import type { RosterRow } from '../engine/roster.ts';
import { CHECKPOINT_CHUNK_BYTES_LIMIT, MEMBERS_MAX } from '../limits.ts';
import type { Lanes } from '../mvcc/state-hash.ts';
import { StoreError } from '../port.ts';
import { VERSION_MIN } from '../versions.ts';

const CHECKPOINT_FORMAT_VERSION = 3;
const CHECKPOINT_FORMAT_VERSION_MIN = 1;
export const CHUNK_KIND = { records: 1, leases: 2, sessions: 3 } as const;
export const TRAILER_BYTES = 12 + SHA256_BYTES;
const TRAILER_MAGIC = 0x50434242;

export interface ChunkPlace {
  readonly kind: number;
  readonly length: number;
  readonly rows: number;
  readonly sha256: Uint8Array;
}

export interface Manifest {
  readonly groupId: number;
  readonly index: number;
  readonly term: number;
  readonly revision: number;
  readonly compactRevision: number;
  readonly quotaBytes: number;
  readonly isFull: boolean;
  readonly logBytes: number;
  readonly checkpointMark: number;
  readonly hash: Lanes;
  /** Empty before the first entry that names any. */
  readonly members: Members;
  readonly roster: readonly RosterRow[];
  readonly memory: readonly MemberMemory[];
  /** Of the group. */
  readonly version: number;
  /** Of this file, as the group's version has it. */
  readonly format: number;
  readonly chunks: readonly ChunkPlace[];
}

export interface Trailer {
  readonly format: number;
  readonly manifestBytes: number;
  readonly sha256: Uint8Array;
}

export function checkpointName(index: number): string {
  return `checkpoint-${index.toString(16).padStart(16, '0')}.bin`;
}

/** The index of a checkpoint file, or undefined for other names. */
export function parseCheckpointName(name: string): number | undefined {
  const match = /^checkpoint-([0-9a-f]{16})\.bin$/.exec(name);
  return match?.[1] === undefined ? undefined : Number.parseInt(match[1], 16);
}

export function writeManifest(out: ByteWriter, manifest: Manifest): void {
  const { format } = manifest;
  out.varint(format);
  out.varint(manifest.groupId);
  out.varint(manifest.index);
  out.varint(manifest.term);
  out.varint(manifest.revision);
  out.varint(manifest.compactRevision);
  out.varint(manifest.quotaBytes);
  out.u8(manifest.isFull ? 1 : 0);
  out.varint(manifest.logBytes);
  out.varint(manifest.checkpointMark);
  out.u32(manifest.hash.a);
  out.u32(manifest.hash.b);
  writeMembers(out, manifest.members);
  out.varint(manifest.roster.length);
  for (const row of manifest.roster) writeRosterRow(out, row);
  if (format > 2) writeFacts(out, manifest);
  out.varint(manifest.chunks.length);
  for (const { kind, length, rows, sha256 } of manifest.chunks) {
    out.u8(kind);
    out.varint(length);
    out.varint(rows);
    out.raw(sha256);
  }
}

function writeFacts(out: ByteWriter, { version, memory }: Manifest): void {
  out.varint(version);
  out.varint(memory.length);
  for (const { id, bytes } of memory) {
    out.varint(id);
    out.varint(bytes);
  }
}

function readFacts(input: ByteReader): Pick<Manifest, 'version' | 'memory'> {
  const version = input.varint();
  const memory = readMemberRows(input, () => ({ id: input.varint(), bytes: input.varint() }));
  return { version, memory };
}

/** Throws RangeError when it ends early, StoreError UNSUPPORTED or CORRUPT. */
export function readManifest(input: ByteReader, name: string): Manifest {
  const format = input.varint();
  checkVersion(format, name);
  const groupId = input.varint();
  const index = input.varint();
  const term = input.varint();
  const revision = input.varint();
  const compactRevision = input.varint();
  const quotaBytes = input.varint();
  const isFull = input.u8() === 1;
  const logBytes = input.varint();
  const checkpointMark = input.varint();
  const hash = { a: input.u32(), b: input.u32() };
  const members = format === 1 ? NO_MEMBERS : readMembers(input);
  const roster = format === 1 ? [] : readMemberRows(input, readRosterRow);
  const facts = format > 2 ? readFacts(input) : { version: VERSION_MIN, memory: [] };
  const chunks: ChunkPlace[] = [];
  for (let count = input.varint(); count > 0; count--) chunks.push(readPlace(input, name));
  if (input.remaining > 0) throw corruptCheckpoint(name, 'has a manifest that is too long');
  const scalars = { groupId, index, term, revision, compactRevision, quotaBytes, isFull };
  const rest = { logBytes, checkpointMark, hash, members, roster, chunks };
  return { ...scalars, ...facts, ...rest, format };
}

function readMemberRows<T>(input: ByteReader, read: (input: ByteReader) => T): T[] {
  const count = input.varint();
  if (count > MEMBERS_MAX) throw new RangeError(`${count} members are too many`);
  return Array.from({ length: count }, () => read(input));
}

function readPlace(input: ByteReader, name: string): ChunkPlace {
  const kind = input.u8();
  const length = input.varint();
  const rows = input.varint();
  const at = input.skip(SHA256_BYTES);
  if (length > CHECKPOINT_CHUNK_BYTES_LIMIT) {
    throw corruptCheckpoint(name, `has a chunk of ${length} bytes`);
  }
  return { kind, length, rows, sha256: input.bytes.slice(at, at + SHA256_BYTES) };
}

export function writeTrailer(out: ByteWriter, trailer: Trailer): void {
  out.u32(TRAILER_MAGIC);
  out.u32(trailer.format);
  out.u32(trailer.manifestBytes);
  out.raw(trailer.sha256);
}

/** Whether the version is known is not looked at. Throws RangeError when it ends early, StoreError CORRUPT. */
export function readTrailer(input: ByteReader, name: string): Trailer {
  if (input.u32() !== TRAILER_MAGIC)
    throw corruptCheckpoint(name, 'has no trailer: it is cut, or is no snapshot');
  const format = input.u32();
  const manifestBytes = input.u32();
  const at = input.skip(SHA256_BYTES);
  return { format, manifestBytes, sha256: input.bytes.slice(at, at + SHA256_BYTES) };
}

function checkVersion(version: number, name: string): void {
  if (version >= CHECKPOINT_FORMAT_VERSION_MIN && version <= CHECKPOINT_FORMAT_VERSION) return;
  const known = CHECKPOINT_FORMAT_VERSION;
  const text = `checkpoint ${name} has format version ${version}, known is ${known}`;
  throw new StoreError('UNSUPPORTED', text);
}

export function corruptCheckpoint(name: string, what: string, cause?: unknown): StoreError {
  return new StoreError('CORRUPT', `checkpoint ${name} ${what}`, { cause });
}
