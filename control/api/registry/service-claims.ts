/**
 * Cluster IPs and node ports of Services, claimed in the transaction that writes the Service: an
 * IPAddress object for each address and a key for each port must not exist yet, and go with it. So
 * no address is ever given out twice, whoever writes, and there is nothing to repair after a crash.
 *
 * A value that the client asked for and cannot have is 422; one that the server chose and lost to a
 * concurrent write is chosen again.
 */
import type { IPAddress } from '#base/kube/api/networking-v1.gen.ts';
import type { Service } from '#base/kube/api/core-v1.gen.ts';
import type { KubeObject } from '#base/kube/client.ts';
import type { Compare, Operation } from '#control/store/store.ts';
import type { CacheHub } from '../cache/cache-hub.ts';
import type { ResourceCache } from '../cache/resource-cache.ts';
import { internalError, invalid } from '../errors.ts';
import { parseIp } from '../resources/addresses.ts';
import type { WriteContext } from './admission.ts';
import { formatStored, formatTime } from './codec.ts';
import { addressAt, type Ipv4Range, offsetOf } from './ipv4-range.ts';
import type { RandomBytes } from './metadata.ts';
import type { Extra } from './object-storage.ts';
import type { KindHooks } from './write-hooks.ts';

const IP_PREFIX = '/registry/networking.k8s.io/ipaddresses/';
const PORT_PREFIX = '/registry/core/nodeports/';
const HEADLESS = 'None';

interface Claims {
  readonly ips: readonly string[];
  readonly ports: readonly number[];
}

export interface ServiceClaimParts {
  readonly services: ResourceCache;
  readonly addresses: ResourceCache;
  readonly hub: CacheHub;
  readonly range: Ipv4Range;
  readonly nodePortRange: readonly [number, number];
  readonly random: RandomBytes;
  readonly uuid: () => string;
}

export class ServiceClaims implements KindHooks {
  readonly #parts: ServiceClaimParts;
  /** What this server chose for an object, so that it may choose again. */
  readonly #chosen = new WeakMap<KubeObject, { ip: boolean; ports: ReadonlySet<number> }>();

  constructor(parts: ServiceClaimParts) {
    this.#parts = parts;
  }

  onCreate(object: KubeObject, context: WriteContext): Promise<Extra> {
    return this.#claim(object as Service, undefined, context); // The registry of services.
  }

  onUpdate(object: KubeObject, old: KubeObject, context: WriteContext): Promise<Extra> {
    return this.#claim(object as Service, old as Service, context); // The registry of services.
  }

  onDelete(object: KubeObject): Extra {
    const held = claimsOf(object as Service); // The registry of services.
    return { compare: [], operations: releases(held, { ips: [], ports: [] }) };
  }

