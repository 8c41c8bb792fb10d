/**
 * Preloaded (`node --import`) into a test process: sources are loaded with probes (probes.ts). REACH is
 * a JSON of the file that takes the numbers of the mutants that could make a difference, a line each,
 * and of the sources with their first number.
 */
import { appendFileSync, readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';
import { probed } from './probes.ts';
import { probeFor } from './probe.ts';

const { record, bases } = JSON.parse(process.env['REACH'] ?? '{}') as {
  readonly record: string;
  readonly bases: Readonly<Record<string, number>>;
}; // Set by reach.ts.

// At once: a process may end in any way.
const found = (number: number) => appendFileSync(record, `${number}\n`);

Object.assign(globalThis, { mutationProbe: probeFor(found) });

registerHooks({
  load(url, context, next) {
    const file = url.startsWith('file:') ? fileURLToPath(url) : undefined;
    const base = file === undefined ? undefined : bases[file];
    if (file === undefined || base === undefined) return next(url, context);
    const source = probed(readFileSync(file, 'utf8'), base);
    return { format: 'module', source, shortCircuit: true };
  },
});
