/**
 * The records of the cluster domain, from Services and EndpointSlices. Pure.
 *
 * Source of the names: Kubernetes DNS-Based Service Discovery, version 1.1.0. Objects are indexed as
 * they are; answers are computed when asked for, so a change costs its own size only. Names here are
 * lower case and without the final dot.
 *
 * A name that exists without records of the type asked for is NODATA, others are NXDOMAIN; names
 * between records (`NS.svc.ZONE`, `_tcp.SVC.NS.svc.ZONE`) exist.
 */
import { type IpFamily, formatIp, parseIp } from '#base/ip.ts';
import type { Service } from '#base/kube/api/core-v1.gen.ts';
import type { EndpointSlice } from '#base/kube/api/discovery-v1.gen.ts';
import { addressOfReverseName, addressOfDashedName, dashedName } from './names.ts';

export type ZoneRecord =
  | {
      readonly type: 'A' | 'AAAA' | 'CNAME' | 'PTR' | 'NS';
      readonly name: string;
      readonly data: string;
    }
  | { readonly type: 'TXT'; readonly name: string; readonly data: string }
  | {
      readonly type: 'SRV';
      readonly name: string;
      readonly data: {
        readonly priority: number;
        readonly weight: number;
        readonly port: number;
        readonly target: string;
      };
    };

export type Lookup =
  /** The name exists; its records of every type, which may be none. */
  | { readonly kind: 'exists'; readonly records: readonly ZoneRecord[] }
  | { readonly kind: 'absent' }
  /** Not a name of this zone: ask somebody else. */
  | { readonly kind: 'elsewhere' };

export interface ZoneConfig {
  /** `cluster.local` */
  readonly domain: string;
  /** Where this server answers. */
  readonly serverIps: readonly string[];
}

interface HeadlessEndpoint {
  readonly ip: string;
  /** Its host name, or its address with dashes. */
  readonly label: string;
  readonly hasHostname: boolean;
  readonly ports: readonly {
    readonly name: string;
    readonly protocol: string;
    readonly port: number;
  }[];
}

const DNS_VERSION = '1.1.0';
const EMPTY: Lookup = { kind: 'exists', records: [] };
const ABSENT: Lookup = { kind: 'absent' };

export class ClusterZone {
  readonly #config: ZoneConfig;
  /** Labels of the domain, last first. */
  readonly #suffix: string;
  readonly #services = new Map<string, Map<string, Service>>();
  /** By service, then by slice name. */
  readonly #slices = new Map<string, Map<string, EndpointSlice>>();
  /** Services by cluster IP, and by the addresses of their endpoints. */
  readonly #byClusterIp = new Map<string, Set<string>>();
  readonly #byEndpointIp = new Map<string, Set<string>>();

  constructor(config: ZoneConfig) {
    this.#config = config;
    this.#suffix = `.${config.domain}`;
  }

