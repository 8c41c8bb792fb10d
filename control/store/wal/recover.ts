/**
 * Reads the log back: every batch that was ever acknowledged, in order, up to a torn tail. Decides
 * between torn (cut, reported) and corrupt (StoreError CORRUPT: the caller must not go on); the
 * reasoning is in format.ts.
 */
import { isErrno } from '#base/errors.ts';
import { ByteReader } from '../codec/bytes.ts';
import type { Crc32 } from '../codec/digest.ts';
import type { Disk, DiskFile } from '../disk/disk.ts';
import { SEGMENT_FILE_BYTES_MAX } from '../limits.ts';
import {
  BATCH_HEADER_BYTES,
  BATCH_MAGIC_BYTE,
  SEGMENT_HEADER_BYTES,
  corrupt,
  paddedBytes,
  parseBatchHeader,
  parseSegmentHeader,
  parseSegmentName,
  segmentName,
} from './format.ts';
import { LOG_START } from './format.ts';
import type { LogPosition, SegmentHeader } from './format.ts';
import { RecordFold } from './record.ts';
import type { EntryId, LogContent } from './record.ts';

export interface Batch {
  readonly body: Uint8Array;
  readonly recordCount: number;
  /** The last entry in it. */
  readonly last: EntryId | undefined;
}

export interface ScannedSegment {
  readonly header: SegmentHeader;
  readonly batches: readonly Batch[];
  /** Bytes up to the end of the last batch. */
  readonly usedBytes: number;
  /** Highest entry index in it, 0 when it has none. */
  readonly lastIndex: number;
  /** Where the log stood before the last batch, for who copies that. */
  readonly beforeLast: LogPosition;
}

export interface Recovered {
  readonly content: LogContent;
  readonly segments: readonly ScannedSegment[];
  readonly end: LogPosition;
  /** Where a torn tail was cut, for the report. */
  readonly torn: { readonly segment: string; readonly at: number } | undefined;
}

/** Reads all segments; an empty directory gives no segments and batch number 1. */
export function recoverLog(disk: Disk, crc32: Crc32): Recovered {
  const loaded = disk
    .list()
    .map(parseSegmentName)
    .filter((number) => number !== undefined)
    .map((number) => loadSegment(disk, number, crc32));
  const first = loaded[0]?.header;
  let position = first?.start ?? LOG_START;
  const fold = new RecordFold({ index: position.lastIndex, term: position.lastTerm });
  const segments: ScannedSegment[] = [];
  let torn: Recovered['torn'];
  for (const [i, { header, bytes }] of loaded.entries()) {
    const next = loaded[i + 1]?.header;
    checkJoint(header, position, first ?? header);
    // The next segment may begin with copies of this one's last batches; then the copies count.
    const stop = next?.start.nextBatch ?? Number.POSITIVE_INFINITY;
    const scan = scanSegment({ header, bytes, stop, crc32 }, position, fold);
    segments.push(scan.segment);
    position = scan.end;
    const name = segmentName(header.segment);
    if (next !== undefined && position.nextBatch < next.start.nextBatch) {
      throw corrupt(name, scan.segment.usedBytes, `lacks batch ${position.nextBatch}`);
    }
    if (scan.torn) torn = { segment: name, at: scan.segment.usedBytes };
  }
  return { content: fold.content(), segments, end: position, torn };
}

function loadSegment(
  disk: Disk,
  number: number,
  crc32: Crc32,
): { header: SegmentHeader; bytes: Uint8Array } {
  const name = segmentName(number);
  const file = disk.open(name);
  try {
    const bytes = readWhole(file, name);
    const header = parseSegmentHeader(bytes, name, crc32);
    if (header.segment !== number) throw corrupt(name, 32, `says it is segment ${header.segment}`);
    return { header, bytes };
  } finally {
    file.close();
  }
}

