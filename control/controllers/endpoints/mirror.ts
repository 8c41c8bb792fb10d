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
import type { Draft } from '#base/kube/client.ts';
import type { Informer } from '#base/kube/informer.ts';
import {
  isDeleting,
  jsonEqual,
  jsonEquivalent,
  keyOf,
  newControllerRef,
} from '#base/kube/metadata.ts';
import { type Controller, runQueueController } from '../shared/controller.ts';
import {
  type AddressType,
  LEADER_ANNOTATION,
  MANAGED_BY_LABEL,
  SERVICE_NAME_LABEL,
  type SlicePlan,
} from './model.ts';
import { SliceWriter } from './slice-writer.ts';

const MANAGED_BY = 'endpointslicemirroring-controller.k8s.io';
const SKIP_LABEL = 'endpointslice.kubernetes.io/skip-mirror';
/** Addresses of one subset that are mirrored. */
const ADDRESSES_MAX = 1000;

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
export function planMirror(object: Endpoints, slices: readonly EndpointSlice[]): SlicePlan {
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
    const writer = new SliceWriter(context.client, slices, MANAGED_BY);
    await runQueueController(
      context,
      {
        name: 'endpointslice-mirroring-controller',
        workers: 5,
        informers: [all, owners, slices],
        subscribe: (queue) => {
          const add = (object: Endpoints | Service) => queue.add(keyOf(object));
          const handler = { onAdd: add, onUpdate: add, onDelete: add };
          return [all.addHandler(handler), owners.addHandler(handler), writer.watch(queue)];
        },
        sync: (key, stop) => syncMirror({ all, owners, writer }, key, stop),
      },
      signal,
    );
  },
};

async function syncMirror(
  state: {
    readonly all: Informer<Endpoints>;
    readonly owners: Informer<Service>;
    readonly writer: SliceWriter;
  },
  key: string,
  signal: AbortSignal,
): Promise<number | void> {
  const { writer } = state;
  const behindMs = writer.behindMs(key);
  if (behindMs !== undefined) return behindMs;
  const object = state.all.store.getByKey(key);
  const slices = writer.slicesOf(key);
  const plan: SlicePlan =
    object !== undefined && shouldMirror(object, state.owners.store.getByKey(key))
      ? planMirror(object, slices)
      : { create: [], update: [], remove: slices };
  return await writer.write(key, plan, signal);
}
