/**
 * The controllers that own pods against an API server of ours, with the test in the kubelet's place:
 * how many pods there are, that they come back, are adopted and let go, and end.
 */
import t from 'tap';
import type { DaemonSet, ReplicaSet, StatefulSet } from '#base/kube/api/apps-v1.gen.ts';
import type { Job } from '#base/kube/api/batch-v1.gen.ts';
import type { Pod, PodStatus } from '#base/kube/api/core-v1.gen.ts';
import {
  daemonsets,
  jobs,
  nodes,
  pods,
  replicasets,
  statefulsets,
} from '#base/kube/api/resources.gen.ts';
import { controllerOf } from '#base/kube/metadata.ts';
import { until } from '#control/api/testing/test-server.ts';
import { daemonSetController } from '#control/controllers/daemonset/daemonset.ts';
import { jobController } from '#control/controllers/job/job.ts';
import { replicaSetController } from '#control/controllers/replicaset/replicaset.ts';
import { statefulSetController } from '#control/controllers/statefulset/statefulset.ts';
import { partial, startControlPlane } from './control-plane.ts';

const plane = await startControlPlane([
  replicaSetController,
  statefulSetController,
  daemonSetController,
  jobController,
]);
const { client, signal } = plane;
t.teardown(() => plane.stop());

const namespace = 'default';
const containers = [{ name: 'c', image: 'i' }];
const metaOf = (app: string) => ({ name: app, namespace, labels: { app } });
const workload = (app: string, spec: object = {}) => ({
  selector: { matchLabels: { app } },
  template: { metadata: { labels: { app } }, spec: { containers } },
  ...spec,
});

async function podsOf(app: string): Promise<Pod[]> {
  const { items } = await client.list(pods, { namespace, labelSelector: `app=${app}` }, signal);
  return items.filter((pod) => pod.metadata.deletionTimestamp === undefined);
}

const toCount = (app: string, count: number) =>
  until(async () => (await podsOf(app)).length === count, `${count} pods of ${app}`);

const READY: PodStatus = { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] };

const setStatus = (pod: Pod, status: PodStatus) =>
  client.updateStatus(pods, { ...pod, status }, signal);

const remove = ({ metadata: { name } }: Pod) =>
  client.delete(pods, { name, namespace }, { gracePeriodSeconds: 0 }, signal);

t.test('a ReplicaSet keeps its number of pods', async (t) => {
  const orphan = partial<Pod>({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...metaOf('rs'), name: 'orphan' },
    spec: { containers },
  });
  await client.create(pods, orphan, signal);
  const set = partial<ReplicaSet>({
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: metaOf('rs'),
    spec: workload('rs', { replicas: 3 }),
  });
  const made = await client.create(replicasets, set, signal);
  await toCount('rs', 3);
  const all = await podsOf('rs');
  t.ok(
    all.some(({ metadata }) => metadata.name === 'orphan'),
    'the orphan is one of them',
  );
  t.ok(all.every((pod) => controllerOf(pod)?.uid === made.metadata.uid));
  for (const pod of all.slice(0, 2)) await remove(pod);
  await toCount('rs', 3);
  const [one] = await podsOf('rs');
  const body = { metadata: { labels: { app: 'gone' } } };
  const at = { name: one?.metadata.name ?? '', namespace };
  await client.patch(pods, at, { type: 'merge', body }, signal);
  await toCount('rs', 3);
  const [released] = await podsOf('gone');
  t.equal(released && controllerOf(released), undefined, 'a pod whose labels differ is let go');
  const scale = { type: 'merge' as const, body: { spec: { replicas: 1 } } };
  await client.patch(replicasets, { name: 'rs', namespace }, scale, signal);
  await toCount('rs', 1);
});

t.test('a StatefulSet makes its pods one after the other', async (t) => {
  const set = partial<StatefulSet>({
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: metaOf('sts'),
    spec: workload('sts', { replicas: 2, serviceName: 'sts' }),
  });
  await client.create(statefulsets, set, signal);
  await toCount('sts', 1);
  const [first] = await podsOf('sts');
  t.equal(first?.metadata.name, 'sts-0');
  if (first !== undefined) await setStatus(first, READY);
  await toCount('sts', 2);
  const names = (await podsOf('sts')).map(({ metadata }) => metadata.name);
  t.same(names.toSorted(), ['sts-0', 'sts-1']);
  const annotations = { restarted: 'now' };
  const body = { spec: { template: { metadata: { annotations } } } };
  await client.patch(statefulsets, { name: 'sts', namespace }, { type: 'merge', body }, signal);
  await until(async () => {
    const all = await podsOf('sts');
    for (const pod of all) if (pod.status?.phase === 'Pending') await setStatus(pod, READY);
    return (
      all.length === 2 && all.every((pod) => pod.metadata.annotations?.['restarted'] === 'now')
    );
  }, 'both pods have the new template');
});

t.test('a DaemonSet has a pod for each node', async (t) => {
  const set = partial<DaemonSet>({
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: metaOf('ds'),
    spec: workload('ds'),
  });
  await client.create(daemonsets, set, signal);
  for (const name of ['n1', 'n2']) {
    const metadata = { name, labels: { 'kubernetes.io/hostname': name } };
    const draft = { apiVersion: 'v1' as const, kind: 'Node' as const, metadata, spec: {} };
    const node = await client.create(nodes, draft, signal);
    // Every new node is tainted as not ready; the controller of nodes does not run here.
    await client.update(nodes, { ...node, spec: {} }, signal);
  }
  await toCount('ds', 2);
  const [one] = await podsOf('ds');
  if (one !== undefined) await setStatus(one, { phase: 'Failed' });
  await until(async () => {
    const all = await podsOf('ds');
    return all.length === 2 && all.every((pod) => pod.metadata.uid !== one?.metadata.uid);
  }, 'another pod for the one that failed');
  t.pass('replaced');
});

t.test('a Job is over when its pods are, which lose its finalizer', async (t) => {
  const template = {
    metadata: { labels: { app: 'job' } },
    spec: { containers, restartPolicy: 'Never' },
  };
  const job = partial<Job>({
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: metaOf('job'),
    spec: { template, completions: 2, parallelism: 2 },
  });
  await client.create(jobs, job, signal);
  await toCount('job', 2);
  for (const pod of await podsOf('job')) {
    t.same(pod.metadata.finalizers, ['batch.kubernetes.io/job-tracking']);
    await setStatus(pod, { phase: 'Succeeded' });
  }
  await until(async () => {
    const { status } = await client.get(jobs, { name: 'job', namespace }, signal);
    return (status?.conditions ?? []).some((c) => c.type === 'Complete' && c.status === 'True');
  }, 'the Job is Complete');
  for (const pod of await podsOf('job')) t.equal(pod.metadata.finalizers, undefined);
});
