/** DaemonSets, StatefulSets, CronJobs, ReplicaSets, namespaces, budgets: tables of their plans. */
import t from 'tap';
import type { DaemonSet, StatefulSet, StatefulSetSpec } from '#base/kube/api/apps-v1.gen.ts';
import type { CronJob, CronJobSpec } from '#base/kube/api/batch-v1.gen.ts';
import type { Node, Pod } from '#base/kube/api/core-v1.gen.ts';
import { compileLabelSelector } from '#base/kube/selectors.ts';
import { planRules } from './cluster-role-aggregation.ts';
import { jobName, planStart } from './cronjob/plan.ts';
import { lastDue, parseSchedule } from './cronjob/schedule.ts';
import {
  daemonSpec,
  planDaemonStatus,
  planPlacement,
  planRollout,
  targetNode,
} from './daemonset/plan.ts';
import { planBudget } from './disruption.ts';
import { planDeletionStatus } from './namespace/plan.ts';
import { planReplicas, planReplicaStatus, type ReplicaOwner } from './replicaset/plan.ts';
import { revisionData } from './shared/revisions.ts';
import { planSetStatus, planSteps } from './statefulset/plan.ts';
import { setClaims, setPod } from './statefulset/pod.ts';
import { ago, meta, node, NOW_MS, pod } from './testing/objects.ts';

const hash = (value: string) => ({ labels: { 'controller-revision-hash': value } });

