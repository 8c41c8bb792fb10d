/** Signals, ranking and texts of evictions: a row per rule, expected as upstream decides it. */
import t from 'tap';
import type { Pod } from '#base/kube/api/core-v1.gen.ts';
import { formatQuantity } from '#base/kube/quantity.ts';
import { evictionMessage, hasDiskLimit, overLimit, type PodUsage, rank } from './rank.ts';
import { pressuresOf, seenNow, type Shortage, shortagesOf, thresholdOf } from './signals.ts';

const MI = 2 ** 20;
const GI = 2 ** 30;

await t.test('thresholdOf()', async (t) => {
  t.equal(formatQuantity(thresholdOf('100Mi', 8 * GI)), '100Mi');
  t.equal(formatQuantity(thresholdOf('10%', 100 * GI)), '10737418400', 'a single-precision tenth');
  t.equal(formatQuantity(thresholdOf('25%', 100 * GI)), '25Gi');
});

await t.test('shortagesOf()', async (t) => {
  const thresholds = { 'memory.available': '100Mi', 'nodefs.available': '10%' } as const;
  const of = (memory: number, disk: number) =>
    shortagesOf(thresholds, {
      'memory.available': { available: memory, capacity: GI },
      'nodefs.available': { available: disk, capacity: 100 * GI },
      'pid.available': { available: 0, capacity: 1 },
    }).map(({ signal }) => signal);
  t.same(of(GI, 50 * GI), []);
  t.same(of(100 * MI, 50 * GI), [], 'at the threshold is enough');
  t.same(of(100 * MI - 1, 50 * GI), ['memory.available']);
  t.same(of(GI, 9 * GI), ['nodefs.available']);
  t.same(of(0, 0), ['memory.available', 'nodefs.available'], 'memory first');
});

await t.test('pressuresOf() stays for a while', async (t) => {
  const disk = [{ signal: 'imagefs.inodesFree' } as Shortage]; // All that is looked at.
  const seen = seenNow(seenNow({}, disk, 1000), [], 2000);
  t.same(pressuresOf(seen, 300_000, 2000), ['DiskPressure']);
  t.same(pressuresOf(seen, 300_000, 301_000), []);
  t.same(pressuresOf(seenNow({}, disk, 5), 0, 5), ['DiskPressure'], 'now, without any transition');
  t.same(pressuresOf({}, 300_000, 0), []);
});

function pod(name: string, facts: { priority?: number; requests?: object; limits?: object } = {}) {
  const { priority, requests, limits } = facts;
  return {
    metadata: { name },
    spec: { priority, containers: [{ name: 'c', resources: { requests, limits } }] },
  } as unknown as Pod; // Enough.
}

function usage(facts: { memory?: number; disk?: number; logs?: number; pids?: number }): PodUsage {
  const { memory = 0, disk = 0, logs = 0, pids = 0 } = facts;
  const rootfs = { bytes: disk, inodes: disk / 10 };
  const container = { name: 'c', memoryBytes: memory, pids, rootfs };
  return { containers: [{ ...container, logs: { bytes: logs, inodes: 1 } }], volumes: {} };
}

