/** Puts and gets: rates, latencies, and CPU time of the servers. */
import { BareboatGroup } from './bareboat-group.ts';
import { checkedLeader, chooseGenerator, inPairs, loadOf, withGroups } from './bench.ts';
import type { Bench, Load } from './bench.ts';
import type { EtcdGroup } from './etcd-group.ts';
import { runLoad } from './run-load.ts';
import type { Run } from './run-load.ts';
import { FEW_PAIRS } from './settings.ts';
import { atLeast, atMost, atMostTimes, formatTable } from './table.ts';
import type { Row } from './table.ts';

/** Connections and clients; each client has one operation under way. */
const SHAPES = {
  1: { connections: 1, clients: 1 },
  64: { connections: 16, clients: 64 },
  1000: { connections: 100, clients: 1000 },
} as const;
type Shape = keyof typeof SHAPES;

const PUT_GOALS: Record<Shape, number> = { 1: 1.25, 64: 2.5, 1000: 2.5 };

interface Groups {
  readonly ours: BareboatGroup;
  readonly etcd: EtcdGroup | undefined;
}

export async function putPart(bench: Bench): Promise<string> {
  const rows: Row[] = [];
  let changes = '';
  let pump: Row[] = [];
  await withGroups(bench, {}, async (ours, etcd) => {
    const groups = { ours, etcd };
    await fill(groups);
    await ours.figures();
    changes = await checkedLeader([ours, etcd], async () => {
      let etcdMax = 0;
      for (const clients of [1, 64, 1000] as const) {
        const runs = await pairs(bench, groups, loadOf(bench, SHAPES[clients]));
        rows.push(...putRows(`puts, ${clients} client${clients === 1 ? '' : 's'}`, clients, runs));
        etcdMax = Math.max(etcdMax, ...runs.etcd.map(({ perSecond }) => perSecond));
      }
      pump = await pumpRows(ours);
      const rate = Math.round((etcdMax || OPEN_LOOP_RATE) / 2);
      const open = loadOf(bench, {
        ...SHAPES[64],
        rate,
        seconds: Math.ceil(bench.settings.seconds / 3),
      });
      const runs = await openLoop(bench, groups, open);
      rows.push(...latencyRows(`open loop of ${rate.toLocaleString('en')} puts/s`, runs));
    });
  });
  return `${formatTable('Puts of 256 bytes to 100,000 random keys', [...rows, ...pump])}\n${changes}`;
}

/** Without etcd to go by. */
const OPEN_LOOP_RATE = 7000;

export async function getPart(bench: Bench): Promise<string> {
  const rows: Row[] = [];
  let changes = '';
  await withGroups(bench, {}, async (ours, etcd) => {
    const groups = { ours, etcd };
    await fill(groups);
    changes = await checkedLeader([ours, etcd], async () => {
      for (const clients of [1, 1000] as const) {
        const seconds = Math.ceil(bench.settings.seconds / 3);
        const load = loadOf(bench, { ...SHAPES[clients], operation: 'get', seconds });
        const runs = await pairs(bench, groups, load);
        const what = `gets, ${clients} client${clients === 1 ? '' : 's'}`;
        rows.push(rateRow(what, runs, atLeast(2)), ...latencyRows(what, runs), cpuRow(what, runs));
      }
    });
  });
  return `${formatTable('Linearizable gets of one key', rows)}\n${changes}`;
}

/** Every key once, so that runs begin with equal states. */
async function fill({ ours, etcd }: Groups): Promise<void> {
  const load = { operation: 'put', seconds: 3, warmUpSeconds: 0, rate: 0, watches: 0 } as const;
  const sizes = { keyCount: 100_000, valueBytes: 256 };
  for (const group of [ours, etcd]) {
    if (group !== undefined) await runLoad(group, { ...load, ...sizes, ...SHAPES[1000] });
  }
}

type Runs = { readonly ours: readonly Run[]; readonly etcd: readonly Run[] };

