/** Against a map, with growth in every state of being moved; and what one addition may cost. */
import fc from 'fast-check';
import t from 'tap';
import { KeyTable } from './key-table.ts';
import { NONE } from './records.ts';

/** Ids of themselves; few hashes, so that probes are long and run into each other. */
class NumberKeys {
  hashes = 0;
  readonly spread: number;

  constructor(spread: number) {
    this.spread = spread;
  }

  hash(id: number): number {
    this.hashes++;
    return (Math.imul(id, 0x9e3779b1) % this.spread) >>> 0;
  }

  compare(id: number, key: Uint8Array): number {
    return id - new DataView(key.buffer).getUint32(0);
  }
}

function keyOf(id: number): Uint8Array {
  const key = new Uint8Array(4);
  new DataView(key.buffer).setUint32(0, id);
  return key;
}

t.test('finds what was added and not removed, while it grows too', (t) => {
  const step = fc.record({ add: fc.nat(400), remove: fc.nat(60), seed: fc.nat() });
  const run = (spread: number, steps: { add: number; remove: number; seed: number }[]) => {
    const keys = new NumberKeys(spread);
    const table = new KeyTable(keys);
    const known = new Set<number>();
    let next = 1;
    for (const { add, remove, seed } of steps) {
      for (let i = 0; i < add; i++) {
        table.add(next);
        known.add(next++);
      }
      for (let i = 0; i < remove && known.size > 0; i++) {
        const id = [...known][(seed + i * 7919) % known.size] as number; // Below size.
        table.remove(id);
        known.delete(id);
        // Now and then it comes again, as an id does that is free.
        if (i % 3 === 0) {
          table.add(id);
          known.add(id);
        }
      }
      for (let id = 1; id < next; id++) {
        const wanted = known.has(id) ? id : NONE;
        if (table.find(keyOf(id), keys.hash(id)) !== wanted) return false;
      }
    }
    return true;
  };
  const spreads = fc.constantFrom(97, 2 ** 10, 2 ** 32);
  fc.assert(fc.property(spreads, fc.array(step, { maxLength: 8 }), run), { numRuns: 200 });
  t.end();
});

t.test('an addition moves a few slots at most', (t) => {
  const keys = new NumberKeys(2 ** 32);
  const table = new KeyTable(keys);
  let most = 0;
  for (let id = 1; id <= 200_000; id++) {
    keys.hashes = 0;
    table.add(id);
    most = Math.max(most, keys.hashes);
  }
  t.ok(most <= 9, `${most} ids were looked at`);
  t.end();
});

t.test('what is expected needs no growth', (t) => {
  const keys = new NumberKeys(2 ** 32);
  const table = new KeyTable(keys);
  table.expect(100_000);
  for (let id = 1; id <= 100_000; id++) table.add(id);
  t.equal(keys.hashes, 100_000, 'nothing was moved');
  t.equal(table.find(keyOf(77_777), keys.hash(77_777)), 77_777);
  t.end();
});
