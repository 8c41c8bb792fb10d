/** What all parts of the benchmark share: the groups under test, and how pairs of runs are made. */
import { BareboatGroup } from './bareboat-group.ts';
import { EtcdGroup } from './etcd-group.ts';
import type { EtcdSettings } from './etcd-group.ts';
import type { Job } from './job.ts';
import { runLoad, runOfficial } from './run-load.ts';
import type { Run } from './run-load.ts';
import type { Settings } from './settings.ts';
import type { Group } from './target.ts';

export interface Bench {
  readonly settings: Settings;
  /** Undefined without etcd. */
  readonly etcdBinary: string | undefined;
  readonly officialBinary: string;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

export const KEY_COUNT = 100_000;
export const VALUE_BYTES = 256;
const WARM_UP_SECONDS_MAX = 3;
const CALIBRATION_SECONDS = 3;
/** Of what our generator reached: etcd's own is told a number of operations, not a time. */
const OFFICIAL_MARGIN = 1.2;

export type Load = Omit<Job, 'access'>;

export function loadOf(
  bench: Bench,
  job: Pick<Load, 'connections' | 'clients'> & Partial<Load>,
): Load {
  const { seconds = bench.settings.seconds } = job;
  return {
    operation: 'put',
    warmUpSeconds: Math.min(WARM_UP_SECONDS_MAX, seconds / 3),
    rate: 0,
    keyCount: KEY_COUNT,
    valueBytes: VALUE_BYTES,
    watches: 0,
    ...job,
    seconds,
  };
}

/** A group of each, etcd's only where it is measured. */
export async function withGroups(
  bench: Bench,
  settings: { readonly ours?: object; readonly etcd?: Omit<EtcdSettings, 'binary'> },
  work: (ours: BareboatGroup, etcd: EtcdGroup | undefined) => Promise<void>,
): Promise<void> {
  const own = { wal: bench.settings.wal, ...settings.ours };
  await using ours = await BareboatGroup.start(own, bench.signal);
  if (bench.etcdBinary === undefined) return await work(ours, undefined);
  await using etcd = await EtcdGroup.start({ binary: bench.etcdBinary, ...settings.etcd });
  await work(ours, etcd);
}

/** Which generator does better by etcd for this load; that one measures it. */
export async function chooseGenerator(
  bench: Bench,
  etcd: EtcdGroup,
  load: Load,
): Promise<(load: Load) => Promise<Run>> {
  const trial = { ...load, seconds: CALIBRATION_SECONDS, warmUpSeconds: 1 };
  const own = await runLoad(etcd, trial);
  const expectedPerSecond = own.perSecond * OFFICIAL_MARGIN;
  const binary = bench.officialBinary;
  const official = await runOfficial(etcd, trial, { binary, expectedPerSecond });
  const [a, b] = [own, official].map(({ perSecond }) => perSecond.toFixed(0));
  bench.say(
    `etcd, ${load.operation} with ${load.clients} clients: our generator ${a}/s, its own ${b}/s`,
  );
  if (own.perSecond >= official.perSecond) return (job) => runLoad(etcd, job);
  const options = { binary, expectedPerSecond: official.perSecond };
  return (job) => runOfficial(etcd, job, options);
}

/** Runs in pairs, whoever is first by turns, each on a history that begins anew. */
export async function inPairs<T>(
  bench: Bench,
  ours: { readonly group: Group; readonly run: () => Promise<T> },
  etcd: { readonly group: Group; readonly run: () => Promise<T> } | undefined,
  pairs = bench.settings.pairs,
): Promise<{ ours: T[]; etcd: T[] }> {
  const results: { ours: T[]; etcd: T[] } = { ours: [], etcd: [] };
  for (let pair = 0; pair < pairs; pair++) {
    const sides = [
      { ...ours, into: results.ours },
      ...(etcd === undefined ? [] : [{ ...etcd, into: results.etcd }]),
    ];
    for (const side of pair % 2 === 0 ? sides : sides.toReversed()) {
      side.into.push(await side.run());
      await side.group.compact();
    }
  }
  return results;
}

/** Throws when the group's leader is not the one of before: the figures would be of something else. */
export async function checkedLeader(
  groups: readonly (Group | undefined)[],
  work: () => Promise<void>,
): Promise<string> {
  const present = groups.filter((group) => group !== undefined);
  const before = await Promise.all(present.map((group) => group.leader()));
  await work();
  const after = await Promise.all(present.map((group) => group.leader()));
  const changes = present.map(({ name }, at) => {
    const terms = (after[at]?.term ?? 0) - (before[at]?.term ?? 0);
    return `${name} ${terms}`;
  });
  return `Leader changes during these runs: ${changes.join(', ')}.\n`;
}
