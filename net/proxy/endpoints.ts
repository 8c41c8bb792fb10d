/**
 * Which endpoints of a Service take its traffic. Pure.
 *
 * Ready endpoints; when there is none, those that terminate but still serve (KEP-1669), so that a
 * rollout of the last pod loses no connection. Hints narrow the choice to this node or zone when
 * every endpoint has them and one fits. Local policies see this node's endpoints alone.
 */
import type { Endpoint, EndpointSlice } from '#base/kube/api/discovery-v1.gen.ts';
import { type IpFamily, parseIp } from '#base/ip.ts';
import { binaryOf, binaryU16be } from '#net/nftables/port.ts';
import type { ServicePort } from './service.ts';

export interface Backend {
  /** Binary string. */
  readonly address: string;
  /** Address . port, as the value of an endpoint map. */
  readonly target: string;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  /** On this node; unknown nodes count as elsewhere. */
  readonly local: boolean;
  /** It may run here: a connection to itself is possible. */
  readonly maybeLocal: boolean;
  readonly forNodes: readonly string[];
  readonly forZones: readonly string[];
}

export interface Placement {
  readonly nodeName: string;
  readonly zone?: string | undefined;
}

export interface BackendChoice {
  /** For traffic that may go anywhere. */
  readonly cluster: readonly Backend[];
  /** For traffic that has to stay on this node. */
  readonly local: readonly Backend[];
}

/** `NAMESPACE/NAME` of the Service that a slice belongs to; undefined for none. */
export function serviceKeyOfSlice(slice: EndpointSlice): string | undefined {
  const labels = slice.metadata.labels ?? {};
  const name = labels['kubernetes.io/service-name'];
  if (name === undefined || labels['service.kubernetes.io/headless'] !== undefined)
    return undefined;
  return `${slice.metadata.namespace ?? ''}/${name}`;
}

/** The backends of one service port, each address and port once, in a stable order. */
export function backendsOf(
  port: ServicePort,
  slices: Iterable<EndpointSlice>,
  where: { readonly family: IpFamily; readonly placement: Placement },
): Backend[] {
  const byTarget = new Map<string, Backend>();
  const addressType = where.family === 4 ? 'IPv4' : 'IPv6';
  for (const slice of slices) {
    if (slice.addressType !== addressType) continue;
    for (const slicePort of slice.ports ?? []) {
      if ((slicePort.name ?? '') !== port.portName || slicePort.port === undefined) continue;
      if ((slicePort.protocol ?? 'TCP') !== port.protocol) continue;
      for (const endpoint of slice.endpoints ?? []) {
        const backend = backendOf(endpoint, slicePort.port, where.placement);
        if (backend === undefined) continue;
        const known = byTarget.get(backend.target);
        // While slices are rewritten one endpoint can stand in two: the ready one is the newer.
        if (known === undefined || (!known.ready && backend.ready)) {
          byTarget.set(backend.target, backend);
        }
      }
    }
  }
  return [...byTarget.values()].sort((a, b) => (a.target < b.target ? -1 : 1));
}

function backendOf(endpoint: Endpoint, port: number, placement: Placement): Backend | undefined {
  const bytes = parseIp(endpoint.addresses[0] ?? '');
  if (bytes === undefined) return undefined;
  const address = binaryOf(bytes);
  const { conditions, nodeName, hints } = endpoint;
  const ready = conditions?.ready ?? true;
  return {
    address,
    target: address + binaryU16be(port),
    ready,
    serving: conditions?.serving ?? ready,
    terminating: conditions?.terminating ?? false,
    local: nodeName === placement.nodeName,
    maybeLocal: nodeName === undefined || nodeName === placement.nodeName,
    forNodes: (hints?.forNodes ?? []).map(({ name }) => name),
    forZones: (hints?.forZones ?? []).map(({ name }) => name),
  };
}

export function chooseBackends(all: readonly Backend[], placement: Placement): BackendChoice {
  return {
    cluster: nearest(usable(all), placement),
    local: usable(all.filter(({ local }) => local)),
  };
}

function usable(backends: readonly Backend[]): Backend[] {
  const ready = backends.filter((backend) => backend.ready);
  if (ready.length > 0) return ready;
  return backends.filter((backend) => backend.serving && backend.terminating);
}

function nearest(backends: readonly Backend[], placement: Placement): readonly Backend[] {
  const { nodeName, zone } = placement;
  return (
    narrowed(backends, (backend) => backend.forNodes, nodeName) ??
    (zone === undefined ? undefined : narrowed(backends, (backend) => backend.forZones, zone)) ??
    backends
  );
}

/** Those whose hints name `place`; undefined unless all have hints and some name it. */
function narrowed(
  backends: readonly Backend[],
  hintsOf: (backend: Backend) => readonly string[],
  place: string,
): readonly Backend[] | undefined {
  if (backends.some((backend) => hintsOf(backend).length === 0)) return undefined;
  const near = backends.filter((backend) => hintsOf(backend).includes(place));
  return near.length === 0 ? undefined : near;
}
