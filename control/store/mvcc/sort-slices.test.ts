import t from 'tap';
import { SeededRandom } from '../testing/seeded-random.ts';
import { sortInSlices } from './sort-slices.ts';

t.test('sortInSlices() sorts, in slices that stay short', (t) => {
  const random = new SeededRandom(1);
  for (const count of [0, 1, 2, 4095, 4096, 4097, 8193, 50_001]) {
    const array = Uint32Array.from({ length: count }, () => random.below(1000));
    const expected = array.toSorted((a, b) => a - b);
    let compared = 0;
    let most = 0;
    const compare = (a: number, b: number) => {
      compared++;
      return a - b;
    };
    for (const _slice of sortInSlices(array, compare)) {
      most = Math.max(most, compared);
      compared = 0;
    }
    t.same(array, expected, `${count} numbers`);
    t.ok(most < 4096 * 13, `${most} comparisons in a slice`);
  }
  t.end();
});
