/**
 * Which suites can find which mutants, and how long suites take: each is run as it is, and once more
 * with probes (probes.ts). Kept in out/mutation as long as nothing of it changes.
 */
import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mutantsOf } from './mutants.ts';
import { OUT, ROOT, runSuite } from './run-suite.ts';
import { SUITES, type Suite } from './suites.ts';

/** Without a mutant. With one it has several times as long. */
const SECONDS_MAX = 120;
/** Probes make the inner loops slow. */
const PROBED_FACTOR = 20;

export interface Reach {
  /** CPU time of a suite. */
  readonly seconds: (suite: Suite) => number;
  /** Whether the mutant with this index, of the source, would make a difference in the suite. */
  readonly has: (suite: Suite, file: string, index: number) => boolean;
  /** Changes with the suite and with all that it may run. */
  readonly version: (suite: Suite) => string;
}

interface Recorded {
  readonly version: string;
  readonly seconds: number;
  readonly reached: Readonly<Record<string, readonly number[]>>;
}

/** Suites known to take longer are not looked at anew. Throws when one fails without any mutant. */
export async function recordReach(
  files: readonly string[],
  secondsMax: number,
  signal: AbortSignal,
): Promise<Reach> {
  const cache = join(OUT, 'reach.json');
  const kept = existsSync(cache) ? JSON.parse(readFileSync(cache, 'utf8')) : {};
  const all: Record<string, Recorded> = kept; // Written below.
  const common = hashOf(COMMON.flatMap((pattern) => globSync(pattern, { cwd: ROOT })));
  for (const suite of SUITES) {
    const tests = [...suite.tests, ...(suite.data ?? [])];
    const own = hashOf(tests.flatMap((pattern) => globSync(pattern, { cwd: ROOT })));
    const version = `${common} ${own} ${suite.only} ${suite.without}`;
    const known = all[suite.name];
    if (known?.version === version || (known?.seconds ?? 0) > secondsMax) continue;
    all[suite.name] = { version, ...(await recordOne(suite, files, signal)) };
    writeFileSync(cache, JSON.stringify(all));
  }
  const sets = new Map(
    Object.entries(all).flatMap(([name, { reached }]) =>
      Object.entries(reached).map(([file, indexes]) => [`${name} ${file}`, new Set(indexes)]),
    ),
  );
  return {
    version: ({ name }) => all[name]?.version ?? '',
    seconds: ({ name }) => all[name]?.seconds ?? SECONDS_MAX,
    has: ({ name }, file, index) => sets.get(`${name} ${file}`)?.has(index) ?? false,
  };
}

async function recordOne(
  suite: Suite,
  files: readonly string[],
  signal: AbortSignal,
): Promise<Omit<Recorded, 'version'>> {
  const plain = await runSuite(suite, { secondsMax: SECONDS_MAX }, signal);
  if (!plain.isPassed) throw new Error(`suite ${suite.name} fails without a mutant`);
  const directory = mkdtempSync(join(tmpdir(), 'reach-'));
  try {
    const record = join(directory, 'numbers');
    writeFileSync(record, '');
    const bases: Record<string, number> = {};
    let base = 0;
    for (const file of files) {
      bases[join(ROOT, file)] = base;
      base += mutantsOf(readFileSync(join(ROOT, file), 'utf8')).length;
    }
    const env = { REACH: JSON.stringify({ record, bases }) };
    const secondsMax = SECONDS_MAX + plain.seconds * PROBED_FACTOR;
    const probed = await runSuite(suite, { hook: 'record-reach.ts', env, secondsMax }, signal);
    if (!probed.isPassed) throw new Error(`suite ${suite.name} fails with probes`);
    const numbers = [...new Set(readFileSync(record, 'utf8').trim().split('\n').map(Number))];
    const reached = Object.fromEntries(
      files.map((file, at) => {
        const from = bases[join(ROOT, file)] ?? 0;
        const to = bases[join(ROOT, files[at + 1] ?? '')] ?? base;
        const own = numbers.filter((number) => number >= from && number < to);
        return [file, own.map((number) => number - from).toSorted((a, b) => a - b)];
      }),
    );
    const count = Object.values(reached).reduce((sum, own) => sum + own.length, 0);
    console.log(`${suite.name}: ${plain.seconds.toFixed(1)} s, ${count} mutants reached`);
    return { seconds: plain.seconds, reached };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** What any suite may run, and what decides which mutants there are. */
const COMMON = [
  '{base,control,test/sim}/**/!(*.test).ts',
  'test/mutation/{mutants,probe,probes,record-reach}.ts',
];

function hashOf(files: readonly string[]): string {
  const hash = createHash('sha256');
  for (const file of files.toSorted()) {
    hash.update(`${file}\0`).update(readFileSync(join(ROOT, file)));
  }
  return hash.digest('hex').slice(0, 16);
}
