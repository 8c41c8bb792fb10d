import t from 'tap';
import type { Pod, Service, ServiceSpec } from '#base/kube/api/core-v1.gen.ts';
import type { EndpointSlice } from '#base/kube/api/discovery-v1.gen.ts';
import type { Draft } from '#base/kube/client.ts';
import { ago, meta, node, pod } from '../testing/objects.ts';
import { planSlices } from './slice-plan.ts';
import { planSubsets } from './subsets.ts';

const service = (spec: Partial<ServiceSpec> = {}): Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: meta('svc', { labels: { team: 'x' } }),
  spec: {
    clusterIP: '10.96.0.5',
    ipFamilies: ['IPv4'],
    ports: [{ port: 80, targetPort: 'web' }],
    ...spec,
  },
  status: {},
});

const web = (
  name: string,
  ip: string,
  options: { port?: number; ready?: boolean; gone?: boolean } = {},
): Pod => {
  const { port = 8080, ready = true, gone = false } = options;
  const base = pod(name, {
    ready,
    spec: {
      nodeName: 'n',
      containers: [{ name: 'c', ports: [{ name: 'web', containerPort: port }] }],
    },
    meta: gone ? { deletionTimestamp: ago(0) } : {},
  });
  return { ...base, status: { ...base.status, podIP: ip, podIPs: [{ ip }] } };
};

let sequence = 0;
const stored = (draft: Draft<EndpointSlice>): EndpointSlice =>
  ({
    ...draft,
    metadata: { ...meta(`svc-${sequence++}`), ...draft.metadata },
  }) as EndpointSlice;
const plan = (pods: Pod[], slices: EndpointSlice[] = [], of = service()) =>
  planSlices(of, pods, (name) => (name === 'lost' ? undefined : node(name, { labels })), slices);
const labels = { 'topology.kubernetes.io/zone': 'z' };
const addresses = (slices: readonly { endpoints?: { addresses: string[] }[] | undefined }[]) =>
  slices.map((slice) => (slice.endpoints ?? []).map((e) => e.addresses[0]));

t.test('planSlices(): one slice, then no change', async (t) => {
  const pods = [web('a', '10.0.0.1'), web('b', '10.0.0.2', { ready: false })];
  const first = plan(pods);
  t.same(addresses(first.create), [['10.0.0.1', '10.0.0.2']]);
  const [draft] = first.create;
  t.same(draft?.ports, [{ name: '', protocol: 'TCP', port: 8080 }]);
  t.same(
    draft?.endpoints?.map((e) => e.conditions),
    [
      { ready: true, serving: true, terminating: false },
      { ready: false, serving: false, terminating: false },
    ],
  );
  t.same(draft?.metadata.labels, {
    team: 'x',
    'kubernetes.io/service-name': 'svc',
    'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
  });
  const again = plan(pods, first.create.map(stored));
  t.same([again.create, again.update, again.remove], [[], [], []]);
});

t.test('planSlices(): changes touch what they must', async (t) => {
  const slices = plan([web('a', '10.0.0.1'), web('b', '10.0.0.2')]).create.map(stored);
  const moved = plan([web('a', '10.0.0.1'), web('c', '10.0.0.3')], slices);
  t.same(addresses(moved.update), [['10.0.0.1', '10.0.0.3']]);
  const draining = plan([web('a', '10.0.0.1', { gone: true })], slices).update[0]?.endpoints?.[0];
  t.same(draining?.conditions, { ready: false, serving: true, terminating: true });
  const empty = plan([], slices);
  t.same(addresses(empty.update), [[]], 'an empty slice stays');
  t.same(empty.remove, []);
});

