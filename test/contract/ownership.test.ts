/**
 * The garbage collector against an API server of ours: what waits until every dependent is known, and
 * what stateful sets leave to it (orphaned pods and revisions, volume claims).
 */
import t from 'tap';
import { RealClock } from '#base/clock.ts';
import type { StatefulSet } from '#base/kube/api/apps-v1.gen.ts';
import type { ConfigMap, Pod } from '#base/kube/api/core-v1.gen.ts';
import {
  configmaps,
  controllerrevisions,
  namespaces,
  persistentvolumeclaims,
  pods,
  secrets,
  statefulsets,
} from '#base/kube/api/resources.gen.ts';
import {
  isKubeError,
  type KubeClient,
  KubeError,
  type KubeObject,
  type Resource,
} from '#base/kube/client.ts';
import { controllerOf, newControllerRef } from '#base/kube/metadata.ts';
import { silentLog } from '#base/log.ts';
import { until } from '#control/api/testing/test-server.ts';
import { garbageCollector } from '#control/controllers/gc/gc.ts';
import { runControllers } from '#control/controllers/run.ts';
import { statefulSetController } from '#control/controllers/statefulset/statefulset.ts';
import { partial, startControlPlane } from './control-plane.ts';

/** Bounded waits end soon: the first state of a resource is not to come. */
class HastyClock extends RealClock {
  override deadline(ms: number, signal: AbortSignal) {
    return super.deadline(ms / 30, signal);
  }
}

const plane = await startControlPlane([statefulSetController]);
const { client, signal } = plane;
const stop = new AbortController();
/** While set, config maps cannot be listed or watched. */
let isBlind = true;
const blinded = new Proxy(client, {
  get(target, key: keyof KubeClient) {
    const method = target[key].bind(target) as (...args: unknown[]) => unknown; // Any of them.
    if (key !== 'list' && key !== 'watch') return method;
    return (resource: Resource<KubeObject>, ...args: unknown[]) => {
      if (isBlind && resource.resource === 'configmaps') throw unavailable();
      return method(resource, ...args);
    };
  },
});

function unavailable(): KubeError {
  return new KubeError({
    apiVersion: 'v1',
    kind: 'Status',
    status: 'Failure',
    reason: 'ServiceUnavailable',
    code: 503,
  });
}

const collecting = runControllers(
  {
    client: blinded,
    clock: new HastyClock(),
    log: silentLog,
    config: { podCidr: '', serviceCidr: '', readRootCa: () => '' },
    controllers: [garbageCollector],
    component: 'test',
  },
  stop.signal,
).catch((error: unknown) => {
  if (!stop.signal.aborted) throw error;
});
t.teardown(async () => {
  stop.abort(new Error('test is over'));
  await collecting;
  await plane.stop();
});

const namespace = 'default';

async function gone(found: Promise<unknown>): Promise<boolean> {
  try {
    await found;
    return false;
  } catch (error) {
    if (isKubeError(error, 'NotFound')) return true;
    throw error;
  }
}

t.test('finalizers stay while dependents may be unknown', async (t) => {
  for (const policy of ['Foreground', 'Orphan'] as const) {
    const name = `owner-${policy.toLowerCase()}`;
    const draft = { apiVersion: 'v1' as const, kind: 'Secret' as const };
    const owner = await client.create(secrets, { ...draft, metadata: { name, namespace } }, signal);
    const ownerReferences = [newControllerRef(secrets, owner)];
    const child = partial<ConfigMap>({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name, namespace, ownerReferences },
    });
    await client.create(configmaps, child, signal);
    await client.delete(secrets, { name, namespace }, { propagationPolicy: policy }, signal);
  }
  // The collector works: it takes what has lost its owner.
  const lost = { apiVersion: 'v1', kind: 'Secret', name: 'nobody', uid: 'nobody' };
  const metadata = { name: 'lost', namespace, ownerReferences: [lost] };
  await client.create(secrets, { apiVersion: 'v1', kind: 'Secret', metadata }, signal);
  await until(() => gone(client.get(secrets, { name: 'lost', namespace }, signal)), 'lost is gone');
  const { items } = await client.list(secrets, { namespace }, signal);
  t.same(
    items.map(({ metadata: m }) => [m.name, m.finalizers]),
    [
      ['owner-foreground', ['foregroundDeletion']],
      ['owner-orphan', ['orphan']],
    ],
  );
  isBlind = false;
  for (const policy of ['foreground', 'orphan']) {
    const at = { name: `owner-${policy}`, namespace };
    await until(() => gone(client.get(secrets, at, signal)), `${at.name} is gone`);
  }
  const left = await client.list(configmaps, { namespace }, signal);
  t.same(
    left.items.map(({ metadata: m }) => [m.name, m.ownerReferences]),
    [['owner-orphan', undefined]],
  );
});

