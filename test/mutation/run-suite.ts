/** Runs a suite in a process, with a mutant in it or with probes. */
import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Suite } from './suites.ts';

export const ROOT = join(import.meta.dirname, '../..');
export const OUT = join(ROOT, 'out/mutation');

/** Real time allowed, in CPU time allowed: the machine may be busy with something else. */
const IDLE_FACTOR = 10;

export interface Outcome {
  readonly isPassed: boolean;
  /** CPU time. */
  readonly seconds: number;
}

interface Options {
  /** A module loaded first, and what it is told. */
  readonly hook?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** CPU time allowed. */
  readonly secondsMax: number;
}

/** sh says at its end what CPU time its child took. */
const SCRIPT = 'ulimit -t "$0"; "$@" >/dev/null 2>&1; code=$?; times; exit $code';

/** A suite that takes more than its time did not pass. Rejects when the process was told to end. */
export async function runSuite(
  suite: Suite,
  options: Options,
  signal: AbortSignal,
): Promise<Outcome> {
  const { hook, env, secondsMax } = options;
  const files = suite.tests.flatMap((test) => globSync(test, { cwd: ROOT }).toSorted());
  const filter = suite.only ?? suite.without;
  const child = spawn(
    '/bin/sh',
    [
      '-c',
      SCRIPT,
      String(Math.ceil(secondsMax)),
      process.execPath,
      '--no-warnings',
      ...(hook === undefined ? [] : ['--import', join(import.meta.dirname, hook)]),
      join(import.meta.dirname, 'run-tests.ts'),
      ...files.map((file) => join(ROOT, file)),
    ],
    {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true, // A group of its own, to be ended as one.
      env: {
        ...process.env,
        NODE_COMPILE_CACHE: join(OUT, 'compiled'),
        TAP_BAIL: '1',
        TAP_TIMEOUT: '0',
        ...(filter && { TAP_GREP: `/${filter.source}/`, TAP_INVERT: suite.only ? '0' : '1' }),
        ...env,
      },
    },
  );
  const end = () => process.kill(-(child.pid ?? 0), 'SIGKILL');
  // Who waits for what never comes uses no time of the CPU.
  const timer = setTimeout(end, secondsMax * IDLE_FACTOR * 1000);
  signal.addEventListener('abort', end, { once: true });
  try {
    const [said, code] = await Promise.all([
      text(child.stdout),
      new Promise<number | null>((resolve) => void child.once('exit', resolve)),
    ]);
    signal.throwIfAborted();
    return { isPassed: code === 0, seconds: secondsOf(said) };
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', end);
  }
}

/** Of the line about children, `0m1.20s 0m0.30s`. */
function secondsOf(times: string): number {
  const line = times.trim().split('\n').at(-1) ?? '';
  const parts = [...line.matchAll(/(\d+)m([\d.]+)s/g)];
  return parts.reduce(
    (sum, [, minutes, seconds]) => sum + 60 * Number(minutes) + Number(seconds),
    0,
  );
}