t.test('revisionData() has its keys in order, at every depth', async (t) => {
  const data = revisionData({
    spec: { containers: [{ name: 'c', image: 'x' }] },
    metadata: meta('m'),
  });
  const text = JSON.stringify(data);
  t.match(text, /^{"spec":{"template":{"\$patch":"replace","metadata":{"creationTimestamp"/);
  t.match(text, /"containers":\[{"image":"x","name":"c"}\]/);
});

t.test('planReplicas() and planReplicaStatus()', async (t) => {
  const owner = (replicas: number): ReplicaOwner => ({
    selector: compileLabelSelector({}),
    replicas,
    minReadySeconds: 0,
    template: { metadata: meta('', { labels: { a: 'b' } }) },
    generation: 3,
    conditions: [],
  });
  const two = [pod('a', { ready: true, meta: { labels: { a: 'b' } } }), pod('b')];
  t.same(planReplicas(owner(5), two, two, NOW_MS), { kind: 'create', count: 3 });
  t.same(planReplicas(owner(2), two, two, NOW_MS), { kind: 'none' });
  t.equal(planReplicas(owner(900), [], [], NOW_MS).kind, 'create');
  t.same(planReplicas(owner(900), [], [], NOW_MS), { kind: 'create', count: 500 }, 'in bursts');
  const down = planReplicas(owner(1), two, two, NOW_MS);
  t.equal(down.kind === 'delete' ? down.pods[0]?.metadata.name : '', 'b');
  const dying = pod('c', { ready: true, meta: { deletionTimestamp: ago(0) } });
  const failure = { kind: 'create', message: 'no' } as const;
  const status = planReplicaStatus(owner(2), [...two, dying], failure, NOW_MS);
  t.match(status, {
    replicas: 2,
    readyReplicas: 1,
    availableReplicas: 1,
    fullyLabeledReplicas: 1,
    terminatingReplicas: 1,
    observedGeneration: 3,
  });
  t.match(status.conditions, [{ type: 'ReplicaFailure', status: 'True', reason: 'FailedCreate' }]);
});

const daemonSet = (spec: Partial<DaemonSet['spec']> = {}): DaemonSet => ({
  apiVersion: 'apps/v1',
  kind: 'DaemonSet',
  metadata: meta('ds'),
  spec: { selector: {}, template: { spec: { containers: [] } }, ...spec },
  status: {
    currentNumberScheduled: 0,
    desiredNumberScheduled: 0,
    numberMisscheduled: 0,
    numberReady: 0,
  },
});
const daemons = (ds: DaemonSet, nodes: Node[], pods: Record<string, Pod[]>) => ({
  ds,
  nodes,
  podsByNode: new Map(Object.entries(pods)),
  hash: 'new',
});
const daemon = (name: string, value: string, ready = true) =>
  pod(name, { ready, meta: hash(value), spec: { nodeName: 'n' } });
const names = (pods: readonly Pod[]) => pods.map((p) => p.metadata.name);

t.test('planPlacement() puts one daemon on each suitable node', async (t) => {
  const tainted = node('tainted', { spec: { taints: [{ key: 'k', effect: 'NoExecute' }] } });
  const kept = node('kept', { spec: { taints: [{ key: 'k', effect: 'NoSchedule' }] } });
  const cordoned = node('cordoned', {
    spec: {
      unschedulable: true,
      taints: [{ key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' }],
    },
  });
  const failed = pod('failed', { status: { phase: 'Failed' }, spec: { nodeName: 'c' } });
  const plan = planPlacement(
    daemons(daemonSet(), [node('a'), node('b'), node('c'), tainted, kept, cordoned], {
      b: [daemon('b2', 'new'), daemon('b1', 'new')],
      c: [failed],
      tainted: [daemon('t', 'new')],
      kept: [daemon('k', 'new')],
    }),
    NOW_MS,
  );
  t.same(plan.create, ['a', 'cordoned']);
  t.same(names(plan.remove).sort(), ['b2', 'failed', 't']);
  t.same(names(plan.failed), ['failed']);
});

t.test('daemonSpec() binds by affinity, and targetNode() reads it back', async (t) => {
  const spec = daemonSpec({ containers: [] }, 'n7');
  t.equal(targetNode(pod('p', { spec })), 'n7');
  t.ok(spec.tolerations?.some(({ key }) => key === 'node.kubernetes.io/not-ready'));
});

t.test('planRollout() of DaemonSets', async (t) => {
  const nodes = ['a', 'b', 'c'].map((name) => node(name));
  const rows = [
    {
      name: 'one at a time',
      pods: { a: [daemon('a', 'old')], b: [daemon('b', 'old')], c: [daemon('c', 'new')] },
      want: ['a'],
    },
    {
      name: 'not while one is missing',
      pods: { a: [daemon('a', 'old')], b: [], c: [daemon('c', 'new')] },
      want: [],
    },
    {
      name: 'broken ones at once',
      pods: { a: [daemon('a', 'old')], b: [daemon('b', 'old', false)], c: [daemon('c', 'new')] },
      want: ['b'],
    },
    {
      name: 'nothing left',
      pods: { a: [daemon('a', 'new')], b: [daemon('b', 'new')], c: [daemon('c', 'new')] },
      want: [],
    },
  ];
  for (const { name, pods, want } of rows) {
    t.same(names(planRollout(daemons(daemonSet(), nodes, pods), NOW_MS).remove), want, name);
  }
  const surging = daemonSet({
    updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
  });
  const pods = { a: [daemon('a', 'old')], b: [daemon('b', 'old')], c: [daemon('c', 'new')] };
  t.same(planRollout(daemons(surging, nodes, pods), NOW_MS).create, ['a']);
  const replaced = { ...pods, a: [daemon('a', 'old'), daemon('a2', 'new')] };
  t.same(names(planPlacement(daemons(surging, nodes, replaced), NOW_MS).remove), ['a']);
  t.same(
    planRollout(daemons(daemonSet({ updateStrategy: { type: 'OnDelete' } }), nodes, pods), NOW_MS)
      .remove,
    [],
  );
  const status = planDaemonStatus(daemons(daemonSet(), nodes, pods), undefined, NOW_MS);
  t.match(status, {
    desiredNumberScheduled: 3,
    numberReady: 3,
    updatedNumberScheduled: 1,
    numberUnavailable: 0,
  });
});

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
  const steps = (of: StatefulSet, pods: Pod[], current = 'r1', update = 'r1') =>
    planSteps({ set: of, pods, current, update }, NOW_MS)
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
    view: { set: set({ replicas: 2 }), pods, current: 'r1', update: 'r2' },
    collisionCount: undefined,
    nowMs: NOW_MS,
  });
  const half = planSetStatus(facts([member(0), member(1, 'r2')]));
  t.match(half, {
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

t.test('CronJob schedules', async (t) => {
  const at = (text: string) => Date.parse(text);
  const next = (schedule: string, from: string, zone?: string) =>
    new Date(parseSchedule(schedule, zone).after(at(from)) ?? 0).toISOString();
  t.equal(next('*/5 * * * *', '2026-11-23T12:01:00Z'), '2026-11-23T12:05:00.000Z');
  t.equal(
    next('0 9 * * *', '2026-11-23T12:00:00Z', 'America/New_York'),
    '2026-11-23T14:00:00.000Z',
  );
  t.equal(next('@hourly', '2026-11-23T12:00:00Z'), '2026-11-23T13:00:00.000Z');
  t.equal(next('@every 1h30m', '2026-11-23T12:00:00Z'), '2026-11-23T13:30:00.000Z');
  t.equal(
    next('0 0 13 * 5', '2026-11-23T12:00:00Z'),
    '2026-11-27T00:00:00.000Z',
    'day of month or of week',
  );
  for (const bad of ['', '* * * *', '61 * * * *', '@every 0s']) {
    t.throws(() => parseSchedule(bad, undefined), bad);
  }
  t.throws(() => parseSchedule('* * * * *', 'Mars/Olympus').after(0));
  const minutely = parseSchedule('* * * * *', undefined);
  t.equal(lastDue(minutely, NOW_MS - 90_000, NOW_MS + 500), NOW_MS);
  t.equal(lastDue(minutely, NOW_MS, NOW_MS + 59_000), undefined);
  t.equal(lastDue(minutely, 0, NOW_MS + 500), NOW_MS, 'after years of silence');
});

t.test('planStart()', async (t) => {
  const minutely = parseSchedule('* * * * *', undefined);
  const cron = (spec: Partial<CronJobSpec>, last?: string): CronJob => ({
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata: meta('cj'),
    spec: { schedule: '* * * * *', jobTemplate: {}, ...spec },
    status: last === undefined ? {} : { lastScheduleTime: last },
  });
  const kind = (of: CronJob, active = 0, now = NOW_MS + 1_000) =>
    planStart(of, minutely, active, now).kind;
  t.equal(kind(cron({}, ago(60))), 'start');
  t.equal(kind(cron({}, ago(0))), 'wait', 'done already');
  t.equal(kind(cron({ suspend: true }, ago(60))), 'wait');
  t.equal(kind(cron({ concurrencyPolicy: 'Forbid' }, ago(60)), 1), 'forbidden');
  t.equal(kind(cron({ startingDeadlineSeconds: 10 }, ago(600)), 0, NOW_MS + 30_000), 'wait');
  t.equal(jobName(cron({}), NOW_MS), `cj-${NOW_MS / 60_000}`);
});

t.test('planDeletionStatus() of namespaces', async (t) => {
  const nothing = { discoveryFailures: [], contentFailures: [], remaining: [] };
  const done = planDeletionStatus({ phase: 'Terminating' }, nothing, NOW_MS);
  t.same(
    done?.conditions?.map((c) => c.status),
    ['False', 'False', 'False', 'False', 'False'],
  );
  t.equal(planDeletionStatus(done ?? {}, nothing, NOW_MS + 1000), undefined, 'no change, no write');
  const finalizers = new Map([['example.com/hold', 2]]);
  const remaining = [{ group: '', resource: 'pods', count: 2, finalizers }];
  const held = planDeletionStatus(done ?? {}, { ...nothing, remaining }, NOW_MS);
  const message = (type: string) => held?.conditions?.find((c) => c.type === type)?.message;
  t.equal(
    message('NamespaceContentRemaining'),
    'Some resources are remaining: pods. has 2 resource instances',
  );
  t.equal(
    message('NamespaceFinalizersRemaining'),
    'Some content in the namespace has finalizers remaining: example.com/hold in 2 resource instances',
  );
});

t.test('planBudget()', async (t) => {
  const plan = (
    spec: object,
    ready: number,
    scale: number,
    disruptedPods: Record<string, string> = {},
  ) =>
    planBudget({
      pdb: {
        apiVersion: 'policy/v1',
        kind: 'PodDisruptionBudget',
        metadata: meta('b'),
        spec,
        status: {
          currentHealthy: 0,
          desiredHealthy: 0,
          disruptionsAllowed: 0,
          expectedPods: 0,
          disruptedPods,
        },
      },
      pods: Array.from({ length: ready }, (_, i) => pod(`p${i}`, { ready: true })),
      expectedScale: scale,
      nowMs: NOW_MS,
    }).status;
  t.match(plan({ minAvailable: 2 }, 3, 3), {
    disruptionsAllowed: 1,
    desiredHealthy: 2,
    expectedPods: 3,
  });
  t.match(plan({ minAvailable: '50%' }, 3, 5), {
    disruptionsAllowed: 0,
    desiredHealthy: 3,
    expectedPods: 5,
  });
  t.match(plan({ maxUnavailable: 1 }, 4, 4), { disruptionsAllowed: 1, desiredHealthy: 3 });
  t.match(plan({ maxUnavailable: '25%' }, 4, 4), { disruptionsAllowed: 1 });
  t.match(plan({ minAvailable: 1 }, 0, 0), { disruptionsAllowed: 0 });
  t.match(plan({ minAvailable: 1 }, 3, 3, { p0: ago(10) }), {
    disruptionsAllowed: 1,
    currentHealthy: 2,
  });
  t.match(plan({ minAvailable: 1 }, 3, 3, { p0: ago(300) }), {
    disruptionsAllowed: 2,
    disruptedPods: {},
  });
});

t.test('planRules() aggregates by label, each rule once', async (t) => {
  const role = (name: string, rules: object[], labels = {}) =>
    ({
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: meta(name, { labels }),
      rules,
    }) as never;
  const rule = (resource: string) => ({ apiGroups: [''], resources: [resource], verbs: ['get'] });
  const all = [
    role('b', [rule('pods'), rule('nodes')], { x: 'y' }),
    role('a', [rule('pods')], { x: 'y' }),
    role('c', [rule('secrets')]),
  ];
  const target = {
    ...(role('t', []) as object),
    aggregationRule: { clusterRoleSelectors: [{ matchLabels: { x: 'y' } }] },
  } as never;
  t.same(planRules(target, all), [rule('pods'), rule('nodes')]);
  t.equal(planRules(all[0] as never, all), undefined);
});