function readWhole(file: DiskFile, name: string): Uint8Array {
  const { size } = file;
  if (size > SEGMENT_FILE_BYTES_MAX) throw corrupt(name, 0, `has ${size} bytes, too many,`);
  const bytes = new Uint8Array(size);
  try {
    return bytes.subarray(0, file.read(bytes, 0));
  } catch (error) {
    if (!isErrno(error, 'EIO')) throw error;
    throw corrupt(name, 0, 'cannot be read', error);
  }
}

/** Batch numbers and the chain decide; segment numbers may have holes where superseded ones were. */
function checkJoint(header: SegmentHeader, position: LogPosition, first: SegmentHeader): void {
  const name = segmentName(header.segment);
  const { groupId, memberId, isJoined } = header;
  if (groupId !== first.groupId || memberId !== first.memberId || isJoined !== first.isJoined) {
    throw corrupt(name, 16, 'belongs to another member than the first segment');
  }
  const { start } = header;
  if (start.nextBatch !== position.nextBatch || start.lastCrc !== position.lastCrc) {
    throw corrupt(name, 40, `does not go on at batch ${position.nextBatch}`);
  }
  if (start.lastIndex !== position.lastIndex || start.lastTerm !== position.lastTerm) {
    throw corrupt(name, 56, `does not go on behind entry ${position.lastIndex}`);
  }
}

/** Takes in the batches of one segment below `stop`; torn = damage ends it, with nothing behind. */
function scanSegment(
  source: { header: SegmentHeader; bytes: Uint8Array; stop: number; crc32: Crc32 },
  start: LogPosition,
  fold: RecordFold,
): { segment: ScannedSegment; end: LogPosition; torn: boolean } {
  const { header, bytes, stop, crc32 } = source;
  const name = segmentName(header.segment);
  const check = { seed: header.seed, crc32 };
  const batches: Batch[] = [];
  let lastIndex = 0;
  let end = start;
  let beforeLast = start;
  let at = SEGMENT_HEADER_BYTES;
  while (end.nextBatch < stop) {
    const batch = parseBatchHeader(bytes, at, check);
    if (batch?.batch !== end.nextBatch || batch.previousCrc !== end.lastCrc) break;
    const bodyAt = at + BATCH_HEADER_BYTES;
    if (bodyAt + batch.bodyBytes > bytes.length) break;
    const body = bytes.subarray(bodyAt, bodyAt + batch.bodyBytes);
    if (crc32(body, batch.previousCrc) !== batch.bodyCrc) break;
    const { recordCount } = batch;
    const last = fold.add(new ByteReader(body), recordCount, { name, at });
    lastIndex = Math.max(lastIndex, last?.index ?? 0);
    batches.push({ body, recordCount, last });
    beforeLast = end;
    end = {
      nextBatch: end.nextBatch + 1,
      lastCrc: batch.bodyCrc,
      lastIndex: last?.index ?? end.lastIndex,
      lastTerm: last?.term ?? end.lastTerm,
    };
    at = bodyAt + paddedBytes(batch.bodyBytes);
  }
  const segment = { header, batches, usedBytes: at, lastIndex, beforeLast };
  if (end.nextBatch >= stop) return { segment, end, torn: false };
  // The batch that should stand here is not valid. A later valid one proves that it once was.
  if (hasLaterBatch(bytes, at + 8, { ...check, after: end.nextBatch })) {
    throw corrupt(name, at, `has a damaged batch ${end.nextBatch}`);
  }
  return { segment, end, torn: hasContent(bytes, at) };
}

function hasContent(bytes: Uint8Array, from: number): boolean {
  for (let at = from; at < bytes.length; at++) if (bytes[at] !== 0) return true;
  return false;
}

function hasLaterBatch(
  bytes: Uint8Array,
  from: number,
  check: { seed: number; crc32: Crc32; after: number },
): boolean {
  for (let at = from; at + BATCH_HEADER_BYTES <= bytes.length; at += 8) {
    if (bytes[at] !== BATCH_MAGIC_BYTE) continue;
    const batch = parseBatchHeader(bytes, at, check);
    if (batch !== undefined && batch.batch > check.after) return true;
  }
  return false;
}
