/** Reads checkpoints back: verification, and the restored state. Damage is StoreError CORRUPT. */
import { assert } from '#base/assert.ts';
import { isErrno } from '#base/errors.ts';
import { ByteReader } from '../codec/bytes.ts';
import type { Crc32 } from '../codec/digest.ts';
import type { Disk, DiskFile } from '../disk/disk.ts';
import { StateMachine } from '../engine/state-machine.ts';
import { formatHash } from '../mvcc/state-hash.ts';
import type { Lanes } from '../mvcc/state-hash.ts';
import {
  CHECKPOINT_FORMAT_VERSION,
  CHECKPOINT_MAGIC,
  CHUNK_HEADER_BYTES,
  CHUNK_KIND,
  corruptCheckpoint,
  parseCheckpointName,
  readRecord,
} from './format.ts';

/** Indexes of the complete checkpoints, newest first. */
export function listCheckpoints(disk: Disk): readonly number[] {
  return disk
    .list()
    .map(parseCheckpointName)
    .filter((index) => index !== undefined)
    .sort((a, b) => b - a);
}

/** Checks every chunk and the end mark, a chunk per step. */
export function* verifyCheckpoint(file: DiskFile, name: string, crc32: Crc32): Generator<void> {
  let isComplete = false;
  for (const body of chunks(file, name, crc32)) {
    isComplete = body.bytes[0] === CHUNK_KIND.end;
    yield;
  }
  if (!isComplete) throw corruptCheckpoint(name, 'has no end');
}

/** The state machine as the checkpoint holds it. */
export function loadCheckpoint(disk: Disk, name: string, crc32: Crc32): StateMachine {
  const file = disk.open(name);
  try {
    return restore(file, name, crc32);
  } catch (error) {
    if (error instanceof RangeError) throw corruptCheckpoint(name, 'ends early', error);
    if (isErrno(error, 'EIO')) throw corruptCheckpoint(name, 'cannot be read', error);
    throw error;
  } finally {
    file.close();
  }
}

function restore(file: DiskFile, name: string, crc32: Crc32): StateMachine {
  const state = new StateMachine(crc32);
  const records: number[] = [];
  let revisions: { revision: number; compactRevision: number; hash: Lanes } | undefined;
  let isComplete = false;
  for (const body of chunks(file, name, crc32)) {
    const kind = body.u8();
    if (kind === CHUNK_KIND.header) {
      revisions = readHeader(body, state, name);
    } else if (kind === CHUNK_KIND.records) {
      for (let count = body.varint(); count > 0; count--) {
        records.push(state.mvcc.restoreRecord(readRecord(body)));
      }
    } else {
      assert(kind === CHUNK_KIND.end, `chunk kind ${kind} is known`);
      isComplete = body.varint() === records.length;
    }
  }
  if (revisions === undefined || !isComplete) throw corruptCheckpoint(name, 'is incomplete');
  state.mvcc.restoreEnd(revisions.revision, revisions.compactRevision, records);
  attachLeases(state, records);
  if (!state.hash.equals(revisions.hash)) {
    const text = `holds a state with hash ${formatHash(state.hash)}, not ${formatHash(revisions.hash)}`;
    throw corruptCheckpoint(name, text);
  }
  return state;
}

function readHeader(
  body: ByteReader,
  state: StateMachine,
  name: string,
): { revision: number; compactRevision: number; hash: Lanes } {
  if (body.latin1() !== CHECKPOINT_MAGIC) throw corruptCheckpoint(name, 'has no magic');
  const version = body.varint();
  if (version !== CHECKPOINT_FORMAT_VERSION) {
    throw corruptCheckpoint(name, `has unknown version ${version}`);
  }
  state.appliedIndex = body.varint();
  state.appliedTerm = body.varint();
  const revision = body.varint();
  const compactRevision = body.varint();
  state.quotaBytes = body.varint();
  state.noSpace = body.u8() === 1;
  const hash = { a: body.u32(), b: body.u32() };
  for (let count = body.varint(); count > 0; count--) {
    const id = body.varint();
    const ttlSeconds = body.varint();
    state.leases.grant(id, ttlSeconds, body.varint());
  }
  return { revision, compactRevision, hash };
}

/** A key hangs on the lease of its newest record. */
function attachLeases(state: StateMachine, restored: readonly number[]): void {
  const { keys, records } = state.mvcc;
  for (const record of restored) {
    const keyId = records.keyId[record] as number; // Just restored.
    if (keys.head[keyId] !== record || records.version[record] === 0) continue;
    const lease = records.lease[record] as number; // Just restored.
    if (lease !== 0) state.leases.attach(lease, keyId);
  }
}

/** The verified bodies of the chunks, one in memory at a time. */
function* chunks(file: DiskFile, name: string, crc32: Crc32): Generator<ByteReader> {
  const { size } = file;
  const head = new Uint8Array(CHUNK_HEADER_BYTES);
  let crc = 0;
  let at = 0;
  while (at < size) {
    if (file.read(head, at) < CHUNK_HEADER_BYTES) throw corruptCheckpoint(name, 'ends early');
    const header = new ByteReader(head);
    const length = header.u32();
    const wanted = header.u32();
    if (length === 0 || at + CHUNK_HEADER_BYTES + length > size) {
      throw corruptCheckpoint(name, `has a damaged chunk at byte ${at}`);
    }
    const body = new Uint8Array(length);
    file.read(body, at + CHUNK_HEADER_BYTES);
    crc = crc32(body, crc);
    if (crc !== wanted) throw corruptCheckpoint(name, `has a damaged chunk at byte ${at}`);
    yield new ByteReader(body);
    at += CHUNK_HEADER_BYTES + length;
  }
}
