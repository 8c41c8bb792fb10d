/**
 * Goal (reference/store.md section 8, rule 8): an API server whose store is full keeps its nodes, and lets
 * go of what is deleted, finalizers and all. What is refused is refused as upstream refuses it over etcd.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { until } from '#control/api/testing/test-server.ts';
import { namespaceController } from '#control/controllers/namespace/namespace.ts';
import { startControlPlane } from './control-plane.ts';

const QUOTA_BYTES = 1_500_000;
const FULL_MS = 12_000;
const MICRO_TIME = '000Z';

const plane = await startControlPlane([namespaceController], { quotaBytes: QUOTA_BYTES });
t.teardown(() => plane.stop());
const { send } = plane.https;
const patch = { headers: { 'content-type': 'application/merge-patch+json' } };
const maps = (namespace: string) => `/api/v1/namespaces/${namespace}/configmaps`;
const lease = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases';

function configMap(name: string, bytes: number, finalizers: readonly string[] = []) {
  return { metadata: { name, finalizers }, data: { text: 'x'.repeat(bytes) } };
}

async function create(path: string, body: object): Promise<void> {
  const { status, text } = await send('POST', path, { body });
  if (status !== 201) throw new Error(`POST ${path}: ${text}`);
}

/** As a kubelet: its lease, and now and then the conditions of its node. */
async function heartbeat(): Promise<readonly number[]> {
  const now = new Date().toISOString();
  const spec = { renewTime: now.replace('Z', MICRO_TIME) };
  const [renewed, reported] = await Promise.all([
    send('PATCH', `${lease}/n1`, { ...patch, body: { spec } }),
    send('PATCH', '/api/v1/nodes/n1/status', {
      ...patch,
      body: {
        status: {
          conditions: [
            {
              type: 'Ready',
              status: 'True',
              reason: 'KubeletReady',
              lastHeartbeatTime: seconds(now),
            },
          ],
        },
      },
    }),
  ]);
  return [renewed.status, reported.status];
}

function seconds(time: string): string {
  return time.replace(/\.\d+Z/, 'Z');
}

t.test('a full store keeps nodes alive and lets deletions end', { timeout: 120_000 }, async (t) => {
  await create('/api/v1/namespaces', { metadata: { name: 'kube-node-lease' } }).catch(() => {});
  await create('/api/v1/nodes', { metadata: { name: 'n1' } });
  await create(lease, { metadata: { name: 'n1' }, spec: { holderIdentity: 'n1' } });
  t.same(await heartbeat(), [200, 200]);
  await create('/api/v1/namespaces', { metadata: { name: 'doomed' } });
  await create(maps('doomed'), configMap('held', 10, ['example.com/hold']));
  await create(maps('doomed'), configMap('free', 10));
  let refused = await send('POST', maps('default'), { body: configMap('fill-0', 100_000) });
  for (let i = 1; refused.status === 201; i++) {
    refused = await send('POST', maps('default'), { body: configMap(`fill-${i}`, 100_000) });
  }
  t.same(refused.body, {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: 'etcdserver: mvcc: database space exceeded',
    code: 500,
  });
  const grown = { body: configMap('fill-0', 100_010), ...patch };
  t.equal((await send('PATCH', `${maps('default')}/fill-0`, grown)).status, 500);
  t.equal((await send('DELETE', '/api/v1/namespaces/doomed')).status, 200, 'a deletion begins');
  const beats = new Set<string>();
  for (const endMs = Date.now() + FULL_MS; Date.now() < endMs; await sleep(500)) {
    beats.add((await heartbeat()).join());
  }
  t.same([...beats], ['200,200'], 'heartbeats go on');
  const held = await send('GET', `${maps('doomed')}/held`);
  t.type(held.body.metadata.deletionTimestamp, 'string', 'what is held is marked');
  t.equal((await send('GET', `${maps('doomed')}/free`)).status, 404, 'what is not is gone');
  const blocked = await send('GET', '/api/v1/namespaces/doomed');
  t.equal(blocked.body.status.phase, 'Terminating');
  t.match(
    blocked.body.status.conditions.map(({ type }: { type: string }) => type),
    ['NamespaceDeletionDiscoveryFailure'],
    'its controller says what it waits for',
  );
  const released = { ...patch, body: { metadata: { finalizers: null } } };
  t.equal((await send('PATCH', `${maps('doomed')}/held`, released)).status, 200);
  await until(
    async () => (await send('GET', '/api/v1/namespaces/doomed')).status === 404,
    'the namespace to go',
  ).catch(() => {});
  t.equal((await send('GET', '/api/v1/namespaces/doomed')).status, 404);
  const still = await send('POST', maps('default'), { body: configMap('one-more', 1) });
  t.equal(still.status, 500, 'the store is full all the while');
  t.equal((await send('DELETE', `${maps('default')}/fill-0`)).status, 200);
  t.equal((await send('DELETE', `${maps('default')}/fill-1`)).status, 200);
  const again = await send('POST', maps('default'), { body: configMap('one-more', 1) });
  t.equal(again.status, 201, 'and takes objects again by itself');
});
