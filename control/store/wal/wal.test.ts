import { crc32 } from 'node:zlib';
import t from 'tap';
import { removeUnfinished } from '../disk/disk.ts';
import { MemoryDisk, SECTOR_BYTES } from '../disk/memory-disk.ts';
import { PREALLOCATE_BYTES } from '../limits.ts';
import { StoreError } from '../port.ts';
import { setLaterSegmentFormat } from '../testing/later-formats.ts';
import { BATCH_HEADER_BYTES, SEGMENT_HEADER_BYTES, segmentName } from './format.ts';
import { recoverLog } from './recover.ts';
import { Wal } from './wal.ts';

const keepAll = { keep: () => true };
const keepNone = { keep: () => false };

function open(disk: MemoryDisk, limits: { segmentBytes?: number; preallocateBytes?: number } = {}) {
  let id = 0;
  removeUnfinished(disk);
  const recovered = recoverLog(disk, crc32);
  const options = {
    disk,
    crc32,
    identity: () => ({ groupId: ++id, memberId: ++id, isJoined: false }),
    seed: () => ++id * 7919,
    ...limits,
  };
  return { wal: new Wal(options, recovered), recovered };
}

function entry(index: number, text = `entry ${index}`, term = 1) {
  return { index, term, data: Buffer.from(text) };
}

const hardState = { term: 1, vote: 1, commitIndex: 0 };

function texts(recovered: ReturnType<typeof open>['recovered']): string[] {
  return recovered.content.entries.map(({ data }) => Buffer.from(data).toString());
}

/** A log of `count` batches of one entry each. */
function written(count: number): MemoryDisk {
  const disk = new MemoryDisk();
  const { wal } = open(disk);
  wal.write([], hardState);
  for (let i = 1; i <= count; i++) wal.write([entry(i)], undefined);
  return disk;
}

function lastSegment(disk: MemoryDisk): string {
  return disk.list().at(-1) ?? '';
}

/** Where batch number `batch` of the only segment starts. */
function batchAt(bytes: Uint8Array, batch: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  for (let at = SEGMENT_HEADER_BYTES; ; ) {
    if (view.getUint32(at + 8, true) === batch) return at;
    at += BATCH_HEADER_BYTES + ((view.getUint32(at + 16, true) + 7) & ~7);
  }
}

t.test('open() gives back entries and hard state after a power cut', (t) => {
  const disk = written(3);
  disk.crash(keepNone);
  const { recovered, wal } = open(disk);
  t.same(texts(recovered), ['entry 1', 'entry 2', 'entry 3']);
  t.same(recovered.content.hardState, hardState);
  t.equal(wal.identity.memberId, 2, 'identity is the first one drawn');
  t.end();
});

t.test('a later entry at an index replaces it and what follows', (t) => {
  const disk = written(3);
  const { wal } = open(disk);
  wal.write([entry(2, 'new 2', 2)], { ...hardState, term: 2 });
  t.same(texts(open(disk).recovered), ['entry 1', 'new 2']);
  t.end();
});

t.test('a torn last batch is cut', (t) => {
  const damages: [string, (bytes: Uint8Array, at: number) => void][] = [
    ['a body of zeros', (b, at) => b.fill(0, at + BATCH_HEADER_BYTES)],
    ['a header of zeros', (b, at) => b.fill(0, at, at + 16)],
    ['one changed bit', (b, at) => b.set([(b[at + 45] ?? 0) ^ 1], at + 45)],
    ['nothing but its first byte', (b, at) => b.fill(0, at + 1)],
    ['a length beyond the file', (b, at) => b.set([255, 255, 255, 127], at + 16)],
  ];
  for (const [name, damage] of damages) {
    const disk = written(3);
    disk.damage(lastSegment(disk), (bytes) => damage(bytes, batchAt(bytes, 4)));
    const { recovered, wal } = open(disk);
    t.same(texts(recovered), ['entry 1', 'entry 2'], name);
    t.ok(recovered.torn, `${name} is reported`);
    wal.write([entry(3, 'again')], undefined);
    disk.crash(keepNone);
    t.same(texts(open(disk).recovered), ['entry 1', 'entry 2', 'again'], `${name}: goes on`);
  }
  t.end();
});

