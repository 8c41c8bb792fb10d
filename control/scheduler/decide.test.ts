import t from 'tap';
import type { Node, Pod, PodSpec } from '#base/kube/api/core-v1.gen.ts';
import { Cluster } from './cluster.ts';
import { decide, feasibleEnough } from './decide.ts';
import { podFacts, podRequests } from './pod-facts.ts';
import { failureText, planPreemption } from './preempt.ts';

function node(name: string, extra: Partial<Node['spec']> = {}, labels = {}, cpu = '4'): Node {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name,
      uid: name,
      resourceVersion: '1',
      creationTimestamp: '',
      labels: { 'kubernetes.io/hostname': name, ...labels },
    },
    spec: extra,
    status: { allocatable: { cpu, memory: '8Gi', pods: '3' } },
  };
}

function pod(name: string, spec: Partial<PodSpec> = {}, labels: Record<string, string> = {}): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'ns',
      uid: name,
      resourceVersion: '1',
      creationTimestamp: '',
      labels,
    },
    spec: { containers: [{ name: 'c' }], ...spec },
    status: {},
  };
}

const asks = (requests: Record<string, string>): Partial<PodSpec> => ({
  containers: [{ name: 'c', resources: { requests } }],
});

function clusterOf(nodes: readonly Node[], placed: readonly [Pod, string][] = []): Cluster {
  const cluster = new Cluster();
  for (const one of nodes) cluster.putNode(one);
  for (const [one, name] of placed) cluster.putPod(podFacts(one), name);
  return cluster;
}

/** The node, or what the event says. */
const choose = (cluster: Cluster, one: Pod) => {
  const facts = podFacts(one);
  const decision = decide(facts, cluster, { startIndex: 0, random: () => 0.5 });
  if (decision.kind === 'node') return decision.nodeName;
  const { rejections } = decision;
  const preemption = planPreemption({ facts, cluster, rejections, budgets: [] });
  if (preemption.kind === 'node') {
    return `${preemption.nodeName} for ${preemption.victims.map((v) => v.uid).join(' ')}`;
  }
  return rejections.size === 0
    ? decision.message
    : failureText(decision.message, preemption.message);
};

const none = (reasons: string, nodes: number, preemption: string) =>
  `0/${nodes} nodes are available: ${reasons}. no new claims to deallocate, preemption: 0/${nodes} nodes are available: ${preemption}.`;
const HELPLESS = 'Preemption is not helpful for scheduling';
const NO_VICTIMS = 'No preemption victims found for incoming pod';

const spreadBy = (
  ...constraints: { topologyKey: string; labelSelector?: undefined }[]
): Partial<PodSpec> => ({
  topologySpreadConstraints: constraints.map((constraint) => ({
    maxSkew: 1,
    whenUnsatisfiable: 'DoNotSchedule',
    labelSelector: { matchLabels: { app: 'a' } },
    ...constraint,
  })) as PodSpec['topologySpreadConstraints'] & {}, // One has no selector, as clients may leave it.
});

const anti = (key: string): Partial<PodSpec> => ({
  affinity: {
    podAntiAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: [
        { topologyKey: key, labelSelector: { matchLabels: { app: 'a' } } },
      ],
    },
  },
});
const near = (key: string): Partial<PodSpec> => ({
  affinity: {
    podAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: [
        { topologyKey: key, labelSelector: { matchLabels: { app: 'a' } } },
      ],
    },
  },
});
const HOST = 'kubernetes.io/hostname';
const app = { app: 'a' };

