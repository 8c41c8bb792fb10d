/** A segment read through: damage anywhere in it is found. */
import { crc32 } from 'node:zlib';
import t from 'tap';
import type { DiskFile } from '../disk/disk.ts';
import { MemoryDisk } from '../disk/memory-disk.ts';
import { type SegmentPlan, writeSegment } from '../testing/write-segment.ts';
import { BATCH_HEADER_BYTES, SEGMENT_HEADER_BYTES, segmentName } from './format.ts';
import type { LogPosition } from './format.ts';
import { scrubSegment } from './read-segment.ts';

const batches = [1, 2, 3].map((index) => [{ index, term: 1, data: new Uint8Array(3).fill(7) }]);
const BATCH_BYTES = BATCH_HEADER_BYTES + 8;

/** Three batches and, at the very end, one without a record. */
function segment(plan: Partial<SegmentPlan> = {}): MemoryDisk {
  const disk = new MemoryDisk();
  writeSegment(disk, { batches: [...batches, []], ...plan });
  return disk;
}

function scrub(disk: MemoryDisk): number[] {
  const name = segmentName(1);
  return [...scrubSegment(disk.open(name), name, crc32)];
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
  t.throws(() => [...scrubSegment(file, 'wal', crc32)], closed);
  t.end();
});
