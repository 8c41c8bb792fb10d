/**
 * The proxy's whole decision, incremental and pure: Services and EndpointSlices in, changes of the
 * table out. `plan` re-plans the services named as dirty and returns what differs; `table` returns
 * everything that is wanted, for a comparison with the kernel.
 *
 * Invariants: a frontend has one owner, the service that claimed it first; the table equals the
 * union of all contributions. Chains of shapes that are no longer used stay until the next
 * comparison: their number is bounded by the shapes ever seen, and they cost nothing.
 */
import { must } from '#base/assert.ts';
import { type Cidr, parseCidr } from '#base/ip.ts';
import type { Service } from '#base/kube/api/core-v1.gen.ts';
import type { EndpointSlice } from '#base/kube/api/discovery-v1.gen.ts';
import type { Chain, Change, SetDeclaration, Table } from '#net/nftables/port.ts';
import {
  type ChainConfig,
  type Shape,
  chainOfShape,
  firewallChain,
  fixedChains,
  setDeclarations,
  shapeName,
  shapesBelow,
} from './chains.ts';
import { ElementStore } from './element-store.ts';
import {
  type BackendChoice,
  type Placement,
  backendsOf,
  chooseBackends,
  serviceKeyOfSlice,
} from './endpoints.ts';
import type { HealthCheck } from './health-check.ts';
import {
  type PlannedElement,
  type PlannedFrontend,
  firewallName,
  planServicePort,
} from './plan-service.ts';
import { PROTOCOL_NUMBERS, type ServicePort, parseService, serviceKeyOf } from './service.ts';

export interface ProxyConfig extends ChainConfig {
  readonly tableName: string;
  readonly placement: Placement;
  /** Addresses that the node answers itself (cluster DNS): never translated. Binary strings. */
  readonly ownAddresses: ReadonlySet<string>;
}

/** Flows of UDP frontends whose endpoints changed; flows to other targets have to go. */
export interface UdpFrontend {
  readonly kind: 'vip' | 'port';
  readonly key: string;
  readonly targets: ReadonlySet<string>;
}

export interface ProxyPlan {
  readonly changes: readonly Change[];
  readonly udpChanged: readonly UdpFrontend[];
}

interface Contribution {
  readonly frontends: readonly PlannedFrontend[];
  readonly elements: readonly PlannedElement[];
  readonly healthCheck?: HealthCheck | undefined;
}

const NOTHING: Contribution = { frontends: [], elements: [] };
const UDP_KEY_CHAR = String.fromCharCode(PROTOCOL_NUMBERS.UDP);

export class ProxyState {
  readonly #config: ProxyConfig;
  readonly #declarations: ReadonlyMap<string, SetDeclaration>;
  readonly #services = new Map<string, Service>();
  readonly #slices = new Map<string, Map<string, EndpointSlice>>();
  readonly #contributions = new Map<string, Contribution>();
  /** By kind and key of a frontend. */
  readonly #owners = new Map<string, string>();
  /** Services that found a frontend taken, to be planned again when one is given up. */
  readonly #blocked = new Set<string>();
  readonly #store: ElementStore;
  readonly #chains = new Map<string, Chain>();
  #newChains: Chain[] = [];
  readonly #dirty = new Set<string>();
  /** Services with a health check node port. */
  readonly #health = new Set<string>();

  constructor(config: ProxyConfig) {
    this.#config = config;
    this.#declarations = setDeclarations(config.family);
    this.#store = new ElementStore(this.#declarations.keys());
  }

  get dirtyCount(): number {
    return this.#dirty.size;
  }

  setService(service: Service): void {
    const key = serviceKeyOf(service);
    this.#services.set(key, service);
    this.#dirty.add(key);
  }

