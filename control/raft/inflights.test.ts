/** What counts as under way to one member: appends and their bytes, each freed once. */
import t from 'tap';
import { Inflights } from './inflights.ts';
import { LIMITS } from './limits.ts';

const limits = { ...LIMITS, inflightAppendsMax: 3, inflightBytesMax: 100 };

t.test('appends are bounded by number', async (t) => {
  const inflights = new Inflights(limits);
  for (const index of [1, 2, 3]) {
    t.equal(inflights.isFull, false);
    inflights.add(index, 1);
  }
  t.equal(inflights.isFull, true);
  inflights.freeUpTo(2);
  t.equal(inflights.count, 1);
  t.equal(inflights.bytes, 1);
  t.equal(inflights.isFull, false);
});

t.test('appends are bounded by bytes; the one that reaches the bound may pass it', async (t) => {
  const inflights = new Inflights(limits);
  inflights.add(5, 99);
  t.equal(inflights.isFull, false);
  inflights.add(9, 1);
  t.equal(inflights.isFull, true, 'at the bound');
  inflights.freeUpTo(8);
  t.equal(inflights.bytes, 1, 'the answer for 8 frees what ends at 5, not what ends at 9');
  inflights.freeUpTo(8);
  t.equal(inflights.bytes, 1, 'nothing twice');
  inflights.freeUpTo(9);
  t.equal(inflights.count, 0);
  t.equal(inflights.bytes, 0);
});

t.test('nothing is under way to a member that is probed', async (t) => {
  const inflights = new Inflights(limits);
  inflights.add(1, 100);
  inflights.clear();
  t.equal(inflights.count, 0);
  t.equal(inflights.bytes, 0);
  t.equal(inflights.isFull, false);
});
