/** Entries read from segments, from the one on in which they begin. */
import { crc32 } from 'node:zlib';
import t from 'tap';
import type { Entry } from '#control/raft/raft.ts';
import type { Disk } from '../disk/disk.ts';
import { MemoryDisk } from '../disk/memory-disk.ts';
import { setLaterSegmentFormat } from '../testing/later-formats.ts';
import { writeSegment } from '../testing/write-segment.ts';
import { LOG_START, segmentName } from './format.ts';
import type { SegmentHeader } from './format.ts';
import { readEntries } from './read-entries.ts';

function entry(index: number, data = index): Entry {
  return { index, term: 1, data: new Uint8Array([data]) };
}

/** The entries that were found, or undefined; and batches read. */
function read(disk: Disk, after: number, to: number) {
  let count = 0;
  const steps = readEntries({ disk, crc32 }, after, { index: to, term: 1 });
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done === true) return { found: step.value?.map(({ data }) => data[0]), count };
    count++;
  }
}

/** Segment 1 holds entries 1 and 2, segment 2 entries 3 and 4. */
function twoSegments(change: Partial<SegmentHeader> = {}): MemoryDisk {
  const disk = new MemoryDisk();
  const start = writeSegment(disk, { batches: [[entry(1)], [entry(2)]] });
  writeSegment(disk, {
    header: { segment: 2, start, ...change },
    batches: [[entry(3)], [entry(4)]],
  });
  return disk;
}

t.test('only segments that are needed are read', (t) => {
  const disk = twoSegments();
  t.same(read(disk, 0, 4), { found: [1, 2, 3, 4], count: 4 });
  t.same(read(disk, 1, 3), { found: [2, 3], count: 4 });
  t.same(read(disk, 2, 4), { found: [3, 4], count: 2 });
  t.same(read(disk, 2, 5), { found: undefined, count: 2 }, 'the log ends before');
  disk.remove(segmentName(1));
  t.same(read(disk, 2, 4), { found: [3, 4], count: 2 });
  t.same(read(disk, 1, 4), { found: undefined, count: 0 }, 'it begins later');
  t.same(read(new MemoryDisk(), 0, 1), { found: undefined, count: 0 });
  t.end();
});

t.test('a segment that begins with copies replaces what it copied', (t) => {
  const disk = new MemoryDisk();
  const start = writeSegment(disk, { batches: [[entry(1)]] });
  writeSegment(disk, { batches: [[entry(2)], [entry(3)]], header: { segment: 2, start } });
  writeSegment(disk, { batches: [[entry(2, 22)], [entry(3, 33)]], header: { segment: 3, start } });
  t.same(read(disk, 0, 3), { found: [1, 22, 33], count: 3 });
  t.end();
});

t.test('a log written anew makes what was before it meaningless', (t) => {
  const disk = twoSegments({ isFresh: true, start: { ...LOG_START, lastIndex: 2, lastTerm: 1 } });
  t.same(read(disk, 2, 4), { found: [3, 4], count: 2 });
  t.same(read(disk, 0, 4), { found: undefined, count: 0 });
  t.end();
});

t.test(
  'what is damaged, or released meanwhile, gives nothing; other failures are passed on',
  (t) => {
    const damaged = twoSegments();
    damaged.damage(segmentName(2), (bytes) => bytes.set([9], bytes.length - 8));
    t.equal(read(damaged, 0, 4).found, undefined);
    t.same(read(damaged, 0, 2).found, undefined);
    const later = twoSegments();
    later.damage(segmentName(2), setLaterSegmentFormat);
    t.throws(() => read(later, 0, 4), { code: 'UNSUPPORTED' });
    const listing = (code: string) => {
      const disk = twoSegments();
      const failing: Pick<Disk, 'list' | 'open'> = {
        list: () => disk.list(),
        open: (name) => {
          if (name === segmentName(1)) return disk.open(name);
          throw Object.assign(new Error(code), { code });
        },
      };
      return failing as Disk; // All that is asked of it.
    };
    t.equal(read(listing('ENOENT'), 0, 4).found, undefined);
    t.throws(() => read(listing('EMFILE'), 0, 4), { code: 'EMFILE' });
    t.end();
  },
);
