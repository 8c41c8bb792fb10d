/** Files that recovery reads whole. */
import { crc32 } from 'node:zlib';
import t from 'tap';
import type { Disk } from '../disk/disk.ts';
import { MemoryDisk, SECTOR_BYTES } from '../disk/memory-disk.ts';
import { SEGMENT_FILE_BYTES_MAX } from '../limits.ts';
import { setLaterSegmentFormat } from '../testing/later-formats.ts';
import { writeSegment } from '../testing/write-segment.ts';
import { segmentName } from './format.ts';
import { loadSegment } from './segment-file.ts';

/** A disk whose one file has this size, and is read like this. */
function diskOf(size: number, read: (at: number) => number) {
  const seen = { isClosed: false };
  const file = {
    size,
    read: (_: Uint8Array, at: number) => read(at),
    close: () => {
      seen.isClosed = true;
    },
  };
  return { disk: { open: () => file } as unknown as Disk, seen }; // All that is asked of it.
}

function errno(code: string): Error {
  return Object.assign(new Error(code), { code });
}

t.test('a file larger than any segment is corruption, and not read', (t) => {
  const { disk, seen } = diskOf(SEGMENT_FILE_BYTES_MAX + 1, () => t.fail('is read') as never);
  t.throws(() => loadSegment(disk, 1, crc32), { code: 'CORRUPT', message: /too many, at byte 0$/ });
  t.ok(seen.isClosed);
  const largest = diskOf(SEGMENT_FILE_BYTES_MAX, () => 0);
  t.match(loadSegment(largest.disk, 1, crc32).error?.message, /is shorter than its header/);
  t.ok(largest.seen.isClosed);
  t.end();
});

t.test('sectors that cannot be read count as zeros, and the last one is told', (t) => {
  const disk = new MemoryDisk();
  const data = new Uint8Array(5 * SECTOR_BYTES).fill(7);
  writeSegment(disk, { batches: [[{ index: 1, term: 1, data }]] });
  const name = segmentName(1);
  const whole = loadSegment(disk, 1, crc32);
  t.match(whole, { number: 1, name, error: undefined, unreadableEnd: 0 });
  t.equal(whole.header?.segment, 1);
  for (const sector of [1, 3]) disk.breakSector(name, sector);
  const broken = loadSegment(disk, 1, crc32);
  t.equal(broken.unreadableEnd, 4 * SECTOR_BYTES);
  t.match(broken.error?.message, `log segment ${name} cannot be read at byte ${SECTOR_BYTES}`);
  t.ok(broken.header, 'that is in another sector');
  const expected = whole.bytes.slice();
  for (const sector of [1, 3]) expected.fill(0, sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES);
  t.same(broken.bytes, expected);
  t.end();
});

t.test('what is no failure of the device is passed on', (t) => {
  const { disk } = diskOf(1000, () => {
    throw errno('EBADF');
  });
  t.throws(() => loadSegment(disk, 1, crc32), { code: 'EBADF' });
  let reads = 0;
  const later = diskOf(1000, () => {
    throw errno(reads++ === 0 ? 'EIO' : 'EBADF');
  });
  t.throws(() => loadSegment(later.disk, 1, crc32), { code: 'EBADF' }, 'in one of its sectors');
  t.ok(later.seen.isClosed);
  let asked = 0;
  const first = diskOf(1000, (at) => {
    if (asked++ === 0) throw errno('EBADF');
    return at;
  });
  t.throws(() => loadSegment(first.disk, 1, crc32), { code: 'EBADF' }, 'when read as a whole');
  t.end();
});

t.test('what the device left of a sector that it could not read does not count', (t) => {
  const memory = new MemoryDisk();
  const data = new Uint8Array(3 * SECTOR_BYTES).fill(7);
  writeSegment(memory, { batches: [[{ index: 1, term: 1, data }]] });
  const name = segmentName(1);
  memory.breakSector(name, 2);
  const inner = memory.open(name);
  const { disk } = diskOf(inner.size, () => 0);
  const file = {
    ...disk.open(name),
    read: (into: Uint8Array, at: number) => {
      try {
        return inner.read(into, at);
      } catch (error) {
        into.fill(9);
        throw error;
      }
    },
  };
  const { bytes } = loadSegment({ ...disk, open: () => file }, 1, crc32);
  const sector = bytes.subarray(2 * SECTOR_BYTES, 3 * SECTOR_BYTES);
  t.same(sector, new Uint8Array(SECTOR_BYTES));
  t.notOk(bytes.includes(9));
  t.end();
});

t.test('a segment of later software is not taken for a damaged one', (t) => {
  const disk = new MemoryDisk();
  writeSegment(disk, { batches: [[{ index: 1, term: 1, data: new Uint8Array(1) }]] });
  disk.damage(segmentName(1), setLaterSegmentFormat);
  t.throws(() => loadSegment(disk, 1, crc32), { code: 'UNSUPPORTED' });
  const failing = () => {
    throw new TypeError('no checksum');
  };
  t.throws(() => loadSegment(disk, 1, failing), TypeError, 'nor is a fault of the program');
  t.end();
});
