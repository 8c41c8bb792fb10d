/** Starts load generators: ours, which speaks to both stores, and etcd's own. */
import { execFile, fork } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Job, Message, Result } from './job.ts';
import { cpuSeconds } from './process-figures.ts';
import { keyOf } from './target.ts';
import type { Access, Group } from './target.ts';

/** One run, and the CPU time of all servers in the measured part of it. */
export interface Run extends Pick<Result, 'perSecond' | 'failed'> {
  readonly latency: { readonly p50: number; readonly p99: number; readonly p999: number };
  readonly cpuSecondsPer10k: number;
}

/** Past the time that the job should take. */
const GRACE_SECONDS = 30;

/** Runs our generator. Throws when it ends without a result, or takes too long. */
export async function runLoad(
  group: Group,
  job: Omit<Job, 'access'>,
): Promise<Run & { readonly result: Result }> {
  const access = await group.access();
  const child = fork(join(import.meta.dirname, 'load.ts'), {
    execArgv: ['--no-warnings', '--max-semi-space-size=64'],
  });
  const { promise, resolve, reject } = Promise.withResolvers<Result>();
  const seconds = job.warmUpSeconds + job.seconds + GRACE_SECONDS;
  const late = setTimeout(() => reject(new Error('load generator gave no result')), seconds * 1000);
  let cpuBefore = 0;
  let cpuAfter = 0;
  child.on('message', (message: Message) => {
    if (message.kind === 'begun') cpuBefore = cpuSeconds(group.pids);
    else {
      cpuAfter = cpuSeconds(group.pids);
      resolve(message.result);
    }
  });
  child.on('exit', (code) => reject(new Error(`load generator ended with ${code}`)));
  child.send({ ...job, access } satisfies Job);
  try {
    const result = await promise;
    const { perSecond, latency, failed } = result;
    const count = perSecond * job.seconds;
    const cpuSecondsPer10k = ((cpuAfter - cpuBefore) / count) * 10_000;
    return { perSecond, latency, failed, cpuSecondsPer10k, result };
  } finally {
    clearTimeout(late);
    child.kill('SIGKILL');
  }
}

/** Runs etcd's `benchmark` for about as long, given the rate to expect. */
export async function runOfficial(
  group: Group,
  job: Omit<Job, 'access'>,
  options: { readonly binary: string; readonly expectedPerSecond: number },
): Promise<Run> {
  const access = await group.access();
  const total = Math.ceil(options.expectedPerSecond * (job.seconds + job.warmUpSeconds));
  const directory = mkdtempSync(join(tmpdir(), 'etcd-benchmark-'));
  try {
    const args = [...connectionArgs(access, directory), ...operationArgs(job), `--total=${total}`];
    const cpuBefore = cpuSeconds(group.pids);
    const { stdout } = await promisify(execFile)(options.binary, args, {
      timeout: (job.seconds * 10 + GRACE_SECONDS) * 1000,
      maxBuffer: 2 ** 26,
    });
    const cpu = cpuSeconds(group.pids) - cpuBefore;
    return { ...parseOfficial(stdout), cpuSecondsPer10k: (cpu / total) * 10_000 };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/**
 * What etcd's `watch-latency` says of the same watches. It waits for each put, so that its rate is the
 * one that it reaches, and counts from the put's answer.
 */
export async function runOfficialWatch(
  group: Group,
  options: { readonly binary: string; readonly puts: number },
): Promise<string> {
  const access = await group.access();
  const directory = mkdtempSync(join(tmpdir(), 'etcd-benchmark-'));
  try {
    const args = [
      ...connectionArgs(access, directory),
      '--conns=10',
      '--clients=10',
      'watch-latency',
      '--streams=10',
      '--watchers-per-stream=10',
      '--put-rate=1000',
      `--put-total=${options.puts}`,
      '--key-size=40',
      '--val-size=256',
    ];
    const { stdout } = await promisify(execFile)(options.binary, args, { timeout: 120_000 });
    const [puts = '', events = ''] = stdout.split('Watch events summary');
    const [of, after] = [parseOfficial(puts), parseOfficial(events)];
    const ms = (value: number) => `${value.toFixed(1)} ms`;
    return (
      `etcd's own watch-latency, which waits for each put: ${of.perSecond.toFixed(0)} puts/s, put p50 ` +
      `${ms(of.latency.p50)}, p99 ${ms(of.latency.p99)}, event after the put's answer p50 ` +
      `${ms(after.latency.p50)}, p99 ${ms(after.latency.p99)}.`
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function connectionArgs(access: Access, directory: string): string[] {
  if (access.kind !== 'etcd') throw new Error('the benchmark of etcd speaks to etcd alone');
  const { certificate, privateKey } = access.credentials;
  const file = (name: string, text: string) => {
    writeFileSync(join(directory, name), text);
    return join(directory, name);
  };
  return [
    `--endpoints=https://${access.addresses[0]}`,
    `--cacert=${file('ca', access.ca)}`,
    `--cert=${file('certificate', certificate)}`,
    `--key=${file('key', privateKey)}`,
    '--precise',
  ];
}

function operationArgs(job: Omit<Job, 'access'>): string[] {
  const load = [`--conns=${job.connections}`, `--clients=${job.clients}`];
  if (job.operation === 'get') return [...load, 'range', keyOf(0)];
  const sizes = ['--key-size=40', `--val-size=${job.valueBytes}`];
  return [...load, 'put', ...sizes, `--key-space-size=${job.keyCount}`];
}

/** `Requests/sec: N`, and rows like `99% in 0.0123 secs.` */
export function parseOfficial(output: string): Pick<Run, 'perSecond' | 'failed' | 'latency'> {
  const number = (pattern: RegExp) => {
    const text = pattern.exec(output)?.[1];
    if (text === undefined) throw new Error(`no ${pattern} in what benchmark said: ${output}`);
    return Number(text);
  };
  const at = (percent: string) =>
    1000 * number(new RegExp(`\\s${percent.replace('.', '\\.')}% in ([0-9.e+-]+) s`));
  return {
    perSecond: number(/Requests\/sec:\s+([0-9.e+]+)/),
    failed: output.includes('Error distribution') ? 1 : 0,
    latency: { p50: at('50'), p99: at('99'), p999: at('99.9') },
  };
}
