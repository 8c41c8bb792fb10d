/**
 * Preloaded (`node --import`) into a test process: one source is loaded with a mutant in it. MUTANT is
 * a JSON of its file, and of the one that holds the changed source as JavaScript. The tree itself is
 * never changed.
 */
import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { pathToFileURL } from 'node:url';

const { file, changed } = JSON.parse(process.env['MUTANT'] ?? '{}') as {
  readonly file: string;
  readonly changed: string;
}; // Set by mutation.ts.
const mutated = pathToFileURL(file).href;

registerHooks({
  load(url, context, next) {
    if (url !== mutated) return next(url, context);
    return { format: 'module', source: readFileSync(changed), shortCircuit: true };
  },
});
