/**
 * Reads checkpoints back: verification, and the restored state. Damage is StoreError CORRUPT, a format
 * of a later version UNSUPPORTED. No more than one chunk is in memory at a time, besides the state.
 */
import { isErrno } from '#base/errors.ts';
import { ByteReader } from '../codec/bytes.ts';
import type { Crc32, Sha256 } from '../codec/digest.ts';
import type { Disk, DiskFile } from '../disk/disk.ts';
import { StateMachine } from '../engine/state-machine.ts';
import type { StateOptions } from '../engine/state-machine.ts';
import {
  CHECKPOINT_MANIFEST_BYTES_LIMIT,
  RESTORE_SLICE_BYTES,
  RESTORE_SLICE_RECORDS,
} from '../limits.ts';
import { compareBytes } from '../mvcc/byte-range.ts';
import { formatHash } from '../mvcc/state-hash.ts';
import {
  CHUNK_KIND,
  TRAILER_BYTES,
  corruptCheckpoint,
  parseCheckpointName,
  readManifest,
  readTrailer,
} from './format.ts';
import type { ChunkPlace, Manifest } from './format.ts';
import { readLeaseRow, readRecordRow, readSessionRow } from './rows.ts';
import { StoreError } from '../port.ts';
import { unknownVersion } from '../versions.ts';

/** Indexes of the complete checkpoints, newest first. */
export function listCheckpoints(disk: Disk): readonly number[] {
  return disk
    .list()
    .map(parseCheckpointName)
    .filter((index) => index !== undefined)
    .sort((a, b) => b - a);
}

/** Checks the manifest, then every chunk, a chunk per step. */
export function* verifyCheckpoint(file: DiskFile, name: string, sha256: Sha256): Generator<void> {
  const manifest = loadManifest(file, name, sha256);
  for (const _chunk of chunksOf(file, name, { manifest, sha256 })) yield;
}

export interface LoadedCheckpoint {
  readonly state: StateMachine;
  readonly manifest: Manifest;
}

/** The state machine as the checkpoint holds it. */
export function loadCheckpoint(
  io: { readonly disk: Disk; readonly crc32: Crc32; readonly sha256: Sha256 },
  name: string,
  options: StateOptions,
): LoadedCheckpoint {
  return finished(loadInSlices(io, name, options));
}

/** The same, some milliseconds at a time. */
export function* loadInSlices(
  io: { readonly disk: Disk; readonly crc32: Crc32; readonly sha256: Sha256 },
  name: string,
  options: StateOptions,
): Generator<void, LoadedCheckpoint> {
  const file = io.disk.open(name);
  try {
    return yield* fileInSlices(io, file, { ...options, name });
  } finally {
    file.close();
  }
}

/** The same from any file. */
export function loadCheckpointFile(
  io: { readonly crc32: Crc32; readonly sha256: Sha256 },
  file: DiskFile,
  options: StateOptions & { readonly name: string },
): LoadedCheckpoint {
  return finished(fileInSlices(io, file, options));
}

function finished<T>(slices: Generator<void, T>): T {
  for (;;) {
    const step = slices.next();
    if (step.done === true) return step.value;
  }
}

function* fileInSlices(
  io: { readonly crc32: Crc32; readonly sha256: Sha256 },
  file: DiskFile,
  options: StateOptions & { readonly name: string },
): Generator<void, LoadedCheckpoint> {
  const { name } = options;
  try {
    const manifest = loadManifest(file, name, io.sha256);
    const state = new StateMachine(io.crc32, options);
    if (manifest.version > state.runsAs) {
      throw unknownVersion(`group of ${name}`, manifest.version, state.runsAs);
    }
    state.version = manifest.version;
    const restore = new Restore(state, name);
    state.mvcc.expect(recordsOf(manifest));
    for (const { place, body } of chunksOf(file, name, { manifest, sha256: io.sha256 })) {
      yield* restore.chunk(place, body);
    }
    yield* restore.end(manifest);
    return { state, manifest };
  } catch (error) {
    throw asCorrupt(error, name);
  }
}

/** The manifest of a checkpoint file, whose chunks are not looked at. */
export function loadManifest(file: DiskFile, name: string, sha256: Sha256): Manifest {
  return readManifestBytes(file, name, sha256).manifest;
}

/** The same, and as it was encoded. */
export function readManifestBytes(
  file: DiskFile,
  name: string,
  sha256: Sha256,
): { readonly manifest: Manifest; readonly bytes: Uint8Array } {
  try {
    const { size } = file;
    if (size < TRAILER_BYTES) throw corruptCheckpoint(name, `has ${size} bytes only`);
    const trailer = readTrailer(
      read(file, size - TRAILER_BYTES, new Uint8Array(TRAILER_BYTES), name),
      name,
    );
    const { manifestBytes } = trailer;
    const at = size - TRAILER_BYTES - manifestBytes;
    if (at < 0 || manifestBytes > CHECKPOINT_MANIFEST_BYTES_LIMIT) {
      throw corruptCheckpoint(name, `has a manifest of ${manifestBytes} bytes`);
    }
    const input = read(file, at, new Uint8Array(manifestBytes), name);
    if (compareBytes(sha256(input.bytes), trailer.sha256) !== 0) {
      throw corruptCheckpoint(name, 'has a damaged manifest');
    }
    const manifest = readManifest(input, name);
    if (trailer.format !== manifest.format) {
      throw corruptCheckpoint(name, `has format version ${trailer.format} in its trailer only`);
    }
    const total = manifest.chunks.reduce((sum, { length }) => sum + length, 0);
    if (total !== at) throw corruptCheckpoint(name, `has ${at} bytes of chunks, not ${total}`);
    return { manifest, bytes: input.bytes };
  } catch (error) {
    throw asCorrupt(error, name);
  }
}