  setService(service: Service): void {
    this.deleteService(service);
    const { namespace = '', name } = service.metadata;
    const inNamespace = this.#services.get(namespace) ?? new Map<string, Service>();
    inNamespace.set(name, service);
    this.#services.set(namespace, inNamespace);
    for (const ip of clusterIpsOf(service)) addTo(this.#byClusterIp, ip, `${namespace}/${name}`);
  }

  deleteService(service: Service): void {
    const { namespace = '', name } = service.metadata;
    const inNamespace = this.#services.get(namespace);
    const old = inNamespace?.get(name);
    if (inNamespace === undefined || old === undefined) return;
    inNamespace.delete(name);
    if (inNamespace.size === 0) this.#services.delete(namespace);
    for (const ip of clusterIpsOf(old)) removeFrom(this.#byClusterIp, ip, `${namespace}/${name}`);
  }

  setSlice(slice: EndpointSlice): void {
    const serviceKey = serviceKeyOf(slice);
    if (serviceKey === undefined) return;
    const slices = this.#slices.get(serviceKey) ?? new Map<string, EndpointSlice>();
    slices.set(slice.metadata.name, slice);
    this.#slices.set(serviceKey, slices);
    for (const ip of addressesOf(slice)) addTo(this.#byEndpointIp, ip, serviceKey);
  }

  /** `slice` must be as it was given to `setSlice`. */
  deleteSlice(slice: EndpointSlice): void {
    const serviceKey = serviceKeyOf(slice);
    const slices = serviceKey === undefined ? undefined : this.#slices.get(serviceKey);
    if (serviceKey === undefined || slices === undefined) return;
    slices.delete(slice.metadata.name);
    if (slices.size === 0) this.#slices.delete(serviceKey);
    const left = new Set([...slices.values()].flatMap((other) => addressesOf(other)));
    for (const ip of addressesOf(slice)) {
      if (!left.has(ip)) removeFrom(this.#byEndpointIp, ip, serviceKey);
    }
  }

  lookup(name: string): Lookup {
    if (name === this.#config.domain) return this.#apex();
    if (name.endsWith(this.#suffix)) {
      const labels = name.slice(0, -this.#suffix.length).split('.').reverse();
      return this.#inDomain(name, labels);
    }
    const address = addressOfReverseName(name);
    return address === undefined ? { kind: 'elsewhere' } : this.#reverse(name, address);
  }

  #apex(): Lookup {
    const { domain } = this.#config;
    return { kind: 'exists', records: [{ type: 'NS', name: domain, data: `ns.dns.${domain}` }] };
  }

  /** `labels` are those before the domain, nearest to it first. */
  #inDomain(name: string, labels: readonly string[]): Lookup {
    const [root = '', namespace, ...rest] = labels;
    if (root === 'dns-version' && namespace === undefined) {
      return { kind: 'exists', records: [{ type: 'TXT', name, data: DNS_VERSION }] };
    }
    if (root === 'dns') {
      if (namespace === undefined) return EMPTY;
      const isServer = namespace === 'ns' && rest.length === 0;
      return isServer ? found(name, this.#config.serverIps) : ABSENT;
    }
    if (root === 'pod') return podLookup(name, namespace, rest);
    if (root !== 'svc') return ABSENT;
    if (namespace === undefined) return EMPTY;
    const services = this.#services.get(namespace);
    if (services === undefined) return ABSENT;
    const [serviceName, ...inner] = rest;
    if (serviceName === undefined) return EMPTY;
    const service = services.get(serviceName);
    return service === undefined ? ABSENT : this.#serviceLookup(name, service, inner);
  }

  /** `inner` are the labels before the service's, nearest to it first. */
  #serviceLookup(name: string, service: Service, inner: readonly string[]): Lookup {
    const { spec } = service;
    if (spec?.type === 'ExternalName') {
      if (inner.length > 0) return ABSENT;
      const data = (spec.externalName ?? '').toLowerCase().replace(/\.$/, '');
      return { kind: 'exists', records: [{ type: 'CNAME', name, data }] };
    }
    const headless = spec?.clusterIP === 'None';
    const [first, second, ...more] = inner;
    if (more.length > 0) return ABSENT;
    if (first?.startsWith('_') === true) {
      return this.#portLookup({ name, service, headless }, { protocol: first, port: second });
    }
    if (second !== undefined) return ABSENT;
    if (!headless) return first === undefined ? found(name, clusterIpsOf(service)) : ABSENT;
    const endpoints = this.#endpoints(service);
    if (first === undefined)
      return found(
        name,
        endpoints.map(({ ip }) => ip),
      );
    const named = endpoints.filter(({ label }) => label === first);
    return named.length === 0
      ? ABSENT
      : found(
          name,
          named.map(({ ip }) => ip),
        );
  }

  /** SRV: `_PORT._PROTOCOL.SERVICE`. */
  #portLookup(
    of: { readonly name: string; readonly service: Service; readonly headless: boolean },
    labels: { readonly protocol: string; readonly port: string | undefined },
  ): Lookup {
    const { name, service, headless } = of;
    const serviceName = this.#nameOf(service);
    const targets = headless
      ? this.#endpoints(service).flatMap(({ label, ports }) =>
          ports.map((port) => ({ ...port, target: `${label}.${serviceName}` })),
        )
      : (service.spec?.ports ?? []).map(({ name: port = '', protocol = 'TCP', port: number }) => ({
          name: port,
          protocol,
          port: number,
          target: serviceName,
        }));
    const ofProtocol = targets.filter(
      (target) => target.name !== '' && `_${target.protocol.toLowerCase()}` === labels.protocol,
    );
    if (ofProtocol.length === 0) return ABSENT;
    if (labels.port === undefined) return EMPTY;
    const wanted = ofProtocol.filter((target) => `_${target.name.toLowerCase()}` === labels.port);
    if (wanted.length === 0) return ABSENT;
    // An endpoint with two addresses has one name.
    const unique = new Map(
      wanted.map(({ port, target }) => [`${port} ${target}`, { port, target }]),
    );
    const records = [...unique.values()].map(({ port, target }): ZoneRecord => {
      return { type: 'SRV', name, data: { priority: 0, weight: 100, port, target } };
    });
    return { kind: 'exists', records };
  }

  #reverse(name: string, address: string): Lookup {
    const names = new Set<string>();
    for (const key of this.#byClusterIp.get(address) ?? []) {
      const service = this.#serviceOf(key);
      if (service !== undefined) names.add(this.#nameOf(service));
    }
    for (const key of this.#byEndpointIp.get(address) ?? []) {
      const service = this.#serviceOf(key);
      if (service?.spec?.clusterIP !== 'None') continue;
      for (const endpoint of this.#endpoints(service)) {
        if (endpoint.ip !== address || !endpoint.hasHostname) continue;
        names.add(`${endpoint.label}.${this.#nameOf(service)}`);
      }
    }
    if (names.size === 0) return { kind: 'elsewhere' };
    return { kind: 'exists', records: [...names].map((data) => ({ type: 'PTR', name, data })) };
  }

  #serviceOf(key: string): Service | undefined {
    const [namespace = '', name = ''] = key.split('/');
    return this.#services.get(namespace)?.get(name);
  }

  #nameOf(service: Service): string {
    const { namespace = '', name } = service.metadata;
    return `${name}.${namespace}.svc.${this.#config.domain}`;
  }

  /** Of a headless service: those that are ready, or all when it publishes unready addresses. */
  #endpoints(service: Service): HeadlessEndpoint[] {
    const { namespace = '', name } = service.metadata;
    const all = service.spec?.publishNotReadyAddresses === true;
    const found: HeadlessEndpoint[] = [];
    for (const slice of this.#slices.get(`${namespace}/${name}`)?.values() ?? []) {
      const ports = (slice.ports ?? []).flatMap(
        ({ name: port = '', protocol = 'TCP', port: number }) =>
          number === undefined ? [] : [{ name: port, protocol, port: number }],
      );
      for (const { addresses, conditions, hostname = '' } of slice.endpoints ?? []) {
        if (conditions?.ready === false && !all) continue;
        for (const text of addresses) {
          const ip = canonical(text);
          if (ip === undefined) continue;
          const hasHostname = hostname !== '';
          found.push({
            ip,
            ports,
            hasHostname,
            label: hasHostname ? hostname.toLowerCase() : dashedName(ip),
          });
        }
      }
    }
    return found;
  }
}

