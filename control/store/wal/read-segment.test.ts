/** A segment read through: damage anywhere in it is found. */
import { crc32 } from 'node:zlib';
import t from 'tap';
import type { DiskFile } from '../disk/disk.ts';
import { MemoryDisk } from '../disk/memory-disk.ts';
import { setLaterSegmentFormat } from '../testing/later-formats.ts';
import { type SegmentPlan, writeSegment } from '../testing/write-segment.ts';
import { BATCH_HEADER_BYTES, SEGMENT_HEADER_BYTES, segmentName } from './format.ts';
import type { LogPosition } from './format.ts';
import { findSegmentHeader, scrubSegment } from './read-segment.ts';

const batches = [1, 2, 3].map((index) => [{ index, term: 1, data: new Uint8Array(3).fill(7) }]);
const BATCH_BYTES = BATCH_HEADER_BYTES + 8;

/** Three batches and, at the very end, one without a record. */
function segment(plan: Partial<SegmentPlan> = {}): MemoryDisk {
  const disk = new MemoryDisk();
  writeSegment(disk, { batches: [...batches, []], ...plan });
  return disk;
}

function scrub(disk: MemoryDisk): number[] {
  return [...scrubSegment(disk, segmentName(1), disk.open(segmentName(1)), crc32)];
}

t.test('a whole segment is read batch by batch, with or without zeros behind', (t) => {
  const sizes = [BATCH_HEADER_BYTES + 7, BATCH_HEADER_BYTES + 7, BATCH_HEADER_BYTES + 7];
  t.same(scrub(segment()), [...sizes, BATCH_HEADER_BYTES]);
  t.same(scrub(segment({ isUnfinished: true })), [...sizes, BATCH_HEADER_BYTES]);
  t.same(scrub(segment({ batches })), sizes);
  t.end();
});

t.test('a changed byte is found, in every header and body', (t) => {
  const end = SEGMENT_HEADER_BYTES + 3 * BATCH_BYTES + BATCH_HEADER_BYTES;
  t.equal(segment().open(segmentName(1)).size, end);
  for (let at = 8; at < end; at++) {
    const within = (at - SEGMENT_HEADER_BYTES) % BATCH_BYTES;
    if (at >= SEGMENT_HEADER_BYTES && within >= BATCH_BYTES - 1) continue; // Filled up to 8.
    const disk = segment();
    disk.damage(segmentName(1), (bytes) => bytes.set([(bytes[at] ?? 0) ^ 1], at));
    t.throws(() => scrub(disk), { code: 'CORRUPT' }, `byte ${at}`);
  }
  t.end();
});

t.test('a batch that does not follow the one before is damage', (t) => {
  const lies: [string, (position: LogPosition) => LogPosition][] = [
    ['another batch before it', (position) => ({ ...position, lastCrc: 9 })],
    ['another number', (position) => ({ ...position, nextBatch: 7 })],
  ];
  for (const [name, lie] of lies) {
    const say = (position: LogPosition, place: number) => (place === 1 ? lie(position) : position);
    const message = `log segment ${segmentName(1)} has a damaged batch at byte 128`;
    t.throws(() => scrub(segment({ say })), { code: 'CORRUPT', message }, name);
  }
  const cut = segment({ batches });
  cut.open(segmentName(1)).truncate(SEGMENT_HEADER_BYTES + 3 * BATCH_BYTES - 3);
  t.throws(() => scrub(cut), { code: 'CORRUPT', message: /damaged batch at byte 176$/ });
  t.end();
});

t.test('zeros in place of batches are damage where the next segment counts on them', (t) => {
  const zeroed = (from: number, nextBatch: number, isFresh = false) => {
    const disk = segment();
    const start = { nextBatch, lastCrc: 1, lastIndex: 3, lastTerm: 1 };
    writeSegment(disk, { header: { segment: 4, start, isFresh }, batches: [[]] });
    disk.damage(segmentName(1), (bytes) => bytes.fill(0, from, from + BATCH_BYTES));
    return disk;
  };
  const second = SEGMENT_HEADER_BYTES + BATCH_BYTES;
  const [first] = scrub(segment({ batches: batches.slice(0, 1) }));
  for (const nextBatch of [3, 4, 5]) {
    const message = /has no batch 2 at byte 128$/;
    t.throws(() => scrub(zeroed(second, nextBatch)), { code: 'CORRUPT', message });
  }
  t.same(scrub(zeroed(second, 2)), [first], 'the next one begins with a batch taken over');
  t.same(scrub(zeroed(second, 5, true)), [first], 'a log written anew counts on nothing before it');
  const all = zeroed(SEGMENT_HEADER_BYTES, 5);
  t.throws(() => scrub(all), { code: 'CORRUPT', message: /has no batch 1 at byte 80$/ });
  const unreadable = zeroed(second, 5);
  unreadable.breakSector(segmentName(4), 0);
  t.same(scrub(unreadable), [first], 'that is the damage of the other');
  t.end();
});

t.test('what the device cannot read is damage, what fails otherwise is passed on', (t) => {
  const disk = segment();
  disk.breakSector(segmentName(1), 0);
  t.throws(() => scrub(disk), { code: 'CORRUPT', message: /cannot be read at byte 0$/ });
  const closed = Object.assign(new Error('closed'), { code: 'EBADF' });
  const file = {
    size: 1000,
    read: () => {
      throw closed;
    },
  } as unknown as DiskFile; // All it asks.
  t.throws(() => [...scrubSegment(disk, segmentName(1), file, crc32)], closed);
  t.end();
});

t.test('findSegmentHeader() tells damage from what is not for it to judge', (t) => {
  const disk = segment();
  const find = () => findSegmentHeader(disk, 1, crc32);
  t.match(find(), { segment: 1, groupId: 5, memberId: 7 });
  disk.damage(segmentName(1), (bytes) => bytes.set([(bytes[40] ?? 0) ^ 1], 40));
  t.equal(find(), undefined, 'a damaged one');
  disk.remove(segmentName(1));
  t.throws(find, { code: 'ENOENT' });
  writeSegment(disk, { header: { segment: 2 }, batches });
  disk.rename(segmentName(2), segmentName(1));
  t.equal(find(), undefined, 'that of another segment');
  disk.damage(segmentName(1), setLaterSegmentFormat);
  t.throws(find, { code: 'UNSUPPORTED' });
  t.end();
});
