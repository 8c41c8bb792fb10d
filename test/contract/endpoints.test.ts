/**
 * The controllers of Endpoints and EndpointSlices against an API server of ours: that what they write
 * converges, follows changes, and comes back when somebody takes it away.
 */
import t from 'tap';
import type { Pod } from '#base/kube/api/core-v1.gen.ts';
import type { EndpointSlice } from '#base/kube/api/discovery-v1.gen.ts';
import { endpoints, endpointslices, nodes, pods, services } from '#base/kube/api/resources.gen.ts';
import { RealClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { until } from '#control/api/testing/test-server.ts';
import {
  endpointsController,
  endpointSliceController,
} from '#control/controllers/endpoints/endpoints.ts';
import { endpointSliceMirroringController } from '#control/controllers/endpoints/mirror.ts';
import { runControllers } from '#control/controllers/run.ts';
import { startControlPlane } from './control-plane.ts';

const plane = await startControlPlane([
  endpointSliceController,
  endpointsController,
  endpointSliceMirroringController,
]);
const { client, signal } = plane;
t.teardown(() => plane.stop());

const namespace = 'default';

async function slicesOf(name: string): Promise<EndpointSlice[]> {
  const labelSelector = `kubernetes.io/service-name=${name}`;
  return (await client.list(endpointslices, { namespace, labelSelector }, signal)).items;
}

/** What stands in the slices of a Service: addresses, with `!` for those that are not ready. */
async function addressesIn(name: string): Promise<string> {
  const slices = await slicesOf(name);
  const all = slices.flatMap((slice) => slice.endpoints ?? []);
  const shown = all.map(({ addresses: [ip = ''], conditions }) =>
    conditions?.ready === false ? `!${ip}` : ip,
  );
  return shown.toSorted().join(' ');
}

const toHave = (name: string, wanted: string) =>
  until(async () => (await addressesIn(name)) === wanted, `${name}: ${wanted}`);

async function createPod(name: string, podIP: string): Promise<Pod> {
  const spec = { containers: [{ name: 'c', image: 'i' }], nodeName: 'n' };
  const metadata = { name, namespace, labels: { app: 'web' } };
  const created = await client.create(
    pods,
    { apiVersion: 'v1', kind: 'Pod', metadata, spec },
    signal,
  );
  const conditions = [{ type: 'Ready', status: 'True' }];
  const status = { phase: 'Running', podIP, podIPs: [{ ip: podIP }], conditions };
  return await client.updateStatus(pods, { ...created, status }, signal);
}

async function createService(name: string, selector?: Record<string, string>): Promise<void> {
  const spec = { ports: [{ port: 80 }], ...(selector === undefined ? {} : { selector }) };
  const metadata = { name, namespace };
  await client.create(services, { apiVersion: 'v1', kind: 'Service', metadata, spec }, signal);
}

const node = {
  apiVersion: 'v1' as const,
  kind: 'Node' as const,
  metadata: { name: 'n' },
  spec: {},
};
await client.create(nodes, node, signal);

t.test('slices and Endpoints follow the pods that a Service selects', async (t) => {
  await createService('web', { app: 'web' });
  const first = await createPod('a', '10.244.0.2');
  await createPod('b', '10.244.0.3');
  await toHave('web', '10.244.0.2 10.244.0.3');
  const conditions = [{ type: 'Ready', status: 'False' }];
  await client.updateStatus(pods, { ...first, status: { ...first.status, conditions } }, signal);
  await toHave('web', '!10.244.0.2 10.244.0.3');
  const [slice] = await slicesOf('web');
  t.equal((await slicesOf('web')).length, 1, 'one slice');
  await client.delete(endpointslices, { name: slice?.metadata.name ?? '', namespace }, {}, signal);
  await toHave('web', '!10.244.0.2 10.244.0.3');
  const { subsets } = await client.get(endpoints, { name: 'web', namespace }, signal);
  t.match(subsets, [
    { addresses: [{ ip: '10.244.0.3' }], notReadyAddresses: [{ ip: '10.244.0.2' }] },
  ]);
});

t.test('slices mirror the Endpoints of a Service without a selector', async (t) => {
  await createService('outside');
  const draft = (...ips: string[]) => ({
    apiVersion: 'v1' as const,
    kind: 'Endpoints' as const,
    metadata: { name: 'outside', namespace },
    subsets: [{ addresses: ips.map((ip) => ({ ip })), ports: [{ port: 5432 }] }],
  });
  const made = await client.create(endpoints, draft('192.0.2.1'), signal);
  await toHave('outside', '192.0.2.1');
  const { subsets } = draft('192.0.2.1', '192.0.2.2');
  await client.update(endpoints, { ...made, subsets }, signal);
  await toHave('outside', '192.0.2.1 192.0.2.2');
  const [slice] = await slicesOf('outside');
  t.match(slice?.ports, [{ name: '', port: 5432, protocol: 'TCP' }]);
  t.equal(slice?.metadata.ownerReferences?.[0]?.kind, 'Endpoints');
  // Neither a change nor a deletion by others lasts.
  await client.update(endpointslices, { ...slice, endpoints: [] } as EndpointSlice, signal); // One is there.
  await toHave('outside', '192.0.2.1 192.0.2.2');
  await client.delete(endpointslices, { name: slice?.metadata.name ?? '', namespace }, {}, signal);
  await toHave('outside', '192.0.2.1 192.0.2.2');
  await client.delete(endpoints, { name: 'outside', namespace }, {}, signal);
  await toHave('outside', '');
});

t.test('Endpoints whose Service went while nobody looked go at the start', async (t) => {
  const leader = { 'control-plane.alpha.kubernetes.io/leader': '{}' };
  const draft = (name: string, annotations: Record<string, string> = {}) => ({
    apiVersion: 'v1' as const,
    kind: 'Endpoints' as const,
    metadata: { name, namespace, annotations },
    subsets: [],
  });
  await client.create(endpoints, draft('left'), signal);
  await client.create(endpoints, draft('lock', leader), signal);
  const stop = new AbortController();
  const config = { podCidr: '', serviceCidr: '', readRootCa: () => '' };
  const io = { client, clock: new RealClock(), log: silentLog, config };
  const controllers = [endpointsController];
  const running = runControllers({ ...io, controllers, component: 'test' }, stop.signal).catch(
    (error: unknown) => {
      if (!stop.signal.aborted) throw error;
    },
  );
  const names = async () =>
    (await client.list(endpoints, { namespace }, signal)).items.map((one) => one.metadata.name);
  await until(async () => !(await names()).includes('left'), 'what is left over is gone');
  t.ok((await names()).includes('lock'), 'the lock of a leader election stays');
  stop.abort(new Error('test is over'));
  await running;
});
