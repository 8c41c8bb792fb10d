/** StatefulSets: tables of their plans. */
import t from 'tap';
import type { StatefulSet, StatefulSetSpec } from '#base/kube/api/apps-v1.gen.ts';
import type { PersistentVolumeClaim, Pod } from '#base/kube/api/core-v1.gen.ts';
import type { OwnerReference } from '#base/kube/api/meta-v1.gen.ts';
import { pods, statefulsets } from '#base/kube/api/resources.gen.ts';
import { newControllerRef } from '#base/kube/metadata.ts';
import { ago, meta, NOW_MS, pod } from '../testing/objects.ts';
import { isStaleClaim, planClaimOwners } from './claims.ts';
import { planSetStatus, planSteps } from './plan.ts';
import { setClaims, setPod } from './pod.ts';

const hash = (value: string) => ({ labels: { 'controller-revision-hash': value } });

const set = (
  spec: Partial<StatefulSetSpec>,
  status: Partial<StatefulSet['status']> = {},
): StatefulSet => ({
  apiVersion: 'apps/v1',
  kind: 'StatefulSet',
  metadata: meta('web'),
  spec: { selector: { matchLabels: { app: 'w' } }, template: {}, serviceName: 'svc', ...spec },
  status: { replicas: 0, ...status },
});
const member = (
  ordinal: number,
  value = 'r1',
  options: { ready?: boolean; gone?: boolean; phase?: string } = {},
) => {
  const { ready = true, gone = false, phase } = options;
  return pod(`web-${ordinal}`, {
    ready,
    meta: { ...hash(value), ...(gone ? { deletionTimestamp: ago(0) } : {}) },
    ...(phase === undefined ? {} : { status: { phase } }),
  });
};

