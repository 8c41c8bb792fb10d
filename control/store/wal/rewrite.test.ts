/** A log written anew. */
import { crc32 } from 'node:zlib';
import t from 'tap';
import type { Entry } from '#control/raft/raft.ts';
import { isNoSpace } from '../disk/disk.ts';
import { MemoryDisk } from '../disk/memory-disk.ts';
import { writeSegment } from '../testing/write-segment.ts';
import { segmentName } from './format.ts';
import { recoverLog } from './recover.ts';
import { type WholeLog, rewriteLog } from './rewrite.ts';

function entries(count: number, bytes: number): Entry[] {
  const data = new Uint8Array(bytes).fill(7);
  return Array.from({ length: count }, (_, i) => ({ index: i + 4, term: 2, data }));
}

function rewrite(disk: MemoryDisk, log: Partial<WholeLog>, segmentBytes?: number): void {
  rewriteLog(
    { disk, crc32, preallocateBytes: 4096 },
    {
      identity: { groupId: 5, memberId: 7, isJoined: false },
      segment: 2,
      seed: 3,
      base: { index: 3, term: 1 },
      hardState: { term: 2, vote: 5, commitIndex: 3 },
      entries: [],
      ...log,
    },
    segmentBytes,
  );
}

t.test('a large log takes several batches, and makes segments before it meaningless', (t) => {
  const disk = new MemoryDisk();
  writeSegment(disk, { batches: [[{ index: 1, term: 1, data: new Uint8Array(3) }]] });
  const log = entries(40, 64 * 1024);
  rewrite(disk, { entries: log });
  const { content, segments, obsolete } = recoverLog(disk, crc32);
  t.same(
    content.entries.map(({ index }) => index),
    log.map(({ index }) => index),
  );
  t.same(content.hardState, { term: 2, vote: 5, commitIndex: 3 });
  t.equal(content.restart, undefined);
  t.same(obsolete, [1]);
  const [segment] = segments;
  t.equal(segment?.batches.length, 4, 'two of a mebibyte, the rest, and one that proves it');
  t.equal(segment?.usedBytes, disk.open(segmentName(2)).size, 'no zeros stay behind it');
  t.end();
});

t.test('a log without entries, and one that begins behind a checkpoint', (t) => {
  for (const isRestart of [false, true]) {
    const disk = new MemoryDisk();
    rewrite(disk, { isRestart });
    const { content } = recoverLog(disk, crc32);
    t.same(content.entries, []);
    t.match(content.last, { index: 3, term: 1 });
    t.same(content.hardState, { term: 2, vote: 5, commitIndex: 3 });
    t.same(content.restart, isRestart ? { index: 3, term: 1 } : undefined);
  }
  t.end();
});

t.test('a log of several segments goes on from one to the next', (t) => {
  const disk = new MemoryDisk();
  rewrite(disk, { entries: entries(10, 1000) }, 3000);
  const { content, segments, holes } = recoverLog(disk, crc32);
  t.same(holes, []);
  t.equal(content.entries.length, 10);
  t.same(
    segments.map(({ header, lastIndex }) => [header.segment, header.isFresh, lastIndex]),
    [
      [2, true, 6],
      [3, false, 9],
      [4, false, 12],
      [5, false, 13],
    ],
  );
  t.equal(new Set(segments.map(({ header }) => header.seed)).size, 4);
  disk.remove(segmentName(2));
  t.match(recoverLog(disk, crc32).content.hardState, { vote: 5 }, 'in each of them');
  t.end();
});

t.test('a log that does not fit onto the disk leaves nothing behind', (t) => {
  for (const capacityBytes of [40_000, 100_000]) {
    const disk = new MemoryDisk();
    disk.faults.capacityBytes = capacityBytes;
    try {
      rewrite(disk, { entries: entries(3, 50_000) }, 60_000);
      t.fail('the disk is too small');
    } catch (error) {
      t.ok(isNoSpace(error));
    }
    t.same(disk.list(), [], `with room for ${capacityBytes} bytes`);
  }
  t.end();
});
