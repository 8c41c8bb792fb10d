/**
 * The log as a decoder meets it after damage: segment headers and batches with and without right checksums.
 * With them, what the checksums protect from is looked at by the readers behind.
 */
import { crc32 } from 'node:zlib';
import { ByteReader } from '#control/store/codec/bytes.ts';
import {
  BATCH_HEADER_BYTES,
  LOG_START,
  SEGMENT_HEADER_BYTES,
  formatSegmentHeader,
  paddedBytes,
  parseBatchHeader,
  parseSegmentHeader,
  sealBatch,
  segmentName,
} from '#control/store/wal/format.ts';
import type { LogPosition } from '#control/store/wal/format.ts';
import { RecordFold, writeEntry, writeHardState, writeRestart } from '#control/store/wal/record.ts';
import { recoverLog } from '#control/store/wal/recover.ts';
import type { SeededRandom } from '#control/store/testing/seeded-random.ts';
import { NotingWriter } from './fields.ts';
import type { Field, Sample } from './fields.ts';
import { blob, members, number } from './messages.ts';
import { readOnlyDisk } from './read-only-disk.ts';
import type { Target } from './targets.ts';

const SEED = 4711;
const NAME = segmentName(1);
const disk = { codes: ['CORRUPT', 'UNSUPPORTED'], isRangeErrorMeant: false } as const;

function header(random: SeededRandom): Uint8Array {
  const start = random.chance(0.7)
    ? LOG_START
    : { nextBatch: 9, lastCrc: 77, lastIndex: 40, lastTerm: 3 };
  const isJoined = random.chance(0.5);
  return formatSegmentHeader(
    {
      groupId: 5,
      memberId: number(random),
      isJoined,
      isFresh: random.chance(0.2),
      segment: 1,
      start,
      seed: SEED,
    },
    crc32,
  );
}

/** Every four bytes: the fields of fixed layouts. */
function words(bytes: Uint8Array): Sample {
  const fields: Field[] = [];
  for (let start = 0; start + 4 <= bytes.length; start += 4) {
    fields.push({ kind: 'u32', start, end: start + 4 });
  }
  return { bytes, fields };
}

const RECORDS = 4;

/** The first byte is the number of records, which stands in the batch's header. */
function records(random: SeededRandom): Sample {
  const out = new NotingWriter();
  const count = random.below(RECORDS + 1);
  out.u8(count);
  let index = 0;
  // Of a snapshot, behind which entries begin.
  let floor = 0;
  for (let i = 0; i < count; i++) {
    const kind = random.below(8);
    if (kind === 0) {
      writeHardState(out, { term: number(random), vote: number(random), commitIndex: 0 });
    } else if (kind === 1) {
      index = random.below(100);
      floor = index;
      writeRestart(out, { index, term: random.below(9) });
    } else {
      if (index > floor && random.chance(0.2)) index--;
      index++;
      const entry = { index, term: random.below(9), data: blob(random, 100) };
      writeEntry(out, kind === 2 ? { ...entry, members: members(random) } : entry);
    }
  }
  return out.sample();
}

interface Segment {
  readonly number: number;
  readonly start: LogPosition;
}

/** A segment of some batches, one entry each; what comes behind them is zeros. And where the log stands then. */
function segment(random: SeededRandom, { number, start }: Segment) {
  const identity = {
    groupId: 5,
    memberId: 6,
    isJoined: false,
    isFresh: number > 1 && random.chance(0.2),
  };
  const head = { ...identity, segment: number, start, seed: SEED };
  const parts: Uint8Array[] = [formatSegmentHeader(head, crc32)];
  let end = start;
  for (let count = 1 + random.below(4); count > 0; count--) {
    const out = new NotingWriter();
    // Some batches have no entry, and say all the same where the log ends.
    const isBare = random.chance(0.2);
    const index = end.lastIndex + (isBare ? 0 : 1);
    if (isBare) writeHardState(out, { term: 1, vote: 2, commitIndex: 0 });
    else writeEntry(out, { index, term: 1, data: blob(random, 60) });
    const body = out.take();
    const bytes = new Uint8Array(BATCH_HEADER_BYTES + paddedBytes(body.length));
    bytes.set(body, BATCH_HEADER_BYTES);
    const { nextBatch, lastCrc } = end;
    const last = { index, term: 1 };
    const fields = { nextBatch, lastCrc, bodyBytes: body.length, recordCount: 1, seed: SEED, last };
    const crc = sealBatch(bytes, fields, crc32);
    end = { nextBatch: nextBatch + 1, lastCrc: crc, lastIndex: index, lastTerm: 1 };
    parts.push(bytes);
  }
  parts.push(new Uint8Array(random.below(100) * 8));
  return { bytes: Buffer.concat(parts), end };
}

function firstSegment(random: SeededRandom): Sample {
  return words(segment(random, { number: 1, start: LOG_START }).bytes);
}

const SEGMENTS = 3;
const PREFIX_BYTES = 4 * (SEGMENTS + 1);
/** Of the prefix's last word, and the one below it: no byte is unreadable. */
const READABLE = 0xffffffff;

