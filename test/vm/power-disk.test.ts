/** What a power cut leaves of a recorded disk: the model that the power cuts of the store rely on. */
import t from 'tap';
import { SeededRandom } from '#control/store/testing/seeded-random.ts';
import { CUT_KINDS, PowerDisk } from './power-disk.ts';
import type { CutKind } from './power-disk.ts';

const SECTOR = 512;
const block = (value: number, sectors = 2) => new Uint8Array(sectors * SECTOR).fill(value);

/** The first byte of each sector. */
const sectorsOf = (image: Uint8Array) =>
  Array.from({ length: image.length / SECTOR }, (_, sector) => image[sector * SECTOR]);

/** Two sectors flushed, two overwritten and two written since, one of them forced. */
function recorded(): PowerDisk {
  const disk = new PowerDisk(block(0, 6));
  disk.write(0, block(1), false);
  disk.flush();
  disk.write(0, block(2), false);
  disk.write(2 * SECTOR, block(3), false);
  disk.write(4 * SECTOR, block(4), true);
  return disk;
}

const rows: [string, number, CutKind, number[]][] = [
  ['nothing written yet', 0, 'everything', [0, 0, 0, 0, 0, 0]],
  ['an unflushed write may go', 1, 'nothing', [0, 0, 0, 0, 0, 0]],
  ['a flushed write stays', 2, 'nothing', [1, 1, 0, 0, 0, 0]],
  ['what was overwritten comes back', 4, 'nothing', [1, 1, 0, 0, 0, 0]],
  ['a forced write stays without a flush', 5, 'nothing', [1, 1, 0, 0, 4, 4]],
  ['all may have been kept', 5, 'everything', [2, 2, 3, 3, 4, 4]],
  ['the newest may have been kept', 3, 'newest', [2, 2, 0, 0, 0, 0]],
];
for (const [name, count, kind, sectors] of rows) {
  t.test(`PowerDisk.cut() ${name}`, async (t) => {
    t.same(sectorsOf(recorded().cut(count, kind, new SeededRandom(1))), sectors);
  });
}

t.test('PowerDisk.cut() keeps any writes, whole or by sector', async (t) => {
  const seen = { writes: new Set<string>(), sectors: new Set<string>() };
  for (let seed = 0; seed < 300; seed++) {
    for (const kind of ['writes', 'sectors'] as const) {
      seen[kind].add(sectorsOf(recorded().cut(4, kind, new SeededRandom(seed))).join(''));
    }
  }
  t.same([...seen.writes].toSorted(), ['110000', '113300', '220000', '223300']);
  t.equal(seen.sectors.size, 16, 'each sector for itself');
});

t.test('PowerDisk.cuts() gives what cut() gives', async (t) => {
  const disk = recorded();
  const counts = [0, 1, 2, 2, 4, 5];
  for (const kind of CUT_KINDS) {
    const draw = () => ({ kind, random: new SeededRandom(7) });
    for (const { count, image } of disk.cuts(counts, draw)) {
      t.same(image, disk.cut(count, kind, new SeededRandom(7)), `${count}, ${kind}`);
    }
  }
});
