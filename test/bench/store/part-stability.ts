/**
 * Half an hour beside two CPU hogs and a disk hog: no member may take its leader for gone. On the OS the
 * store's unit has ten times the CPU weight of all pods together (daemon/supervisor/cgroups.ts); here two
 * groups of the cpu controller (v1) stand for that, where there is one.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync, rmdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { must } from '#base/assert.ts';
import { spawnTied } from '../../contract/tied-child.ts';
import { BareboatGroup } from './bareboat-group.ts';
import { checkedLeader, loadOf } from './bench.ts';
import type { Bench } from './bench.ts';
import { runLoad } from './run-load.ts';
import { formatTable } from './table.ts';
import type { Row } from './table.ts';

const CPU_GROUPS = '/sys/fs/cgroup/cpu';
const SHARES = { store: 10_240, hogs: 1024 } as const;
const RATE = 500;
const SLICE_SECONDS = 60;

export async function stabilityPart(bench: Bench): Promise<string> {
  await using ours = await BareboatGroup.start({}, bench.signal);
  const directory = mkdtempSync(join(tmpdir(), 'bench-hog-'));
  const hogs = [['cpu'], ['cpu'], ['disk', join(directory, 'file')]].map((args) =>
    spawnTied(process.execPath, ['--no-warnings', join(import.meta.dirname, 'hog.ts'), ...args], {
      stdio: 'ignore',
    }),
  );
  const groups = [
    joinGroup('store', ours.pids),
    joinGroup(
      'hogs',
      hogs.map(({ pid }) => must(pid, 'a hog runs')),
    ),
  ];
  const p99s: number[] = [];
  const rates: number[] = [];
  let changes = '';
  try {
    changes = await checkedLeader([ours], async () => {
      for (let left = bench.settings.minutes * 60; left > 0; left -= SLICE_SECONDS) {
        const seconds = Math.min(SLICE_SECONDS, left);
        const load = loadOf(bench, { connections: 16, clients: 64, rate: RATE, seconds });
        const { perSecond, latency } = await runLoad(ours, { ...load, warmUpSeconds: 0.1 });
        await ours.compact();
        const { term } = await ours.leader();
        bench.say(`${left - seconds} s left, term ${term}, p99 ${latency.p99.toFixed(1)} ms`);
        p99s.push(latency.p99);
        rates.push(perSecond);
      }
    });
  } finally {
    for (const hog of hogs) hog.kill('SIGKILL');
    await ours[Symbol.asyncDispose]();
    await new Promise((resolve) => setTimeout(resolve, 500)); // A group with processes cannot go.
    rmSync(directory, { recursive: true });
    for (const group of groups) if (group !== undefined) rmdirSync(group);
  }
  const weights = groups[0] === undefined ? 'no weights' : 'CPU weights 10 to 1';
  const what = `open loop of ${RATE} puts/s`;
  const rows: Row[] = [
    { what: `${what}: puts/s, by the minute`, digits: 0, ours: rates, etcd: [] },
    { what: `${what}: p99 of a minute, ms`, digits: 1, ours: p99s, etcd: [] },
  ];
  const title = `${bench.settings.minutes} minutes beside two CPU hogs and a disk hog, ${weights}`;
  return `${formatTable(title, rows)}\n${changes}`;
}

/** Undefined where the controller is missing. */
function joinGroup(name: keyof typeof SHARES, pids: readonly number[]): string | undefined {
  if (!existsSync(join(CPU_GROUPS, 'cpu.shares'))) return undefined;
  const group = join(CPU_GROUPS, `bench-${name}-${process.pid}`);
  mkdirSync(group);
  writeFileSync(join(group, 'cpu.shares'), String(SHARES[name]));
  for (const pid of pids) writeFileSync(join(group, 'cgroup.procs'), String(pid));
  return group;
}
