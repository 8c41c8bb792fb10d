/** The log on a disk that has no more room. */
import { crc32 } from 'node:zlib';
import t from 'tap';
import { NO_MEMBERS } from '#control/raft/raft.ts';
import { MemoryDisk } from '../disk/memory-disk.ts';
import { BATCH_HEADER_BYTES, SEGMENT_HEADER_BYTES, segmentName } from './format.ts';
import { recoverLog } from './recover.ts';
import { Wal, type WalOptions } from './wal.ts';

const hardState = { term: 1, vote: 1, commitIndex: 0 };

function open(disk: MemoryDisk, options: Partial<WalOptions> = {}): Wal {
  const seed = () => 7919;
  const identity = () => ({ groupId: 5, memberId: 7, isJoined: false });
  const all = { disk, crc32, identity, seed, segmentBytes: 100_000, preallocateBytes: 512 };
  return new Wal({ ...all, ...options }, recoverLog(disk, crc32));
}

function entry(index: number, bytes: number) {
  return { index, term: 1, data: new Uint8Array(bytes).fill(7) };
}

t.test(
  'what a leader sends takes spare space when the disk is full, and ends the log without',
  (t) => {
    const disk = new MemoryDisk();
    let spare = 2;
    const wal = open(disk, {
      spare: () => {
        disk.faults.capacityBytes += 512;
        return spare-- > 0;
      },
    });
    disk.faults.capacityBytes = disk.bytesUsed;
    wal.write([entry(1, 1000)], hardState);
    t.equal(spare, 0, 'as much as it needs');
    t.equal(recoverLog(disk, crc32).content.last.index, 1);
    t.throws(() => wal.write([entry(2, 1000)], undefined), {
      code: 'NO_SPACE',
      message: `disk of the store is full: no room in log segment ${segmentName(1)}`,
    });
    const none = open(new MemoryDisk());
    t.doesNotThrow(() => none.write([entry(1, 1000)], hardState), 'there is room');
    t.end();
  },
);

t.test('a start that has no room to copy the tail leaves the log as it was', (t) => {
  const disk = new MemoryDisk();
  open(disk).write([entry(1, 3000)], hardState);
  const names = disk.list();
  disk.faults.capacityBytes = disk.bytesUsed + 512;
  t.throws(() => open(disk), { code: 'NO_SPACE', message: /in log segment wal-0{15}2\.log$/ });
  t.same(disk.list(), names);
  let spare = 10;
  open(disk, {
    spare: () => {
      disk.faults.capacityBytes += 512;
      return spare-- > 0;
    },
  });
  t.equal(recoverLog(disk, crc32).content.last.index, 1);
  t.equal(spare, 4, 'no more than it needs');
  t.end();
});

t.test('an orderly end needs no room', (t) => {
  const disk = new MemoryDisk();
  // With a copy of this batch and of the hard state, 8 bytes are left of a second step.
  const hardStateBytes = BATCH_HEADER_BYTES + 8;
  const bodyBytes = 1024 - 8 - SEGMENT_HEADER_BYTES - BATCH_HEADER_BYTES - hardStateBytes;
  open(disk).write([entry(1, bodyBytes - 4 - 5)], hardState);
  const wal = open(disk);
  t.equal(recoverLog(disk, crc32).segments.at(-1)?.usedBytes, 1024 - 8);
  disk.faults.capacityBytes = disk.bytesUsed;
  const wanted = recoverLog(disk, crc32).end.nextBatch;
  wal.close();
  t.equal(recoverLog(disk, crc32).end.nextBatch, wanted, 'and proves nothing then');
  t.end();
});

t.test('a hard state that has no room takes spare space as an entry does', (t) => {
  const disk = new MemoryDisk();
  // With a copy of this batch and of the hard state, as many bytes are left as the shortest one takes.
  const hardStateBytes = BATCH_HEADER_BYTES + 8;
  const bodyBytes = 1024 - SEGMENT_HEADER_BYTES - BATCH_HEADER_BYTES - 2 * hardStateBytes;
  open(disk).write([entry(1, bodyBytes - 4 - 5)], hardState);
  let spare = 0;
  const wal = open(disk, {
    spare: () => {
      disk.faults.capacityBytes += 512;
      return spare-- > 0;
    },
  });
  t.equal(recoverLog(disk, crc32).segments.at(-1)?.usedBytes, 1024 - hardStateBytes);
  disk.faults.capacityBytes = disk.bytesUsed;
  const longer = { ...hardState, vote: 2 ** 50 };
  t.throws(() => wal.write([], longer), { code: 'NO_SPACE' });
  disk.faults.capacityBytes = disk.bytesUsed;
  spare = 1;
  wal.write([], longer);
  t.equal(spare, 0);
  t.same(recoverLog(disk, crc32).content.hardState, longer);
  t.end();
});

t.test('many small entries, and one with many members, are known to need room', (t) => {
  const ids = Array.from({ length: 64 }, (_, i) => 2 ** 52 + i);
  const members = { ...NO_MEMBERS, voters: ids };
  for (const entries of [
    Array.from({ length: 100 }, (_, i) => entry(i + 1, 1)),
    [{ ...entry(1, 1), members }],
  ]) {
    const disk = new MemoryDisk();
    const wal = open(disk);
    disk.faults.capacityBytes = disk.bytesUsed;
    t.throws(() => wal.write(entries, undefined), { code: 'NO_SPACE' });
    t.equal(recoverLog(disk, crc32).content.last.index, 0, 'nothing was begun');
    disk.faults.capacityBytes = 100_000;
    wal.write(entries, undefined);
    t.equal(recoverLog(disk, crc32).content.entries.length, entries.length);
  }
  t.end();
});

t.test('a disk that fails while room is made is not taken for a full one', (t) => {
  const disk = new MemoryDisk();
  const wal = open(disk);
  t.equal(wal.reserve(5000), true);
  disk.faults.beforeChange = () => {
    throw Object.assign(new Error('broken'), { code: 'EIO' });
  };
  t.throws(() => wal.reserve(100_000), { code: 'EIO' });
  t.throws(() => wal.write([entry(1, 100_000)], hardState), { code: 'EIO' });
  t.end();
});

t.test('a segment that may have its name already is not taken back', (t) => {
  const disk = new MemoryDisk();
  disk.syncDirectory = () => {
    throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
  };
  t.throws(() => open(disk), {
    code: 'UNAVAILABLE',
    message: `cannot publish log segment ${segmentName(1)}`,
  });
  t.same(disk.list(), [segmentName(1)]);
  disk.syncDirectory = () => {
    throw Object.assign(new Error('broken'), { code: 'EIO' });
  };
  t.throws(() => open(disk), { code: 'EIO' }, 'another failure is passed on');
  t.end();
});
