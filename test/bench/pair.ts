/**
 * Runs a benchmark against two clusters by turns, ours and upstream's, and prints the median of each
 * figure and their ratio as a Markdown table: what BENCHMARKS.md holds.
 *   pair.ts --ours KUBECONFIG --upstream KUBECONFIG [--pairs 3] SCRIPT [ARGUMENTS...]
 * SCRIPT is api.ts or pods.ts of this folder. The two clusters share the machine; each is idle while
 * the other is measured.
 */
import { execFileSync } from 'node:child_process';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { median } from './statistics.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    ours: { type: 'string' },
    upstream: { type: 'string' },
    pairs: { type: 'string', default: '3' },
  },
});
const [script = 'api.ts', ...rest] = positionals;
type Side = 'ours' | 'upstream';
/** Values by `operation figure`. */
const figures: Record<Side, Map<string, number[]>> = { ours: new Map(), upstream: new Map() };

function runOnce(side: Side): void {
  const kubeconfig = values[side];
  if (kubeconfig === undefined) throw new Error(`--${side} KUBECONFIG is missing`);
  const args = ['--no-warnings', join(import.meta.dirname, script), '--kubeconfig', kubeconfig];
  const output = execFileSync(process.execPath, [...args, ...rest], { encoding: 'utf8' });
  for (const line of output.trim().split('\n')) {
    const { operation, clients: _clients, count: _count, ...numbers } = JSON.parse(line);
    for (const [figure, value] of Object.entries(numbers)) {
      const key = `${operation}, ${figure}`;
      const list = figures[side].get(key) ?? [];
      list.push(Number(value));
      figures[side].set(key, list);
    }
  }
}

for (let pair = 0; pair < Number(values.pairs); pair++) {
  const order: Side[] = pair % 2 === 0 ? ['ours', 'upstream'] : ['upstream', 'ours'];
  for (const side of order) runOnce(side);
}
const load = loadavg().map((value) => value.toFixed(1));
console.log(`${cpus()[0]?.model}, ${cpus().length} cores, load ${load.join(' ')}; medians`);
console.log(`of ${values.pairs} interleaved runs of ${[script, ...rest].join(' ')}\n`);
console.log('| figure | ours | upstream | ours / upstream |\n|---|---|---|---|');
for (const [key, list] of figures.ours) {
  const [ours, theirs] = [median(list), median(figures.upstream.get(key) ?? [])];
  console.log(`| ${key} | ${ours} | ${theirs} | ${(ours / theirs).toFixed(2)} |`);
}
