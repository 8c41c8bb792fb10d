import t from 'tap';
import { deployment, NOW_MS, ago, pod, replicaSet } from '../testing/objects.ts';
import {
  isScaling,
  planCleanup,
  planRecreate,
  planRolling,
  planScale,
  type Scale,
} from './plan.ts';
import { equalTemplates, maxSurge, maxUnavailable, newReplicaSetAnnotations } from './rollout.ts';
import { deadlineInMs, planPaused, planRolloutStatus } from './status.ts';

const text = (scales: readonly Scale[]) =>
  scales.map(({ set, replicas }) => `${set.metadata.name}=${replicas}`).join(' ');

t.test('maxSurge() and maxUnavailable()', async (t) => {
  const rows = [
    { replicas: 10, surge: '25%', unavailable: '25%', want: [3, 2] },
    { replicas: 10, surge: 2, unavailable: 1, want: [2, 1] },
    { replicas: 1, surge: 0, unavailable: '25%', want: [0, 1] },
    { replicas: 3, surge: 1, unavailable: 10, want: [1, 3] },
    { replicas: 0, surge: 1, unavailable: 1, want: [1, 0] },
  ];
  for (const { want, replicas, surge, unavailable } of rows) {
    const d = deployment(replicas, { surge, unavailable });
    t.same([maxSurge(d), maxUnavailable(d)], want, `${replicas} ${surge} ${unavailable}`);
  }
});

t.test('planRolling()', async (t) => {
  const rows = [
    { name: 'fills the surge first', n: 10, fresh: [0, 0], old: [[10, 10]], want: 'new=3' },
    { name: 'then scales down the old', n: 10, fresh: [3, 0], old: [[10, 10]], want: 'o0=8' },
    { name: 'goes on as new ones come up', n: 10, fresh: [5, 3], old: [[8, 8]], want: 'o0=5' },
    { name: 'waits while too few are available', n: 10, fresh: [5, 0], old: [[8, 8]], want: '' },
    { name: 'drops broken old pods first', n: 10, fresh: [3, 0], old: [[10, 8]], want: 'o0=8' },
    {
      name: 'oldest set first',
      n: 4,
      fresh: [4, 4],
      old: [
        [1, 1],
        [1, 1],
      ],
      want: 'o0=0 o1=0',
    },
    { name: 'cuts a new set that is too large', n: 2, fresh: [5, 5], old: [], want: 'new=2' },
    { name: 'is done', n: 3, fresh: [3, 3], old: [[0, 0]], want: '' },
  ] as const;
  for (const row of rows) {
    const newSet = replicaSet('new', row.fresh[0], { available: row.fresh[1] });
    const oldSets = row.old.map(([replicas, available], i) =>
      replicaSet(`o${i}`, replicas, { available, ageSeconds: 1000 - i }),
    );
    t.equal(
      text(planRolling({ deployment: deployment(row.n), newSet, oldSets })),
      row.want,
      row.name,
    );
  }
});

t.test('planScale()', async (t) => {
  const annotations = (desired: number, max: number) => ({
    'deployment.kubernetes.io/desired-replicas': String(desired),
    'deployment.kubernetes.io/max-replicas': String(max),
  });
  const scaled = (n: number, sets: [string, number][], before: number) => ({
    deployment: deployment(n, { surge: 3, unavailable: 2 }),
    newSet: replicaSet('new', sets[0]?.[1] ?? 0, { annotations: annotations(before, before + 3) }),
    oldSets: sets
      .slice(1)
      .map(([name, size]) =>
        replicaSet(name, size, { annotations: annotations(before, before + 3) }),
      ),
  });
  const grown = scaled(
    20,
    [
      ['new', 5],
      ['old', 8],
    ],
    10,
  );
  t.equal(isScaling(grown), true);
  t.equal(text(planScale(grown)), 'old=14 new=9', 'up in proportion, within the surge');
  const shrunk = scaled(
    5,
    [
      ['new', 5],
      ['old', 8],
    ],
    10,
  );
  t.equal(text(planScale(shrunk)), 'old=5 new=3', 'down in proportion');
  const single = scaled(4, [['new', 2]], 2);
  t.equal(text(planScale(single)), 'new=4', 'the only active one takes all');
  t.equal(isScaling(scaled(10, [['new', 10]], 10)), false);
});