  async #claim(service: Service, old: Service | undefined, context: WriteContext): Promise<Extra> {
    // Refused by validation.
    if (service.spec === undefined) return { compare: [], operations: [] };
    this.#forget(service);
    const held = old === undefined ? { ips: [], ports: [] } : claimsOf(old);
    const explicitIps = claimsOf(service).ips.filter((ip) => !held.ips.includes(ip));
    if (needsChoice(service) || claimsOf(service).ports.some((p) => !held.ports.includes(p))) {
      await this.#parts.hub.waitForLatest(context.signal);
    }
    // What is no address at all is refused by validation.
    for (const ip of explicitIps) if (parseIp(ip) !== undefined) this.#checkIp(service, ip);
    const choseIp = this.#chooseIp(service);
    const ports = this.#choosePorts(service, held);
    this.#chosen.set(service, { ip: choseIp, ports });
    return this.#extra(service, claimsOf(service), held);
  }

  /** Empties what an earlier round chose. */
  #forget(service: Service): void {
    const before = this.#chosen.get(service);
    if (before === undefined) return;
    if (before.ip) {
      delete service.spec.clusterIP;
      delete service.spec.clusterIPs;
    }
    for (const port of service.spec.ports ?? []) {
      if (before.ports.has(port.nodePort ?? 0)) delete port.nodePort;
    }
  }

  #checkIp(service: Service, ip: string): void {
    const { range, addresses } = this.#parts;
    const offset = offsetOf(range, ip);
    const isOwn = offset !== undefined && offset > 0 && offset < range.size - 1;
    if (isOwn && addresses.get(ip) === undefined) return;
    const why = isOwn
      ? 'provided IP is already allocated'
      : `the provided IP (${ip}) is not in the valid range. The range of valid IPs is ${range.cidr}`;
    throw this.#refuse(
      service,
      'spec.clusterIPs',
      `${JSON.stringify(service.spec.clusterIPs)}: failed to allocate IP ${ip}: ${why}`,
    );
  }

  #refuse(service: Service, field: string, text: string) {
    const message = `Invalid value: ${text}`;
    const cause = { reason: 'FieldValueInvalid', field, message };
    return invalid({ group: '', kind: 'Service' }, service.metadata.name, [cause]);
  }

  #chooseIp(service: Service): boolean {
    const { spec } = service;
    if (!needsIp(service)) return false;
    const { range, addresses } = this.#parts;
    // The lower part stays free for addresses that people ask for (KEP-3070).
    const reserved = Math.min(Math.max(16, Math.floor(range.size / 16)), 256);
    const low = range.size > reserved * 2 ? reserved + 1 : 1;
    const span = range.size - 1 - low;
    const first = this.#randomBelow(span);
    for (let i = 0; i < range.size - 2; i++) {
      const inUpper = i < span;
      const offset = inUpper ? low + ((first + i) % span) : 1 + (i - span);
      const ip = addressAt(range, offset);
      if (addresses.get(ip) !== undefined) continue;
      spec.clusterIP = ip;
      spec.clusterIPs = [ip];
      return true;
    }
    throw internalError(
      `failed to allocate a serviceIP for Service "${service.metadata.name}": range is full`,
    );
  }

  #choosePorts(service: Service, held: Claims): ReadonlySet<number> {
    const chosen = new Set<number>();
    if (!needsPorts(service)) return chosen;
    const used = this.#usedPorts(service);
    const [low, high] = this.#parts.nodePortRange;
    const taken = new Map<number, string>();
    for (const [i, port] of (service.spec.ports ?? []).entries()) {
      const wanted = port.nodePort ?? 0;
      if (wanted === 0) continue;
      taken.set(wanted, port.protocol ?? 'TCP');
      if (held.ports.includes(wanted)) continue;
      const field = `spec.ports[${i}].nodePort`;
      if (wanted < low || wanted > high) {
        const why = `provided port is not in the valid range. The range of valid ports is ${low}-${high}`;
        throw this.#refuse(service, field, `${wanted}: ${why}`);
      }
      if (used.has(wanted)) {
        throw this.#refuse(service, field, `${wanted}: provided port is already allocated`);
      }
    }
    for (const port of service.spec.ports ?? []) {
      if ((port.nodePort ?? 0) !== 0) continue;
      // One port number serves both protocols of a service that has it twice (DNS).
      const twin = (service.spec.ports ?? []).find(
        (p) => p !== port && p.port === port.port && p.protocol !== port.protocol && p.nodePort,
      );
      if (twin?.nodePort !== undefined && chosen.has(twin.nodePort)) {
        port.nodePort = twin.nodePort;
        continue;
      }
      port.nodePort = this.#freePort(used, taken);
      taken.set(port.nodePort, port.protocol ?? 'TCP');
      chosen.add(port.nodePort);
    }
    return chosen;
  }

  #freePort(used: ReadonlySet<number>, taken: ReadonlyMap<number, string>): number {
    const [low, high] = this.#parts.nodePortRange;
    const span = high - low + 1;
    const reserved = Math.min(Math.max(16, Math.floor(span / 32)), 128);
    const first = this.#randomBelow(span - reserved);
    for (let i = 0; i < span; i++) {
      const port = low + ((reserved + first + i) % span);
      if (!used.has(port) && !taken.has(port)) return port;
    }
    throw internalError('failed to allocate a nodePort: range is full');
  }

  /** Ports of all other services. */
  #usedPorts(except: Service): Set<number> {
    const used = new Set<number>();
    const own = `${except.metadata.namespace}/${except.metadata.name}`;
    for (const object of this.#parts.services.scan('')) {
      if (object.key === own || object.selectable.fields['spec.type'] === 'ClusterIP') continue;
      for (const port of claimsOf(object.parse() as Service).ports) used.add(port); // Its cache.
    }
    return used;
  }

  #randomBelow(bound: number): number {
    const [a = 0, b = 0, c = 0] = this.#parts.random(3);
    return bound <= 0 ? 0 : ((a << 16) | (b << 8) | c) % bound;
  }

  #extra(service: Service, wanted: Claims, held: Claims): Extra {
    const compare: Compare[] = [];
    const operations: Operation[] = releases(held, wanted);
    const claim = (key: string, value: Uint8Array) => {
      compare.push({ key, target: 'create', result: '=', value: 0 });
      operations.push({ kind: 'put', request: { key, value } });
    };
    for (const ip of wanted.ips) {
      if (!held.ips.includes(ip)) claim(`${IP_PREFIX}${ip}`, this.#addressObject(service, ip));
    }
    const { namespace, name } = service.metadata;
    const owner = Buffer.from(JSON.stringify({ service: `${namespace}/${name}` }));
    for (const port of wanted.ports) {
      if (!held.ports.includes(port)) claim(`${PORT_PREFIX}${port}`, owner);
    }
    return { compare, operations };
  }

  #addressObject(service: Service, ip: string): Uint8Array {
    const { name, namespace, creationTimestamp } = service.metadata;
    const address: IPAddress = {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'IPAddress',
      metadata: {
        name: ip,
        uid: this.#parts.uuid(),
        resourceVersion: '',
        creationTimestamp: creationTimestamp ?? formatTime(0),
        labels: {
          'ipaddress.kubernetes.io/ip-family': 'IPv4',
          'ipaddress.kubernetes.io/managed-by': 'ipallocator.k8s.io',
        },
      },
      spec: { parentRef: { group: '', resource: 'services', namespace, name } },
    };
    return formatStored(address);
  }
}

