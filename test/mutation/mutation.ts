/**
 * Mutation testing of the Raft core and the write-ahead log: for each mutant (mutants.ts) the tests run,
 * cheapest first, until one fails. Prints those that all tests let through, and the score.
 *   node test/mutation/mutation.ts [--files GLOB] [--jobs 1] [--all]
 * What was found out lies in out/mutation and is not found out again while source and tests are the
 * same; `--all` begins anew. A mutant whose tests do not end within their CPU time counts as found.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFileSync, existsSync, globSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Mutant, mutantsOf } from './mutants.ts';
import { survivors } from './survivors.ts';

const ROOT = join(import.meta.dirname, '../..');
const OUT = join(ROOT, 'out/mutation');
const SHARE_MIN = 0.9;

/** Real time allowed, in CPU time allowed: the machine may be busy with something else. */
const IDLE_FACTOR = 10;

interface Stage {
  readonly tests: readonly string[];
  /** CPU time; about five times what it takes. */
  readonly seconds: number;
}

interface Area {
  readonly sources: string;
  readonly stages: readonly Stage[];
}

const WHOLE: readonly Stage[] = [
  { tests: ['control/store/faults.test.ts'], seconds: 40 },
  { tests: ['control/store/checkpoint/*.test.ts', 'control/store/formats.test.ts'], seconds: 40 },
  { tests: ['test/sim/store.test.ts'], seconds: 120 },
];

const AREAS: readonly Area[] = [
  {
    sources: 'control/raft/*.ts',
    stages: [
      {
        tests: [
          'control/raft/raft.test.ts',
          'control/raft/bugs-*.test.ts',
          'control/raft/scenario.test.ts',
        ],
        seconds: 20,
      },
      { tests: ['control/raft/safety.test.ts'], seconds: 40 },
      ...WHOLE,
    ],
  },
  {
    sources: 'control/store/wal/*.ts',
    stages: [{ tests: ['control/store/wal/*.test.ts'], seconds: 30 }, ...WHOLE],
  },
];

interface Subject extends Mutant {
  /** Below the root. */
  readonly file: string;
  readonly line: number;
  readonly original: string;
  /** Of source and mutant: what was found out holds as long as it is the same. */
  readonly id: string;
  readonly stages: readonly Stage[];
}

function subjectsOf(pattern: string): Subject[] {
  return AREAS.flatMap(({ sources, stages }) =>
    globSync(sources, { cwd: ROOT })
      .filter((file) => !file.endsWith('.test.ts') && file.includes(pattern))
      .toSorted()
      .flatMap((file) => {
        const source = readFileSync(join(ROOT, file), 'utf8');
        return mutantsOf(source).map((mutant) => ({
          ...mutant,
          file,
          stages,
          line: source.slice(0, mutant.start).split('\n').length,
          original: source.slice(mutant.start, mutant.end),
          id: createHash('sha256')
            .update(JSON.stringify([file, source, mutant]))
            .digest('hex')
            .slice(0, 16),
        }));
      }),
  );
}

/** The stage that found the mutant, or undefined when all tests passed. */
async function hunt(subject: Subject): Promise<number | undefined> {
  for (const [number, { tests, seconds }] of subject.stages.entries()) {
    if (!(await passes(subject, tests, seconds))) return number;
  }
  return undefined;
}

async function passes(
  subject: Subject | undefined,
  tests: readonly string[],
  seconds: number,
): Promise<boolean> {
  const files = tests.flatMap((test) => globSync(test, { cwd: ROOT }).toSorted());
  const hook = subject === undefined ? [] : ['--import', join(import.meta.dirname, 'apply.ts')];
  const mutant = subject && JSON.stringify({ ...subject, file: join(ROOT, subject.file) });
  const child = spawn(
    '/bin/sh',
    [
      '-c',
      'ulimit -t "$0"; exec "$@"',
      String(seconds),
      process.execPath,
      '--no-warnings',
      ...hook,
      join(import.meta.dirname, 'run-tests.ts'),
      ...files.map((file) => join(ROOT, file)),
    ],
    {
      cwd: ROOT,
      stdio: 'ignore',
      env: { ...process.env, TAP_BAIL: '1', TAP_TIMEOUT: '0', ...(mutant && { MUTANT: mutant }) },
      // Who waits for what never comes uses no time of the CPU.
      timeout: seconds * IDLE_FACTOR * 1000,
      killSignal: 'SIGKILL',
    },
  );
  const [code] = await new Promise<[number | null]>((resolve) => {
    child.once('exit', (exitCode) => resolve([exitCode]));
  });
  return code === 0;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      files: { type: 'string', default: '' },
      jobs: { type: 'string', default: '1' },
      all: { type: 'boolean', default: false },
    },
  });
  const known = new Map<string, number | 'survived'>();
  const record = join(OUT, 'found.jsonl');
  mkdirSync(dirname(record), { recursive: true });
  if (existsSync(record) && !values.all) {
    for (const line of readFileSync(record, 'utf8').trim().split('\n')) {
      const [id, result] = JSON.parse(line) as [string, number | 'survived']; // Written below.
      known.set(id, result);
    }
  }
  const subjects = subjectsOf(values.files);
  for (const { sources, stages } of AREAS) {
    for (const { tests, seconds } of stages) {
      if (await passes(undefined, tests, seconds)) continue;
      throw new Error(`${sources}: ${tests.join(' ')} fail without a mutant`);
    }
  }
  const queue = subjects.filter(({ id }) => !known.has(id));
  console.log(`${subjects.length} mutants, ${queue.length} to be looked at`);
  const worker = async () => {
    for (let subject = queue.shift(); subject !== undefined; subject = queue.shift()) {
      const result = (await hunt(subject)) ?? 'survived';
      known.set(subject.id, result);
      appendFileSync(record, `${JSON.stringify([subject.id, result])}\n`);
      if (result === 'survived') console.log(describe(subject));
    }
  };
  await Promise.all(Array.from({ length: Number(values.jobs) }, worker));
  report(subjects, known);
}

function describe({ file, line, original, replacement }: Subject): string {
  const short = original.replaceAll(/\s+/g, ' ').slice(0, 60);
  return `survived: ${file}:${line}: ${short} -> ${replacement}`;
}

/** Fails below the share of found mutants that is asked for, or when a survivor is not explained. */
function report(
  subjects: readonly Subject[],
  known: ReadonlyMap<string, number | 'survived'>,
): void {
  const left = subjects.filter(({ id }) => known.get(id) === 'survived');
  const share = 1 - left.length / subjects.length;
  const unexplained = left.filter(
    ({ file, original, replacement }) =>
      !survivors.some(
        (one) => one.file === file && one.original === original && one.replacement === replacement,
      ),
  );
  console.log(`\nsurvivors that survivors.ts does not explain: ${unexplained.length}`);
  for (const subject of unexplained) console.log(describe(subject));
  const percent = (100 * share).toFixed(1);
  console.log(`${subjects.length} mutants, ${left.length} survived: ${percent} % found`);
  if (share < SHARE_MIN || unexplained.length > 0) process.exitCode = 1;
}

await main();
