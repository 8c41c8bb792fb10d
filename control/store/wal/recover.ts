/**
 * Reads the log back: every batch that was ever acknowledged, in order, up to a torn tail. Decides
 * between torn (cut, reported) and corrupt (StoreError CORRUPT: the caller must not go on); the
 * reasoning is in format.ts.
 */
import { ByteReader } from '../codec/bytes.ts';
import type { Disk } from '../disk/disk.ts';
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
import type { Crc32, SegmentHeader } from './format.ts';
import { RecordFold } from './record.ts';
import type { LogContent } from './record.ts';

export interface Batch {
  readonly body: Uint8Array;
  readonly recordCount: number;
}

export interface ScannedSegment {
  readonly header: SegmentHeader;
  readonly batches: readonly Batch[];
  /** Bytes up to the end of the last batch. */
  readonly usedBytes: number;
  /** Highest entry index in it, 0 when it has none. */
  readonly lastIndex: number;
  /** Crc of the batch before the last one, for who copies the last one. */
  readonly beforeLastCrc: number;
}

export interface Recovered {
  readonly content: LogContent;
  readonly segments: readonly ScannedSegment[];
  /** Number and predecessor's crc of the batch to write next. */
  readonly nextBatch: number;
  readonly lastCrc: number;
  /** Where a torn tail was cut, for the report. */
  readonly torn: { readonly segment: string; readonly at: number } | undefined;
}

/** The chain so far. */
interface Chain {
  nextBatch: number;
  lastCrc: number;
}

/** Reads all segments; an empty directory gives no segments and batch number 1. */
export function recoverLog(disk: Disk, crc32: Crc32): Recovered {
  const numbers = disk
    .list()
    .map(parseSegmentName)
    .filter((number) => number !== undefined);
  const loaded = numbers.map((number) => loadSegment(disk, number, crc32));
  const fold = new RecordFold();
  const first = loaded[0]?.header;
  const chain: Chain = {
    nextBatch: first?.firstBatch ?? 1,
    lastCrc: first?.previousCrc ?? 0,
  };
  const segments: ScannedSegment[] = [];
  let torn: Recovered['torn'];
  for (const [i, { header, bytes }] of loaded.entries()) {
    const next = loaded[i + 1]?.header;
    checkJoint(header, chain);
    // The next segment may begin with copies of this one's last batches; then the copies count.
    const stop = next?.firstBatch ?? Number.POSITIVE_INFINITY;
    const scan = scanSegment({ header, bytes, stop, crc32 }, chain, fold);
    segments.push(scan.segment);
    const name = segmentName(header.segment);
    if (next !== undefined && chain.nextBatch < next.firstBatch) {
      throw corrupt(name, scan.segment.usedBytes, `lacks batch ${chain.nextBatch}`);
    }
    if (scan.torn) torn = { segment: name, at: scan.segment.usedBytes };
  }
  return { content: fold.content(), segments, ...chain, torn };
}

function loadSegment(
  disk: Disk,
  number: number,
  crc32: Crc32,
): { header: SegmentHeader; bytes: Uint8Array } {
  const name = segmentName(number);
  const file = disk.open(name);
  try {
    const bytes = new Uint8Array(file.size);
    const count = file.read(bytes, 0);
    const header = parseSegmentHeader(bytes.subarray(0, count), name, crc32);
    if (header.segment !== number) throw corrupt(name, 32, `says it is segment ${header.segment}`);
    return { header, bytes };
  } finally {
    file.close();
  }
}

/** Batch numbers and the chain decide; segment numbers may have holes where superseded ones were. */
function checkJoint(header: SegmentHeader, chain: Chain): void {
  const name = segmentName(header.segment);
  if (header.firstBatch !== chain.nextBatch || header.previousCrc !== chain.lastCrc) {
    throw corrupt(name, 40, `does not go on at batch ${chain.nextBatch}`);
  }
}

/** Takes in the batches of one segment below `stop`; torn = damage ends it, with nothing behind. */
function scanSegment(
  source: { header: SegmentHeader; bytes: Uint8Array; stop: number; crc32: Crc32 },
  chain: Chain,
  fold: RecordFold,
): { segment: ScannedSegment; torn: boolean } {
  const { header, bytes, stop, crc32 } = source;
  const check = { seed: header.seed, crc32 };
  const batches: Batch[] = [];
  let lastIndex = 0;
  let beforeLastCrc = chain.lastCrc;
  let at = SEGMENT_HEADER_BYTES;
  while (chain.nextBatch < stop) {
    const batch = parseBatchHeader(bytes, at, check);
    if (batch?.batch !== chain.nextBatch || batch.previousCrc !== chain.lastCrc) break;
    const bodyAt = at + BATCH_HEADER_BYTES;
    if (bodyAt + batch.bodyBytes > bytes.length) break;
    const body = bytes.subarray(bodyAt, bodyAt + batch.bodyBytes);
    if (crc32(body, batch.previousCrc) !== batch.bodyCrc) break;
    lastIndex = Math.max(lastIndex, fold.add(new ByteReader(body), batch));
    batches.push({ body, recordCount: batch.recordCount });
    beforeLastCrc = chain.lastCrc;
    chain.lastCrc = batch.bodyCrc;
    chain.nextBatch++;
    at = bodyAt + paddedBytes(batch.bodyBytes);
  }
  const segment = { header, batches, usedBytes: at, lastIndex, beforeLastCrc };
  if (chain.nextBatch >= stop) return { segment, torn: false };
  // The batch that should stand here is not valid. A later valid one proves that it once was.
  if (laterBatchAt(bytes, at + 8, { ...check, after: chain.nextBatch }) !== undefined) {
    throw corrupt(segmentName(header.segment), at, `has a damaged batch ${chain.nextBatch}`);
  }
  return { segment, torn: hasContent(bytes, at) };
}

function hasContent(bytes: Uint8Array, from: number): boolean {
  for (let at = from; at < bytes.length; at++) if (bytes[at] !== 0) return true;
  return false;
}

function laterBatchAt(
  bytes: Uint8Array,
  from: number,
  check: { seed: number; crc32: Crc32; after: number },
): number | undefined {
  for (let at = from; at + BATCH_HEADER_BYTES <= bytes.length; at += 8) {
    if (bytes[at] === 0) continue;
    const batch = parseBatchHeader(bytes, at, check);
    if (batch !== undefined && batch.batch > check.after) return at;
  }
  return undefined;
}