async function pairs(bench: Bench, { ours, etcd }: Groups, load: Load): Promise<Runs> {
  const generate = etcd === undefined ? undefined : await chooseGenerator(bench, etcd, load);
  return await inPairs<Run>(
    bench,
    { group: ours, run: () => noted(bench, 'ours', load, runLoad(ours, load)) },
    etcd === undefined || generate === undefined
      ? undefined
      : { group: etcd, run: () => noted(bench, 'etcd', load, generate(load)) },
    Math.min(bench.settings.pairs, load.operation === 'get' ? FEW_PAIRS : bench.settings.pairs),
  );
}

/** Only our generator knows when an operation was due. */
async function openLoop(bench: Bench, { ours, etcd }: Groups, load: Load): Promise<Runs> {
  return await inPairs<Run>(
    bench,
    { group: ours, run: () => noted(bench, 'ours', load, runLoad(ours, load)) },
    etcd && { group: etcd, run: () => noted(bench, 'etcd', load, runLoad(etcd, load)) },
  );
}

async function noted(bench: Bench, side: string, load: Load, run: Promise<Run>): Promise<Run> {
  const { perSecond, latency, failed, cpuSecondsPer10k } = await run;
  const loop = load.rate > 0 ? `open loop of ${load.rate}/s` : `${load.clients} clients`;
  bench.say(
    `${side} ${load.operation} ${loop}: ${perSecond.toFixed(0)}/s, p50 ${latency.p50.toFixed(2)}, ` +
      `p99 ${latency.p99.toFixed(2)} ms, ${cpuSecondsPer10k.toFixed(2)} CPU s per 10,000, ${failed} failed`,
  );
  if (failed > 0) bench.say(`  ${failed} operations failed: this run does not count for much`);
  return await run;
}

function putRows(what: string, shape: Shape, runs: Runs): Row[] {
  const factor = PUT_GOALS[shape];
  const goal = shape === 1 ? undefined : atMostTimes(0.5);
  return [
    rateRow(what, runs, atLeast(factor)),
    ...latencyRows(what, runs, goal),
    cpuRow(what, runs),
  ];
}

function rateRow(what: string, runs: Runs, goal: Row['goal']): Row {
  return { what: `${what}, per second`, digits: 0, goal, ...of(runs, (run) => run.perSecond) };
}

function latencyRows(what: string, runs: Runs, goal?: Row['goal']): Row[] {
  const figure = (name: 'p50' | 'p99' | 'p999') => ({
    what: `${what}, ${name}, ms`,
    digits: 2,
    ...of(runs, (run) => run.latency[name]),
  });
  return [figure('p50'), { ...figure('p99'), goal }, figure('p999')];
}

function cpuRow(what: string, runs: Runs): Row {
  const figure = of(runs, (run) => run.cpuSecondsPer10k);
  return { what: `${what}, servers' CPU s per 10,000`, digits: 2, ...figure };
}

function of(runs: Runs, figure: (run: Run) => number): Pick<Row, 'ours' | 'etcd'> {
  return { ours: runs.ours.map(figure), etcd: runs.etcd.map(figure) };
}

/** Over all puts, on the leader. */
async function pumpRows(ours: BareboatGroup): Promise<Row[]> {
  const { number } = await ours.leader();
  const figures = (await ours.figures())[number];
  if (figures === undefined) return [];
  const { pump, pauses } = figures;
  const row = (what: string, ms: number, goal?: Row['goal']): Row => ({
    what: `${what}, leader, ms`,
    ours: [ms],
    etcd: [],
    digits: 1,
    goal,
  });
  return [
    row('turn of the pump in thread CPU time, p99', pump.p99),
    row('turn of the pump in thread CPU time, longest', pump.max, atMost(10, 'ms')),
    row('pause of the collector, p99', pauses.p99),
    row('pause of the collector, longest', pauses.max),
  ];
}
