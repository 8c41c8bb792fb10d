/**
 * Layout of the write-ahead log. All integers little-endian. Version 1 knows no flags and neither
 * member entries nor restarts (record.ts); it is read, and no longer written.
 *
 *   segment file `wal-<16 hex digits>.log`
 *     0  magic "BBWS"   4 format version
 *     8  crc32 of bytes 12..80
 *    12  flags (u32): 1 = the member joined a group, it did not found one; 2 = the log was written anew
 *        from here on (rewrite.ts), segments before this one are of no meaning; upper half: the format
 *        version once more, 0 from older software
 *    16  group id (u64)       24 member id (u64)
 *    32  segment number (u64) 40 number of its first batch (u64)
 *    48  crc of the batch before that    52 seed of this segment's batch checksums (u32)
 *    56  index of the last log entry before it (u64)    64 that entry's term (u64)
 *    72  reserved   80 batches, then zeros
 *
 *   batch, at a multiple of 8
 *     0  magic "BBWB"
 *     4  crc32 of bytes 8..40, seeded with the segment's seed
 *     8  batch number (u64): one higher than the batch before
 *    16  body length   20 record count
 *    24  crc of the batch before: the chain
 *    28  crc32 of the body, seeded with the chain
 *    32  the log's last entry behind the batch: low halves of index and term (two u32; 0 and 0 from
 *        older software: not said). They tell how much a hole before the batch has swallowed
 *    40  body, padded with zeros to 8
 *
 * One batch is one write and one sync, and batch n + 1 is not written before the sync of n returned.
 * So a valid header of a later batch proves that batch n was durable: damage before it is corruption,
 * damage with nothing valid behind it is a torn tail (reference/store.md section 8, rule 3). A header
 * has a checksum of its own for this purpose: it can be recognised behind a hole.
 */
import type { Entry } from '#control/raft/raft.ts';
import type { Crc32 } from '../codec/digest.ts';
import { StoreError } from '../port.ts';

export const WAL_FORMAT_VERSION = 2;
const WAL_FORMAT_VERSION_MIN = 1;
const JOINED = 1;
const FRESH = 2;
const VERSION_SHIFT = 16;
export const SEGMENT_HEADER_BYTES = 80;
export const BATCH_HEADER_BYTES = 40;
const SEGMENT_MAGIC = 0x53574242;
const BATCH_MAGIC = 0x42574242;
export const BATCH_MAGIC_BYTE = BATCH_MAGIC & 0xff;

/** Index and term of an entry. */
export type EntryId = Pick<Entry, 'index' | 'term'>;

/** Where the log stands: what the next batch must say of itself, and the last entry so far. */
export interface LogPosition {
  readonly nextBatch: number;
  /** Crc of the batch before it. */
  readonly lastCrc: number;
  /** 0 before the first entry. */
  readonly lastIndex: number;
  readonly lastTerm: number;
}

export const LOG_START: LogPosition = { nextBatch: 1, lastCrc: 0, lastIndex: 0, lastTerm: 0 };

/** Whose log it is. */
export interface Identity {
  readonly groupId: number;
  readonly memberId: number;
  /** Learns who its group is from its log alone; a founder is the first member by itself. */
  readonly isJoined: boolean;
}

export interface SegmentHeader extends Identity {
  readonly segment: number;
  /** The log begins with it, behind a checkpoint of the entry before. */
  readonly isFresh: boolean;
  /** Where the log stood when the segment began. */
  readonly start: LogPosition;
  readonly seed: number;
}

export interface BatchHeader {
  readonly batch: number;
  readonly bodyBytes: number;
  readonly recordCount: number;
  readonly previousCrc: number;
  readonly bodyCrc: number;
  /** Low 32 bits of index and term of the last entry behind it; both 0 when that is not said. */
  readonly lastIndexLow: number;
  readonly lastTermLow: number;
}

export function segmentName(segment: number): string {
  return `wal-${segment.toString(16).padStart(16, '0')}.log`;
}

/** The number of a segment file, or undefined for other names. */
export function parseSegmentName(name: string): number | undefined {
  const match = /^wal-([0-9a-f]{16})\.log$/.exec(name);
  return match?.[1] === undefined ? undefined : Number.parseInt(match[1], 16);
}

export function formatSegmentHeader(header: SegmentHeader, crc32: Crc32): Uint8Array {
  const bytes = new Uint8Array(SEGMENT_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, SEGMENT_MAGIC, true);
  view.setUint32(4, WAL_FORMAT_VERSION, true);
  const flags = (header.isJoined ? JOINED : 0) | (header.isFresh ? FRESH : 0);
  view.setUint32(12, flags | (WAL_FORMAT_VERSION << VERSION_SHIFT), true);
  setU64(view, 16, header.groupId);
  setU64(view, 24, header.memberId);
  setU64(view, 32, header.segment);
  setU64(view, 40, header.start.nextBatch);
  view.setUint32(48, header.start.lastCrc, true);
  view.setUint32(52, header.seed, true);
  setU64(view, 56, header.start.lastIndex);
  setU64(view, 64, header.start.lastTerm);
  view.setUint32(8, crc32(bytes.subarray(12), 0), true);
  return bytes;
}

