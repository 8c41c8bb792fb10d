/**
 * What the machine's links are to have, from the configuration and the leases that DHCP brought. Pure: the
 * kernel is made to match by network.ts.
 */
import { parseCidr, parseIp } from '#base/ip.ts';
import type { MachineConfig } from '#base/machine-config.ts';
import type { NetworkChange, ObservedNetwork, WantedNetwork } from '#net/link/link.ts';
import { formatCidr, formatIp } from '#base/ip.ts';
import type { Lease } from './dhcp.ts';

export type NetworkConfig = MachineConfig['network'];
type LinkConfig = NetworkConfig['links'][number];

/** resolv.conf(5) MAXNS. */
const NAMESERVERS_MAX = 3;
/** Of default routes; links count up in their order. */
const METRIC = 1000;

export interface LinkFacts {
  readonly name: string;
  readonly mac: string;
}

export interface NetworkPlan {
  readonly wanted: WantedNetwork;
  /** At most NAMESERVERS_MAX. */
  readonly nameservers: readonly string[];
  readonly timeServers: readonly string[];
  /** As DHCP gives it: its first label, if that is one. */
  readonly hostName: string | undefined;
  /** Links that must not ask for a lease. */
  readonly withoutDhcp: readonly string[];
  /** What of the configuration cannot be carried out with these links. */
  readonly problems: readonly string[];
}

/** Addresses, routes and servers. `mtus` are those that links had before the configuration set one. */
export function planNetworkConfig(input: {
  links: readonly LinkFacts[];
  leases: ReadonlyMap<string, Lease>;
  mtus: ReadonlyMap<string, number>;
  config: NetworkConfig | undefined;
}): NetworkPlan {
  const { links, leases, mtus, config } = input;
  const wantedLinks: WantedNetwork['links'][number][] = [];
  const routes: WantedNetwork['routes'][number][] = [];
  const nameservers = [...(config?.nameservers ?? [])];
  const timeServers = [...(config?.timeServers ?? [])];
  const withoutDhcp: string[] = [];
  let hostName: string | undefined;
  for (const [order, link] of links.entries()) {
    const own = linkConfig(config, link);
    if (own?.dhcp === false) withoutDhcp.push(link.name);
    const lease = own?.dhcp === false ? undefined : leases.get(link.name);
    const addresses = [...(own?.addresses ?? []), ...(lease === undefined ? [] : [lease.address])];
    wantedLinks.push({
      name: link.name,
      mtu: own?.mtu ?? lease?.mtu ?? mtus.get(link.name),
      addresses: addresses.flatMap((text) => parseCidr(text) ?? []),
    });
    const gateway = parseIp(own?.gateway ?? lease?.routers[0] ?? '');
    if (gateway !== undefined) {
      routes.push({ linkName: link.name, family: 4, gateway, metric: METRIC + order });
    }
    if (config === undefined || config.nameservers.length === 0)
      nameservers.push(...(lease?.nameservers ?? []));
    timeServers.push(...(lease?.timeServers ?? []));
    hostName ??= hostNameOf(lease);
  }
  return {
    wanted: { links: wantedLinks, routes },
    nameservers: [...new Set(nameservers)].slice(0, NAMESERVERS_MAX),
    timeServers: [...new Set(timeServers)],
    hostName,
    withoutDhcp,
    problems: planProblems(links, config),
  };
}

function planProblems(links: readonly LinkFacts[], config: NetworkConfig | undefined): string[] {
  const problems = (config?.links ?? []).flatMap((own, index) =>
    links.some((link) => matches(own, link))
      ? []
      : [`network.links[${index}]: this machine has no wired link ${own.name ?? own.mac}`],
  );
  const unused = (config?.nameservers ?? []).slice(NAMESERVERS_MAX);
  if (unused.length > 0) {
    problems.push(
      `network.nameservers: only ${NAMESERVERS_MAX} are used, not ${unused.join(', ')}`,
    );
  }
  return problems;
}

function hostNameOf(lease: Lease | undefined): string | undefined {
  const [label = ''] = (lease?.hostName ?? '').toLowerCase().split('.');
  return /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(label) && label !== 'localhost'
    ? label
    : undefined;
}

/** What the configuration says of a link, by its name or hardware address. */
export function linkConfig(
  config: NetworkConfig | undefined,
  link: LinkFacts,
): LinkConfig | undefined {
  return config?.links.find((own) => matches(own, link));
}

function matches(own: LinkConfig, link: LinkFacts): boolean {
  return own.name === link.name || own.mac === link.mac;
}

/** Why a change was not made, naming the field that asked for it. */
export function refusalText(
  change: NetworkChange,
  at: { link: LinkFacts; config: NetworkConfig | undefined; code: string },
): string {
  const { link, config, code } = at;
  const own = linkConfig(config, link);
  const index = own === undefined ? -1 : (config?.links.indexOf(own) ?? -1);
  const [field, value] = subjectOf(change);
  const asked = own !== undefined && isAsked(own, field, value);
  const where = asked ? `network.links[${index}].${field}` : `lease of ${link.name}`;
  return `${where}: ${link.name}: the kernel refuses ${value}: ${code}`;
}

/** The configuration's field that a change carries out, and its value as the field has it. */
function subjectOf(change: NetworkChange): ['mtu' | 'addresses' | 'gateway', string] {
  switch (change.kind) {
    case 'setLink':
      return ['mtu', String(change.mtu ?? 'to be up')];
    case 'putAddress':
    case 'deleteAddress':
      return ['addresses', formatCidr(change.address)];
    case 'putRoute':
    case 'deleteRoute':
      return [
        'gateway',
        change.route.gateway === undefined ? 'a route' : formatIp(change.route.gateway),
      ];
  }
}

function isAsked(own: LinkConfig, field: 'mtu' | 'addresses' | 'gateway', value: string): boolean {
  if (field === 'addresses') return own.addresses.includes(value);
  return String(own[field] ?? '') === value;
}

/** Where others reach a machine on these links: texts, IPv4 first, without those that only neighbours know. */
export function addressesOn(
  links: ReadonlySet<number>,
  addresses: ObservedNetwork['addresses'],
): string[] {
  return addresses
    .filter(
      ({ index, address, scope }) => links.has(index) && (address.family === 4 || scope === 0),
    )
    .toSorted((a, b) => a.address.family - b.address.family)
    .map(({ address }) => formatIp(address.address));
}