t.test('damage before a valid batch is corruption', (t) => {
  const damages: [string, (bytes: Uint8Array, at: number) => void][] = [
    ['a changed bit in the body', (b, at) => b.set([(b[at + 45] ?? 0) ^ 1], at + 45)],
    ['a zeroed batch', (b, at) => b.fill(0, at, at + 48)],
    ['a changed chain', (b, at) => b.set([1, 2, 3, 4], at + 24)],
  ];
  for (const [name, damage] of damages) {
    const disk = written(4);
    disk.damage(lastSegment(disk), (bytes) => damage(bytes, batchAt(bytes, 3)));
    t.throws(() => open(disk), { code: 'CORRUPT' }, name);
  }
  const disk = written(2);
  disk.damage(lastSegment(disk), (bytes) => bytes.fill(9, 16, 24));
  t.throws(() => open(disk), { code: 'CORRUPT' }, 'a changed segment header');
  t.end();
});

t.test('restarts leave no trail of segments', (t) => {
  const disk = written(2);
  for (let i = 0; i < 20; i++) {
    const { wal } = open(disk);
    wal.write([], { ...hardState, term: 2 + i });
    wal.close();
  }
  t.equal(disk.list().length, 1);
  t.same(texts(open(disk).recovered), ['entry 1', 'entry 2']);
  t.end();
});

t.test('segments are closed when full, and released behind an index', (t) => {
  const disk = new MemoryDisk();
  const segmentBytes = 256 * 1024;
  const limits = { segmentBytes, preallocateBytes: segmentBytes / 4 };
  const { wal } = open(disk, limits);
  const data = Buffer.alloc(segmentBytes / 16, 'x');
  const count = Math.ceil((2.5 * segmentBytes) / data.length);
  wal.write([], hardState);
  for (let index = 1; index <= count; index++) wal.write([{ index, term: 1, data }], undefined);
  t.equal(wal.segmentCount, 3);
  const before = open(disk, limits);
  t.equal(before.recovered.content.entries.length, count);
  before.wal.release(20);
  disk.crash(keepNone);
  const after = open(disk, limits);
  const { entries } = after.recovered.content;
  t.ok((entries[0]?.index ?? 0) <= 21, 'no entry behind the index is lost');
  t.ok((entries[0]?.index ?? 0) > 1, 'a segment went');
  t.equal(entries.at(-1)?.index, count);
  t.same(after.recovered.content.hardState, hardState, 'the hard state outlives its segment');
  t.end();
});

const small = { segmentBytes: 4096, preallocateBytes: 4096 };

t.test('reserve() refuses on a full disk and accepts when there is room again', (t) => {
  const disk = written(1);
  const { wal } = open(disk);
  disk.faults.capacityBytes = 2 * PREALLOCATE_BYTES;
  t.equal(wal.reserve(PREALLOCATE_BYTES * 4), false);
  t.equal(wal.reserve(1000), true);
  wal.write([entry(2)], undefined);
  disk.faults.capacityBytes = 100 * PREALLOCATE_BYTES;
  t.equal(wal.reserve(PREALLOCATE_BYTES * 4), true);
  disk.crash(keepNone);
  t.same(texts(open(disk).recovered), ['entry 1', 'entry 2']);
  t.end();
});

t.test('reserve() takes the space of the next segment, too, and of what is spare', (t) => {
  const disk = new MemoryDisk();
  const { wal } = open(disk, small);
  wal.write([], hardState);
  const data = Buffer.alloc(4096, 'x');
  wal.write([{ index: 1, term: 1, data }], undefined);
  t.equal(wal.segmentCount, 1, 'full, but nothing has come after it');
  disk.faults.capacityBytes = disk.bytesUsed;
  t.equal(wal.reserve(100), false);
  t.same(disk.list(), ['wal-0000000000000001.log'], 'what was begun is gone');
  let spare = 3;
  const freed = wal.reserve(100, () => {
    disk.faults.capacityBytes += 4096;
    return spare-- > 0;
  });
  t.equal(freed, true);
  t.equal(spare, 1, 'no more than needed is freed');
  t.equal(wal.segmentCount, 2);
  disk.faults.capacityBytes = disk.bytesUsed;
  wal.write([entry(2)], { ...hardState, commitIndex: 1 });
  disk.crash(keepNone);
  disk.faults.capacityBytes = 1e9;
  t.same(open(disk).recovered.content.entries.length, 2);
  t.end();
});