t.test('planSteps() of StatefulSets', async (t) => {
  const counted = { currentReplicas: 2 };
  const rolling = (rollingUpdate?: { partition: number }) => ({
    type: 'RollingUpdate',
    ...(rollingUpdate === undefined ? {} : { rollingUpdate }),
  });
  const steps = (of: StatefulSet, pods: Pod[], current = 'r1', update = 'r1') =>
    planSteps({ set: of, pods, current, update, hasStaleClaim: () => false }, NOW_MS)
      .map((s) => (s.kind === 'create' ? `+${s.ordinal}@${s.revision}` : `-${s.pod.metadata.name}`))
      .join(' ');
  const parallel = { podManagementPolicy: 'Parallel' };
  const rows = [
    { name: 'in order', got: steps(set({ replicas: 3 }), []), want: '+0@r1' },
    {
      name: 'waits for readiness',
      got: steps(set({ replicas: 3 }), [member(0, 'r1', { ready: false })]),
      want: '',
    },
    { name: 'goes on', got: steps(set({ replicas: 3 }), [member(0)]), want: '+1@r1' },
    {
      name: 'all at once',
      got: steps(set({ replicas: 3, ...parallel }), [member(1)]),
      want: '+0@r1 +2@r1',
    },
    {
      name: 'fills a gap first',
      got: steps(set({ replicas: 3 }), [member(0), member(2)]),
      want: '+1@r1',
    },
    {
      name: 'start ordinal',
      got: steps(set({ replicas: 1, ordinals: { start: 5 } }), []),
      want: '+5@r1',
    },
    {
      name: 'down from the top',
      got: steps(set({ replicas: 1 }), [member(0), member(1), member(2)]),
      want: '-web-2',
    },
    {
      name: 'one after the other',
      got: steps(set({ replicas: 1 }), [member(0), member(1), member(2, 'r1', { gone: true })]),
      want: '',
    },
    {
      name: 'not while another is sick',
      got: steps(set({ replicas: 1 }), [member(0, 'r1', { ready: false }), member(1)]),
      want: '',
    },
    {
      name: 'finished pods are made anew',
      got: steps(set({ replicas: 1 }), [member(0, 'r1', { phase: 'Failed' })]),
      want: '-web-0',
    },
    {
      name: 'updates from the top',
      got: steps(
        set({ replicas: 3 }),
        [0, 1, 2].map((i) => member(i)),
        'r1',
        'r2',
      ),
      want: '-web-2',
    },
    {
      name: 'then the next',
      got: steps(set({ replicas: 3 }), [member(0), member(1), member(2, 'r2')], 'r1', 'r2'),
      want: '-web-1',
    },
    {
      name: 'waits for the updated one',
      got: steps(
        set({ replicas: 3, ...parallel }),
        [member(0), member(1), member(2, 'r2', { ready: false })],
        'r1',
        'r2',
      ),
      want: '',
    },
    {
      name: 'down to the partition',
      got: steps(
        set({ replicas: 3, updateStrategy: { rollingUpdate: { partition: 2 } } }),
        [member(0), member(1), member(2, 'r2')],
        'r1',
        'r2',
      ),
      want: '',
    },
    {
      name: 'old revision below the partition',
      got: steps(
        set({ replicas: 2, updateStrategy: { rollingUpdate: { partition: 1 } } }),
        [],
        'r1',
        'r2',
      ),
      want: '+0@r1',
    },
    {
      name: 'new revision where the status still counts the pod that is gone',
      got: steps(
        set({ replicas: 2, updateStrategy: rolling({ partition: 0 }) }, counted),
        [member(0)],
        'r1',
        'r2',
      ),
      want: '+1@r2',
    },
    {
      name: 'by the status without parameters',
      got: steps(set({ replicas: 2, updateStrategy: rolling() }, counted), [member(0)], 'r1', 'r2'),
      want: '+1@r1',
    },
    {
      name: 'OnDelete gives the new revision to what was deleted',
      got: steps(
        set({ replicas: 2, updateStrategy: { type: 'OnDelete' } }, counted),
        [member(0)],
        'r1',
        'r2',
      ),
      want: '+1@r2',
    },
    {
      name: 'a broken pod further down does not stop a parallel update',
      got: steps(
        set({ replicas: 3, ...parallel }),
        [member(0, 'r1', { ready: false }), member(1), member(2)],
        'r1',
        'r2',
      ),
      want: '-web-2',
    },
    {
      name: 'an update repairs a broken pod',
      got: steps(
        set({ replicas: 2, ...parallel }),
        [member(0, 'r1', { ready: false }), member(1, 'r2')],
        'r1',
        'r2',
      ),
      want: '-web-0',
    },
    {
      name: 'a scale down waits for the pods in between to be available',
      got: steps(set({ replicas: 0, minReadySeconds: 7200 }), [member(0), member(1)]),
      want: '',
    },
    {
      name: 'OnDelete',
      got: steps(
        set({ replicas: 1, updateStrategy: { type: 'OnDelete' } }),
        [member(0)],
        'r1',
        'r2',
      ),
      want: '',
    },
  ];
  for (const { name, got, want } of rows) t.equal(got, want, name);
});

t.test('planSetStatus() completes an update', async (t) => {
  const facts = (pods: Pod[]) => ({
    view: {
      set: set({ replicas: 2 }),
      pods,
      current: 'r1',
      update: 'r2',
      hasStaleClaim: () => false,
    },
    collisionCount: undefined,
    nowMs: NOW_MS,
  });
  const half = planSetStatus(facts([member(0), member(1, 'r2')]));
  t.match(half, {
    collisionCount: 0,
    currentRevision: 'r1',
    currentReplicas: 1,
    updatedReplicas: 1,
    readyReplicas: 2,
  });
  const full = planSetStatus(facts([member(0, 'r2'), member(1, 'r2')]));
  t.match(full, { currentRevision: 'r2', currentReplicas: 2, updatedReplicas: 2 });
});

