/** The map of ranges against a plain search, on random ranges over few keys. */
import fc from 'fast-check';
import t from 'tap';
import { compareBytes } from '../mvcc/byte-range.ts';
import { WatchMap } from './watch-map.ts';

const key = fc.uint8Array({ minLength: 1, maxLength: 2, max: 3 });
const range = fc.record({
  start: key,
  end: fc.option(fc.uint8Array({ maxLength: 2, max: 3 }), { nil: undefined }),
});

function covers(r: { start: Uint8Array; end: Uint8Array | undefined }, k: Uint8Array): boolean {
  if (r.end === undefined) return compareBytes(r.start, k) === 0;
  const isBelowEnd = r.end.length === 0 || compareBytes(k, r.end) < 0;
  return compareBytes(r.start, k) <= 0 && isBelowEnd;
}

t.test('covering() finds the watches that a plain search finds', (t) => {
  fc.assert(
    fc.property(fc.array(range), fc.array(key), fc.nat(), (ranges, probes, removed) => {
      const map = new WatchMap<{ range: (typeof ranges)[number] }>();
      const watches = ranges.map((r) => ({ range: r }));
      for (const watch of watches) map.add(watch);
      const gone = watches[removed % Math.max(1, watches.length)];
      if (gone !== undefined) map.delete(gone);
      const left = watches.filter((watch) => watch !== gone);
      for (const probe of probes) {
        const found = new Set(map.covering(probe));
        const wanted = left.filter((watch) => covers(watch.range, probe));
        if (found.size !== wanted.length || !wanted.every((watch) => found.has(watch))) {
          throw new Error(`key ${probe.join()}: ${found.size} found, ${wanted.length} wanted`);
        }
      }
    }),
    { numRuns: 2000 },
  );
  t.end();
});