t.test('planRecreate() brings down all old pods before the first new one', async (t) => {
  const d = deployment(3, { spec: { strategy: { type: 'Recreate' } } });
  const sets = (size: number, observed: number) => ({
    deployment: d,
    newSet: undefined,
    oldSets: [replicaSet('old', size, { observed })],
  });
  t.equal(planRecreate(sets(3, 3), () => []).kind, 'scale');
  t.equal(planRecreate(sets(0, 2), () => []).kind, 'wait');
  t.equal(planRecreate(sets(0, 0), () => [pod('p', { ready: true })]).kind, 'wait');
  t.equal(
    planRecreate(sets(0, 0), () => [pod('p', { status: { phase: 'Failed' } })]).kind,
    'proceed',
  );
});

t.test('planCleanup() keeps the newest revisions and what is not settled', async (t) => {
  const d = deployment(1, { spec: { revisionHistoryLimit: 1 } });
  const old = (name: string, revision: number, replicas = 0) =>
    replicaSet(name, replicas, {
      annotations: { 'deployment.kubernetes.io/revision': String(revision) },
    });
  const names = planCleanup(d, [old('r3', 3), old('r1', 1), old('r2', 2, 1)]).map(
    (rs) => rs.metadata.name,
  );
  t.same(names, ['r1']);
});

t.test('newReplicaSetAnnotations() counts revisions and remembers past ones', async (t) => {
  const d = deployment(1);
  d.metadata.annotations = {
    note: 'x',
    'kubectl.kubernetes.io/last-applied-configuration': '{}',
    'deployment.kubernetes.io/revision': '9',
  };
  const fresh = newReplicaSetAnnotations(d, {}, 4n);
  t.same(fresh, { note: 'x', 'deployment.kubernetes.io/revision': '4' });
  const again = newReplicaSetAnnotations(d, fresh, 6n);
  t.equal(again['deployment.kubernetes.io/revision'], '6');
  t.equal(again['deployment.kubernetes.io/revision-history'], '4');
  t.same(newReplicaSetAnnotations(d, again, 6n), again, 'unchanged at the same revision');
  const large = 3546343826724305833n;
  t.equal(newReplicaSetAnnotations(d, {}, large)['deployment.kubernetes.io/revision'], `${large}`);
});

t.test('equalTemplates() ignores the hash label and empty values', async (t) => {
  const labels = { app: 'd' };
  const a = { metadata: { labels } as never, spec: { containers: [], volumes: [] } };
  const b = {
    metadata: { labels: { ...labels, 'pod-template-hash': 'x' } } as never,
    spec: { containers: [] },
  };
  t.equal(equalTemplates(a, b), true);
  t.equal(equalTemplates(a, { ...b, spec: { containers: [{ name: 'c' }] } }), false);
});

t.test('planRolloutStatus() conditions', async (t) => {
  const progressing = (reason: string, since: number) => [
    {
      type: 'Progressing',
      status: 'True',
      reason,
      lastUpdateTime: ago(since),
      lastTransitionTime: ago(since),
    },
  ];
  const reason = (view: Parameters<typeof planRolloutStatus>[0], type: string) =>
    planRolloutStatus(view, NOW_MS).conditions?.find((c) => c.type === type)?.reason;
  const d = (since: number, updated = 1) =>
    deployment(3, {
      status: {
        conditions: progressing('ReplicaSetUpdated', since),
        updatedReplicas: updated,
        replicas: 3,
        observedGeneration: 1,
      },
    });
  const half = { newSet: replicaSet('new', 1, { available: 0 }), oldSets: [replicaSet('old', 2)] };
  t.equal(reason({ deployment: d(30), ...half }, 'Progressing'), 'ReplicaSetUpdated', 'progress');
  t.equal(reason({ deployment: d(700, 2), ...half }, 'Available'), 'MinimumReplicasUnavailable');
  const stuck = { newSet: replicaSet('new', 1, { available: 0 }), oldSets: [] };
  const late = d(700);
  late.status = { ...late.status, replicas: 1 };
  t.equal(reason({ deployment: late, ...stuck }, 'Progressing'), 'ProgressDeadlineExceeded');
  const full = { newSet: replicaSet('new', 3), oldSets: [] };
  t.equal(reason({ deployment: d(700), ...full }, 'Progressing'), 'NewReplicaSetAvailable');
  t.equal(reason({ deployment: d(700), ...full }, 'Available'), 'MinimumReplicasAvailable');
  const waiting = d(30, 1);
  const left = deadlineInMs(waiting, waiting.status, NOW_MS);
  t.equal(left, 571_000, 'looks again after the deadline');
});

t.test('planPaused() tells of pausing once', async (t) => {
  const d = deployment(1, { spec: { paused: true } });
  const status = planPaused(d, NOW_MS);
  t.equal(status?.conditions?.[0]?.reason, 'DeploymentPaused');
  t.equal(planPaused({ ...d, status: status ?? {} }, NOW_MS), undefined);
});