t.test('setPod() and setClaims() keep identities', async (t) => {
  const claim = {
    apiVersion: 'v1' as const,
    kind: 'PersistentVolumeClaim' as const,
    metadata: meta('data'),
    spec: {},
    status: {},
  };
  const of = set({ replicas: 1, volumeClaimTemplates: [claim] });
  const draft = setPod(of, { spec: { containers: [] } }, 3, 'r1');
  t.match(draft.metadata, { name: 'web-3', labels: { 'apps.kubernetes.io/pod-index': '3' } });
  t.match(draft.spec, { hostname: 'web-3', subdomain: 'svc' });
  t.match(draft.spec.volumes, [
    { name: 'data', persistentVolumeClaim: { claimName: 'data-web-3' } },
  ]);
  t.match(setClaims(of, 3), [{ metadata: { name: 'data-web-3', labels: { app: 'w' } } }]);
});

t.test('planSteps() leaves ordinals alone whose claims are still to go', async (t) => {
  const steps = (spec: Partial<StatefulSetSpec>) =>
    planSteps(
      {
        set: set(spec),
        pods: [],
        current: 'r1',
        update: 'r1',
        hasStaleClaim: (ordinal) => ordinal === 0,
      },
      NOW_MS,
    ).map((step) => (step.kind === 'create' ? step.ordinal : step.pod.metadata.name));
  t.same(steps({ replicas: 2 }), []);
  t.same(steps({ replicas: 2, podManagementPolicy: 'Parallel' }), [1]);
});

t.test('planClaimOwners() follows the retention policy', async (t) => {
  const claim = (...owners: OwnerReference[]): PersistentVolumeClaim => ({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: meta('data-web-0', { ownerReferences: owners }),
    spec: {},
    status: {},
  });
  const policies = {
    keep: {},
    set: { whenDeleted: 'Delete', whenScaled: 'Retain' },
    pod: { whenDeleted: 'Retain', whenScaled: 'Delete' },
    both: { whenDeleted: 'Delete', whenScaled: 'Delete' },
  };
  const of = (name: keyof typeof policies, replicas = 1) =>
    set({ replicas, persistentVolumeClaimRetentionPolicy: policies[name] });
  const asSet = newControllerRef(statefulsets, of('keep'));
  const asPod = newControllerRef(pods, member(0));
  const other = { ...asPod, kind: 'Widget', uid: 'w' };
  const stale = { ...asPod, uid: 'earlier' };
  const rows = [
    { name: 'kept', set: of('keep'), owners: [asSet], want: [] },
    { name: 'kept, nothing to do', set: of('keep'), owners: [], want: undefined },
    { name: 'with the set', set: of('set'), owners: [], want: [asSet] },
    { name: 'with the set, done', set: of('set'), owners: [asSet], want: undefined },
    {
      name: 'an owner that is no controller becomes one',
      set: of('set'),
      owners: [{ ...asSet, controller: false }],
      want: [asSet],
    },
    { name: 'with the pod, in range', set: of('pod'), owners: [], want: undefined },
    { name: 'with the pod, scaled down', set: of('pod', 0), owners: [], want: [asPod] },
    { name: 'both, in range', set: of('both'), owners: [], want: [asSet] },
    { name: 'both, scaled down', set: of('both', 0), owners: [asSet], want: [asPod] },
    { name: 'both, up again', set: of('both'), owners: [asPod], want: [asSet] },
    { name: 'of an earlier pod', set: of('both'), owners: [stale], want: undefined },
    { name: 'managed by another', set: of('both'), owners: [other, asSet], want: [other] },
  ];
  for (const row of rows) {
    t.same(planClaimOwners(row.set, member(0), claim(...row.owners)), row.want, row.name);
  }
  t.ok(isStaleClaim(of('pod'), 'web-0', claim(stale)));
  t.notOk(isStaleClaim(of('set'), 'web-0', claim(stale)));
});

t.test('planSteps() of a set without measure', async (t) => {
  const many = set({ replicas: 2 ** 31 - 1, podManagementPolicy: 'Parallel' });
  const view = { set: many, pods: [member(3)], current: 'r1', update: 'r1' };
  const steps = planSteps({ ...view, hasStaleClaim: () => false }, NOW_MS);
  t.equal(steps.length, 500);
  t.match(steps[3], { kind: 'create', ordinal: 4 });
});
