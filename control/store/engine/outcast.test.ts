/** The note of who has to come in anew, on a disk that rots. */
import t from 'tap';
import { MemoryDisk } from '../disk/memory-disk.ts';
import { StoreError } from '../port.ts';
import { fencedIndex, noteFence, readNote, writeNote } from './outcast.ts';

const note = {
  groupId: 5520417039056896,
  memberId: 1960886210134016,
  reason: 'log ends early',
  others: [{ key: 'key', address: 'machine:1' }],
  next: { groupId: 5520417039056896, memberId: 3171915430625280 },
};

t.test('readNote() believes no note of which a bit rotted', (t) => {
  const disk = new MemoryDisk();
  writeNote(disk, note);
  t.same(readNote(disk), note);
  const [name = ''] = disk.list();
  const bits = disk.open(name).size * 8;
  let refused = 0;
  for (let bit = 0; bit < bits; bit++) {
    const flip = (bytes: Uint8Array) => {
      bytes[bit >>> 3] = (bytes[bit >>> 3] ?? 0) ^ (1 << (bit & 7));
    };
    disk.damage(name, flip);
    try {
      t.match(readNote(disk), note, `bit ${bit}: what it says is right`);
    } catch (error) {
      t.ok(error instanceof StoreError && error.code === 'CORRUPT', `bit ${bit}: ${String(error)}`);
      refused++;
    }
    disk.damage(name, flip);
  }
  t.ok(refused > bits * 0.9, `${refused} of ${bits} are noticed`);
  t.end();
});

t.test('readNote() reads one that has no sum, of the software before', (t) => {
  const disk = new MemoryDisk();
  const file = disk.create('outcast.json');
  file.write(Buffer.from(JSON.stringify(note)), 0);
  file.close();
  t.same(readNote(disk), note);
  t.end();
});

t.test('readNote() takes a note on a sector that cannot be read for damaged', (t) => {
  const disk = new MemoryDisk();
  writeNote(disk, note);
  disk.breakSector('outcast.json', 0);
  t.throws(() => readNote(disk), { code: 'CORRUPT' });
  t.end();
});

t.test('a fence whose note is damaged is one all the same, up to the end of the log', (t) => {
  const damages: readonly ((disk: MemoryDisk) => void)[] = [
    (disk) => disk.breakSector('fenced.json', 0),
    (disk) => disk.damage('fenced.json', (bytes) => bytes.fill(0)),
  ];
  for (const damage of damages) {
    const disk = new MemoryDisk();
    t.equal(fencedIndex(disk, 90), undefined);
    t.equal(noteFence(disk, 70), false);
    t.equal(fencedIndex(disk, 90), 70);
    damage(disk);
    t.equal(fencedIndex(disk, 90), 90);
    t.equal(noteFence(disk, 91), true, 'the second time');
  }
  t.end();
});
