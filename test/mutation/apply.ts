/**
 * Preloaded (`node --import`) into a test process: one source is loaded with the mutant that MUTANT
 * names, a JSON of file and Mutant. The tree itself is never changed.
 */
import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';
import { type Mutant, plainOf } from './mutants.ts';

const { file, start, end, replacement } = JSON.parse(process.env['MUTANT'] ?? '{}') as Mutant & {
  readonly file: string;
}; // Set by mutation.ts.

registerHooks({
  load(url, context, next) {
    if (!url.startsWith('file:') || fileURLToPath(url) !== file) return next(url, context);
    const plain = plainOf(readFileSync(file, 'utf8'));
    const source = plain.slice(0, start) + replacement + plain.slice(end);
    return { format: 'module', source, shortCircuit: true };
  },
});
