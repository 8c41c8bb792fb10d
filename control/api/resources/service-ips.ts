/**
 * The linked fields of Services: clusterIP and clusterIPs, IP families and their policy. Clients may
 * write the old singular fields alone; this code works out what they meant, before addresses and ports
 * are allocated and the result is validated.
 * Source: kubernetes v1.36.3 pkg/registry/core/service (storage.go, alloc.go, strategy.go).
 */
import type { Service, ServiceSpec } from '#base/kube/api/core-v1.gen.ts';
import { ipFamily } from './addresses.ts';
import { sameValue } from './same-value.ts';

export const isHeadless = (service: Service): boolean =>
  service.spec.clusterIPs?.length === 1 && service.spec.clusterIPs[0] === 'None';
export const needsClusterIp = (service: Service): boolean => service.spec.type !== 'ExternalName';
export const needsNodePort = (service: Service): boolean =>
  service.spec.type === 'NodePort' || service.spec.type === 'LoadBalancer';
export const needsHealthCheckPort = (service: Service): boolean =>
  service.spec.type === 'LoadBalancer' && service.spec.externalTrafficPolicy === 'Local';
export const isExternallyAccessible = ({ spec }: Service): boolean =>
  spec.type === 'LoadBalancer' ||
  spec.type === 'NodePort' ||
  (spec.type === 'ClusterIP' && (spec.externalIPs ?? []).length > 0);

/** In place, on create: the plural follows the singular, families follow the addresses. */
export function prepareServiceIps(service: Service): void {
  const { spec } = service;
  if ((spec.clusterIP ?? '') !== '' && (spec.clusterIPs ?? []).length === 0) {
    spec.clusterIPs = [spec.clusterIP ?? ''];
  }
  initFamilies(service, undefined);
}

/** In place, on update: what the client left out is taken from the stored object. */
export function prepareServiceIpsUpdate(service: Service, old: Service): void {
  normaliseClusterIps(service.spec, old.spec);
  keepAllocated(service, old);
  dropWhatTypeChangeEnds(service, old);
  initFamilies(service, old);
}

function normaliseClusterIps(spec: ServiceSpec, old: ServiceSpec): void {
  const before = old.clusterIP ?? '';
  const now = spec.clusterIP ?? '';
  if ((old.clusterIPs ?? []).length > 0 && (spec.clusterIPs ?? []).length === 0 && before === now) {
    spec.clusterIPs = old.clusterIPs;
  }
  const samePlural = before !== now && sameValue(spec.clusterIPs, old.clusterIPs);
  if (!samePlural) return;
  if (before !== '' && now === '') delete spec.clusterIPs;
  else spec.clusterIPs = [now];
}

function nodePortsOf({ spec }: Service): Set<number> {
  return new Set((spec.ports ?? []).map((port) => port.nodePort ?? 0).filter((port) => port !== 0));
}

/** A client may send the same manifest again, without the values that were allocated for it. */
function keepAllocated(service: Service, old: Service): void {
  const { spec } = service;
  if (needsClusterIp(old) && needsClusterIp(service)) {
    if ((spec.clusterIP ?? '') === '' && old.spec.clusterIP !== undefined) {
      spec.clusterIP = old.spec.clusterIP;
    }
    if ((spec.clusterIPs ?? []).length === 0 && (old.spec.clusterIPs ?? []).length > 0) {
      spec.clusterIPs = old.spec.clusterIPs;
    }
  }
  if (needsNodePort(old) && needsNodePort(service)) {
    const now = nodePortsOf(service);
    const byName = new Map((old.spec.ports ?? []).map((port) => [port.name ?? '', port.nodePort]));
    for (const port of spec.ports ?? []) {
      const before = byName.get(port.name ?? '');
      if ((port.nodePort ?? 0) === 0 && before !== undefined && !now.has(before)) {
        port.nodePort = before;
      }
    }
  }
  const keepsCheck = needsHealthCheckPort(old) && needsHealthCheckPort(service);
  if (keepsCheck && (spec.healthCheckNodePort ?? 0) === 0) {
    spec.healthCheckNodePort = old.spec.healthCheckNodePort;
  }
}

/** Fields that the new type does not have go, unless the client changed them (then it is told). */
function dropWhatTypeChangeEnds(service: Service, old: Service): void {
  const { spec } = service;
  const before = old.spec;
  const dropIfSame = (...fields: (keyof ServiceSpec)[]): void => {
    const isSame = fields.every((field) => sameValue(spec[field], before[field]));
    if (isSame) for (const field of fields) delete spec[field];
  };
  if (needsClusterIp(old) && !needsClusterIp(service)) {
    dropIfSame('clusterIP', 'clusterIPs');
    dropIfSame('ipFamilies');
    dropIfSame('ipFamilyPolicy');
  }
  if (needsNodePort(old) && !needsNodePort(service)) {
    const known = nodePortsOf(old);
    if ([...nodePortsOf(service)].every((port) => known.has(port))) {
      for (const port of spec.ports ?? []) delete port.nodePort;
    }
  }
  if (needsHealthCheckPort(old) && !needsHealthCheckPort(service))
    dropIfSame('healthCheckNodePort');
  if (before.type === 'LoadBalancer' && spec.type !== 'LoadBalancer') {
    dropIfSame('allocateLoadBalancerNodePorts');
    dropIfSame('loadBalancerClass');
  }
  if (isExternallyAccessible(old) && !isExternallyAccessible(service)) {
    dropIfSame('externalTrafficPolicy');
  }
  if (spec.type !== 'LoadBalancer') service.status = { ...service.status, loadBalancer: {} };
}

/**
 * Policy and families of a cluster whose services have IPv4 addresses. A headless service without
 * selector may have endpoints of both families, so it gets both.
 */
function initFamilies(service: Service, old: Service | undefined): void {
  const { spec } = service;
  if (!needsClusterIp(service)) return;
  const hasSelector = Object.keys(spec.selector ?? {}).length > 0;
  const isOpen = spec.clusterIP === 'None' && !hasSelector;
  spec.ipFamilyPolicy ??= old?.spec.ipFamilyPolicy ?? (isOpen ? 'RequireDualStack' : 'SingleStack');
  const families = [...(spec.ipFamilies ?? [])];
  for (const [i, ip] of (spec.clusterIPs ?? []).entries()) {
    const family = ipFamily(ip);
    if (ip === 'None' || family === undefined) break;
    if (i >= families.length) families.push(`IPv${family}`);
  }
  if (families.length === 0) families.push('IPv4');
  if (isOpen && families.length < 2 && spec.ipFamilyPolicy !== 'SingleStack') {
    families.push(families[0] === 'IPv4' ? 'IPv6' : 'IPv4');
  }
  spec.ipFamilies = families;
}
