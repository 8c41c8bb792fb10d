/**
 * Layout of a checkpoint: the state after applying log index i, in file `checkpoint-<16 hex>.bin`
 * named by i. A run of chunks, each `u32 length, u32 crc32 (seeded with the chunk before), body`:
 *
 *   header   = u8 1, "BBCP", version, index, term, revision, compact revision, quota, u8 no space,
 *              u32 u32 hash of the state, n, lease{n};  lease = id, ttl seconds, remaining ms
 *   records  = u8 2, n, record{n}; by key, per key from old to new
 *              record = key, value, mod, sub, create, version, lease
 *   end      = u8 3, number of records
 *
 * Content depends on the logical state alone: what compaction made unreadable is left out, freed or
 * not, so that equal members write equal files (reference/store.md section 8, rule 5).
 */
import type { ByteReader } from '../codec/bytes.ts';
import type { RestoredRecord } from '../mvcc/mvcc.ts';
import { StoreError } from '../port.ts';

export const CHECKPOINT_FORMAT_VERSION = 1;
export const CHUNK_HEADER_BYTES = 8;
export const CHUNK_KIND = { header: 1, records: 2, end: 3 } as const;
export const CHECKPOINT_MAGIC = 'BBCP';

export function checkpointName(index: number): string {
  return `checkpoint-${index.toString(16).padStart(16, '0')}.bin`;
}

/** The index of a checkpoint file, or undefined for other names. */
export function parseCheckpointName(name: string): number | undefined {
  const match = /^checkpoint-([0-9a-f]{16})\.bin$/.exec(name);
  return match?.[1] === undefined ? undefined : Number.parseInt(match[1], 16);
}

export function readRecord(input: ByteReader): RestoredRecord {
  const key = input.bytesView();
  const value = input.bytesView();
  const mod = input.varint();
  const sub = input.varint();
  const create = input.varint();
  const version = input.varint();
  return { key, value, mod, sub, create, version, lease: input.varint() };
}

export function corruptCheckpoint(name: string, what: string, cause?: unknown): StoreError {
  return new StoreError('CORRUPT', `checkpoint ${name} ${what}`, { cause });
}