const rows: {
  name: string;
  nodes: Node[];
  placed?: [Pod, string][];
  pod: Pod;
  want: string;
}[] = [
  {
    name: 'no nodes at all',
    nodes: [],
    pod: pod('p'),
    want: 'no nodes available to schedule pods',
  },
  {
    name: 'the emptier node',
    nodes: [node('a'), node('b')],
    placed: [[pod('x', asks({ cpu: '2' })), 'a']],
    pod: pod('p'),
    want: 'b',
  },
  {
    name: 'too little cpu',
    nodes: [node('a'), node('b')],
    pod: pod('p', asks({ cpu: '5' })),
    want: none('2 Insufficient cpu', 2, `2 ${HELPLESS}`),
  },
  {
    name: 'cpu taken by another pod',
    nodes: [node('a')],
    placed: [[pod('x', asks({ cpu: '3' })), 'a']],
    pod: pod('p', asks({ cpu: '2', memory: '1Gi' })),
    want: none('1 Insufficient cpu', 1, `1 ${NO_VICTIMS}`),
  },
  {
    name: 'too many pods',
    nodes: [node('a')],
    placed: [1, 2, 3].map((i) => [pod(`x${i}`), 'a']),
    pod: pod('p'),
    want: none('1 Too many pods', 1, `1 ${NO_VICTIMS}`),
  },
  {
    name: 'reasons are counted and sorted',
    nodes: [
      node('a', { unschedulable: true }),
      node('b', { taints: [{ key: 'k', effect: 'NoSchedule' }] }),
      node('c'),
    ],
    pod: pod('p', { nodeSelector: { x: 'y' } }),
    want: none(
      "1 node(s) didn't match Pod's node affinity/selector, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable",
      3,
      `3 ${HELPLESS}`,
    ),
  },
  {
    name: 'a tolerated taint',
    nodes: [node('b', { taints: [{ key: 'k', value: 'v', effect: 'NoExecute' }] })],
    pod: pod('p', {
      tolerations: [{ key: 'k', operator: 'Equal', value: 'v', effect: 'NoExecute' }],
    }),
    want: 'b',
  },
  {
    name: 'an empty key tolerates all',
    nodes: [node('b', { taints: [{ key: 'k', effect: 'NoSchedule' }] })],
    pod: pod('p', { tolerations: [{ operator: 'Exists' }] }),
    want: 'b',
  },
  {
    name: 'host ports on other addresses',
    nodes: [node('a')],
    placed: [
      [
        pod('x', {
          containers: [
            { name: 'c', ports: [{ containerPort: 1, hostPort: 80, hostIP: '10.0.0.1' }] },
          ],
        }),
        'a',
      ],
    ],
    pod: pod('p', {
      containers: [{ name: 'c', ports: [{ containerPort: 1, hostPort: 80, hostIP: '10.0.0.2' }] }],
    }),
    want: 'a',
  },
  {
    name: 'a host port on all addresses conflicts',
    nodes: [node('a')],
    placed: [
      [
        pod('x', {
          containers: [
            { name: 'c', ports: [{ containerPort: 1, hostPort: 80, hostIP: '10.0.0.1' }] },
          ],
        }),
        'a',
      ],
    ],
    pod: pod('p', { containers: [{ name: 'c', ports: [{ containerPort: 1, hostPort: 80 }] }] }),
    want: none(
      "1 node(s) didn't have free ports for the requested pod ports",
      1,
      `1 ${NO_VICTIMS}`,
    ),
  },
  {
    name: 'node affinity by field',
    nodes: [node('a'), node('b')],
    pod: pod('p', {
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [
              { matchFields: [{ key: 'metadata.name', operator: 'In', values: ['b'] }] },
            ],
          },
        },
      },
    }),
    want: 'b',
  },
  {
    name: 'an empty term matches nothing',
    nodes: [node('a')],
    pod: pod('p', {
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{}] },
        },
      },
    }),
    want: none("1 node(s) didn't match Pod's node affinity/selector", 1, `1 ${HELPLESS}`),
  },
  {
    name: 'anti-affinity spreads',
    nodes: [node('a'), node('b')],
    placed: [[pod('x', {}, app), 'a']],
    pod: pod('p', anti(HOST), app),
    want: 'b',
  },
  {
    name: 'anti-affinity of those that are there',
    nodes: [node('a')],
    placed: [[pod('x', anti(HOST), app), 'a']],
    pod: pod('p', {}, app),
    want: none("1 node(s) didn't satisfy existing pods anti-affinity rules", 1, `1 ${NO_VICTIMS}`),
  },
  {
    name: 'affinity follows, by zone',
    nodes: [
      node('a', {}, { zone: '1' }),
      node('b', {}, { zone: '2' }),
      node('c', {}, { zone: '2' }, '8'),
    ],
    placed: [[pod('x', {}, app), 'b']],
    pod: pod('p', near('zone')),
    want: 'c',
  },
  {
    name: 'the first of a group may go anywhere',
    nodes: [node('a')],
    pod: pod('p', near(HOST), app),
    want: 'a',
  },
  {
    name: 'affinity to nobody',
    nodes: [node('a')],
    pod: pod('p', near(HOST)),
    want: none("1 node(s) didn't match pod affinity rules", 1, `1 ${HELPLESS}`),
  },
  {
    name: 'topology spread within maxSkew',
    nodes: [node('a', {}, { zone: '1' }, '100'), node('b', {}, { zone: '2' }, '1')],
    placed: [[pod('x', {}, app), 'a']],
    pod: pod(
      'p',
      {
        topologySpreadConstraints: [
          {
            maxSkew: 1,
            topologyKey: 'zone',
            whenUnsatisfiable: 'DoNotSchedule',
            labelSelector: { matchLabels: app },
          },
        ],
      },
      app,
    ),
    want: 'b',
  },
  {
    name: 'topology spread without a selector counts nobody',
    nodes: [node('a'), node('b', { unschedulable: true })],
    placed: [
      [pod('x', {}, app), 'a'],
      [pod('y', {}, app), 'a'],
    ],
    pod: pod('p', spreadBy({ topologyKey: HOST, labelSelector: undefined }), app),
    want: 'a',
  },
  {
    name: 'topology spread where the label is missing',
    nodes: [node('a')],
    pod: pod('p', spreadBy({ topologyKey: 'zone' }), app),
    want: none(
      "1 node(s) didn't match pod topology spread constraints (missing required label)",
      1,
      `1 ${HELPLESS}`,
    ),
  },
  {
    name: 'topology spread over nodes that have all keys',
    nodes: [node('a', {}, { zone: '1' }), node('b'), node('c', { unschedulable: true })],
    placed: [[pod('x', {}, app), 'a']],
    pod: pod('p', spreadBy({ topologyKey: HOST }, { topologyKey: 'zone' }), app),
    want: 'a',
  },
];
for (const row of rows) {
  t.test(`decide(): ${row.name}`, async (t) => {
    t.equal(choose(clusterOf(row.nodes, row.placed), row.pod), row.want);
  });
}