function needsIp({ spec }: Service): boolean {
  const family = spec.ipFamilies?.[0] ?? 'IPv4';
  const isFamily = family === 'IPv4' || family === 'IPv6'; // Others are refused by validation.
  return spec.type !== 'ExternalName' && (spec.clusterIP ?? '') === '' && isFamily;
}

function needsPorts({ spec }: Service): boolean {
  if (spec.type === 'NodePort') return true;
  return spec.type === 'LoadBalancer' && spec.allocateLoadBalancerNodePorts !== false;
}

function needsChoice(service: Service): boolean {
  if (needsIp(service)) return true;
  return needsPorts(service) && (service.spec.ports ?? []).some((p) => (p.nodePort ?? 0) === 0);
}

function claimsOf({ spec }: Service): Claims {
  if (spec === undefined) return { ips: [], ports: [] };
  const isName = spec.type === 'ExternalName';
  const given = (spec.clusterIPs ?? []).length > 0 ? spec.clusterIPs : [spec.clusterIP ?? ''];
  const ips = (given ?? []).filter((ip) => ip !== HEADLESS && ip !== '' && !isName);
  const ports = new Set<number>();
  if (spec.type === 'NodePort' || spec.type === 'LoadBalancer') {
    for (const port of spec.ports ?? []) if (port.nodePort) ports.add(port.nodePort);
  }
  if (spec.healthCheckNodePort) ports.add(spec.healthCheckNodePort);
  return { ips, ports: [...ports] };
}

function releases(held: Claims, wanted: Claims): Operation[] {
  const keys = [
    ...held.ips.filter((ip) => !wanted.ips.includes(ip)).map((ip) => `${IP_PREFIX}${ip}`),
    ...held.ports.filter((p) => !wanted.ports.includes(p)).map((p) => `${PORT_PREFIX}${p}`),
  ];
  return keys.map((key) => ({ kind: 'deleteRange', request: { key } }));
}
