/** The log on a disk that has no more room. */
import { crc32 } from 'node:zlib';
import t from 'tap';
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
