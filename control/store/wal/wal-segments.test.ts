/** Which segments the log keeps, and what it says of them. */
import { crc32 } from 'node:zlib';
import t from 'tap';
import { MemoryDisk } from '../disk/memory-disk.ts';
import { writeSegment } from '../testing/write-segment.ts';
import { BATCH_HEADER_BYTES, SEGMENT_HEADER_BYTES, segmentName } from './format.ts';
import { recoverLog } from './recover.ts';
import { Wal } from './wal.ts';

const hardState = { term: 1, vote: 1, commitIndex: 0 };
const identity = { groupId: 5, memberId: 7, isJoined: false };

function open(disk: MemoryDisk, segmentBytes = 300, preallocateBytes = 256): Wal {
  const sizes = { segmentBytes, preallocateBytes };
  const options = { disk, crc32, identity: () => identity, seed: () => 7, ...sizes };
  return new Wal(options, recoverLog(disk, crc32));
}

function entry(index: number) {
  return { index, term: 1, data: new Uint8Array(100).fill(7) };
}

/** Of `count` entries, two in each segment. */
function written(count: number) {
  const disk = new MemoryDisk();
  const wal = open(disk);
  for (let i = 1; i <= count; i++) wal.write([entry(i)], hardState);
  return { disk, wal };
}

t.test('bytesUsed counts all segments, without the zeros behind them', (t) => {
  const { disk, wal } = written(7);
  t.equal(wal.segmentCount, 4);
  const used = () => recoverLog(disk, crc32).segments.reduce((sum, one) => sum + one.usedBytes, 0);
  t.equal(wal.bytesUsed, used());
  wal.release(4);
  t.equal(wal.segmentCount, 2);
  t.equal(wal.bytesUsed, used());
  t.end();
});

t.test('isClosed() is true of the segments before the one that is written', (t) => {
  const { disk, wal } = written(5);
  const names = disk.list();
  t.same(
    names.map((name) => wal.isClosed(name)),
    [true, true, false],
  );
  t.equal(wal.isClosed(segmentName(99)), false, 'no segment of this log');
  t.end();
});

t.test('release() keeps every segment with an entry behind the index', (t) => {
  const { disk, wal } = written(7);
  const first = () => recoverLog(disk, crc32).content.entries[0]?.index;
  for (const [index, wanted] of [
    [0, 1],
    [1, 1],
    [2, 3],
    [3, 3],
    [7, 7],
  ] as const) {
    wal.release(index);
    t.equal(first(), wanted, `up to ${index}`);
  }
  t.equal(wal.segmentCount, 1, 'the one that is written stays');
  t.end();
});

t.test('a start removes segments that a log written anew has replaced', (t) => {
  const disk = new MemoryDisk();
  for (const segment of [1, 2]) writeSegment(disk, { header: { segment }, batches: [[entry(1)]] });
  const fresh = [entry(1), entry(2), entry(3), entry(4)];
  const header = { segment: 3, isFresh: true };
  writeSegment(disk, { header, batches: fresh.map((one) => [one]) });
  open(disk);
  t.same(disk.list(), [segmentName(3), segmentName(4)]);
  disk.crash({ keep: () => false });
  t.same(disk.list(), [segmentName(3), segmentName(4)]);
  t.equal(recoverLog(disk, crc32).content.entries.length, 4);
  t.end();
});

t.test('a segment is full with its last byte', (t) => {
  const bytes = SEGMENT_HEADER_BYTES + BATCH_HEADER_BYTES + 8;
  for (const [segmentBytes, wanted] of [
    [bytes, 2],
    [bytes + 1, 1],
  ] as const) {
    const wal = open(new MemoryDisk(), segmentBytes);
    wal.write([], hardState);
    t.equal(wal.bytesUsed, bytes);
    wal.write([], hardState);
    t.equal(wal.segmentCount, wanted, `full at ${segmentBytes} bytes`);
  }
  t.end();
});

t.test('starts that find nothing new to say write no more than was there', (t) => {
  const disk = new MemoryDisk();
  const wal = open(disk, 4096, 4096);
  wal.write([entry(1)], hardState);
  const { bytesUsed } = wal;
  const { nextBatch } = recoverLog(disk, crc32).end;
  for (let i = 0; i < 3; i++) t.equal(open(disk, 4096, 4096).bytesUsed, bytesUsed);
  t.equal(recoverLog(disk, crc32).end.nextBatch, nextBatch);
  t.end();
});
