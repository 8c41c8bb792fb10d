/**
 * Goal: no bytes from a network or a disk do more to a decoder of the store than be refused with its own
 * error, in bounded memory; and requests that are taken do not hurt an engine. A sample of what
 * `node test/fuzz/store.ts` does.
 */
import t from 'tap';
import { runInEngine } from './engine-run.ts';
import { fuzz } from './fuzz.ts';

const INPUTS = 200_000;
const ENGINE_INPUTS = 10_000;
const seed = Math.floor(Math.random() * 2 ** 20);
const patient = { timeout: 120_000 };

t.test('decoders refuse what they cannot take', patient, async (t) => {
  t.comment(`seed ${seed}`);
  const tallies = fuzz(seed, INPUTS);
  for (const { target, inputs, taken, refused } of tallies) {
    t.equal(taken + refused, inputs, `${target}: ${taken} taken, ${refused} refused`);
  }
  const total = tallies.reduce((sum, { inputs }) => sum + inputs, 0);
  t.ok(total >= INPUTS, `${total} inputs`);
});

t.test('requests that are taken end no engine and damage no state', patient, async (t) => {
  const { taken, lives } = runInEngine(seed, ENGINE_INPUTS);
  t.ok(taken > 1000, `seed ${seed}: ${taken} taken in ${lives} lives`);
});
