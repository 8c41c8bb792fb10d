/**
 * The machine's network, level-triggered: links, leases and configuration are looked at, the wanted
 * network is planned, the kernel is made to match. Wakes on link changes and DHCP events. What the kernel
 * refuses is a problem that is told, and tried again at the next look; the rest is done all the same.
 */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import type { Log } from '#base/log.ts';
import {
  hasCarrier,
  isWired,
  NodeLinks,
  type ObservedNetwork,
  primaryAddress,
} from '#net/link/link.ts';
import type { DhcpEvent } from './dhcp.ts';
import { NetworkMemory } from './network-memory.ts';
import {
  addressesOn,
  type LinkFacts,
  linkConfig,
  type NetworkConfig,
  planNetworkConfig,
  refusalText,
} from './network-plan.ts';

type ObservedLink = ObservedNetwork['links'][number];

export interface NetworkState {
  /** Where the node is reached; undefined while it has no address. */
  readonly primary: string | undefined;
  /** Addresses of wired links, without prefix length, IPv4 first. */
  readonly addresses: readonly string[];
  readonly timeServers: readonly string[];
  /** What DHCP calls this machine. */
  readonly hostName: string | undefined;
  /** Links that must not ask for a lease. */
  readonly withoutDhcp: readonly string[];
  /** What of the configuration could not be carried out. */
  readonly problems: readonly string[];
}

export interface MachineNetworkOptions {
  readonly log: Log;
  /** Called after the state has changed. */
  readonly onChange: (state: NetworkState) => void;
  /** In /run. */
  readonly memoryFile: string;
  /** Virtual links that count as wired all the same: those of a machine in namespaces. */
  readonly extraLinks: readonly string[];
}

export class MachineNetwork implements Disposable {
  readonly #links = new NodeLinks();
  readonly #options: MachineNetworkOptions;
  readonly #memory: NetworkMemory;
  readonly #subscription: Disposable;
  #config: NetworkConfig | undefined;
  #state: NetworkState = {
    primary: undefined,
    addresses: [],
    timeServers: [],
    hostName: undefined,
    withoutDhcp: [],
    problems: [],
  };

  constructor(options: MachineNetworkOptions) {
    this.#options = options;
    this.#memory = new NetworkMemory(options.memoryFile);
    this.#links.loopbackUp();
    this.#subscription = this.#links.onChange(
      () => this.reconcile(),
      (error) => options.log.warn('link changes are no longer told', { error }),
    );
  }

  get state(): NetworkState {
    return this.#state;
  }

  configure(config: NetworkConfig | undefined): void {
    this.#config = config;
    this.reconcile();
  }

  onDhcp(event: DhcpEvent): void {
    this.#memory.onDhcp(event);
    this.reconcile();
  }

  /** What of `config` could not be carried out, as far as is known before trying. */
  problemsOf(config: NetworkConfig): readonly string[] {
    return this.#plan(this.#links.observe(), config).problems;
  }

  /** Makes the kernel match; repeated at every change. */
  reconcile(): void {
    const observed = this.#links.observe();
    const wired = this.#wired(observed);
    this.#memory.keepOnly(observed.links.map((link) => link.name));
    for (const link of wired) if (!hasCarrier(link)) this.#links.setUp(link.name, true);
    for (const link of wired) {
      if (linkConfig(this.#config, factsOf(link))?.mtu !== undefined)
        this.#memory.rememberMtu(link.name, link.mtu);
    }
    const plan = this.#plan(observed, this.#config);
    const problems = [...plan.problems];
    const changes = this.#links.apply(plan.wanted, (change, { code }) => {
      const index = 'route' in change ? change.route.index : change.index;
      const found = wired.find((link) => link.index === index);
      const link = found === undefined ? { name: `link ${index}`, mac: '' } : factsOf(found);
      problems.push(refusalText(change, { link, config: this.#config, code }));
    });
    for (const { kind } of changes) this.#options.log.info('network changed', { change: kind });
    writeResolvConf(plan.nameservers);
    const { timeServers, hostName, withoutDhcp } = plan;
    this.#publish({ ...this.#reach(), timeServers, hostName, withoutDhcp, problems });
  }

  #plan(observed: ObservedNetwork, config: NetworkConfig | undefined) {
    const { leases, mtus } = this.#memory;
    return planNetworkConfig({ links: this.#wired(observed).map(factsOf), leases, mtus, config });
  }

  #wired(observed: ObservedNetwork): ObservedLink[] {
    const { extraLinks } = this.#options;
    return observed.links.filter((link) => isWired(link) || extraLinks.includes(link.name));
  }

  #reach(): Pick<NetworkState, 'primary' | 'addresses'> {
    const observed = this.#links.observe();
    const wired = new Set(this.#wired(observed).map((link) => link.index));
    const addresses = addressesOn(wired, observed.addresses);
    return { primary: primaryAddress(observed) ?? addresses[0], addresses };
  }

  #publish(state: NetworkState): void {
    if (JSON.stringify(state) === JSON.stringify(this.#state)) return;
    this.#state = state;
    this.#options.onChange(state);
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
    this.#links[Symbol.dispose]();
  }
}

function factsOf(link: ObservedLink): LinkFacts {
  return { name: link.name, mac: link.address };
}

/** /etc/resolv.conf is a link to this file. */
function writeResolvConf(nameservers: readonly string[]): void {
  const text = nameservers.map((server) => `nameserver ${server}\n`).join('');
  mkdirSync('/run/bareboat', { recursive: true });
  writeFileSync('/run/bareboat/.resolv.conf', text);
  renameSync('/run/bareboat/.resolv.conf', '/run/bareboat/resolv.conf');
}
