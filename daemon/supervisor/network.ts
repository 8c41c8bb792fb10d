/**
 * The machine's network, level-triggered: links, leases and configuration are looked at, the wanted
 * network is planned, the kernel is made to match. Wakes on link changes and DHCP events.
 */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { parseCidr, parseIp } from '#base/ip.ts';
import type { Log } from '#base/log.ts';
import type { MachineConfig } from '#base/machine-config.ts';
import {
  hasCarrier,
  isWired,
  NodeLinks,
  type ObservedNetwork,
  primaryAddress,
  type WantedNetwork,
} from '#net/link/link.ts';
import type { DhcpEvent, Lease } from './dhcp.ts';

export interface NetworkState {
  /** Where the node is reached; undefined while it has no address. */
  readonly primary: string | undefined;
  /** Addresses of wired links, without prefix length. */
  readonly addresses: readonly string[];
  readonly timeServers: readonly string[];
}

type LinkConfig = MachineConfig['network']['links'][number];

interface LinkFacts {
  readonly name: string;
  readonly mac: string;
}

/** Pure: addresses, routes and name servers that `links` are to have. */
export function planNetworkConfig(input: {
  links: readonly LinkFacts[];
  leases: ReadonlyMap<string, Lease>;
  config: MachineConfig['network'] | undefined;
}): { wanted: WantedNetwork; nameservers: readonly string[]; timeServers: readonly string[] } {
  const { links, leases, config } = input;
  const wantedLinks: WantedNetwork['links'][number][] = [];
  const routes: WantedNetwork['routes'][number][] = [];
  const nameservers = [...(config?.nameservers ?? [])];
  const timeServers = [...(config?.timeServers ?? [])];
  for (const [order, link] of links.entries()) {
    const own = linkConfig(config, link);
    const lease = own?.dhcp === false ? undefined : leases.get(link.name);
    const addresses = [...(own?.addresses ?? []), ...(lease === undefined ? [] : [lease.address])];
    wantedLinks.push({
      name: link.name,
      mtu: own?.mtu ?? lease?.mtu,
      addresses: addresses.flatMap((text) => parseCidr(text) ?? []),
    });
    for (const gateway of own?.gateway === undefined
      ? (lease?.routers ?? []).slice(0, 1)
      : [own.gateway]) {
      routes.push({
        linkName: link.name,
        family: 4,
        gateway: parseIp(gateway),
        metric: 1000 + order,
      });
    }
    if (config === undefined || config.nameservers.length === 0)
      nameservers.push(...(lease?.nameservers ?? []));
    timeServers.push(...(lease?.timeServers ?? []));
  }
  return { wanted: { links: wantedLinks, routes }, nameservers, timeServers };
}

/** What the configuration says of a link, by its name or hardware address. */
export function linkConfig(
  config: MachineConfig['network'] | undefined,
  link: LinkFacts,
): LinkConfig | undefined {
  return config?.links.find((l) => l.name === link.name || l.mac === link.mac);
}

export class MachineNetwork implements Disposable {
  readonly #links = new NodeLinks();
  readonly #leases = new Map<string, Lease>();
  readonly #log: Log;
  readonly #onChange: (state: NetworkState) => void;
  readonly #subscription: Disposable;
  #config: MachineConfig['network'] | undefined;
  #state: NetworkState = { primary: undefined, addresses: [], timeServers: [] };

  /** `onChange` is called after addresses have changed. */
  constructor(options: { log: Log; onChange: (state: NetworkState) => void }) {
    this.#log = options.log;
    this.#onChange = options.onChange;
    this.#links.loopbackUp();
    this.#subscription = this.#links.onChange(
      () => this.reconcile(),
      (error) => this.#log.warn('link changes are no longer told', { error }),
    );
  }

  get state(): NetworkState {
    return this.#state;
  }

  configure(config: MachineConfig['network'] | undefined): void {
    this.#config = config;
    this.reconcile();
  }

  onDhcp(event: DhcpEvent): void {
    if (event.kind === 'bound') this.#leases.set(event.link, event.lease);
    if (event.kind === 'released') this.#leases.delete(event.link);
    this.reconcile();
  }

  /** Makes the kernel match; repeated at every change. */
  reconcile(): void {
    const observed = this.#links.observe();
    const wired = observed.links.filter(isWired);
    for (const link of wired) if (!hasCarrier(link)) this.#links.setUp(link.name, true);
    const facts = wired.map((link) => ({ name: link.name, mac: link.address }));
    const plan = planNetworkConfig({ links: facts, leases: this.#leases, config: this.#config });
    for (const change of this.#links.apply(plan.wanted)) {
      this.#log.info('network changed', { change: change.kind });
    }
    writeResolvConf(plan.nameservers);
    this.#publish(this.#links.observe(), plan.timeServers);
  }

  #publish(observed: ObservedNetwork, timeServers: readonly string[]): void {
    const wired = new Set(observed.links.filter(isWired).map((link) => link.index));
    const addresses = observed.addresses
      .filter((a) => wired.has(a.index) && a.address.family === 4)
      .map((a) => [...a.address.address].join('.'));
    const state = { primary: primaryAddress(observed) ?? addresses[0], addresses, timeServers };
    if (JSON.stringify(state) === JSON.stringify(this.#state)) return;
    this.#state = state;
    this.#onChange(state);
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
    this.#links[Symbol.dispose]();
  }
}

/** /etc/resolv.conf is a link to this file; at most three servers are used (resolv.conf(5)). */
function writeResolvConf(nameservers: readonly string[]): void {
  const servers = [...new Set(nameservers)].filter(
    (server) => isIPv4(server) || server.includes(':'),
  );
  const text = servers
    .slice(0, 3)
    .map((server) => `nameserver ${server}\n`)
    .join('');
  mkdirSync('/run/bareboat', { recursive: true });
  writeFileSync('/run/bareboat/.resolv.conf', text);
  renameSync('/run/bareboat/.resolv.conf', '/run/bareboat/resolv.conf');
}
