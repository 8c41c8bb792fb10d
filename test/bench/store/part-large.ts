/** Memory of members that hold little and much, pauses while they hold much, and their restart. */
import type { Figures } from '#control/store/measure.ts';
import { BareboatGroup } from './bareboat-group.ts';
import { loadOf, withGroups } from './bench.ts';
import type { Bench } from './bench.ts';
import { connectBareboat } from './bareboat-session.ts';
import { EtcdSession } from './etcd-session.ts';
import { residentMb } from './process-figures.ts';
import { runLoad } from './run-load.ts';
import { atMost, formatTable } from './table.ts';
import type { Row } from './table.ts';
import { keyOf } from './target.ts';
import type { Group, Session } from './target.ts';

const VALUE_BYTES = 1024;
const KEYS_PER_TRANSACTION = 100;
const TRANSACTIONS_UNDER_WAY = 16;
const SMALL_WAIT_MS = 2000;

/** Both parts need the same million keys. */
export async function largePart(
  bench: Bench,
  wanted: { readonly memory: boolean; readonly restart: boolean },
): Promise<string> {
  const rows: Row[] = [];
  await withGroups(bench, {}, async (ours, etcd) => {
    const groups = [ours, ...(etcd === undefined ? [] : [etcd])];
    const each = async (work: (group: Group) => Promise<number>) => {
      const [own = Number.NaN, theirs] = await inTurn(groups, work);
      return { ours: [own], etcd: theirs === undefined ? [] : [theirs] };
    };
    await new Promise((resolve) => setTimeout(resolve, SMALL_WAIT_MS));
    const small = await each((group) => Promise.resolve(largest(group)));
    await each(async (group) => {
      const startMs = performance.now();
      await fill(bench, group);
      const seconds = (performance.now() - startMs) / 1000;
      bench.say(`${group.name}: ${bench.settings.keys} keys of 1 KB in ${seconds.toFixed(0)} s`);
      return seconds;
    });
    const full = await each((group) => Promise.resolve(largest(group)));
    const held = `${bench.settings.keys.toLocaleString('en')} keys of 1 KB`;
    if (wanted.memory) {
      const what = 'resident memory of the largest member';
      rows.push(
        { what: `${what}, empty, MB`, digits: 0, goal: atMost(150, 'MB'), ...small },
        { what: `${what}, ${held}, MB`, digits: 0, goal: atMost(1400, 'MB'), ...full },
        ...(await pauses(bench, ours, held)),
      );
      await each(async (group) => {
        await group.compact();
        return 0;
      });
    }
    if (wanted.restart) {
      const seconds = await each((group) => restart(bench, group));
      const what = `restart of a follower with ${held}, until it answers a linearizable get, s`;
      rows.push({ what, digits: 1, goal: atMost(10, 's'), ...seconds });
    }
  });
  return formatTable('Memory, pauses and restart', rows);
}

async function inTurn<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (const item of items) results.push(await work(item));
  return results;
}

function largest(group: Group): number {
  return Math.max(...group.pids.map(residentMb));
}

async function fill(bench: Bench, group: Group): Promise<void> {
  const { keys } = bench.settings;
  const access = await group.access();
  const session: Session =
    access.kind === 'etcd'
      ? await EtcdSession.connect(access)
      : await connectBareboat(access, bench.signal);
  const value = Buffer.alloc(VALUE_BYTES, 'x');
  let next = 0;
  const writer = async () => {
    while (next < keys) {
      const first = next;
      next += KEYS_PER_TRANSACTION;
      const count = Math.min(KEYS_PER_TRANSACTION, keys - first);
      await session.putAll(
        Array.from({ length: count }, (_, at) => keyOf(first + at)),
        value,
      );
    }
  };
  await Promise.all(Array.from({ length: TRANSACTIONS_UNDER_WAY }, writer));
  session.close();
}

/** Of all members, under puts to what they hold. */
async function pauses(bench: Bench, ours: BareboatGroup, held: string): Promise<Row[]> {
  const { keys, seconds } = bench.settings;
  await ours.figures();
  const load = loadOf(bench, { connections: 16, clients: 64, seconds: Math.ceil(seconds / 3) });
  const { perSecond } = await runLoad(ours, { ...load, keyCount: keys, valueBytes: VALUE_BYTES });
  const figures = await ours.figures();
  for (const { pauses: pause, pump, heapBytes } of figures) {
    bench.say(
      `${pause.count} pauses, p99 ${pause.p99.toFixed(1)}, max ${pause.max.toFixed(1)} ms; turns of the ` +
        `pump p99 ${pump.p99.toFixed(1)}, max ${pump.max.toFixed(1)} ms; heap ${(heapBytes / 1e6).toFixed(0)} MB`,
    );
  }
  const worst = (figure: (of: Figures) => number) => [Math.max(...figures.map(figure))];
  const at = `${held}, 64 clients put`;
  const row = (what: string, ours: number[], goal?: Row['goal']): Row => ({
    what: `${at}: ${what}`,
    digits: 1,
    ours,
    etcd: [],
    goal,
  });
  return [
    { ...row('puts per second', [perSecond]), digits: 0 },
    row(
      'pause of the collector, p99, ms',
      worst((of) => of.pauses.p99),
      atMost(5, 'ms'),
    ),
    row(
      'pause of the collector, longest, ms',
      worst((of) => of.pauses.max),
      atMost(20, 'ms'),
    ),
    row(
      'turn of the pump in thread CPU time, p99, ms',
      worst((of) => of.pump.p99),
    ),
    row(
      'turn of the pump in thread CPU time, longest, ms',
      worst((of) => of.pump.max),
      atMost(10, 'ms'),
    ),
  ];
}

async function restart(bench: Bench, group: Group): Promise<number> {
  const { number } = await group.leader();
  const follower = (number + 1) % 3;
  await group.stop(follower);
  const startMs = performance.now();
  await group.start(follower);
  const seconds = (performance.now() - startMs) / 1000;
  bench.say(`${group.name}: restart in ${seconds.toFixed(1)} s`);
  return seconds;
}
