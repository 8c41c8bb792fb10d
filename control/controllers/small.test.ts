/** ReplicaSets, CronJobs, namespaces, budgets, roles: tables of their plans. */
import t from 'tap';
import type { CronJob, CronJobSpec } from '#base/kube/api/batch-v1.gen.ts';
import { compileLabelSelector } from '#base/kube/selectors.ts';
import { planRules } from './cluster-role-aggregation.ts';
import { jobName, nextDue, planStart } from './cronjob/plan.ts';
import { lastDue, parseSchedule, timeIn } from './cronjob/schedule.ts';
import { planBudget } from './disruption.ts';
import { planDeletionStatus } from './namespace/plan.ts';
import { planReplicas, planReplicaStatus, type ReplicaOwner } from './replicaset/plan.ts';
import { revisionData } from './shared/revisions.ts';
import { ago, meta, NOW_MS, pod } from './testing/objects.ts';

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
  t.throws(() => parseSchedule('* * * * *', 'Mars/Olympus'));
  t.equal(timeIn(at('2026-11-23T12:00:00Z'), 'America/New_York'), '2026-11-23T07:00:00-05:00');
  t.equal(timeIn(at('2026-11-23T12:00:00Z')), '2026-11-23T12:00:00Z');
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
  const hourly = parseSchedule('@every 1h', undefined);
  t.equal(lastDue(hourly, NOW_MS - 9_000_000, NOW_MS), NOW_MS - 1_800_000, 'counted from the last');
  t.equal(nextDue(cron({}, ago(1800)), hourly, NOW_MS), NOW_MS + 1_800_000, 'half of it is over');
  t.equal(nextDue(cron({}, ago(5400)), hourly, NOW_MS), NOW_MS + 1_800_000, 'one was missed');
  t.equal(nextDue(cron({}, ago(5400)), minutely, NOW_MS + 1), NOW_MS + 60_000);
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