t.test('feasibleEnough()', async (t) => {
  t.same([5, 100, 1000, 5000, 10_000].map(feasibleEnough), [5, 100, 420, 500, 500]);
});

t.test('Cluster: what leaves gives back what it used', async (t) => {
  const cluster = clusterOf([node('a')], [[pod('x', asks({ cpu: '3' })), 'a']]);
  cluster.removePod('x');
  t.equal(choose(cluster, pod('p', asks({ cpu: '4' }))), 'a');
  cluster.removeNode('a');
  t.equal(choose(cluster, pod('p')), 'no nodes available to schedule pods');
});

t.test('podRequests() with init containers and sidecars', async (t) => {
  const c = (name: string, cpu: string, restartPolicy?: string) => ({
    name,
    resources: { requests: { cpu } },
    ...(restartPolicy === undefined ? {} : { restartPolicy }),
  });
  const cpu = (spec: Partial<PodSpec>) => podRequests(pod('p', spec)).get('cpu');
  const containers = [c('a', '1'), c('b', '1')];
  t.equal(cpu({ containers }), 2000, 'the sum');
  t.equal(
    cpu({ containers, initContainers: [c('i', '3')] }),
    3000,
    'or the largest init container',
  );
  t.equal(
    cpu({ containers, initContainers: [c('s', '1', 'Always'), c('i', '3')] }),
    4000,
    'beside sidecars',
  );
  t.equal(
    cpu({ containers, initContainers: [c('i', '3'), c('s', '2', 'Always')] }),
    4000,
    'in order',
  );
  t.equal(cpu({ containers, overhead: { cpu: '250m' } }), 2250, 'and overhead');
  t.equal(
    cpu({ containers, resources: { requests: { cpu: '5' } } }),
    5000,
    'the pod says otherwise',
  );
});

t.test('planPreemption() evicts as little and as unimportant as it can', async (t) => {
  const one = (name: string, priority: number, cpu: string) =>
    pod(name, { ...asks({ cpu }), priority });
  const nodes = [node('a'), node('b')];
  const rows: { name: string; placed: [Pod, string][]; pod: Pod; want: string | RegExp }[] = [
    {
      name: 'the lower priority',
      placed: [
        [one('p5', 5, '4'), 'a'],
        [one('p1', 1, '4'), 'b'],
      ],
      pod: one('p', 10, '2'),
      want: 'b for p1',
    },
    {
      name: 'only what is needed',
      placed: [
        [one('p1', 1, '2'), 'a'],
        [one('p2', 2, '2'), 'a'],
        [one('q', 20, '4'), 'b'],
      ],
      pod: one('p', 10, '2'),
      want: 'a for p1',
    },
    {
      name: 'never its equals',
      placed: [
        [one('x', 10, '4'), 'a'],
        [one('y', 10, '4'), 'b'],
      ],
      pod: one('p', 10, '1'),
      want: /2 No preemption victims found/,
    },
    {
      name: 'not where it would not help',
      placed: [[one('x', 1, '4'), 'a']],
      pod: one('p', 10, '9'),
      want: /2 Preemption is not helpful/,
    },
    {
      name: 'not when it must not',
      placed: [
        [one('x', 1, '4'), 'a'],
        [one('y', 1, '4'), 'b'],
      ],
      pod: pod('p', { ...asks({ cpu: '1' }), priority: 10, preemptionPolicy: 'Never' }),
      want: /preemption: not eligible due to preemptionPolicy=Never/,
    },
  ];
  for (const row of rows) {
    const cluster = clusterOf(nodes, row.placed);
    const got = choose(cluster, row.pod);
    if (typeof row.want === 'string') t.equal(got, row.want, row.name);
    else t.match(got, row.want, row.name);
    t.equal(choose(cluster, row.pod), got, `${row.name}: the cluster is as before`);
  }
});