/** The verified bodies of the chunks, in one memory: each is valid until the next. */
export function* chunksOf(
  file: DiskFile,
  name: string,
  { manifest, sha256 }: { readonly manifest: Manifest; readonly sha256: Sha256 },
): Generator<{ readonly place: ChunkPlace; readonly body: ByteReader }> {
  let at = 0;
  const longest = manifest.chunks.reduce((most, { length }) => Math.max(most, length), 0);
  const memory = new Uint8Array(longest);
  for (const place of manifest.chunks) {
    const body = read(file, at, memory.subarray(0, place.length), name);
    if (compareBytes(sha256(body.bytes), place.sha256) !== 0) {
      throw corruptCheckpoint(name, `has a damaged chunk at byte ${at}`);
    }
    yield { place, body };
    at += place.length;
  }
}

/** Undefined when it cannot be read. */
export function readChunk(
  file: DiskFile,
  place: { readonly at: number; readonly length: number },
): Uint8Array | undefined {
  const bytes = new Uint8Array(place.length);
  try {
    return file.read(bytes, place.at) === place.length ? bytes : undefined;
  } catch (error) {
    if (!isErrno(error, 'EIO')) throw error;
    return undefined;
  }
}

function read(file: DiskFile, at: number, bytes: Uint8Array, name: string): ByteReader {
  try {
    if (file.read(bytes, at) === bytes.length) return new ByteReader(bytes);
  } catch (error) {
    if (!isErrno(error, 'EIO')) throw error;
    throw corruptCheckpoint(name, `cannot be read at byte ${at}`, error);
  }
  throw corruptCheckpoint(name, `ends before byte ${at + bytes.length}`);
}

function asCorrupt(error: unknown, name: string): unknown {
  return error instanceof RangeError
    ? corruptCheckpoint(name, 'holds what does not decode', error)
    : error;
}

/** By the manifest, as far as its chunks have bytes for them. */
function recordsOf({ chunks }: Manifest): number {
  let count = 0;
  for (const { kind, rows, length } of chunks) {
    if (kind === CHUNK_KIND.records) count += Math.min(rows, length / ROW_BYTES_MIN);
  }
  return Math.ceil(count);
}

/** Of a record: seven fields. */
const ROW_BYTES_MIN = 7;

class Restore {
  readonly #state: StateMachine;
  readonly #name: string;
  readonly #records: number[] = [];
  #lastKey = new Uint8Array(0);
  #lastMod = 0;

  constructor(state: StateMachine, name: string) {
    this.#state = state;
    this.#name = name;
  }

  *chunk({ kind, rows }: ChunkPlace, body: ByteReader): Generator<void> {
    let yieldAt = RESTORE_SLICE_BYTES;
    for (let row = 0; row < rows; row++) {
      if (row % RESTORE_SLICE_RECORDS === 0 || body.at >= yieldAt) {
        yieldAt = body.at + RESTORE_SLICE_BYTES;
        yield;
      }
      if (kind === CHUNK_KIND.records) this.#record(body);
      else if (kind === CHUNK_KIND.leases) readLeaseRow(body, this.#state);
      else if (kind === CHUNK_KIND.sessions) readSessionRow(body, this.#state);
      else throw unknownKind(this.#name, kind);
    }
    if (body.remaining > 0) throw corruptCheckpoint(this.#name, 'has a chunk that is too long');
  }

  *end(manifest: Manifest): Generator<void> {
    const state = this.#state;
    state.appliedIndex = manifest.index;
    state.appliedTerm = manifest.term;
    state.logBytes = manifest.logBytes;
    state.checkpointMark = manifest.checkpointMark;
    state.members = manifest.members;
    state.quota.setting = manifest.quotaBytes;
    state.quota.isFull = manifest.isFull;
    for (const row of manifest.memory) state.quota.setMemory(row);
    for (const row of manifest.roster) state.roster.set(row);
    yield* state.mvcc.restoreEnd(manifest.revision, manifest.compactRevision, this.#records);
    yield* this.#attachLeases();
    if (state.hash.equals(manifest.hash)) {
      state.restored();
      return;
    }
    const text = `holds a state with hash ${formatHash(state.hash)}`;
    throw corruptCheckpoint(this.#name, `${text}, not ${formatHash(manifest.hash)}`);
  }

  #record(body: ByteReader): void {
    const row = readRecordRow(body);
    const order = compareBytes(row.key, this.#lastKey);
    if (order < 0 || (order === 0 && row.mod <= this.#lastMod)) {
      throw corruptCheckpoint(this.#name, 'has records out of order');
    }
    if (order > 0) this.#lastKey = row.key.slice();
    this.#lastMod = row.mod;
    this.#records.push(this.#state.mvcc.restoreRecord(row));
  }

  /** A key hangs on the lease of its newest record. */
  *#attachLeases(): Generator<void> {
    const { keys, records } = this.#state.mvcc;
    for (const [i, record] of this.#records.entries()) {
      if (i % RESTORE_SLICE_RECORDS === 0) yield;
      const keyId = records.keyId[record] as number; // Just restored.
      if (keys.head[keyId] !== record || records.version[record] === 0) continue;
      const lease = records.lease[record] as number; // Just restored.
      if (lease !== 0) this.#state.leases.attach(lease, keyId);
    }
  }
}

function unknownKind(name: string, kind: number): StoreError {
  return new StoreError('UNSUPPORTED', `checkpoint ${name} has a chunk of kind ${kind}`);
}
