/**
 * The endpointslice and endpoints controllers: both follow Services with a selector and the pods it
 * matches. Slices carry on with terminating pods (proxies drain), Endpoints do not.
 */
import type { Endpoints, Node, Pod, Service } from '#base/kube/api/core-v1.gen.ts';
import { endpoints, endpointslices, nodes, pods, services } from '#base/kube/api/resources.gen.ts';
import type { Informer } from '#base/kube/informer.ts';
import { isDeleting, jsonEqual, jsonEquivalent, keyOf } from '#base/kube/metadata.ts';
import { compileLabelSet } from '#base/kube/selectors.ts';
import type { WorkQueue } from '#base/kube/work-queue.ts';
import {
  type Controller,
  type ControllerContext,
  runQueueController,
} from '../shared/controller.ts';
import { deleteIfThere } from '../shared/delete.ts';
import { isNamespaceTerminating } from '../shared/pod-control.ts';
import { isPodReady } from '../shared/pods.ts';
import { HEADLESS_LABEL, isHeadless, isNodeGone, LEADER_ANNOTATION } from './model.ts';
import { MANAGED_BY, planSlices } from './slice-plan.ts';
import { SliceWriter } from './slice-writer.ts';
import { planSubsets } from './subsets.ts';

const ENDPOINTS_MANAGED_BY = 'endpoints.kubernetes.io/managed-by';
const OVER_CAPACITY = 'endpoints.kubernetes.io/over-capacity';
/** How soon to look again for a Node that a pod names and that is not there. */
const MISSING_NODE_MS = 1_000;

function matches(service: Service, pod: Pod): boolean {
  const selector = service.spec?.selector;
  if (selector === undefined || Object.keys(selector).length === 0) return false;
  return compileLabelSet(selector).matches(pod.metadata.labels);
}

function hasSelector(service: Service): boolean {
  return Object.keys(service.spec?.selector ?? {}).length > 0;
}

/** Queues services that match a pod whose address, readiness or labels changed. */
function podHandlers(
  queue: WorkQueue,
  all: Informer<Service>,
  podInformer: Informer<Pod>,
): Disposable {
  const addMatching = (...states: Pod[]) => {
    for (const service of all.store.list(states[0]?.metadata.namespace)) {
      if (states.some((pod) => matches(service, pod))) queue.add(keyOf(service));
    }
  };
  return podInformer.addHandler({
    onAdd: (pod) => addMatching(pod),
    onUpdate: (pod, old) => {
      if (!isSameEndpoint(pod, old)) addMatching(pod, old);
    },
    onDelete: (pod) => addMatching(pod),
  });
}

function isSameEndpoint(pod: Pod, old: Pod): boolean {
  return (
    jsonEqual(pod.metadata.labels, old.metadata.labels) &&
    jsonEqual(pod.status?.podIPs, old.status?.podIPs) &&
    pod.status?.podIP === old.status?.podIP &&
    pod.status?.phase === old.status?.phase &&
    pod.spec.nodeName === old.spec.nodeName &&
    isPodReady(pod) === isPodReady(old) &&
    isDeleting(pod) === isDeleting(old)
  );
}

function matchingPods(service: Service, podInformer: Informer<Pod>): Pod[] {
  return podInformer.store.list(service.metadata.namespace).filter((pod) => matches(service, pod));
}

export const endpointSliceController: Controller = {
  name: 'endpointslice-controller',
  run: async (context, signal) => {
    const all = context.informers.informer(services);
    const podInformer = context.informers.informer(pods);
    const nodeInformer = context.informers.informer(nodes);
    const slices = context.informers.informer(endpointslices);
    const writer = new SliceWriter(context.client, slices, MANAGED_BY);
    await runQueueController(
      context,
      {
        name: 'endpointslice-controller',
        workers: 5,
        informers: [all, podInformer, nodeInformer, slices],
        subscribe: (queue) => {
          const add = (service: Service) => queue.add(keyOf(service));
          return [
            all.addHandler({ onAdd: add, onUpdate: add, onDelete: add }),
            podHandlers(queue, all, podInformer),
            writer.watch(queue),
          ];
        },
        sync: (key, stop) => syncSlices({ all, podInformer, nodeInformer, writer }, key, stop),
      },
      signal,
    );
  },
};

interface SliceState {
  readonly all: Informer<Service>;
  readonly podInformer: Informer<Pod>;
  readonly nodeInformer: Informer<Node>;
  readonly writer: SliceWriter;
}