t.test('a full segment with room goes on when the disk has no space for another', (t) => {
  const disk = new MemoryDisk();
  const { wal } = open(disk, { segmentBytes: 1000, preallocateBytes: 16_384 });
  wal.write([{ index: 1, term: 1, data: Buffer.alloc(2000) }], hardState);
  disk.faults.capacityBytes = disk.bytesUsed;
  t.equal(wal.reserve(2000), true);
  wal.write([{ index: 2, term: 1, data: Buffer.alloc(2000) }], undefined);
  t.equal(wal.segmentCount, 1);
  disk.faults.capacityBytes = 1e9;
  t.equal(wal.reserve(2000), true);
  t.equal(wal.segmentCount, 2);
  disk.crash(keepNone);
  t.equal(open(disk).recovered.content.last.index, 2);
  t.end();
});

t.test('what a failed sync left in the cache is durable after the next open', (t) => {
  const disk = written(1);
  const { wal } = open(disk);
  disk.faults.failSync = () => 'kept';
  t.throws(() => wal.write([entry(2)], undefined), { code: 'EIO' });
  disk.faults.failSync = () => undefined;
  const seen = texts(open(disk).recovered);
  t.same(seen, ['entry 1', 'entry 2'], 'the cache still has it');
  disk.crash(keepNone);
  t.same(texts(open(disk).recovered), seen, 'so it must stay');
  t.end();
});

t.test('after an orderly end, damage to the last batch is found', (t) => {
  const disk = new MemoryDisk();
  const { wal } = open(disk);
  wal.write([entry(1)], hardState);
  wal.write([entry(2)], undefined);
  wal.close();
  disk.damage(lastSegment(disk), (bytes) => bytes.set([9], batchAt(bytes, 2) + 45));
  t.throws(() => open(disk), { code: 'CORRUPT' });
  t.end();
});

t.test('segments that do not fit together are corruption', (t) => {
  const write = (disk: MemoryDisk) => {
    const { wal } = open(disk, small);
    for (let index = 1; index <= 3; index++) {
      wal.write([{ index, term: 1, data: Buffer.alloc(4096, 'x') }], hardState);
    }
    return disk;
  };
  const names = write(new MemoryDisk()).list();
  t.equal(names.length, 3);
  const missing = write(new MemoryDisk());
  missing.remove(names[1] ?? '');
  t.throws(() => open(missing), { code: 'CORRUPT', message: /lacks batch 2 / });
  const unreadable = write(new MemoryDisk());
  unreadable.breakSector(names[1] ?? '', 1);
  t.throws(() => open(unreadable), { code: 'CORRUPT', message: /cannot be read/ });
  const renamed = write(new MemoryDisk());
  renamed.rename(names[2] ?? '', segmentName(9));
  t.throws(() => open(renamed), { code: 'CORRUPT', message: /says it is segment 3/ });
  const foreign = write(new MemoryDisk());
  const other = new MemoryDisk();
  let id = 100;
  const options = {
    disk: other,
    crc32,
    identity: () => ({ groupId: ++id, memberId: ++id, isJoined: false }),
    seed: () => ++id,
  };
  new Wal(options, recoverLog(other, crc32)).close();
  const image = new Uint8Array(SECTOR_BYTES);
  other.open(names[0] ?? '').read(image, 0);
  foreign.damage(names[1] ?? '', (bytes) => bytes.set(image.subarray(0, 32)));
  t.throws(() => open(foreign), { code: 'CORRUPT' });
  t.end();
});

t.test('a format of a later version is told from damage', (t) => {
  const disk = written(1);
  disk.damage(lastSegment(disk), setLaterSegmentFormat);
  t.throws(() => open(disk), { code: 'UNSUPPORTED', message: /format version 3/ });
  for (const version of [1, 3, 0x2002]) {
    const damaged = written(1);
    damaged.damage(lastSegment(damaged), (bytes) => {
      new DataView(bytes.buffer).setUint32(4, version, true);
    });
    t.throws(() => open(damaged), { code: 'CORRUPT' }, `the number alone rotted to ${version}`);
  }
  t.end();
});