const containers = [{ name: 'c', image: 'i' }];
const setOf = (app: string, spec: object): StatefulSet =>
  partial<StatefulSet>({
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name: app, namespace },
    spec: {
      replicas: 1,
      serviceName: app,
      selector: { matchLabels: { app } },
      template: { metadata: { labels: { app } }, spec: { containers } },
      ...spec,
    },
  });
const podOf = (name: string) => client.get(pods, { name, namespace }, signal);
const isThere = async (name: string) => !(await gone(podOf(name)));

async function ready(pod: Pod): Promise<void> {
  const status = { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] };
  await client.updateStatus(pods, { ...pod, status }, signal);
}

t.test('a StatefulSet made again takes over pods and revisions', async (t) => {
  const annotations = { 'kubernetes.io/change-cause': 'first' };
  const set = setOf('again', {});
  set.metadata.annotations = annotations;
  await client.create(statefulsets, set, signal);
  await until(() => isThere('again-0'), 'the pod is there');
  const before = await podOf('again-0');
  await ready(before);
  const options = { propagationPolicy: 'Orphan' as const };
  await client.delete(statefulsets, { name: 'again', namespace }, options, signal);
  const at = { name: 'again', namespace };
  await until(() => gone(client.get(statefulsets, at, signal)), 'the set is gone');
  const made = await client.create(statefulsets, setOf('again', {}), signal);
  await until(async () => {
    const { status } = await client.get(statefulsets, at, signal);
    return status?.readyReplicas === 1;
  }, 'the pod is adopted');
  const after = await podOf('again-0');
  t.equal(after.metadata.uid, before.metadata.uid);
  t.equal(controllerOf(after)?.uid, made.metadata.uid);
  const revisions = await client.list(controllerrevisions, { namespace }, signal);
  t.same(
    revisions.items.map(({ metadata: m }) => [m.name, controllerOf({ metadata: m })?.uid]),
    [[after.metadata.labels?.['controller-revision-hash'], made.metadata.uid]],
  );
  t.match(revisions.items[0]?.metadata.annotations, annotations);
});

t.test('claims of scaled-down pods go after their pods', async (t) => {
  const claim = {
    metadata: { name: 'data' },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Mi' } } },
  };
  const set = setOf('claims', {
    persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Delete', whenScaled: 'Delete' },
    volumeClaimTemplates: [claim],
  });
  const made = await client.create(statefulsets, set, signal);
  await until(() => isThere('claims-0'), 'the pod is there');
  const at = { name: 'data-claims-0', namespace };
  const ownerOf = async () =>
    controllerOf(await client.get(persistentvolumeclaims, at, signal))?.uid ?? '';
  t.equal(await ownerOf(), made.metadata.uid, 'the set owns it');
  await ready(await podOf('claims-0'));
  const body = { spec: { replicas: 0 } };
  await client.patch(statefulsets, { name: 'claims', namespace }, { type: 'merge', body }, signal);
  await until(() => gone(client.get(persistentvolumeclaims, at, signal)), 'the claim is gone');
  t.notOk(await isThere('claims-0'));
  t.ok(await client.get(namespaces, { name: namespace }, signal));
});