async function syncSlices(
  { all, podInformer, nodeInformer, writer }: SliceState,
  key: string,
  signal: AbortSignal,
): Promise<number | void> {
  const service = all.store.getByKey(key);
  if (service === undefined) return writer.forget(key); // The garbage collector takes the slices.
  if (!hasSelector(service) || service.spec?.type === 'ExternalName' || isDeleting(service)) {
    return undefined;
  }
  const behindMs = writer.behindMs(key);
  if (behindMs !== undefined) return behindMs;
  const nodeOf = (nodeName: string) => nodeInformer.store.getByKey(nodeName);
  const matching = matchingPods(service, podInformer);
  const plan = planSlices(service, matching, nodeOf, writer.slicesOf(key));
  await writer.write(key, plan, signal);
  const isNodeMissing = matching.some((pod) => isNodeGone(pod, nodeOf));
  return isNodeMissing ? MISSING_NODE_MS : undefined;
}

export const endpointsController: Controller = {
  name: 'endpoints-controller',
  run: async (context, signal) => {
    const all = context.informers.informer(services);
    const podInformer = context.informers.informer(pods);
    const existing = context.informers.informer(endpoints);
    await runQueueController(
      context,
      {
        name: 'endpoints-controller',
        workers: 5,
        informers: [all, podInformer, existing],
        subscribe: (queue) => {
          const add = (service: Service) => queue.add(keyOf(service));
          return [
            all.addHandler({ onAdd: add, onUpdate: add, onDelete: add }),
            podHandlers(queue, all, podInformer),
            watchEndpoints(existing, queue),
          ];
        },
        sync: (key, stop) => syncEndpoints(context, { all, podInformer, existing }, key, stop),
      },
      signal,
    );
  },
};

/**
 * Endpoints that come back when somebody deletes them, and go when their Service went while nobody
 * looked: those that are there at the start are all looked at, locks of leader elections apart.
 */
function watchEndpoints(existing: Informer<Endpoints>, queue: WorkQueue): Disposable {
  let isReplay = true;
  const onAdd = (object: Endpoints) => {
    const isLock = object.metadata.annotations?.[LEADER_ANNOTATION] !== undefined;
    if ((isReplay || !existing.hasSynced) && !isLock) queue.add(keyOf(object));
  };
  const handler = existing.addHandler({ onAdd, onDelete: (object) => queue.add(keyOf(object)) });
  isReplay = false;
  return handler;
}

async function syncEndpoints(
  context: ControllerContext,
  state: {
    readonly all: Informer<Service>;
    readonly podInformer: Informer<Pod>;
    readonly existing: Informer<Endpoints>;
  },
  key: string,
  signal: AbortSignal,
): Promise<void> {
  const { client } = context;
  const service = state.all.store.getByKey(key);
  const old = state.existing.store.getByKey(key);
  if (service === undefined) {
    const [namespace, name = ''] = key.split('/');
    await deleteIfThere(client, { resource: endpoints, at: { name, namespace } }, signal);
    return;
  }
  if (!hasSelector(service) || service.spec?.type === 'ExternalName') return;
  const { name, namespace = '', labels = {} } = service.metadata;
  const { subsets, isTruncated } = planSubsets(service, matchingPods(service, state.podInformer));
  const { [HEADLESS_LABEL]: _, ...copied } = labels;
  const nextLabels = {
    ...copied,
    [ENDPOINTS_MANAGED_BY]: 'endpoint-controller',
    ...(isHeadless(service) ? { [HEADLESS_LABEL]: '' } : {}),
  };
  const { [OVER_CAPACITY]: __, ...kept } = old?.metadata.annotations ?? {};
  const annotations = isTruncated ? { ...kept, [OVER_CAPACITY]: 'truncated' } : kept;
  const isSame =
    old !== undefined &&
    jsonEquivalent(old.subsets ?? [], subsets) &&
    jsonEqual(old.metadata.labels, nextLabels) &&
    jsonEquivalent(old.metadata.annotations, annotations);
  if (isSame) return;
  try {
    if (old === undefined) {
      const metadata = { name, namespace, labels: nextLabels, annotations };
      const draft = { apiVersion: 'v1' as const, kind: 'Endpoints' as const, metadata, subsets };
      await client.create(endpoints, draft, signal);
    } else {
      const metadata = { ...old.metadata, labels: nextLabels, annotations };
      await client.update(endpoints, { ...old, metadata, subsets }, signal);
    }
  } catch (error) {
    if (isNamespaceTerminating(error)) return;
    throw error;
  }
}
