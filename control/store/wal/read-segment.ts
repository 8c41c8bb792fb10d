/** Reads a segment through, a batch a step, without holding more than one. */
import { must } from '#base/assert.ts';
import { isErrno } from '#base/errors.ts';
import type { Crc32 } from '../codec/digest.ts';
import type { Disk, DiskFile } from '../disk/disk.ts';
import { StoreError } from '../port.ts';
import {
  BATCH_HEADER_BYTES,
  SEGMENT_HEADER_BYTES,
  corrupt,
  paddedBytes,
  parseBatchHeader,
  parseSegmentHeader,
  parseSegmentName,
  segmentName,
} from './format.ts';
import type { BatchHeader, SegmentHeader } from './format.ts';

export interface ReadBatch {
  readonly at: number;
  readonly header: BatchHeader;
  readonly body: Uint8Array;
}

/**
 * Yields the bytes of each batch of a segment that nobody writes to. Throws StoreError CORRUPT where it is
 * damaged, also where zeros stand for batches that the next segment counts on.
 */
export function* scrubSegment(
  disk: Disk,
  name: string,
  file: DiskFile,
  crc32: Crc32,
): Generator<number> {
  let { nextBatch } = headerOf(file, name, crc32).start;
  let end = SEGMENT_HEADER_BYTES;
  for (const { at, header, body } of readSegment(file, name, crc32)) {
    nextBatch = header.batch + 1;
    end = at + BATCH_HEADER_BYTES + paddedBytes(body.length);
    yield BATCH_HEADER_BYTES + body.length;
  }
  const next = headerBehind(disk, name, crc32);
  if (next === undefined || next.isFresh || next.start.nextBatch <= nextBatch) return;
  throw corrupt(name, end, `has no batch ${nextBatch}`);
}

/** Of the segment that follows this one; undefined where there is none, or it is damaged. */
function headerBehind(disk: Disk, name: string, crc32: Crc32): SegmentHeader | undefined {
  const own = must(parseSegmentName(name), 'a segment');
  const later = disk
    .list()
    .map(parseSegmentName)
    .filter((number) => number !== undefined)
    .filter((number) => number > own);
  return later.length === 0 ? undefined : findSegmentHeader(disk, Math.min(...later), crc32);
}

/** Yields each batch. Throws StoreError CORRUPT where the segment is damaged. */
export function* readSegment(file: DiskFile, name: string, crc32: Crc32): Generator<ReadBatch> {
  const { seed } = headerOf(file, name, crc32);
  let batch: number | undefined;
  let crc: number | undefined;
  for (let at = SEGMENT_HEADER_BYTES; at + BATCH_HEADER_BYTES <= file.size; ) {
    const bytes = read(file, name, at, BATCH_HEADER_BYTES);
    const header = parseBatchHeader(bytes, 0, { seed, crc32 });
    // Zeros ahead of the writes stay where a process ended before it gave them back.
    if (header === undefined && bytes.every((byte) => byte === 0)) return;
    const isNext = batch === undefined || (header?.batch === batch && header.previousCrc === crc);
    const bodyAt = at + BATCH_HEADER_BYTES;
    if (header === undefined || !isNext || bodyAt + header.bodyBytes > file.size) {
      throw corrupt(name, at, 'has a damaged batch');
    }
    const body = read(file, name, bodyAt, header.bodyBytes);
    if (crc32(body, header.previousCrc) !== header.bodyCrc) {
      throw corrupt(name, at, `has a damaged batch ${header.batch}`);
    }
    batch = header.batch + 1;
    crc = header.bodyCrc;
    yield { at, header, body };
    at = bodyAt + paddedBytes(header.bodyBytes);
  }
}

/** Throws StoreError CORRUPT or UNSUPPORTED, or what the disk throws. */
export function readSegmentHeader(disk: Disk, name: string, crc32: Crc32): SegmentHeader {
  const file = disk.open(name);
  try {
    return headerOf(file, name, crc32);
  } finally {
    file.close();
  }
}

/** Of a segment; undefined when it is damaged. Throws StoreError UNSUPPORTED, or what the disk throws. */
export function findSegmentHeader(
  disk: Disk,
  number: number,
  crc32: Crc32,
): SegmentHeader | undefined {
  try {
    const header = readSegmentHeader(disk, segmentName(number), crc32);
    return header.segment === number ? header : undefined;
  } catch (error) {
    if (error instanceof StoreError && error.code === 'CORRUPT') return undefined;
    throw error;
  }
}

function headerOf(file: DiskFile, name: string, crc32: Crc32): SegmentHeader {
  return parseSegmentHeader(read(file, name, 0, SEGMENT_HEADER_BYTES), name, crc32);
}

function read(file: DiskFile, name: string, at: number, count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  try {
    return bytes.subarray(0, file.read(bytes, at));
  } catch (error) {
    if (!isErrno(error, 'EIO')) throw error;
    throw corrupt(name, at, 'cannot be read', error);
  }
}
