/** DaemonSets: tables of their plans. */
import t from 'tap';
import type { DaemonSet } from '#base/kube/api/apps-v1.gen.ts';
import type { Node, Pod } from '#base/kube/api/core-v1.gen.ts';
import { ago, meta, node, NOW_MS, pod } from '../testing/objects.ts';
import { FailureBackoff } from './failure-backoff.ts';
import {
  daemonLabels,
  daemonSpec,
  groupByNode,
  planDaemonStatus,
  planPlacement,
  planRollout,
  targetNode,
} from './plan.ts';

const hash = (value: string) => ({ labels: { 'controller-revision-hash': value } });

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
const facts = { collisionCount: undefined, isManaged: true, nowMs: NOW_MS };
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
    () => 0,
    NOW_MS,
  );
  t.same(plan.create, ['a', 'cordoned']);
  t.same(names(plan.remove).sort(), ['b2', 'failed', 't']);
  t.same(names(plan.ended), ['failed']);
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
  t.same(names(planPlacement(daemons(surging, nodes, replaced), () => 0, NOW_MS).remove), ['a']);
  t.same(
    planRollout(daemons(daemonSet({ updateStrategy: { type: 'OnDelete' } }), nodes, pods), NOW_MS)
      .remove,
    [],
  );
  const status = planDaemonStatus(daemons(daemonSet(), nodes, pods), facts);
  t.match(status, {
    desiredNumberScheduled: 3,
    numberReady: 3,
    updatedNumberScheduled: 1,
    numberUnavailable: 0,
  });
});

t.test('planPlacement() replaces what ended, failures with patience', async (t) => {
  const ended = (name: string, phase: string) =>
    pod(name, { status: { phase }, spec: { nodeName: 'a' } });
  const place = (pods: Pod[], waitMs = 0) =>
    planPlacement(daemons(daemonSet(), [node('a')], { a: pods }), () => waitMs, NOW_MS);
  t.same(names(place([ended('p', 'Succeeded')], 5000).remove), ['p'], 'a daemon never succeeds');
  const patient = place([ended('p', 'Failed')], 5000);
  t.same([names(patient.remove), patient.create, patient.waitMs], [[], [], 5000]);
  t.same(names(place([ended('p', 'Failed')]).ended), ['p']);
  const nodes = Array.from({ length: 300 }, (_, i) => node(`n${i}`));
  t.equal(planPlacement(daemons(daemonSet(), nodes, {}), () => 0, NOW_MS).create.length, 250);
});

t.test('groupByNode() leaves out what stands in nobodys way', async (t) => {
  const dying = { deletionTimestamp: ago(1) };
  const groups = groupByNode([
    pod('ended', { status: { phase: 'Failed' }, meta: dying, spec: { nodeName: 'a' } }),
    pod('ending', { ready: true, meta: dying, spec: { nodeName: 'b' } }),
    pod('unbound', {}),
  ]);
  t.same(
    [...groups].map(([name, pods]) => [name, names(pods)]),
    [['b', ['ending']]],
  );
});

t.test('FailureBackoff doubles up to 15 minutes and forgets', async (t) => {
  const backoff = new FailureBackoff();
  t.equal(backoff.leftMs('k', 0), 0);
  backoff.replaced('k', 0);
  t.same([backoff.leftMs('k', 400), backoff.leftMs('k', 1000)], [600, 0]);
  backoff.replaced('k', 1000);
  t.equal(backoff.leftMs('k', 1000), 2000);
  for (let i = 0; i < 20; i++) backoff.replaced('k', 1000);
  t.equal(backoff.leftMs('k', 1000), 900_000);
  backoff.replaced('k', 1000 + 1_800_001);
  t.equal(backoff.leftMs('k', 1000 + 1_800_001), 1000);
});

t.test('planRollout() counts crowded nodes, and pods where none should run', async (t) => {
  const tainted = node('t', { spec: { taints: [{ key: 'k', effect: 'NoSchedule' }] } });
  const nodes = [node('a'), node('b'), tainted];
  const crowded = { a: [daemon('a', 'old'), daemon('a2', 'new')], b: [daemon('b', 'old')] };
  t.same(names(planRollout(daemons(daemonSet(), nodes, crowded), NOW_MS).remove), []);
  const left = { a: [daemon('a', 'new')], b: [daemon('b', 'new')], t: [daemon('t', 'old')] };
  t.same(names(planRollout(daemons(daemonSet(), nodes, left), NOW_MS).remove), ['t']);
  const surging = daemonSet({
    updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
  });
  const roll = (pods: Record<string, Pod[]>) => planRollout(daemons(surging, nodes, pods), NOW_MS);
  t.same(names(roll(left).remove), ['t'], 'the others are enough');
  const few = { ...left, b: [daemon('b', 'new', false)] };
  t.same(names(roll(few).remove), [], 'it is still needed');
  const broken = { ...crowded, a: [daemon('a', 'old', false), daemon('a2', 'new', false)] };
  t.same(
    names(planPlacement(daemons(surging, nodes, broken), () => 0, NOW_MS).remove),
    ['a'],
    'an old pod that is not ready makes way',
  );
  const ending = pod('e', { ready: true, meta: { deletionTimestamp: ago(1) } });
  t.same(
    planPlacement(daemons(surging, [node('a')], { a: [ending] }), () => 0, NOW_MS).create,
    ['a'],
    'a surge does not wait for the end of the last pod',
  );
});

t.test('planDaemonStatus() tells of the oldest pod, and of what was managed', async (t) => {
  const old = pod('o', { ready: true, meta: { ...hash('old'), creationTimestamp: ago(9000) } });
  const view = daemons(daemonSet(), [node('a')], { a: [daemon('n', 'new'), old] });
  view.ds.metadata.generation = 3;
  t.match(planDaemonStatus(view, facts), { updatedNumberScheduled: 0, observedGeneration: 3 });
  t.match(planDaemonStatus(view, { ...facts, isManaged: false }), { observedGeneration: 0 });
});

t.test('daemonSpec() replaces the required terms of the template', async (t) => {
  const expression = { key: 'disk', operator: 'In', values: ['ssd'] };
  const required = { nodeSelectorTerms: [{ matchExpressions: [expression] }] };
  const affinity = { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: required } };
  t.same(daemonSpec({ containers: [], affinity }, 'n7').affinity, {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [
          { matchFields: [{ key: 'metadata.name', operator: 'In', values: ['n7'] }] },
        ],
      },
    },
  });
});

t.test('daemonLabels() name the revision and the old counter', async (t) => {
  const counted = daemonSet();
  counted.metadata.annotations = { 'deprecated.daemonset.template.generation': '4' };
  t.same(daemonLabels(daemonSet(), 'h'), { 'controller-revision-hash': 'h' });
  t.same(daemonLabels(counted, 'h'), {
    'controller-revision-hash': 'h',
    'pod-template-generation': '4',
  });
});