  deleteService(service: Service): void {
    const key = serviceKeyOf(service);
    if (this.#services.delete(key)) this.#dirty.add(key);
  }

  setSlice(slice: EndpointSlice): void {
    const serviceKey = serviceKeyOfSlice(slice);
    if (serviceKey === undefined) return;
    const slices = this.#slices.get(serviceKey) ?? new Map<string, EndpointSlice>();
    slices.set(slice.metadata.name ?? '', slice);
    this.#slices.set(serviceKey, slices);
    this.#dirty.add(serviceKey);
  }

  deleteSlice(slice: EndpointSlice): void {
    const serviceKey = serviceKeyOfSlice(slice);
    const slices = serviceKey === undefined ? undefined : this.#slices.get(serviceKey);
    if (serviceKey === undefined || slices === undefined) return;
    slices.delete(slice.metadata.name ?? '');
    if (slices.size === 0) this.#slices.delete(serviceKey);
    this.#dirty.add(serviceKey);
  }

  /** Plans every dirty service; what it returns must be committed, or `planWhole` be compared. */
  plan(): ProxyPlan {
    const udpChanged = this.#replan();
    const elementChanges = this.#store.takeChanges(this.#declarations);
    const changes = [...chainChanges(this.#newChains), ...elementChanges];
    this.#newChains = [];
    return { changes, udpChanged };
  }

  /** The same with the whole table, to be compared with the kernel's, instead of changes. */
  planWhole(): { readonly table: Table; readonly udpChanged: readonly UdpFrontend[] } {
    const udpChanged = this.#store.withoutJournal(() => this.#replan());
    this.#newChains = [];
    return { table: this.table(), udpChanged };
  }

  #replan(): UdpFrontend[] {
    const udpChanged: UdpFrontend[] = [];
    // Withdraw all before adding any: services may swap addresses in one step.
    const dirty = [...this.#dirty];
    const before = dirty.map((key) => this.#withdraw(key));
    for (const key of dirty) this.#blocked.delete(key);
    if (before.some((old) => old.frontends.length > 0)) {
      for (const key of this.#blocked) {
        dirty.push(key);
        before.push(this.#withdraw(key));
      }
      this.#blocked.clear();
    }
    this.#dirty.clear();
    for (const [i, key] of dirty.entries()) {
      const now = this.#contribute(key);
      udpChanged.push(...changedUdp(before[i] ?? NOTHING, now));
    }
    return udpChanged;
  }

  /** One for every Service that has a health check node port. */
  healthChecks(): HealthCheck[] {
    return [...this.#health].map((key) =>
      must(this.#contributions.get(key)?.healthCheck, `health check of ${key}`),
    );
  }

  /** The whole table as wanted after the last plan. Forgets chains without users. */
  table(): Table {
    const shapes = new Map<string, Chain>();
    for (const { frontends } of this.#contributions.values()) {
      for (const frontend of frontends) this.#useChains(frontend, shapes);
    }
    this.#chains.clear();
    for (const [name, chain] of shapes) this.#chains.set(name, chain);
    const { family, tableName } = this.#config;
    return {
      family: family === 4 ? 'ip' : 'ip6',
      name: tableName,
      chains: [...fixedChains(this.#config), ...shapes.values()],
      sets: [...this.#declarations.values()].map((set) => ({
        ...set,
        elements: this.#store.elements(set.name),
      })),
    };
  }

  #withdraw(serviceKey: string): Contribution {
    const old = this.#contributions.get(serviceKey);
    if (old === undefined) return NOTHING;
    for (const element of old.elements) this.#store.remove(element);
    for (const { kind, key } of old.frontends) this.#owners.delete(kind + key);
    this.#contributions.delete(serviceKey);
    this.#health.delete(serviceKey);
    return old;
  }

  #contribute(serviceKey: string): Contribution {
    const service = this.#services.get(serviceKey);
    const { family, placement } = this.#config;
    const ports = service === undefined ? [] : parseService(service, family);
    if (service === undefined || ports.length === 0) return NOTHING;
    const slices = [...(this.#slices.get(serviceKey)?.values() ?? [])];
    const frontends: PlannedFrontend[] = [];
    const extras = new Map<string, PlannedElement>();
    const localTargets = new Set<string>();
    for (const port of ports) {
      const backends = backendsOf(port, slices, { family, placement });
      const choice = chooseBackends(backends, placement);
      this.#addExtras(extras, port, choice);
      for (const { ready, address } of choice.local) if (ready) localTargets.add(address);
      for (const frontend of planServicePort(port, choice)) {
        if (this.#claim(frontend, serviceKey)) frontends.push(frontend);
      }
    }
    const elements = [...frontends.flatMap((frontend) => frontend.elements), ...extras.values()];
    for (const frontend of frontends) this.#useChains(frontend, this.#chains);
    for (const element of elements) this.#store.add(element);
    const healthCheck = healthCheckOf(service, localTargets.size);
    if (healthCheck !== undefined) this.#health.add(serviceKey);
    const contribution = { frontends, elements, healthCheck };
    this.#contributions.set(serviceKey, contribution);
    return contribution;
  }

  /** Elements of the service as a whole: its addresses, and endpoints that can meet themselves. */
  #addExtras(extras: Map<string, PlannedElement>, port: ServicePort, choice: BackendChoice): void {
    const put = (set: string, key: string) => extras.set(set + key, { set, key, value: '' });
    for (const ip of port.clusterIps) {
      if (!this.#config.ownAddresses.has(ip)) put('cluster-ips', ip);
    }
    for (const { address, maybeLocal } of [...choice.cluster, ...choice.local]) {
      if (maybeLocal) put('hairpins', address + address);
    }
  }

  #claim(frontend: PlannedFrontend, serviceKey: string): boolean {
    const address = frontend.key.slice(0, this.#config.family === 4 ? 4 : 16);
    if (frontend.kind === 'vip' && this.#config.ownAddresses.has(address)) return false;
    const id = frontend.kind + frontend.key;
    const owner = this.#owners.get(id);
    // One service may name an address twice, as external IP and as load balancer: first wins.
    if (owner !== undefined) {
      if (owner !== serviceKey) this.#blocked.add(serviceKey);
      return false;
    }
    this.#owners.set(id, serviceKey);
    return true;
  }

  #useChains(frontend: PlannedFrontend, chains: Map<string, Chain>): void {
    const { shape, sourceRanges } = frontend;
    const shapes: Shape[] = shape === undefined ? [] : [...shapesBelow(shape), shape];
    for (const used of shapes) {
      this.#useChain(chains, shapeName(used), () => chainOfShape(used, this.#config));
    }
    if (sourceRanges.length === 0) return;
    this.#useChain(chains, firewallName(sourceRanges), () =>
      firewallChain(firewallName(sourceRanges), sourceRanges.map(cidrOf)),
    );
  }

  #useChain(chains: Map<string, Chain>, name: string, make: () => Chain): void {
    if (chains.has(name)) return;
    const chain = this.#chains.get(name) ?? make();
    chains.set(name, chain);
    if (chains === this.#chains) this.#newChains.push(chain);
  }
}

function cidrOf(text: string): Cidr {
  return must(parseCidr(text), `source range ${text}`); // parseService lets no other through.
}

/** KEP-86: load balancers ask on this port which nodes have endpoints. */
function healthCheckOf(service: Service, localEndpointCount: number): HealthCheck | undefined {
  const { type, externalTrafficPolicy, healthCheckNodePort: port = 0 } = service.spec ?? {};
  if (type !== 'LoadBalancer' || externalTrafficPolicy !== 'Local' || port === 0) return undefined;
  const { namespace = '', name } = service.metadata;
  return { namespace, name, port, localEndpointCount };
}

function chainChanges(chains: readonly Chain[]): Change[] {
  return [
    ...chains.map(({ name }): Change => ({ kind: 'addChain', name })),
    ...chains.flatMap(({ name, rules }) =>
      rules.map((rule): Change => ({ kind: 'addRule', chain: name, rule })),
    ),
  ];
}

/** UDP frontends that are new, gone, or lost or regained endpoints. */
function changedUdp(before: Contribution, now: Contribution): UdpFrontend[] {
  const current = new Map(
    now.frontends.map((frontend) => [frontend.kind + frontend.key, frontend]),
  );
  const all = [...before.frontends, ...now.frontends].filter(({ key }) => isUdp(key));
  const old = new Map(before.frontends.map((frontend) => [frontend.kind + frontend.key, frontend]));
  const changed = new Map<string, UdpFrontend>();
  for (const { kind, key } of all) {
    const targets = new Set(current.get(kind + key)?.targets);
    const earlier = old.get(kind + key)?.targets ?? [];
    const lost = earlier.some((target) => !targets.has(target));
    const regained = earlier.length === 0 && targets.size > 0;
    if (lost || regained) changed.set(kind + key, { kind, key, targets });
  }
  return [...changed.values()];
}

/** The protocol stands 8 bytes before the end of either kind of key. */
function isUdp(key: string): boolean {
  return key.at(-8) === UDP_KEY_CHAR;
}