t.test('planSlices(): one slice per set of ports, at most 100 endpoints each', async (t) => {
  const mixed = plan([web('a', '10.0.0.1'), web('b', '10.0.0.2', { port: 9090 })]);
  t.same(
    mixed.create.map((s) => s.ports?.[0]?.port),
    [8080, 9090],
  );
  const second = mixed.create.slice(1).map(stored);
  const rest = plan([web('a', '10.0.0.1'), web('b', '10.0.0.2', { port: 9090 })], second);
  t.same(
    [addresses(rest.create), rest.update, rest.remove],
    [[['10.0.0.1']], [], []],
    'no group robs another',
  );
  const many = Array.from({ length: 150 }, (_, i) => web(`p${i}`, `10.0.1.${i}`));
  const big = plan(many);
  t.same(
    big.create.map((s) => s.endpoints?.length),
    [100, 50],
  );
  const slices = big.create.map(stored);
  const more = plan([...many, web('x', '10.0.2.1')], slices);
  t.same([more.create.length, more.update.map((s) => s.endpoints?.length)], [0, [51]]);
  const fewer = plan(many.slice(0, 100), slices);
  t.same([fewer.update.length, fewer.remove.length], [0, 1]);
});

t.test('planSlices(): pods without address, finished pods, missing ports', async (t) => {
  const finished = { ...web('f', '10.0.0.9'), status: { phase: 'Succeeded', podIP: '10.0.0.9' } };
  const portless = pod('x', { ready: true, status: { phase: 'Running', podIP: '10.0.0.8' } });
  t.same(addresses(plan([pod('none', { ready: true }), finished, portless]).create), [[]]);
  const headless = plan([portless], [], service({ clusterIP: 'None', ports: [] }));
  t.same(addresses(headless.create), [['10.0.0.8']]);
  t.equal(headless.create[0]?.metadata.labels?.['service.kubernetes.io/headless'], '');
});

t.test('planSubsets() sorts, splits by readiness, groups by ports', async (t) => {
  const { subsets } = planSubsets(service(), [
    web('b', '10.0.0.2'),
    web('a', '10.0.0.1', { ready: false }),
    web('g', '10.0.0.3', { gone: true }),
    web('c', '10.0.0.4', { port: 9090 }),
  ]);
  t.same(
    subsets.map((s) => [
      s.addresses?.map((a) => a.ip),
      s.notReadyAddresses?.map((a) => a.ip),
      s.ports,
    ]),
    [
      [['10.0.0.2'], ['10.0.0.1'], [{ port: 8080, protocol: 'TCP' }]],
      [['10.0.0.4'], undefined, [{ port: 9090, protocol: 'TCP' }]],
    ],
  );
  const all = planSubsets(service({ publishNotReadyAddresses: true }), [
    web('a', '10.0.0.1', { ready: false }),
  ]);
  t.same(all.subsets[0]?.addresses?.length, 1);
});

t.test('planSlices(): slices of an earlier Service of that name go', async (t) => {
  const earlier = { ...service(), metadata: meta('svc', { uid: 'earlier' }) };
  const old = plan([web('a', '10.0.0.1')], [], earlier).create.map(stored);
  const next = plan([web('a', '10.0.0.1')], old);
  t.same([next.remove, addresses(next.create), next.update], [old, [['10.0.0.1']], []]);
});

t.test('planSlices(): hints of close traffic, and pods of nodes that are gone', async (t) => {
  const hints = (trafficDistribution?: string) =>
    plan(
      [web('a', '10.0.0.1'), web('b', '10.0.0.2', { ready: false })],
      [],
      service(trafficDistribution === undefined ? {} : { trafficDistribution }),
    ).create[0]?.endpoints?.map((endpoint) => endpoint.hints);
  t.same(hints(), [undefined, undefined]);
  t.same(hints('PreferClose'), [{ forZones: [{ name: 'z' }] }, undefined]);
  t.same(hints('PreferSameNode'), [
    { forZones: [{ name: 'z' }], forNodes: [{ name: 'n' }] },
    undefined,
  ]);
  const lost = web('a', '10.0.0.1');
  lost.spec.nodeName = 'lost';
  t.same(addresses(plan([lost]).create), [[]]);
  const publishing = service({ publishNotReadyAddresses: true });
  t.same(addresses(plan([lost], [], publishing).create), [['10.0.0.1']]);
});

t.test('planSubsets(): a headless service with ports needs them in the pod', async (t) => {
  const portless = pod('x', { ready: true, status: { phase: 'Running', podIP: '10.0.0.8' } });
  const count = (ports: ServiceSpec['ports'] & {}) =>
    planSubsets(service({ clusterIP: 'None', ports }), [portless]).subsets.length;
  t.same([count([]), count([{ port: 80, targetPort: 'web' }])], [1, 0]);
});
