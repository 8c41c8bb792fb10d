/**
 * Holds the simulator to find known bugs (mutations/mutations.ts): each within 2,000 fresh seeds and ten
 * minutes of CPU time, while the code as it ships passes the same seeds. Prints where each was found.
 *
 *   node test/sim/mutation-gate.ts [NAME...]     all without a name; FIRST= for the first seed
 */
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MUTATIONS, patched } from './mutations/mutations.ts';
import type { Mutation } from './mutations/mutations.ts';

const SEEDS_MAX = 2000;
const CPU_SECONDS_MAX = Number(process.env['CPU_SECONDS'] ?? 600);
/** A seed takes a second; a bug that makes one go on for so long is found, too. */
const SEED_MS_MAX = 60_000;
const ROOT = join(import.meta.dirname, '../..');

export interface Search {
  /** Seeds that ran, the one that failed included. */
  readonly seeds: number;
  readonly cpuSeconds: number;
  /** What failed; undefined = nothing did. */
  readonly failure: string | undefined;
}

/** Checks that every patch still fits the sources; throws otherwise. */
export function checkPatches(): void {
  for (const mutation of MUTATIONS) {
    for (const { file } of mutation.patches) {
      patched(mutation, file, readFileSync(join(ROOT, file), 'utf8'));
    }
  }
}

/** Runs seeds with the bug, or without any, until one fails or the bounds are met. */
export async function search(
  mutation: Mutation | undefined,
  bounds: { first: number; seeds: number; cpuSeconds: number },
): Promise<Search> {
  const hook = join(import.meta.dirname, 'mutations/hook.ts');
  const flags = mutation === undefined ? [] : ['--import', hook];
  const env = { ...process.env, SIM_MUTATION: mutation?.name ?? '' };
  const words = [bounds.first, bounds.seeds, bounds.cpuSeconds].map(String);
  const args = ['--no-warnings', ...flags, import.meta.filename, '--search', ...words];
  const child = spawn(process.execPath, args, { env });
  let seeds = 0;
  let cpuSeconds = 0;
  let out = '';
  let failure: string | undefined;
  const hang = () => {
    failure = 'a seed does not end';
    child.kill('SIGKILL');
  };
  let watchdog = setTimeout(hang, SEED_MS_MAX);
  const take = (bytes: Buffer) => {
    clearTimeout(watchdog);
    watchdog = setTimeout(hang, SEED_MS_MAX);
    out += bytes.toString();
    for (let end = out.indexOf('\n'); end >= 0; end = out.indexOf('\n')) {
      const line = JSON.parse(out.slice(0, end)) as { cpuSeconds: number; failure?: string }; // Ours.
      out = out.slice(end + 1);
      seeds++;
      ({ cpuSeconds, failure } = { failure, ...line });
    }
  };
  child.stdout.on('data', take);
  let trouble = '';
  child.stderr.on('data', (bytes: Buffer) => {
    trouble += bytes.toString();
  });
  const code = await new Promise((resolve) => child.on('close', resolve));
  clearTimeout(watchdog);
  if (seeds === 0 && failure === undefined && code !== 0) throw new Error(trouble);
  // Where a bug ends the whole process, that is how it was found.
  if (code !== 0) failure ??= trouble.split('\n').find((line) => line.includes('Error')) ?? trouble;
  return { seeds, cpuSeconds, failure };
}

/** In a process of its own: a line for each seed. */
async function runSearch(first: number, seeds: number, cpuSecondsMax: number): Promise<void> {
  const { runSeed } = await import('./run.ts');
  for (let seed = first; seed < first + seeds; seed++) {
    const failure = await runSeed(seed).then(() => undefined, messageOf);
    const { user, system } = process.cpuUsage();
    const cpuSeconds = (user + system) / 1e6;
    console.log(JSON.stringify({ cpuSeconds, failure }));
    if (failure !== undefined || cpuSeconds > cpuSecondsMax) return;
  }
}

/** The innermost cause. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : messageOf(error.cause);
}

async function gate(names: readonly string[]): Promise<void> {
  checkPatches();
  const first = Number(process.env['FIRST'] ?? randomInt(2 ** 31));
  console.log(`first seed: ${first}`);
  const bounds = { first, seeds: SEEDS_MAX, cpuSeconds: CPU_SECONDS_MAX };
  const isWanted = ({ name }: Mutation) => names.length === 0 || names.includes(name);
  let seedsMost = 0;
  let missed = 0;
  for (const mutation of MUTATIONS.filter(isWanted)) {
    const { seeds, cpuSeconds, failure } = await search(mutation, bounds);
    const figures = `${String(seeds).padStart(5)} seeds ${cpuSeconds.toFixed(1).padStart(6)} s`;
    const number = mutation.bug === undefined ? '' : ` (bug ${mutation.bug})`;
    const what = failure === undefined ? 'NOT FOUND' : failure.slice(0, 90);
    console.log(`${mutation.area.padEnd(6)}${mutation.name}${number}: ${figures}  ${what}`);
    if (failure === undefined) missed++;
    seedsMost = Math.max(seedsMost, seeds);
  }
  const plain = await search(undefined, { ...bounds, seeds: seedsMost, cpuSeconds: Infinity });
  console.log(`unchanged: ${plain.seeds} seeds  ${plain.failure ?? 'passed'}`);
  if (missed > 0 || plain.failure !== undefined) process.exitCode = 1;
}

if (import.meta.main) {
  const [word, ...rest] = process.argv.slice(2);
  if (word === '--search') {
    const [first = 0, seeds = 0, cpuSeconds = 0] = rest.map(Number);
    await runSearch(first, seeds, cpuSeconds);
  } else await gate(process.argv.slice(2));
}
