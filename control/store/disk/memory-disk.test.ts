/** The faults of the memory disk, so that tests over it test what they say. */
import t from 'tap';
import { MemoryDisk, SECTOR_BYTES } from './memory-disk.ts';

const all = { keep: () => true };
const none = { keep: () => false };

function sectors(...fill: number[]): Uint8Array {
  const bytes = new Uint8Array(fill.length * SECTOR_BYTES);
  for (const [i, byte] of fill.entries()) {
    bytes.fill(byte, i * SECTOR_BYTES, (i + 1) * SECTOR_BYTES);
  }
  return bytes;
}

/** First byte of each sector. */
function read(disk: MemoryDisk, name: string): number[] {
  const file = disk.open(name);
  const bytes = new Uint8Array(file.size);
  file.read(bytes, 0);
  return Array.from(
    { length: Math.ceil(bytes.length / SECTOR_BYTES) },
    (_, i) => bytes[i * SECTOR_BYTES] ?? 0,
  );
}

/** A disk with a durable file `a` of these sectors. */
function diskWith(...fill: number[]): MemoryDisk {
  const disk = new MemoryDisk();
  const file = disk.create('a');
  file.write(sectors(...fill), 0);
  file.sync();
  disk.syncDirectory();
  return disk;
}

/** Answers from a list, in order. */
function answers(...list: boolean[]): { keep: () => boolean } {
  return { keep: () => list.shift() ?? false };
}

t.test('a power cut keeps what was synced and any part of the rest', (t) => {
  const disk = diskWith(1, 1, 1);
  disk.open('a').write(sectors(2, 2, 2), 0);
  t.same(read(disk, 'a'), [2, 2, 2]);
  disk.crash(answers(true, false, true));
  t.same(read(disk, 'a'), [2, 1, 2], 'the later sector without the earlier');
  disk.crash(all);
  t.same(read(disk, 'a'), [2, 1, 2], 'what a cut left is durable');
  t.end();
});

t.test('a sector can be torn', (t) => {
  const disk = diskWith(1);
  disk.open('a').write(sectors(2), 0);
  disk.crash({ keep: () => true, tear: () => 100 });
  const bytes = new Uint8Array(SECTOR_BYTES);
  disk.open('a').read(bytes, 0);
  t.same([bytes[0], bytes[99], bytes[100], bytes[511]], [2, 2, 1, 1]);
  t.end();
});

t.test('growth and cuts of a file are unsynced, too', (t) => {
  const disk = diskWith(1, 1);
  disk.open('a').write(sectors(3), 2 * SECTOR_BYTES);
  disk.crash(none);
  t.same(read(disk, 'a'), [1, 1]);
  disk.open('a').write(sectors(3), 2 * SECTOR_BYTES);
  disk.crash(answers(true, false));
  t.same(read(disk, 'a'), [1, 1, 0], 'the size without the content');
  disk.open('a').truncate(SECTOR_BYTES);
  disk.crash(none);
  t.same(read(disk, 'a'), [1, 1, 0]);
  const file = disk.open('a');
  file.truncate(0);
  file.truncate(2 * SECTOR_BYTES);
  t.same(read(disk, 'a'), [0, 0]);
  t.end();
});

t.test('names are durable after a directory sync, before it up to some change', (t) => {
  const disk = diskWith(1);
  disk.create('b').sync();
  disk.crash(none);
  t.same(disk.list(), ['a']);
  disk.create('b');
  disk.rename('a', 'c');
  disk.remove('b');
  disk.crash(answers(true, true, false));
  t.same(disk.list(), ['b', 'c']);
  disk.remove('b');
  disk.remove('c');
  disk.crash({ ...answers(false, true), names: 'any' });
  t.same(disk.list(), ['b'], 'the later change without the earlier');
  disk.create('d');
  disk.rename('d', 'b');
  disk.syncDirectory();
  disk.crash(none);
  t.same(disk.list(), ['b']);
  t.same(read(disk, 'b'), [], 'a rename replaces');
  t.end();
});