/** `A-B-C-D.NAMESPACE.pod`: any address, as upstream's default. */
function podLookup(name: string, namespace: string | undefined, rest: readonly string[]): Lookup {
  if (namespace === undefined || rest.length === 0) return EMPTY;
  const address = rest.length === 1 ? addressOfDashedName(rest[0] ?? '') : undefined;
  return address === undefined ? ABSENT : found(name, [address]);
}

/** Address records, each address once. */
function found(name: string, ips: readonly string[]): Lookup {
  const records = [...new Set(ips)].map((data): ZoneRecord => {
    return { type: familyOf(data) === 4 ? 'A' : 'AAAA', name, data };
  });
  return { kind: 'exists', records };
}

function familyOf(ip: string): IpFamily {
  return ip.includes(':') ? 6 : 4;
}

function canonical(ip: string): string | undefined {
  const bytes = parseIp(ip);
  return bytes === undefined ? undefined : formatIp(bytes);
}

function clusterIpsOf(service: Service): string[] {
  const { clusterIP = '', clusterIPs = [clusterIP] } = service.spec ?? {};
  return clusterIPs.map((ip) => canonical(ip)).filter((ip) => ip !== undefined);
}

function addressesOf(slice: EndpointSlice): string[] {
  return (slice.endpoints ?? [])
    .flatMap(({ addresses }) => addresses.map((ip) => canonical(ip)))
    .filter((ip) => ip !== undefined);
}

function serviceKeyOf(slice: EndpointSlice): string | undefined {
  const name = slice.metadata.labels?.['kubernetes.io/service-name'];
  return name === undefined ? undefined : `${slice.metadata.namespace ?? ''}/${name}`;
}

function addTo(index: Map<string, Set<string>>, key: string, value: string): void {
  const values = index.get(key) ?? new Set<string>();
  values.add(value);
  index.set(key, values);
}

function removeFrom(index: Map<string, Set<string>>, key: string, value: string): void {
  const values = index.get(key);
  values?.delete(value);
  if (values?.size === 0) index.delete(key);
}