/** u32 length of each segment, u32 a byte that cannot be read; the segments. */
function severalSegments(random: SeededRandom): Sample {
  const prefix = Buffer.alloc(PREFIX_BYTES);
  const parts: Uint8Array[] = [prefix];
  let start = LOG_START;
  for (let i = 0; i < SEGMENTS; i++) {
    const { bytes, end } = segment(random, { number: i + 1, start });
    prefix.writeUInt32LE(bytes.length, 4 * i);
    parts.push(bytes);
    start = end;
  }
  prefix.writeUInt32LE(READABLE - random.below(2), 4 * SEGMENTS);
  const sample = words(Buffer.concat(parts));
  if (random.chance(0.5)) return sample;
  // Damage in the middle alone: what follows is whole, and proves that it was there.
  return { bytes: sample.bytes, fields: sample.fields.slice(SEGMENTS + 1) };
}

/** The segments, their headers with right sums where that word is even: then what joins them is looked at. */
function readSeveral(bytes: Uint8Array): unknown {
  if (bytes.length < PREFIX_BYTES) return undefined;
  const prefix = new DataView(bytes.buffer, bytes.byteOffset, PREFIX_BYTES);
  const unreadable = prefix.getUint32(4 * SEGMENTS, true);
  const isSealed = unreadable % 2 === 0;
  const files = new Map<string, Uint8Array>();
  let at = PREFIX_BYTES;
  for (let i = 0; i < SEGMENTS; i++) {
    const length = prefix.getUint32(4 * i, true);
    const part = bytes.subarray(at, at + length);
    files.set(segmentName(i + 1), isSealed ? sealHeader(part) : part);
    at += length;
  }
  return recoverLog(readOnlyDisk(files, unreadable), crc32);
}

/** As if the header had been written so. */
function sealHeader(bytes: Uint8Array): Uint8Array {
  if (bytes.length < SEGMENT_HEADER_BYTES) return bytes;
  const sealed = Uint8Array.from(bytes);
  const sum = crc32(sealed.subarray(12, SEGMENT_HEADER_BYTES), 0);
  new DataView(sealed.buffer).setUint32(8, sum, true);
  return sealed;
}

const readSegment = (bytes: Uint8Array) =>
  recoverLog(readOnlyDisk(new Map([[NAME, bytes]])), crc32);

export const walTargets: readonly Target[] = [
  {
    name: 'parseSegmentHeader',
    share: 2,
    ...disk,
    make: (random) => words(header(random)),
    decode: (bytes) => parseSegmentHeader(bytes, NAME, crc32),
  },
  {
    name: 'parseSegmentHeader, sealed',
    share: 2,
    ...disk,
    make: (random) => words(header(random)),
    seal: sealHeader,
    decode: (bytes) => parseSegmentHeader(bytes, NAME, crc32),
  },
  {
    name: 'parseBatchHeader',
    share: 1,
    ...disk,
    make: (random) => words(firstSegment(random).bytes.slice(SEGMENT_HEADER_BYTES)),
    decode: (bytes) => parseBatchHeader(bytes, 0, { seed: SEED, crc32 }),
  },
  {
    name: 'RecordFold',
    share: 2,
    ...disk,
    make: records,
    decode: (bytes) => {
      if (bytes.length === 0) return undefined;
      const fold = new RecordFold({ index: 0, term: 0 });
      fold.add(new ByteReader(bytes, 1), bytes[0] ?? 0, { name: NAME, at: 80 });
      return fold.content();
    },
  },
  {
    name: 'recoverLog',
    share: 1,
    ...disk,
    make: firstSegment,
    decode: readSegment,
    // The whole segment is read, and its end looked through.
    allocation: { perByte: 120, perInput: 40_000 },
  },
  {
    name: 'recoverLog, sealed header',
    share: 1,
    ...disk,
    make: firstSegment,
    seal: sealHeader,
    decode: readSegment,
    allocation: { perByte: 120, perInput: 40_000 },
  },
  {
    name: 'recoverLog, several segments',
    share: 2,
    ...disk,
    make: severalSegments,
    decode: readSeveral,
    allocation: { perByte: 120, perInput: 40_000 },
  },
  {
    name: 'recoverLog, sealed batch',
    share: 1,
    ...disk,
    make: records,
    // The records in a segment of one batch whose sums are right.
    seal: (bytes) => {
      const body = bytes.subarray(1);
      const batch = new Uint8Array(BATCH_HEADER_BYTES + paddedBytes(body.length));
      batch.set(body, BATCH_HEADER_BYTES);
      const last = { index: 0, term: 0 }; // Not said.
      const fields = { nextBatch: 1, lastCrc: 0, bodyBytes: body.length, seed: SEED, last };
      sealBatch(batch, { ...fields, recordCount: bytes[0] ?? 0 }, crc32);
      const identity = { groupId: 5, memberId: 6, isJoined: false, isFresh: false };
      const head = { ...identity, segment: 1, start: LOG_START };
      return Buffer.concat([formatSegmentHeader({ ...head, seed: SEED }, crc32), batch]);
    },
    decode: readSegment,
    allocation: { perByte: 120, perInput: 40_000 },
  },
];
