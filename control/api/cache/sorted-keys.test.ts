import fc from 'fast-check';
import t from 'tap';
import { SortedKeys } from './sorted-keys.ts';

t.test('SortedKeys behaves as a sorted array does', (t) => {
  const command = fc.tuple(fc.boolean(), fc.integer({ min: 0, max: 3000 }).map(String));
  const run = (commands: readonly (readonly [boolean, string])[]) => {
    const keys = new SortedKeys();
    const twin = new Set<string>();
    for (const [adds, key] of commands) {
      if (adds) {
        if (keys.add(key) === twin.has(key)) return false;
        twin.add(key);
      } else if (keys.delete(key) !== twin.delete(key)) return false;
    }
    const sorted = [...twin].sort();
    const from = sorted.filter((k) => k >= '15');
    const between = sorted.filter((k) => k >= '15' && k < '27').length;
    return (
      keys.size === sorted.length &&
      JSON.stringify([...keys.from('')]) === JSON.stringify(sorted) &&
      JSON.stringify([...keys.from('15')]) === JSON.stringify(from) &&
      keys.count('15', '27') === between
    );
  };
  fc.assert(fc.property(fc.array(command, { maxLength: 2500, size: 'max' }), run), { numRuns: 40 });
  t.end();
});
