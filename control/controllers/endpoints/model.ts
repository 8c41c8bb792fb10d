/**
 * From a Service and its pods to endpoints: which pods count, under which addresses and ports. Pure;
 * shared by the EndpointSlice and the Endpoints controllers.
 */
import type {
  Node,
  ObjectReference,
  Pod,
  Service,
  ServicePort,
} from '#base/kube/api/core-v1.gen.ts';
import type {
  Endpoint,
  EndpointHints,
  EndpointPort,
  EndpointSlice,
} from '#base/kube/api/discovery-v1.gen.ts';
import type { Draft } from '#base/kube/client.ts';
import { isDeleting } from '#base/kube/metadata.ts';
import { isPodReady, isPodTerminal } from '../shared/pods.ts';

export const HEADLESS_LABEL = 'service.kubernetes.io/headless';
export const SERVICE_NAME_LABEL = 'kubernetes.io/service-name';
/** On Endpoints that are the lock of a leader election. */
export const LEADER_ANNOTATION = 'control-plane.alpha.kubernetes.io/leader';
export const MANAGED_BY_LABEL = 'endpointslice.kubernetes.io/managed-by';

export type AddressType = 'IPv4' | 'IPv6';

/** What to do so that slices say what a controller decided. */
export interface SlicePlan {
  readonly create: readonly Draft<EndpointSlice>[];
  readonly update: readonly EndpointSlice[];
  readonly remove: readonly EndpointSlice[];
}

export function isHeadless(service: Service): boolean {
  return service.spec?.clusterIP === 'None';
}

export function publishesNotReady(service: Service): boolean {
  return (
    service.spec?.publishNotReadyAddresses === true ||
    service.metadata.annotations?.['service.alpha.kubernetes.io/tolerate-unready-endpoints'] ===
      'true'
  );
}

export function addressTypes(service: Service): AddressType[] {
  const families = service.spec?.ipFamilies ?? [];
  if (families.length > 0) return families.map((family) => (family === 'IPv6' ? 'IPv6' : 'IPv4'));
  const ip = service.spec?.clusterIP ?? '';
  return [ip.includes(':') ? 'IPv6' : 'IPv4'];
}

export function podAddress(pod: Pod, type: AddressType): string | undefined {
  const ips = [...(pod.status?.podIPs ?? []).map(({ ip }) => ip), pod.status?.podIP ?? ''];
  return ips.find((ip) => ip !== '' && ip.includes(':') === (type === 'IPv6'));
}

/** The container port that a service port leads to in this pod, or undefined. */
export function targetPort(pod: Pod, port: ServicePort): number | undefined {
  const target = port.targetPort ?? port.port;
  if (typeof target === 'number') return target === 0 ? port.port : target;
  const protocol = port.protocol ?? 'TCP';
  const sidecars = (pod.spec.initContainers ?? []).filter((c) => c.restartPolicy === 'Always');
  for (const container of [...pod.spec.containers, ...sidecars]) {
    for (const candidate of container.ports ?? []) {
      if (candidate.name === target && (candidate.protocol ?? 'TCP') === protocol) {
        return candidate.containerPort;
      }
    }
  }
  return undefined;
}

/** The service's ports as they are in this pod; those it does not have are left out. */
export function endpointPorts(service: Service, pod: Pod): EndpointPort[] {
  const ports: EndpointPort[] = [];
  for (const port of service.spec?.ports ?? []) {
    const number = targetPort(pod, port);
    if (number === undefined) continue;
    ports.push({
      name: port.name ?? '',
      protocol: port.protocol ?? 'TCP',
      port: number,
      ...(port.appProtocol === undefined ? {} : { appProtocol: port.appProtocol }),
    });
  }
  return ports;
}

export function podReference(pod: Pod): ObjectReference {
  const { name, namespace, uid } = pod.metadata;
  return { kind: 'Pod', ...(namespace === undefined ? {} : { namespace }), name, uid };
}

export function podHostname(service: Service, pod: Pod): string | undefined {
  const { hostname = '', subdomain } = pod.spec;
  return hostname !== '' && subdomain === service.metadata.name ? hostname : undefined;
}

/** The pod as an endpoint of `type`; undefined when it has no such address or is finished. */
export function endpointOf(
  service: Service,
  pod: Pod,
  node: Node | undefined,
  type: AddressType,
): Endpoint | undefined {
  const address = podAddress(pod, type);
  if (address === undefined || isPodTerminal(pod)) return undefined;
  const serving = isPodReady(pod);
  const terminating = isDeleting(pod);
  const hostname = podHostname(service, pod);
  const zone = node?.metadata.labels?.['topology.kubernetes.io/zone'];
  const nodeName = pod.spec.nodeName ?? '';
  return {
    addresses: [address],
    conditions: {
      ready: publishesNotReady(service) || (serving && !terminating),
      serving,
      terminating,
    },
    ...(hostname === undefined ? {} : { hostname }),
    ...(nodeName === '' ? {} : { nodeName }),
    ...(zone === undefined ? {} : { zone }),
    targetRef: podReference(pod),
  };
}

/** The pod names a node that is not there: it is about to go, or the node is about to come. */
export function isNodeGone(pod: Pod, nodeOf: (name: string) => Node | undefined): boolean {
  const nodeName = pod.spec.nodeName ?? '';
  return nodeName !== '' && nodeOf(nodeName) === undefined;
}

const CLOSE = ['PreferClose', 'PreferSameZone', 'PreferSameNode'];

/** Whom a ready endpoint should serve, where the Service prefers what is close. */
export function hintsOf(service: Service, endpoint: Endpoint): EndpointHints | undefined {
  const wish = service.spec?.trafficDistribution ?? '';
  if (!CLOSE.includes(wish) || endpoint.conditions?.ready !== true) return undefined;
  const { zone, nodeName } = endpoint;
  const forNodes = wish === 'PreferSameNode' && nodeName !== undefined;
  if (zone === undefined && !forNodes) return undefined;
  return {
    ...(zone === undefined ? {} : { forZones: [{ name: zone }] }),
    ...(forNodes ? { forNodes: [{ name: nodeName }] } : {}),
  };
}
