/**
 * Mutation testing of the Raft core and the write-ahead log: for each mutant (mutants.ts) those suites
 * run in which it makes a difference at all, until one fails. Prints those that all tests let through,
 * and the score.
 *   node test/mutation/mutation.ts [--files PART] [--minutes N] [--all] [--explained] [--quick]
 * What was found out lies in out/mutation: a mutant that was found is not looked at again while its
 * source is the same, one that survived only by suites that changed. `--all` begins anew. Survivors that
 * survivors.ts explains are counted as such without a run; `--explained` looks at them, too. With
 * `--minutes` it stops after that time and fails; the next run goes on. `--quick` leaves out suites that
 * take long, and calls survivors what may not be.
 */
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { plainOf } from './mutants.ts';
import { type Reach, recordReach } from './reach.ts';
import { OUT, ROOT, runSuite } from './run-suite.ts';
import { type Subject, explain, sourceFiles, subjectsOf } from './subjects.ts';
import { Luck, SUITES, type Suite } from './suites.ts';
import { survivors } from './survivors.ts';

const SHARE_MIN = 0.9;

/** CPU time of a suite that is left out by --quick. */
const QUICK_SECONDS_MAX = 1.5;

/** CPU time allowed, in that without a mutant, and at least. */
const SLOW_FACTOR = 8;
const SECONDS_MIN = 3;

interface Result {
  readonly id: string;
  /** The suite that found it; null: none did. */
  readonly by: string | null;
  /** CPU time. */
  readonly seconds: number;
  /** Suites that it got through, by their version. */
  readonly passed: Readonly<Record<string, string>>;
}

const record = join(OUT, 'results.jsonl');

function readResults(): Result[] {
  if (!existsSync(record)) return [];
  const lines = readFileSync(record, 'utf8')
    .split('\n')
    .filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as Result); // Written by note().
}

function note(result: Result): void {
  appendFileSync(record, `${JSON.stringify(result)}\n`);
}

class Hunt {
  readonly #luck = new Luck();
  readonly #reach: Reach;
  readonly #signal: AbortSignal;
  readonly #secondsMax: number;

  /** Suites that take longer are left out. */
  constructor(reach: Reach, secondsMax: number, signal: AbortSignal) {
    this.#reach = reach;
    this.#secondsMax = secondsMax;
    this.#signal = signal;
  }

  /** Suites that might find it and have not been tried. */
  untried({ file, index }: Subject, known: Result | undefined): Suite[] {
    const { seconds, has, version } = this.#reach;
    return SUITES.filter(
      (suite) =>
        has(suite, file, index) &&
        seconds(suite) <= this.#secondsMax &&
        known?.passed[suite.name] !== version(suite),
    );
  }