t.test('the end of the log is known when none of its entries are kept', (t) => {
  const disk = new MemoryDisk();
  const first = open(disk, small).wal;
  first.write([{ index: 1, term: 1, data: Buffer.alloc(3000) }], hardState);
  first.write([{ index: 2, term: 3, data: Buffer.alloc(3000) }], { ...hardState, term: 3 });
  first.close();
  const second = open(disk, small).wal;
  second.write([], { ...hardState, term: 4 });
  second.release(2);
  disk.crash(keepNone);
  const { content } = open(disk, small).recovered;
  t.same(content.entries, []);
  t.match(content.last, { index: 2, term: 3 });
  t.equal(content.hardState?.term, 4);
  t.end();
});

t.test('a cut while a segment is made loses nothing', (t) => {
  for (let cutAt = 0; cutAt < 12; cutAt++) {
    const disk = written(2);
    disk.crash(keepAll);
    let left = cutAt;
    disk.faults.beforeChange = () => {
      if (left-- <= 0) throw new Error('power cut');
    };
    try {
      open(disk);
    } catch (error) {
      if (error instanceof StoreError) throw error;
    }
    disk.faults.beforeChange = () => {};
    disk.crash(cutAt % 2 === 0 ? keepNone : keepAll);
    t.same(texts(open(disk).recovered), ['entry 1', 'entry 2'], `cut before change ${cutAt}`);
  }
  t.equal(segmentName(10), 'wal-000000000000000a.log');
  t.end();
});

const members = {
  voters: [2, 7],
  votersOutgoing: [2],
  learners: [9],
  learnersNext: [],
  autoLeave: true,
};

t.test('an entry that changes the members comes back with them', (t) => {
  const disk = written(2);
  const { wal } = open(disk);
  wal.write([{ ...entry(3), members }, entry(4)], undefined);
  const { entries } = open(disk).recovered.content;
  t.same(
    entries.map((found) => found.members),
    [undefined, undefined, members, undefined],
  );
  t.end();
});

t.test('the log begins anew behind a snapshot', (t) => {
  const disk = new MemoryDisk();
  const small = { segmentBytes: 400, preallocateBytes: 512 };
  const { wal } = open(disk, small);
  wal.write([], hardState);
  for (let i = 1; i <= 30; i++) wal.write([entry(i)], undefined);
  wal.write([entry(91, 'behind', 3)], { ...hardState, term: 3 }, { index: 90, term: 2 });
  disk.crash(keepNone);
  const { recovered } = open(disk, small);
  t.same(texts(recovered), ['behind']);
  t.same(recovered.content.restart, { index: 90, term: 2 });
  t.match(recovered.content.last, { index: 91, term: 3 });
  const second = open(disk, small);
  second.wal.write([], undefined, { index: 120, term: 3 });
  second.wal.release(120);
  second.wal.write([entry(121, 'more', 3)], undefined);
  const third = open(disk, small);
  t.same(texts(third.recovered), ['more']);
  third.wal.write([entry(122, 'end', 3)], undefined);
  t.same(texts(open(disk, small).recovered), ['more', 'end']);
  t.end();
});

t.test('entries overwrite those of a segment that was released since', (t) => {
  const disk = new MemoryDisk();
  const small = { segmentBytes: 300, preallocateBytes: 512 };
  const { wal } = open(disk, small);
  wal.write([], hardState);
  let last = 0;
  while (wal.segmentCount < 2) wal.write([entry(++last)], undefined);
  // The first entry of the second segment, then a new leader's at the last two indexes.
  const renewed = [
    entry(last - 1, 'new', 2),
    entry(last, 'newer', 2),
    entry(last + 1, 'newest', 2),
  ];
  wal.write(renewed, { ...hardState, term: 2 });
  wal.release(last);
  t.equal(wal.segmentCount, 1);
  const { recovered } = open(disk, small);
  t.same(texts(recovered), ['new', 'newer', 'newest']);
  t.match(recovered.content.last, { index: last + 1, term: 2 });
  t.end();
});
