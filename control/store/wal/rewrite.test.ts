/** A log written anew. */
import { crc32 } from 'node:zlib';
import t from 'tap';
import type { Entry } from '#control/raft/raft.ts';
import { isNoSpace } from '../disk/disk.ts';
import { MemoryDisk } from '../disk/memory-disk.ts';
import { writeSegment } from '../testing/write-segment.ts';
import { BATCH_HEADER_BYTES, SEGMENT_HEADER_BYTES, segmentName } from './format.ts';
import { recoverLog } from './recover.ts';
import { type WholeLog, finishRewrite, rewriteLog } from './rewrite.ts';

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
  t.same(
    segments.map(({ header }) => header.seed),
    [3, 4, 5, 6],
    'a batch of one is none of another',
  );
  t.same(
    segments.map(({ batches }) => batches.length),
    [1, 1, 1, 2],
    'only the last batch of all needs one that proves it',
  );
  disk.remove(segmentName(2));
  t.match(recoverLog(disk, crc32).content.hardState, { vote: 5 }, 'in each of them');
  t.end();
});

t.test('a log that does not fit onto the disk leaves nothing behind', (t) => {
  // Two entries make a segment: none of them fits, or two do, and the second waits for the first.
  for (const capacityBytes of [40_000, 100_000, 250_000]) {
    const disk = new MemoryDisk();
    disk.faults.capacityBytes = capacityBytes;
    try {
      rewrite(disk, { entries: entries(5, 50_000) }, 60_000);
      t.fail('the disk is too small');
    } catch (error) {
      t.ok(isNoSpace(error));
    }
    t.same(disk.list(), [], `with room for ${capacityBytes} bytes`);
  }
  t.end();
});

t.test('a batch and a segment end when they have their size, not behind it', (t) => {
  const segmentsOf = (log: Entry[], segmentBytes: number) => {
    const disk = new MemoryDisk();
    rewrite(disk, { entries: log }, segmentBytes);
    return recoverLog(disk, crc32).segments;
  };
  const batchesOf = (log: Entry[], segmentBytes: number) => {
    return segmentsOf(log, segmentBytes).map(({ batches }) =>
      batches.map(({ last }) => last?.index),
    );
  };
  const bytesOf = (log: Entry[]) => {
    const [segment] = segmentsOf(log, 1e9);
    return (segment?.usedBytes ?? 0) - BATCH_HEADER_BYTES; // The last one proves the one before.
  };
  const large = entries(2, 1024 * 1024);
  const full = bytesOf(large.slice(0, 1));
  t.same(batchesOf(large, full), [[4], [5, undefined]]);
  t.same(batchesOf(large, full + 1), [[4, 5, undefined]]);
  const small = entries(2, 104); // Without padding.
  const batchBytes = bytesOf(small.slice(0, 1)) - SEGMENT_HEADER_BYTES;
  t.same(batchesOf(small, batchBytes), [[4], [5, undefined]]);
  t.same(batchesOf(small, batchBytes + 1), [[5, undefined]]);
  t.end();
});

/** A disk with what a rewriting left that broke off before its first segment had its name. */
function brokenOff(): MemoryDisk {
  const disk = new MemoryDisk();
  rewrite(disk, { entries: entries(10, 1000) }, 3000);
  for (const segment of [3, 4, 5]) {
    disk.rename(segmentName(segment), `${segmentName(segment)}.behind-2`);
  }
  disk.remove(segmentName(2));
  disk.syncDirectory();
  return disk;
}

t.test('what an earlier rewriting left becomes no part of another', (t) => {
  const disk = brokenOff();
  rewrite(disk, { entries: entries(1, 10) });
  t.same(disk.list(), [segmentName(2)]);
  t.equal(recoverLog(disk, crc32).content.entries.length, 1);
  t.end();
});

t.test('finishRewrite() has done it durably, and does nothing where nothing waits', (t) => {
  const lost = { keep: () => false };
  const disk = brokenOff();
  finishRewrite(disk);
  disk.crash(lost);
  t.same(disk.list(), [], 'what waited in vain does not come back');
  rewrite(disk, { entries: entries(10, 1000) }, 3000);
  disk.crash(lost);
  t.same(disk.list(), [2, 3, 4, 5].map(segmentName), 'what has its name keeps it');
  disk.faults.beforeChange = () => t.fail('the disk is left alone');
  finishRewrite(disk);
  t.end();
});
