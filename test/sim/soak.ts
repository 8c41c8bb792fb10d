/**
 * Runs fresh seeds until the time is over: a random first one, then one after the other, a process for
 * each slot of them, so that memory stays bounded. Prints how many seeds ran, simulated hours, and how
 * often each fault met each state (member-states.ts). Of each slot one seed runs a second time, in another
 * process, and must leave the same trace. Fails with the line that replays the seed that failed; and when
 * enough seeds ran and some fault never met some state.
 *
 *   node test/sim/soak.ts MINUTES        JOBS=2 for two processes at a time, FIRST= for the first seed
 */
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { createInterface } from 'node:readline';
import { FAULTS } from './faults.ts';
import { missingPairs } from './member-states.ts';
import { Tally, runSeed } from './run.ts';
import type { RunResult } from './run.ts';

const SEEDS_PER_SLOT = 200;
/** Below it a fault may not meet a state by mere chance. */
const SEEDS_FOR_TABLE = 1000;
/** A seed takes a second; one that does not end is a failure, too. */
const SEED_MS_MAX = 120_000;

interface Slot {
  readonly first: number;
  readonly count: number;
  readonly untilMs: number;
}

/** Runs in a process of its own: prints a line for each seed. */
async function runSlot({ first, count, untilMs }: Slot): Promise<void> {
  for (let seed = first; seed < first + count && Date.now() < untilMs; seed++) {
    console.log(JSON.stringify({ seed }));
    console.log(JSON.stringify({ seed, result: await runSeed(seed) }));
  }
}

interface Line {
  readonly seed: number;
  readonly result?: RunResult;
}

/** Starts a slot; resolves to the trace of its first seed. */
function startSlot(slot: Slot, ended: (result: RunResult) => void): Promise<string> {
  const words = [slot.first, slot.count, slot.untilMs].map(String);
  const child = spawn(process.execPath, [
    '--no-warnings',
    import.meta.filename,
    '--slot',
    ...words,
  ]);
  let { first: seed } = slot;
  let hash = '';
  let trouble = '';
  const onSilence = () => {
    trouble += `seed ${seed} does not end, replay: make sim SEED=${seed}\n`;
    child.kill('SIGKILL');
  };
  let watchdog = setTimeout(onSilence, SEED_MS_MAX);
  createInterface({ input: child.stdout }).on('line', (text) => {
    clearTimeout(watchdog);
    watchdog = setTimeout(onSilence, SEED_MS_MAX);
    const line = JSON.parse(text) as Line; // Of the same program.
    ({ seed } = line);
    if (line.result === undefined) return;
    if (hash === '') ({ hash } = line.result);
    ended(line.result);
  });
  child.stderr.on('data', (bytes: Buffer) => {
    trouble += bytes.toString();
  });
  return new Promise((resolve, reject) => {
    child.on('close', (code) => {
      clearTimeout(watchdog);
      if (code === 0) resolve(hash);
      else reject(new Error(trouble === '' ? `seed ${seed}: process ended with ${code}` : trouble));
    });
  });
}

/** Slots of seeds one after the other, from a counter that all jobs share. */
async function work(next: () => Slot, tally: Tally): Promise<void> {
  for (let slot = next(); Date.now() < slot.untilMs; slot = next()) {
    const hash = await startSlot(slot, (result) => tally.add(result));
    if (hash === '') return;
    const again = { first: slot.first, count: 1, untilMs: Number.MAX_SAFE_INTEGER };
    const same = await startSlot(again, () => {});
    if (same === hash) continue;
    const text = `seed ${slot.first} left trace ${hash}, and in another process ${same}`;
    throw new Error(`${text}; replay: make sim SEED=${slot.first}`);
  }
}

async function soak(minutes: number): Promise<void> {
  const untilMs = Date.now() + minutes * 60_000;
  const first = Number(process.env['FIRST'] ?? randomInt(2 ** 31));
  console.log(`first seed: ${first}`);
  let following = first;
  const next = () => {
    const slot = { first: following, count: SEEDS_PER_SLOT, untilMs };
    following += SEEDS_PER_SLOT;
    return slot;
  };
  const tally = new Tally();
  const jobs = Array.from({ length: Number(process.env['JOBS'] ?? 1) }, () => work(next, tally));
  const failed = (await Promise.allSettled(jobs)).filter((job) => job.status === 'rejected');
  console.log(tally.format());
  for (const { reason } of failed) console.error(String(reason));
  const missing = tally.seeds >= SEEDS_FOR_TABLE ? missingPairs(tally.table, FAULTS) : [];
  for (const pair of missing) console.error(pair);
  if (failed.length > 0 || missing.length > 0 || tally.seeds === 0) process.exitCode = 1;
}

if (import.meta.main) {
  const [minutes = '1', ...rest] = process.argv.slice(2);
  if (minutes === '--slot') {
    const [first = 0, count = 0, untilMs = 0] = rest.map(Number);
    await runSlot({ first, count, untilMs });
  } else await soak(Number(minutes));
}
