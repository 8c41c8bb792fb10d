import t from 'tap';
import type { NodeSpec, Taint, Toleration } from '#base/kube/api/core-v1.gen.ts';
import { ago, node, NOW_MS, pod } from '../testing/objects.ts';
import { evictionAtMs } from './eviction.ts';
import { allocateSubnet, mayEvict, planTaints, planUnknown } from './plan.ts';
import { planPodGc } from './pod-gc.ts';

const taintsOf = (ready: 'True' | 'False' | 'Unknown', spec: NodeSpec = {}, evicts = true) =>
  planTaints(node('n', { ready, spec }), evicts, NOW_MS)?.map(
    (x) => `${x.key.split('/')[1]}:${x.effect}`,
  );

t.test('planTaints()', async (t) => {
  const notReady: Taint = { key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' };
  t.equal(taintsOf('True'), undefined, 'nothing to do');
  t.same(taintsOf('True', { taints: [notReady] }), [], 'ready: the admission taint goes');
  t.same(taintsOf('False'), ['not-ready:NoSchedule', 'not-ready:NoExecute']);
  t.same(taintsOf('Unknown'), ['unreachable:NoSchedule', 'unreachable:NoExecute']);
  t.same(taintsOf('Unknown', {}, false), ['unreachable:NoSchedule'], 'evictions held back');
  t.same(taintsOf('True', { unschedulable: true }), ['unschedulable:NoSchedule']);
  const own: Taint = { key: 'example.com/mine', effect: 'NoSchedule' };
  t.same(taintsOf('True', { taints: [own, notReady] }), ['mine:NoSchedule'], 'others stay');
  const silent = node('n', { spec: { taints: [notReady] } });
  silent.status = {};
  t.equal(planTaints(silent, true, NOW_MS), undefined, 'never reported: stays as admitted');
});

t.test('planUnknown()', async (t) => {
  const conditions = planUnknown(node('n'), NOW_MS);
  t.same(
    conditions?.map((c) => [c.type, c.status, c.reason]),
    [
      ['Ready', 'Unknown', 'NodeStatusUnknown'],
      ['MemoryPressure', 'Unknown', 'NodeStatusNeverUpdated'],
      ['DiskPressure', 'Unknown', 'NodeStatusNeverUpdated'],
      ['PIDPressure', 'Unknown', 'NodeStatusNeverUpdated'],
    ],
  );
  const again = node('n');
  again.status = { conditions: conditions ?? [] };
  t.equal(planUnknown(again, NOW_MS), undefined);
});

t.test('mayEvict()', async (t) => {
  const cluster = (ready: number, lost: number) => [
    ...Array.from({ length: ready }, (_, i) => node(`r${i}`)),
    ...Array.from({ length: lost }, (_, i) => node(`l${i}`, { ready: 'Unknown' })),
  ];
  const rows: [number, number, boolean][] = [
    [0, 1, false],
    [1, 1, true],
    [2, 2, true],
    [2, 3, false],
    [5, 3, true],
    [30, 40, true],
  ];
  for (const [ready, lost, want] of rows) {
    t.equal(mayEvict(cluster(ready, lost)), want, `${ready} ready, ${lost} lost`);
  }
});

t.test('evictionAtMs()', async (t) => {
  const taint: Taint = { key: 'k', effect: 'NoExecute', timeAdded: ago(100) };
  const at = (tolerations: Toleration[], taints: Taint[] = [taint]) =>
    evictionAtMs(pod('p', { spec: { tolerations } }), node('n', { spec: { taints } }), NOW_MS);
  t.equal(at([]), 0, 'at once');
  t.equal(at([{ key: 'k', operator: 'Exists' }]), undefined, 'never');
  t.equal(at([{ key: 'k', operator: 'Exists', tolerationSeconds: 300 }]), NOW_MS + 200_000);
  t.equal(
    at([
      { key: 'k', operator: 'Exists', tolerationSeconds: 300 },
      { operator: 'Exists', tolerationSeconds: 10 },
    ]),
    NOW_MS - 90_000,
    'the shortest',
  );
  t.equal(
    at(
      [{ key: 'k', operator: 'Exists', tolerationSeconds: 5 }],
      [{ key: 'k', effect: 'NoExecute' }],
    ),
    NOW_MS + 5_000,
  );
  t.equal(at([], [{ key: 'k', effect: 'NoSchedule' }]), undefined);
});

t.test('allocateSubnet()', async (t) => {
  const taken = new Set(['10.244.0.0/24', '10.244.1.0/24']);
  t.equal(allocateSubnet('10.244.0.0/16', 24, taken), '10.244.2.0/24');
  t.equal(allocateSubnet('192.168.7.0/24', 24, new Set()), '192.168.7.0/24');
  t.equal(allocateSubnet('10.0.0.0/25', 24, new Set()), '10.0.0.0/25');
  t.equal(allocateSubnet('10.244.0.0/23', 24, taken), undefined);
});

t.test('planPodGc()', async (t) => {
  const on = (name: string, nodeName: string, deleting = false) =>
    pod(name, {
      spec: { nodeName },
      ...(deleting ? { meta: { deletionTimestamp: ago(0) } } : {}),
    });
  const out = node('out', {
    ready: 'Unknown',
    spec: { taints: [{ key: 'node.kubernetes.io/out-of-service', effect: 'NoExecute' }] },
  });
  const all = [
    on('ok', 'n'),
    on('orphan', 'gone'),
    on('doubt', 'new'),
    on('lost', '', true),
    on('stuck', 'out', true),
  ];
  const nodes = new Map([
    ['n', node('n')],
    ['out', out],
  ]);
  const plans = planPodGc(all, (name) => nodes.get(name), new Set(['gone']));
  t.same(
    plans.map((p) => `${p.pod.metadata.name} ${p.reason}`),
    ['orphan orphaned', 'lost unscheduled', 'stuck outOfService'],
  );
});
