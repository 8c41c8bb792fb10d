/**
 * Fuzzes the decoders of the store. `node test/fuzz/store.ts [--inputs N] [--seed N]`: a line for each
 * decoder, and the input that broke a rule if one did.
 */
import { parseArgs } from 'node:util';
import { runInEngine } from './engine-run.ts';
import { fuzz } from './fuzz.ts';

const { values } = parseArgs({
  options: {
    inputs: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: '1' },
  },
});
const startedAt = performance.now();
const tallies = fuzz(Number(values.seed), Number(values.inputs), (tally) => {
  const { target, inputs, taken, refused, worstPerByte } = tally;
  const worst = Math.max(0, worstPerByte).toFixed(0);
  console.log(
    `${target}: ${inputs} inputs, ${taken} taken, ${refused} refused, ${worst} bytes a byte`,
  );
});
const total = tallies.reduce((sum, { inputs }) => sum + inputs, 0);
const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
console.log(`${total} inputs from seed ${values.seed} in ${seconds} s`);
const { inputs, taken, lives } = runInEngine(Number(values.seed), Math.ceil(total / 50));
console.log(`an engine: ${inputs} inputs, ${taken} taken, ${lives} lives`);