await t.test('rank()', async (t) => {
  const order = (resource: Shortage['resource'], ...all: { pod: Pod; usage: PodUsage }[]) =>
    rank(all, resource).map((c) => c.pod.metadata.name);
  const memory = (name: string, used: number, more: object) => ({
    pod: pod(name, more),
    usage: usage({ memory: used * MI }),
  });
  t.same(
    order(
      'memory',
      memory('within', 900, { requests: { memory: '1000Mi' } }),
      memory('above', 200, { requests: { memory: '100Mi' } }),
      memory('above by more', 300, { requests: { memory: '100Mi' } }),
      memory('above, but important', 999, { priority: 5 }),
      memory('within, and nearly so', 990, { requests: { memory: '1000Mi' } }),
      memory('above, and worthless', 20, { priority: -1 }),
    ),
    [
      'above, and worthless',
      'above by more',
      'above',
      'above, but important',
      'within, and nearly so',
      'within',
    ],
  );
  t.same(
    order(
      'ephemeral-storage',
      {
        pod: pod('asked', { requests: { 'ephemeral-storage': '1Gi' } }),
        usage: usage({ disk: 500 * MI }),
      },
      { pod: pod('wrote'), usage: usage({ disk: 10 * MI }) },
      { pod: pod('logged'), usage: usage({ logs: 20 * MI }) },
      {
        pod: pod('stored'),
        usage: { ...usage({}), volumes: { v: { bytes: 30 * MI, inodes: 1 } } },
      },
    ),
    ['stored', 'logged', 'wrote', 'asked'],
  );
  t.same(
    order(
      'pids',
      { pod: pod('few'), usage: usage({ pids: 1 }) },
      { pod: pod('many', { priority: 5 }), usage: usage({ pids: 100 }) },
      { pod: pod('some'), usage: usage({ pids: 10 }) },
    ),
    ['some', 'few', 'many'],
  );
});

await t.test('evictionMessage()', async (t) => {
  const [disk] = shortagesOf(
    { 'nodefs.available': '25%' },
    { 'nodefs.available': { available: 2 * GI, capacity: 100 * GI } },
  );
  const [memory] = shortagesOf(
    { 'memory.available': '100Mi' },
    { 'memory.available': { available: 50 * MI, capacity: GI } },
  );
  if (disk === undefined || memory === undefined) throw new Error('no shortage');
  const used = usage({ disk: 3 * MI, logs: MI, memory: 7 * MI });
  const low = 'The node was low on resource: ';
  t.equal(
    evictionMessage({ pod: pod('p'), usage: used }, disk),
    `${low}ephemeral-storage. Threshold quantity: 25Gi, available: 2Gi. ` +
      'Container c was using 4Mi, request is 0, has larger consumption of ephemeral-storage. ',
  );
  t.equal(
    evictionMessage({ pod: pod('p', { requests: { memory: '5Mi' } }), usage: used }, memory),
    `${low}memory. Threshold quantity: 100Mi, available: 50Mi. ` +
      'Container c was using 7Mi, request is 5Mi, has larger consumption of memory. ',
  );
  t.equal(
    evictionMessage({ pod: pod('p', { requests: { memory: '9Mi' } }), usage: used }, memory),
    `${low}memory. Threshold quantity: 100Mi, available: 50Mi. `,
  );
});

await t.test('overLimit()', async (t) => {
  const limited = pod('p', { limits: { 'ephemeral-storage': '2Gi' } });
  t.equal(hasDiskLimit(limited), true);
  t.equal(hasDiskLimit(pod('p', { limits: { memory: '1Gi' } })), false);
  t.equal(overLimit({ pod: limited, usage: usage({ disk: GI, logs: GI }) }), undefined);
  t.equal(
    overLimit({ pod: limited, usage: usage({ disk: GI, logs: GI + 1 }) }),
    'Pod ephemeral local storage usage exceeds the total limit of containers 2Gi. ',
  );
  const one = structuredClone(limited);
  one.spec.containers.push({ name: 'd', resources: { limits: { 'ephemeral-storage': '1Gi' } } });
  t.equal(
    overLimit({ pod: one, usage: usage({ disk: 2.5 * GI }) }),
    'Container c exceeded its local ephemeral storage limit "2Gi". ',
  );
  const volume = { ...pod('p') };
  volume.spec = { ...volume.spec, volumes: [{ name: 'v', emptyDir: { sizeLimit: '1Mi' } }] };
  t.equal(hasDiskLimit(volume), true);
  const holds = (bytes: number) => ({ ...usage({}), volumes: { v: { bytes, inodes: 1 } } });
  t.equal(overLimit({ pod: volume, usage: holds(MI) }), undefined);
  t.equal(
    overLimit({ pod: volume, usage: holds(MI + 1) }),
    'Usage of EmptyDir volume "v" exceeds the limit "1Mi". ',
  );
});