  /** Runs such suites with the mutant until one fails. */
  async look(subject: Subject, known: Result | undefined): Promise<Result> {
    const { file, id, start, end, replacement } = subject;
    const path = join(ROOT, file);
    const plain = plainOf(readFileSync(path, 'utf8'));
    const changed = join(OUT, 'changed.js');
    writeFileSync(changed, plain.slice(0, start) + replacement + plain.slice(end));
    const env = { MUTANT: JSON.stringify({ file: path, changed }) };
    const passed = { ...known?.passed };
    let seconds = known?.seconds ?? 0;
    const suites = this.#luck.order(file, this.untried(subject, known), this.#reach.seconds);
    for (const suite of suites) {
      const secondsMax = Math.max(SECONDS_MIN, SLOW_FACTOR * this.#reach.seconds(suite));
      const outcome = await runSuite(suite, { hook: 'apply.ts', env, secondsMax }, this.#signal);
      seconds += outcome.seconds;
      this.#luck.noteRun(file, suite, !outcome.isPassed);
      if (!outcome.isPassed) return { id, by: suite.name, seconds, passed };
      passed[suite.name] = this.#reach.version(suite);
    }
    return { id, by: null, seconds, passed };
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      files: { type: 'string', default: '' },
      minutes: { type: 'string', default: 'Infinity' },
      all: { type: 'boolean', default: false },
      explained: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
    },
  });
  const { signal } = endingOnSignals();
  mkdirSync(OUT, { recursive: true });
  if (values.all) writeFileSync(record, '');
  const files = sourceFiles();
  const subjects = files.filter((file) => file.includes(values.files)).flatMap(subjectsOf);
  const explained = explain(subjects, survivors);
  const secondsMax = values.quick ? QUICK_SECONDS_MAX : Number.POSITIVE_INFINITY;
  const reach = await recordReach(files, secondsMax, signal);
  const results = new Map(readResults().map((result) => [result.id, result]));
  const hunt = new Hunt(reach, secondsMax, signal);
  const queue = subjects.filter((subject) => {
    if (explained.has(subject) && !values.explained) return false;
    const known = results.get(subject.id);
    if (known === undefined) return true;
    return known.by === null && hunt.untried(subject, known).length > 0;
  });
  console.log(`${subjects.length} mutants, ${queue.length} to be looked at`);
  const until = performance.now() + Number(values.minutes) * 60_000;
  for (const [number, subject] of queue.entries()) {
    if (performance.now() > until) {
      console.log(`${queue.length - number} are left for the next run`);
      process.exitCode = 1;
      return;
    }
    const result = await hunt.look(subject, results.get(subject.id));
    if (result.by === null) console.log(describe(subject, reach));
    results.set(subject.id, result);
    note(result);
  }
  report({ subjects, explained, results, reach });
}

/** A child that the same signal hit has found nothing. */
function endingOnSignals(): AbortController {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM']) {
    process.once(name, () => controller.abort(new Error(`ended by ${name}`)));
  }
  return controller;
}

function describe({ file, line, within, change, index }: Subject, reach: Reach): string {
  const where = SUITES.filter((suite) => reach.has(suite, file, index)).map(({ name }) => name);
  return `survived: ${file}:${line}: ${within}: ${change}   (${where.join('; ') || 'no test'})`;
}

interface Found {
  readonly subjects: readonly Subject[];
  readonly explained: ReadonlyMap<Subject, unknown>;
  readonly results: ReadonlyMap<string, Result>;
  readonly reach: Reach;
}

/**
 * Fails below the share of found mutants that is asked for, when a survivor is not explained, and when
 * an explanation is for what is not there or does not survive.
 */
function report({ subjects, explained, results, reach }: Found): void {
  const isFound = ({ id }: Subject) => (results.get(id)?.by ?? null) !== null;
  const left = subjects.filter((subject) => explained.has(subject) || !isFound(subject));
  const unexplained = left.filter((subject) => !explained.has(subject));
  console.log(`\nsurvivors that survivors.ts does not explain: ${unexplained.length}`);
  for (const subject of unexplained) console.log(describe(subject, reach));
  const used = [...explained.keys()];
  const wrong = [
    ...used.filter(isFound).map(({ file, change }) => `found by tests: ${file}: ${change}`),
    ...staleOf(subjects, new Set(explained.values())),
  ];
  for (const line of wrong) console.log(`survivors.ts explains what is not so, ${line}`);
  const share = 1 - left.length / subjects.length;
  const seconds = subjects.reduce((sum, { id }) => sum + (results.get(id)?.seconds ?? 0), 0);
  const minutes = `${Math.ceil(seconds / 60)} minutes of CPU`;
  const percent = (100 * share).toFixed(1);
  console.log(
    `${subjects.length} mutants, ${left.length} survived: ${percent} % found (${minutes})`,
  );
  if (share < SHARE_MIN || unexplained.length > 0 || wrong.length > 0) process.exitCode = 1;
}

/** Explanations for mutants of these files that there are not. */
function staleOf(subjects: readonly Subject[], used: ReadonlySet<unknown>): string[] {
  const files = new Set(subjects.map(({ file }) => file));
  const stale = survivors.filter((one) => files.has(one.file) && !used.has(one));
  return stale.map(({ file, within, change }) => `no such mutant: ${file}: ${within}: ${change}`);
}

await main();
