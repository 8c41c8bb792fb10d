/**
 * Our store beside etcd 3.6.8: `node --no-warnings test/bench/store/run.ts --help`. Runs unattended; prints the
 * tables for BENCHMARKS.md to stdout and what it is doing to stderr.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, globSync } from 'node:fs';
import { cpus, homedir, loadavg, release, totalmem } from 'node:os';
import { join } from 'node:path';
import type { Bench } from './bench.ts';
import { ETCD_FLAGS } from './etcd-group.ts';
import { failoverPart } from './part-failover.ts';
import { largePart } from './part-large.ts';
import { getPart, putPart } from './part-operations.ts';
import { stabilityPart } from './part-stability.ts';
import { watchPart } from './part-watch.ts';
import { HELP, estimateSeconds, parseSettings } from './settings.ts';
import type { PartName, Settings } from './settings.ts';

const PARTS: Record<PartName, (bench: Bench) => Promise<string>> = {
  put: putPart,
  get: getPart,
  watch: watchPart,
  memory: (bench) =>
    largePart(bench, { memory: true, restart: bench.settings.parts.includes('restart') }),
  restart: (bench) => largePart(bench, { memory: false, restart: true }),
  failover: failoverPart,
  stability: stabilityPart,
};

const settings = parseSettings(process.argv.slice(2));
if (settings === undefined) process.stdout.write(`${HELP}\n`);
else await run(settings);
process.exit();

async function run(settings: Settings): Promise<void> {
  if (settings.directory !== undefined) process.env['TMPDIR'] = settings.directory;
  const say = (line: string) => process.stderr.write(`${line}\n`);
  const bin = settings.isOursOnly ? undefined : binaries(settings);
  const bench: Bench = {
    settings,
    etcdBinary: bin === undefined ? undefined : join(bin, 'etcd'),
    officialBinary: bin === undefined ? '' : join(bin, 'etcd-benchmark'),
    signal: new AbortController().signal,
    say,
  };
  say(
    `estimate: ${(estimateSeconds(settings) / 60).toFixed(0)} minutes for ${settings.parts.join(', ')}`,
  );
  process.stdout.write(`${describe(bench)}\n`);
  const startMs = performance.now();
  for (const part of settings.parts) {
    // Restart uses what memory made.
    if (part === 'restart' && settings.parts.includes('memory')) continue;
    say(`-- ${part}`);
    process.stdout.write(`${await PARTS[part](bench)}\n`);
  }
  const minutes = (performance.now() - startMs) / 60_000;
  process.stdout.write(`Took ${minutes.toFixed(1)} minutes; load at the end ${load()}.\n`);
}

/** Where etcd and its benchmark are: what `upstream build etcd etcd-benchmark` made. */
function binaries({ bin }: Settings): string {
  const places =
    bin === undefined ? globSync(join(homedir(), '.cache/bareboat-upstream/*/bin')) : [bin];
  const found = places.find((place) => existsSync(join(place, 'etcd-benchmark')));
  if (found !== undefined) return found;
  throw new Error(
    'no etcd-benchmark: `upstream build etcd etcd-benchmark` makes it, --bin names its folder',
  );
}

function describe({ settings, etcdBinary }: Bench): string {
  const machine = `${cpus()[0]?.model}, ${cpus().length} cores, ${(totalmem() / 1e9).toFixed(0)} GB`;
  const lines = [
    `${machine}, Linux ${release()}, Node ${process.version}, load ${load()}; ${new Date().toISOString()}.`,
    `Medians of ${settings.pairs} interleaved pairs of ${settings.seconds} s (gets and watches: at most 3 pairs of a third of it), lowest and`,
    'highest in brackets; connections as many as clients up to 1, 16 for 64, 100 for 1,000, all to the leader; each ratio',
    "uses the generator, ours or etcd's own, that does better by etcd.",
  ];
  if (etcdBinary !== undefined) {
    const version = execFileSync(etcdBinary, ['--version'], { encoding: 'utf8' }).split('\n')[0];
    lines.push(`${version}; flags beside addresses and certificates: \`${ETCD_FLAGS}\`.`);
  }
  return `${lines.join('\n')}\n`;
}

function load(): string {
  return loadavg()
    .map((value) => value.toFixed(1))
    .join(' ');
}
