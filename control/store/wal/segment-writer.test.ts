/** One segment as it is written: what it says of its room and of its entries. */
import { crc32 } from 'node:zlib';
import t from 'tap';
import { ByteWriter } from '../codec/bytes.ts';
import { MemoryDisk } from '../disk/memory-disk.ts';
import { BATCH_HEADER_BYTES, LOG_START, SEGMENT_HEADER_BYTES, segmentName } from './format.ts';
import type { EntryId, LogPosition } from './format.ts';
import { SegmentWriter } from './segment-writer.ts';

const name = `${segmentName(1)}.tmp`;

function segmentOn(disk: MemoryDisk, preallocateBytes: number): SegmentWriter {
  const identity = { groupId: 5, memberId: 7, isJoined: false, isFresh: false };
  const header = { ...identity, segment: 1, start: LOG_START, seed: 3 };
  return new SegmentWriter({ disk, crc32, preallocateBytes }, header);
}

/** Appends a batch that takes `bytes`, with its header. */
function append(
  segment: SegmentWriter,
  bytes: number,
  options: { last?: EntryId; position?: LogPosition } = {},
): LogPosition {
  const out = new ByteWriter();
  out.zeros(bytes);
  const { last, position = LOG_START } = options;
  return segment.append(out, { recordCount: 1, last }, position);
}

t.test('a segment has room up to the last byte that was written ahead', (t) => {
  const segment = segmentOn(new MemoryDisk(), 512);
  const left = 512 - SEGMENT_HEADER_BYTES;
  t.equal(segment.hasRoom(left), true);
  t.equal(segment.hasRoom(left + 1), false);
  append(segment, BATCH_HEADER_BYTES + 8);
  t.equal(segment.hasRoom(left - BATCH_HEADER_BYTES - 8), true);
  t.equal(segment.hasRoom(left - BATCH_HEADER_BYTES), false);
  t.end();
});

t.test('a batch for which nobody made room makes it by whole steps', (t) => {
  const disk = new MemoryDisk();
  const segment = segmentOn(disk, 512);
  append(segment, 1000);
  t.equal(disk.open(name).size, 1536, 'zeros stand behind it');
  append(segment, 1536 - SEGMENT_HEADER_BYTES - 1000);
  t.equal(disk.open(name).size, 1536, 'it fits');
  append(segment, BATCH_HEADER_BYTES);
  t.equal(disk.open(name).size, 2048);
  t.end();
});

t.test('what a full disk still gave is room, and needs no more of it', (t) => {
  const KIBIBYTE = 1024;
  const disk = new MemoryDisk();
  const segment = segmentOn(disk, 512 * KIBIBYTE);
  disk.faults.capacityBytes = 768 * KIBIBYTE;
  t.throws(() => segment.allocate(600 * KIBIBYTE), { code: 'ENOSPC' });
  t.equal(segment.hasRoom(600 * KIBIBYTE), true);
  t.doesNotThrow(() => append(segment, 600 * KIBIBYTE));
  t.end();
});

t.test('lastIndex is the highest entry in the segment, whatever the log holds before it', (t) => {
  const segment = segmentOn(new MemoryDisk(), 512);
  const before = { nextBatch: 9, lastCrc: 4, lastIndex: 30, lastTerm: 2 };
  const indexes = [undefined, { index: 31, term: 3 }, { index: 29, term: 4 }, undefined];
  let position: LogPosition = before;
  const seen = indexes.map((last) => {
    position = append(segment, 64, last === undefined ? { position } : { last, position });
    return segment.lastIndex;
  });
  t.same(seen, [0, 31, 31, 31]);
  t.match(position, { nextBatch: 13, lastIndex: 29, lastTerm: 4 });
  t.end();
});
