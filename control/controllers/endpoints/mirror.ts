/**
 * The endpointslice-mirroring controller: Endpoints that people write for Services without a selector
 * appear as EndpointSlices as well, since proxies read only those. `planMirror` decides; pure.
 */
import type {
  EndpointAddress,
  Endpoints,
  EndpointSubset,
  Service,
} from '#base/kube/api/core-v1.gen.ts';
import type { Endpoint, EndpointSlice } from '#base/kube/api/discovery-v1.gen.ts';
import { endpoints, endpointslices, services } from '#base/kube/api/resources.gen.ts';
import { type Draft, isKubeError } from '#base/kube/client.ts';
import type { Informer } from '#base/kube/informer.ts';
import {
  isDeleting,
  jsonEqual,
  jsonEquivalent,
  keyOf,
  newControllerRef,
} from '#base/kube/metadata.ts';
import {
  type Controller,
  type ControllerContext,
  runQueueController,
} from '../shared/controller.ts';
import { isNamespaceTerminating } from '../shared/pod-control.ts';
import { type AddressType, MANAGED_BY_LABEL, SERVICE_NAME_LABEL } from './model.ts';

const MANAGED_BY = 'endpointslicemirroring-controller.k8s.io';
const SKIP_LABEL = 'endpointslice.kubernetes.io/skip-mirror';
const LEADER_ANNOTATION = 'control-plane.alpha.kubernetes.io/leader';
/** Addresses of one subset that are mirrored. */
const ADDRESSES_MAX = 1000;

export interface MirrorPlan {
  readonly create: readonly Draft<EndpointSlice>[];
  readonly update: readonly EndpointSlice[];
  readonly remove: readonly EndpointSlice[];
}

export function shouldMirror(object: Endpoints, service: Service | undefined): boolean {
  return (
    service !== undefined &&
    Object.keys(service.spec?.selector ?? {}).length === 0 &&
    object.metadata.labels?.[SKIP_LABEL] !== 'true' &&
    object.metadata.annotations?.[LEADER_ANNOTATION] === undefined
  );
}

function toEndpoint(address: EndpointAddress, ready: boolean): Endpoint {
  const { ip, hostname, nodeName, targetRef } = address;
  return {
    addresses: [ip],
    conditions: { ready },
    ...(hostname === undefined ? {} : { hostname }),
    ...(nodeName === undefined ? {} : { nodeName }),
    ...(targetRef === undefined ? {} : { targetRef }),
  };
}

function endpointsOf(subset: EndpointSubset, type: AddressType): Endpoint[] {
  const isOfType = ({ ip }: EndpointAddress) => ip.includes(':') === (type === 'IPv6');
  return [
    ...(subset.addresses ?? []).filter(isOfType).map((a) => toEndpoint(a, true)),
    ...(subset.notReadyAddresses ?? []).filter(isOfType).map((a) => toEndpoint(a, false)),
  ].slice(0, ADDRESSES_MAX);
}

/** One slice per subset and address family. */
export function planMirror(object: Endpoints, slices: readonly EndpointSlice[]): MirrorPlan {
  const { name, namespace = '', labels, annotations = {} } = object.metadata;
  const { 'kubectl.kubernetes.io/last-applied-configuration': _, ...copied } = annotations;
  const metadata = {
    generateName: `${name}-`,
    namespace,
    labels: { ...labels, [SERVICE_NAME_LABEL]: name, [MANAGED_BY_LABEL]: MANAGED_BY },
    annotations: copied,
    ownerReferences: [newControllerRef(endpoints, object)],
  };
  const unused = new Set(slices.filter((slice) => !isDeleting(slice)));
  const create: Draft<EndpointSlice>[] = [];
  const update: EndpointSlice[] = [];
  for (const subset of object.subsets ?? []) {
    const ports = (subset.ports ?? []).map((port) => ({ ...port, name: port.name ?? '' }));
    for (const type of ['IPv4', 'IPv6'] as const) {
      const list = endpointsOf(subset, type);
      if (list.length === 0) continue;
      const candidates = [...unused].filter((slice) => slice.addressType === type);
      const mine =
        candidates.find((slice) => jsonEquivalent(slice.ports ?? [], ports)) ?? candidates[0];
      if (mine === undefined) {
        const head = { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice' } as const;
        create.push({ ...head, metadata, addressType: type, endpoints: list, ports });
        continue;
      }
      unused.delete(mine);
      const isSame =
        jsonEquivalent(mine.endpoints ?? [], list) &&
        jsonEquivalent(mine.ports ?? [], ports) &&
        jsonEqual(mine.metadata.labels, metadata.labels) &&
        jsonEquivalent(mine.metadata.annotations, copied);
      if (isSame) continue;
      const next = { ...mine.metadata, labels: metadata.labels, annotations: copied };
      update.push({ ...mine, metadata: next, endpoints: list, ports });
    }
  }
  return { create, update, remove: [...unused] };
}

export const endpointSliceMirroringController: Controller = {
  name: 'endpointslice-mirroring-controller',
  run: async (context, signal) => {
    const all = context.informers.informer(endpoints);
    const owners = context.informers.informer(services);
    const slices = context.informers.informer(endpointslices);
    await runQueueController(
      context,
      {
        name: 'endpointslice-mirroring-controller',
        workers: 1, // One at a time: the cache is waited for by name below.
        informers: [all, owners, slices],
        subscribe: (queue) => {
          const add = (object: Endpoints | Service) => queue.add(keyOf(object));
          const handler = { onAdd: add, onUpdate: add, onDelete: add };
          return [all.addHandler(handler), owners.addHandler(handler)];
        },
        sync: (key, stop) => syncMirror(context, { all, owners, slices }, key, stop),
      },
      signal,
    );
  },
};

async function syncMirror(
  context: ControllerContext,
  state: {
    readonly all: Informer<Endpoints>;
    readonly owners: Informer<Service>;
    readonly slices: Informer<EndpointSlice>;
  },
  key: string,
  signal: AbortSignal,
): Promise<void> {
  const { client } = context;
  const object = state.all.store.getByKey(key);
  const service = state.owners.store.getByKey(key);
  const [namespace = '', name = ''] = key.split('/');
  const isMirrored = object !== undefined && shouldMirror(object, service);
  if (!isMirrored && !state.slices.store.list(namespace).some((slice) => isMirrorOf(slice, name))) {
    return;
  }
  // From the server: slices written a moment ago may not be in the cache.
  const labelSelector = `${SERVICE_NAME_LABEL}=${name},${MANAGED_BY_LABEL}=${MANAGED_BY}`;
  const { items } = await client.list(endpointslices, { namespace, labelSelector }, signal);
  const plan: MirrorPlan =
    isMirrored && object !== undefined
      ? planMirror(object, items)
      : { create: [], update: [], remove: items };
  try {
    for (const draft of plan.create) await client.create(endpointslices, draft, signal);
    for (const slice of plan.update) await client.update(endpointslices, slice, signal);
  } catch (error) {
    if (!isNamespaceTerminating(error)) throw error;
  }
  for (const { metadata } of plan.remove) {
    try {
      await client.delete(endpointslices, { name: metadata.name, namespace }, {}, signal);
    } catch (error) {
      if (!isKubeError(error, 'NotFound')) throw error; // Gone meanwhile.
    }
  }
}

function isMirrorOf(slice: EndpointSlice, name: string): boolean {
  const { labels } = slice.metadata;
  return labels?.[SERVICE_NAME_LABEL] === name && labels[MANAGED_BY_LABEL] === MANAGED_BY;
}
