/**
 * Preloaded (`node --import`) into a simulator's process: the sources that the bug of SIM_MUTATION
 * patches are loaded with its patches. The tree itself is never changed, and no product code knows.
 */
import { registerHooks } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { MUTATIONS, patched } from './mutations.ts';

const name = process.env['SIM_MUTATION'] ?? '';
const mutation = MUTATIONS.find((other) => other.name === name);
if (mutation === undefined) throw new Error(`no mutation is named ${name}`);
const root = join(import.meta.dirname, '../../..');
const files = new Set(mutation.patches.map(({ file }) => file));
const urls = new Map([...files].map((file) => [pathToFileURL(join(root, file)).href, file]));

registerHooks({
  load(url, context, next) {
    const file = urls.get(url);
    const loaded = next(url, context);
    if (file === undefined) return loaded;
    const { source = '' } = loaded;
    const text = typeof source === 'string' ? source : Buffer.from(source as Uint8Array).toString(); // As read.
    return { ...loaded, source: patched(mutation, file, text) };
  },
});