/** Throws StoreError CORRUPT when it is no valid header, UNSUPPORTED for one of another version. */
export function parseSegmentHeader(bytes: Uint8Array, name: string, crc32: Crc32): SegmentHeader {
  if (bytes.length < SEGMENT_HEADER_BYTES) throw corrupt(name, 0, 'is shorter than its header');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== SEGMENT_MAGIC) throw corrupt(name, 0, 'has no magic number');
  const version = view.getUint32(4, true);
  const sum = crc32(bytes.subarray(12, SEGMENT_HEADER_BYTES), 0);
  if (view.getUint32(8, true) !== sum) throw corrupt(name, 8, 'has a damaged header');
  // The sum does not cover it; its copy, which older software did not write, does.
  const copy = view.getUint32(12, true) >>> VERSION_SHIFT;
  if (copy !== 0 && copy !== version) throw corrupt(name, 4, 'has a damaged format version');
  if (version < WAL_FORMAT_VERSION_MIN || version > WAL_FORMAT_VERSION) {
    const text = `log segment ${name} has format version ${version}, known is ${WAL_FORMAT_VERSION}`;
    throw new StoreError('UNSUPPORTED', text);
  }
  return {
    isJoined: (view.getUint32(12, true) & JOINED) !== 0,
    isFresh: (view.getUint32(12, true) & FRESH) !== 0,
    groupId: getU64(view, 16),
    memberId: getU64(view, 24),
    segment: getU64(view, 32),
    start: {
      nextBatch: getU64(view, 40),
      lastCrc: view.getUint32(48, true),
      lastIndex: getU64(view, 56),
      lastTerm: getU64(view, 64),
    },
    seed: view.getUint32(52, true),
  };
}

/** Fills in the header at the start of `batch`, whose body stands behind it; returns its crc. */
export function sealBatch(
  batch: Uint8Array,
  fields: Pick<LogPosition, 'nextBatch' | 'lastCrc'> & {
    readonly bodyBytes: number;
    readonly recordCount: number;
    readonly seed: number;
    /** The log's last entry, behind this batch. */
    readonly last: EntryId;
  },
  crc32: Crc32,
): number {
  const view = new DataView(batch.buffer, batch.byteOffset, batch.byteLength);
  const body = batch.subarray(BATCH_HEADER_BYTES, BATCH_HEADER_BYTES + fields.bodyBytes);
  const bodyCrc = crc32(body, fields.lastCrc);
  view.setUint32(0, BATCH_MAGIC, true);
  setU64(view, 8, fields.nextBatch);
  view.setUint32(16, fields.bodyBytes, true);
  view.setUint32(20, fields.recordCount, true);
  view.setUint32(24, fields.lastCrc, true);
  view.setUint32(28, bodyCrc, true);
  view.setUint32(32, fields.last.index % 2 ** 32, true);
  view.setUint32(36, fields.last.term % 2 ** 32, true);
  view.setUint32(4, crc32(batch.subarray(8, BATCH_HEADER_BYTES), fields.seed), true);
  return bodyCrc;
}

/** The batch header at `at`, or undefined when there is no valid one. */
export function parseBatchHeader(
  bytes: Uint8Array,
  at: number,
  check: { readonly seed: number; readonly crc32: Crc32 },
): BatchHeader | undefined {
  if (at + BATCH_HEADER_BYTES > bytes.length) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, BATCH_HEADER_BYTES);
  if (view.getUint32(0, true) !== BATCH_MAGIC) return undefined;
  const sum = check.crc32(bytes.subarray(at + 8, at + BATCH_HEADER_BYTES), check.seed);
  if (view.getUint32(4, true) !== sum) return undefined;
  return {
    batch: getU64(view, 8),
    bodyBytes: view.getUint32(16, true),
    recordCount: view.getUint32(20, true),
    previousCrc: view.getUint32(24, true),
    bodyCrc: view.getUint32(28, true),
    lastIndexLow: view.getUint32(32, true),
    lastTermLow: view.getUint32(36, true),
  };
}

export function paddedBytes(count: number): number {
  return (count + 7) & ~7;
}

export function corrupt(name: string, at: number, what: string, cause?: unknown): StoreError {
  return new StoreError('CORRUPT', `log segment ${name} ${what} at byte ${at}`, { cause });
}

function setU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 2 ** 32, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}

function getU64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}
