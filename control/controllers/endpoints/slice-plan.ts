/**
 * Which EndpointSlices of a Service to create, change and delete. Pure. Endpoints stay in the slice
 * they are in; new ones fill slices with room, so that a change touches few objects. At most 100
 * endpoints a slice; all endpoints of a slice have the same ports and address type.
 */
import type { Node, Pod, Service } from '#base/kube/api/core-v1.gen.ts';
import type { Endpoint, EndpointPort, EndpointSlice } from '#base/kube/api/discovery-v1.gen.ts';
import { services } from '#base/kube/api/resources.gen.ts';
import type { Draft } from '#base/kube/client.ts';
import {
  isControlledBy,
  isDeleting,
  jsonEqual,
  jsonEquivalent,
  newControllerRef,
} from '#base/kube/metadata.ts';
import {
  type AddressType,
  addressTypes,
  endpointOf,
  endpointPorts,
  HEADLESS_LABEL,
  hintsOf,
  isHeadless,
  isNodeGone,
  MANAGED_BY_LABEL,
  SERVICE_NAME_LABEL,
  type SlicePlan,
} from './model.ts';

export const MANAGED_BY = 'endpointslice-controller.k8s.io';
export const ENDPOINTS_PER_SLICE_MAX = 100;

interface Group {
  readonly type: AddressType;
  readonly ports: readonly EndpointPort[];
  readonly endpoints: Map<string, Endpoint>;
}

/** `slices` are those managed by us for this service. */
export function planSlices(
  service: Service,
  pods: readonly Pod[],
  nodeOf: (name: string) => Node | undefined,
  slices: readonly EndpointSlice[],
): SlicePlan {
  const groups = groupEndpoints(service, pods, nodeOf);
  const create: Draft<EndpointSlice>[] = [];
  const update: EndpointSlice[] = [];
  const standing = slices.filter((slice) => !isDeleting(slice));
  // Those of an earlier Service of the same name go with it, whatever they say.
  const unused = new Set(standing.filter((slice) => isControlledBy(slice, service)));
  const foreign = standing.filter((slice) => !unused.has(slice));
  // Every group keeps its own slices before any takes over what is left.
  const claims = [...groups.values()].map((group) => {
    const mine = [...unused].filter(
      (slice) => slice.addressType === group.type && jsonEquivalent(slice.ports ?? [], group.ports),
    );
    for (const slice of mine) unused.delete(slice);
    return { group, mine };
  });
  for (const { group, mine } of claims) {
    const spare = [...unused].find((slice) => slice.addressType === group.type);
    if (mine.length === 0 && spare !== undefined) {
      unused.delete(spare);
      mine.push(spare);
    }
    planGroup(service, group, mine, { create, update, unused });
  }
  return { create, update, remove: [...foreign, ...unused] };
}

function groupEndpoints(
  service: Service,
  pods: readonly Pod[],
  nodeOf: (name: string) => Node | undefined,
): Map<string, Group> {
  const groups = new Map<string, Group>();
  for (const type of addressTypes(service)) {
    let isEmpty = true;
    for (const pod of pods) {
      if (isNodeGone(pod, nodeOf) && service.spec?.publishNotReadyAddresses !== true) continue;
      const endpoint = endpointOf(service, pod, nodeOf(pod.spec.nodeName ?? ''), type);
      if (endpoint === undefined) continue;
      const hints = hintsOf(service, endpoint);
      if (hints !== undefined) endpoint.hints = hints;
      const ports = endpointPorts(service, pod);
      // Without one of its ports in the pod the service leads nowhere; headless ones need no ports.
      if (ports.length === 0 && !isHeadless(service)) continue;
      isEmpty = false;
      const key = JSON.stringify([type, ports]);
      let group = groups.get(key);
      if (group === undefined) {
        group = { type, ports, endpoints: new Map() };
        groups.set(key, group);
      }
      group.endpoints.set(pod.metadata.uid, endpoint);
    }
    // A service without endpoints has one empty slice: it says "none" instead of "not known yet".
    if (isEmpty) groups.set(type, { type, ports: [], endpoints: new Map() });
  }
  return groups;
}

function planGroup(
  service: Service,
  group: Group,
  mine: readonly EndpointSlice[],
  into: {
    readonly create: Draft<EndpointSlice>[];
    readonly update: EndpointSlice[];
    readonly unused: Set<EndpointSlice>;
  },
): void {
  const left = new Map(group.endpoints);
  const contents = mine.map((slice) => {
    const kept: Endpoint[] = [];
    for (const endpoint of slice.endpoints ?? []) {
      const uid = endpoint.targetRef?.uid ?? '';
      const current = left.get(uid);
      if (current === undefined) continue;
      left.delete(uid);
      kept.push(jsonEquivalent(current, endpoint) ? endpoint : current);
    }
    return { slice, kept };
  });
  // Fullest first: the fewest slices change.
  for (const { kept } of [...contents].sort((a, b) => b.kept.length - a.kept.length)) {
    for (const [uid, endpoint] of left) {
      if (kept.length >= ENDPOINTS_PER_SLICE_MAX) break;
      kept.push(endpoint);
      left.delete(uid);
    }
  }
  const metadata = sliceMetadata(service);
  const isPlaceholder = group.endpoints.size === 0;
  let holdsPlaceholder = false;
  for (const { slice, kept } of contents) {
    if (kept.length === 0 && !(isPlaceholder && !holdsPlaceholder)) {
      into.unused.add(slice);
      continue;
    }
    holdsPlaceholder = true;
    const labels = metadata.labels;
    const isSame =
      jsonEquivalent(slice.endpoints ?? [], kept) &&
      jsonEquivalent(slice.ports ?? [], group.ports) &&
      jsonEqual(slice.metadata.labels, labels);
    if (isSame) continue;
    into.update.push({
      ...slice,
      metadata: { ...slice.metadata, labels },
      endpoints: kept,
      ports: [...group.ports],
    });
  }
  const rest = [...left.values()];
  const needsPlaceholder = isPlaceholder && !holdsPlaceholder;
  for (
    let at = 0;
    at < rest.length || (needsPlaceholder && at === 0);
    at += ENDPOINTS_PER_SLICE_MAX
  ) {
    into.create.push({
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata,
      addressType: group.type,
      endpoints: rest.slice(at, at + ENDPOINTS_PER_SLICE_MAX),
      ports: [...group.ports],
    });
  }
}

function sliceMetadata(service: Service) {
  const { name, namespace, labels = {} } = service.metadata;
  const copied = Object.entries(labels).filter(
    ([key]) => key !== HEADLESS_LABEL && key !== SERVICE_NAME_LABEL && key !== MANAGED_BY_LABEL,
  );
  return {
    generateName: `${name}-`,
    namespace: namespace ?? '',
    labels: {
      ...Object.fromEntries(copied),
      [SERVICE_NAME_LABEL]: name,
      [MANAGED_BY_LABEL]: MANAGED_BY,
      ...(isHeadless(service) ? { [HEADLESS_LABEL]: '' } : {}),
    },
    ownerReferences: [newControllerRef(services, service)],
  };
}