t.test('after a failed sync nothing is durable, whatever a second one says', (t) => {
  for (const mode of ['kept', 'dropped'] as const) {
    const disk = diskWith(1, 1);
    const file = disk.open('a');
    file.write(sectors(2, 2), 0);
    disk.faults.failSync = () => mode;
    t.throws(() => file.sync(), { code: 'EIO' });
    disk.faults.failSync = () => undefined;
    t.same(read(disk, 'a'), mode === 'kept' ? [2, 2] : [1, 1], mode);
    file.write(sectors(3), SECTOR_BYTES);
    file.sync();
    t.same(read(disk, 'a')[0], mode === 'kept' ? 2 : 1);
    disk.evict();
    t.same(read(disk, 'a'), [1, 3], 'clean pages may be read from the disk again');
    disk.crash(all);
    t.same(read(disk, 'a'), [1, 3]);
  }
  t.end();
});

t.test('what is written anew after a failed sync is durable, its size too', (t) => {
  for (const mode of ['kept', 'dropped'] as const) {
    const disk = diskWith();
    const file = disk.create('b');
    disk.syncDirectory();
    file.write(sectors(1, 2), 0);
    disk.faults.failSync = () => mode;
    t.throws(() => file.sync(), { code: 'EIO' });
    disk.faults.failSync = () => undefined;
    file.truncate(2 * SECTOR_BYTES);
    file.write(sectors(1, 2), 0);
    file.sync();
    disk.crash(all);
    t.same(read(disk, 'b'), [1, 2], mode);
  }
  t.end();
});

t.test('a full disk takes a part of a write', (t) => {
  const disk = diskWith(1);
  disk.faults.capacityBytes = 3 * SECTOR_BYTES;
  const file = disk.create('b');
  t.throws(() => file.write(sectors(2, 2, 2), 0), { code: 'ENOSPC' });
  t.same(read(disk, 'b'), [2, 2]);
  file.write(sectors(4), 0);
  t.throws(() => file.truncate(3 * SECTOR_BYTES), { code: 'ENOSPC' });
  disk.remove('a');
  file.write(sectors(5), 2 * SECTOR_BYTES);
  t.same(read(disk, 'b'), [4, 2, 5]);
  t.end();
});

t.test('a lying disk puts sectors elsewhere, which shows when they are read from it', (t) => {
  const disk = diskWith(1, 1, 1);
  disk.faults.misdirect = (_name, sector) => (sector === 0 ? { name: 'a', sector: 2 } : 'nowhere');
  const file = disk.open('a');
  file.write(sectors(2, 3), 0);
  file.sync();
  t.same(read(disk, 'a'), [2, 3, 1]);
  disk.evict();
  t.same(read(disk, 'a'), [1, 1, 2]);
  t.end();
});

t.test('a sector that cannot be read can be written', (t) => {
  const disk = diskWith(1, 1);
  disk.breakSector('a', 1);
  t.throws(() => read(disk, 'a'), { code: 'EIO' });
  const file = disk.open('a');
  t.equal(file.read(new Uint8Array(SECTOR_BYTES), 0), SECTOR_BYTES);
  file.write(sectors(7), SECTOR_BYTES);
  file.sync();
  t.same(read(disk, 'a'), [1, 7]);
  t.end();
});

t.test('a disk goes back to an image, as often as wanted, or is replaced', (t) => {
  const disk = diskWith(1);
  const image = disk.image();
  for (let round = 0; round < 2; round++) {
    const file = disk.open('a');
    file.write(sectors(2), 0);
    file.sync();
    disk.create('b');
    disk.syncDirectory();
    disk.rollBack(image);
    t.same(disk.list(), ['a']);
    t.same(read(disk, 'a'), [1]);
  }
  disk.wipe();
  t.same(disk.list(), []);
  t.end();
});
