/**
 * The endpointslice and endpoints controllers: both follow Services with a selector and the pods it
 * matches. Slices carry on with terminating pods (proxies drain), Endpoints do not.
 */
import type { Endpoints, Node, Pod, Service } from '#base/kube/api/core-v1.gen.ts';
import type { EndpointSlice } from '#base/kube/api/discovery-v1.gen.ts';
import { endpoints, endpointslices, nodes, pods, services } from '#base/kube/api/resources.gen.ts';
import { isKubeError } from '#base/kube/client.ts';
import type { Informer } from '#base/kube/informer.ts';
import { isDeleting, jsonEqual, jsonEquivalent, keyOf } from '#base/kube/metadata.ts';
import { compileLabelSet } from '#base/kube/selectors.ts';
import type { WorkQueue } from '#base/kube/work-queue.ts';
import {
  type Controller,
  type ControllerContext,
  runQueueController,
} from '../shared/controller.ts';
import { isNamespaceTerminating } from '../shared/pod-control.ts';
import { isPodReady } from '../shared/pods.ts';
import { HEADLESS_LABEL, isHeadless, MANAGED_BY_LABEL, SERVICE_NAME_LABEL } from './model.ts';
import { MANAGED_BY, planSlices } from './slice-plan.ts';
import { planSubsets } from './subsets.ts';

const ENDPOINTS_MANAGED_BY = 'endpoints.kubernetes.io/managed-by';
const OVER_CAPACITY = 'endpoints.kubernetes.io/over-capacity';

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
    const tracker = new Tracker(slices);
    await runQueueController(
      context,
      {
        name: 'endpointslice-controller',
        workers: 5,
        informers: [all, podInformer, nodeInformer, slices],
        subscribe: (queue) => {
          const add = (service: Service) => queue.add(keyOf(service));
          const addOwner = (slice: EndpointSlice) => {
            if (slice.metadata.labels?.[MANAGED_BY_LABEL] !== MANAGED_BY) return;
            const name = slice.metadata.labels[SERVICE_NAME_LABEL];
            if (name !== undefined) queue.add(`${slice.metadata.namespace}/${name}`);
          };
          return [
            all.addHandler({ onAdd: add, onUpdate: add, onDelete: add }),
            podHandlers(queue, all, podInformer),
            slices.addHandler({ onAdd: addOwner, onUpdate: addOwner, onDelete: addOwner }),
          ];
        },
        sync: (key, stop) =>
          syncSlices(context, { all, podInformer, nodeInformer, slices, tracker }, key, stop),
      },
      signal,
    );
  },
};

/** What was written and is not in the cache yet: planning from it would write it twice. */
class Tracker {
  readonly #slices: Informer<EndpointSlice>;
  readonly #written = new Map<string, Map<string, number>>();

  constructor(slices: Informer<EndpointSlice>) {
    this.#slices = slices;
  }

  wrote(key: string, slice: EndpointSlice): void {
    const written = this.#written.get(key) ?? new Map<string, number>();
    written.set(keyOf(slice), slice.metadata.generation ?? 0);
    this.#written.set(key, written);
  }

  isBehind(key: string): boolean {
    const written = this.#written.get(key);
    if (written === undefined) return false;
    for (const [name, generation] of written) {
      const cached = this.#slices.store.getByKey(name);
      if (cached === undefined || (cached.metadata.generation ?? 0) < generation) return true;
    }
    this.#written.delete(key);
    return false;
  }

  forget(key: string): void {
    this.#written.delete(key);
  }
}

interface SliceState {
  readonly all: Informer<Service>;
  readonly podInformer: Informer<Pod>;
  readonly nodeInformer: Informer<Node>;
  readonly slices: Informer<EndpointSlice>;
  readonly tracker: Tracker;
}

/** How long a write may stay unseen before the cache is believed again: it may have been deleted. */
const BEHIND_MS = 2_000;

async function syncSlices(
  context: ControllerContext,
  state: SliceState,
  key: string,
  signal: AbortSignal,
): Promise<number | void> {
  const service = state.all.store.getByKey(key);
  if (service === undefined) {
    state.tracker.forget(key); // The garbage collector takes the slices.
    return undefined;
  }
  if (!hasSelector(service) || service.spec?.type === 'ExternalName' || isDeleting(service)) {
    return undefined;
  }
  if (state.tracker.isBehind(key)) {
    state.tracker.forget(key);
    return BEHIND_MS;
  }
  const { name, namespace } = service.metadata;
  const own = state.slices.store
    .list(namespace)
    .filter(
      ({ metadata: { labels } }) =>
        labels?.[SERVICE_NAME_LABEL] === name && labels[MANAGED_BY_LABEL] === MANAGED_BY,
    );
  const nodeOf = (nodeName: string) => state.nodeInformer.store.getByKey(nodeName);
  const plan = planSlices(service, matchingPods(service, state.podInformer), nodeOf, own);
  const { client } = context;
  try {
    for (const draft of plan.create) {
      state.tracker.wrote(key, await client.create(endpointslices, draft, signal));
    }
    for (const slice of plan.update) {
      state.tracker.wrote(key, await client.update(endpointslices, slice, signal));
    }
  } catch (error) {
    if (isNamespaceTerminating(error)) return undefined;
    throw error;
  }
  for (const { metadata } of plan.remove) {
    try {
      const at = { name: metadata.name, namespace: metadata.namespace };
      await client.delete(endpointslices, at, {}, signal);
    } catch (error) {
      if (!isKubeError(error, 'NotFound')) throw error; // Gone meanwhile.
    }
  }
  return undefined;
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
            existing.addHandler({ onDelete: (object) => queue.add(keyOf(object)) }),
          ];
        },
        sync: (key, stop) => syncEndpoints(context, { all, podInformer, existing }, key, stop),
      },
      signal,
    );
  },
};

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
    try {
      await client.delete(endpoints, { name, namespace }, {}, signal);
    } catch (error) {
      if (!isKubeError(error, 'NotFound')) throw error; // It never had any.
    }
    return;
  }
  if (!hasSelector(service)) return;
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
