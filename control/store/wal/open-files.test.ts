/** The log keeps one file open, the one that it writes. */
import { crc32 } from 'node:zlib';
import t from 'tap';
import type { Disk } from '../disk/disk.ts';
import { MemoryDisk } from '../disk/memory-disk.ts';
import { countingOpen } from '../testing/open-files.ts';
import { readEntries } from './read-entries.ts';
import { recoverLog } from './recover.ts';
import { rewriteLog } from './rewrite.ts';
import { Wal } from './wal.ts';

const hardState = { term: 1, vote: 1, commitIndex: 0 };
const identity = { groupId: 5, memberId: 7, isJoined: false };

function openLog(disk: Disk): Wal {
  const sizes = { segmentBytes: 300, preallocateBytes: 256 };
  const options = { disk, crc32, identity: () => identity, seed: () => 7, ...sizes };
  return new Wal(options, recoverLog(disk, crc32));
}

function entry(index: number) {
  return { index, term: 1, data: new Uint8Array(100).fill(7) };
}

function written(count: number) {
  const memory = new MemoryDisk();
  const { disk, open } = countingOpen(memory);
  const wal = openLog(disk);
  for (let i = 1; i <= count; i++) wal.write([entry(i)], hardState);
  return { memory, disk, open, wal };
}

t.test('a log of many segments has one file open, and none at its end', (t) => {
  const { disk, open, wal } = written(20);
  t.ok(wal.segmentCount > 5);
  t.equal(open.size, 1);
  wal.close();
  t.equal(open.size, 0);
  const next = openLog(disk);
  t.equal(open.size, 1);
  next.abort();
  t.equal(open.size, 0);
  t.end();
});

t.test('a start, or a new segment, that fails leaves none open', (t) => {
  const { memory, disk, open, wal } = written(1);
  wal.abort();
  memory.faults.capacityBytes = memory.bytesUsed;
  t.throws(() => openLog(disk), { code: 'NO_SPACE' }, 'not even for a header');
  t.equal(open.size, 0);
  memory.faults.capacityBytes += 256;
  t.throws(() => openLog(disk), { code: 'NO_SPACE' }, 'none for what it copies');
  t.equal(open.size, 0);
  t.end();
});

t.test('what reads or rewrites the log closes what it opened', (t) => {
  const { memory, disk, open, wal } = written(20);
  wal.abort();
  const read = () => readEntries({ disk, crc32 }, 0, { index: 20, term: 1 });
  t.ok([...read()].length >= 20);
  t.equal(open.size, 0);
  for (const _ of read()) break;
  t.equal(open.size, 0, 'broken off');
  const log = { identity, segment: 99, seed: 3, base: { index: 0, term: 0 }, hardState };
  const rewrite = () => {
    const entries = [1, 2, 3, 4, 5, 6].map(entry);
    rewriteLog({ disk, crc32, preallocateBytes: 256 }, { ...log, entries }, 300);
  };
  for (const room of [100, 300, 700]) {
    memory.faults.capacityBytes = memory.bytesUsed + room;
    t.throws(rewrite, { code: 'ENOSPC' });
    t.equal(open.size, 0, `${room} bytes`);
  }
  memory.faults.capacityBytes = 1e9;
  rewrite();
  t.equal(open.size, 0);
  t.equal(recoverLog(disk, crc32).content.entries.length, 6);
  t.end();
});
