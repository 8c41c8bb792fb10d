/**
 * The node's own links: what has to change so that the kernel has the addresses and routes that are
 * wanted. Pure. Where the wishes come from (DHCP, machine config) is the caller's matter.
 *
 * Only managed links are touched. On them, global addresses that are not wanted go, unless the
 * kernel got them by autoconfiguration; of routes, only those that this module sets (protocol
 * `static`), so that pod routes and the kernel's own stay.
 */
import { type Cidr, type IpFamily, formatCidr, formatIp } from '#base/ip.ts';
import {
  IFF,
  type InterfaceAddress,
  type Link,
  RTPROT,
  RT_SCOPE,
  RT_TABLE_MAIN,
  type Route,
  type RouteSettings,
} from '#net/netlink/port.ts';

export interface WantedLink {
  readonly name: string;
  /** Absent: as it is. */
  readonly mtu?: number | undefined;
  readonly addresses: readonly Cidr[];
}

export interface WantedRoute {
  readonly linkName: string;
  readonly family: IpFamily;
  /** Absent: the default route. */
  readonly destination?: Cidr | undefined;
  readonly gateway?: Uint8Array | undefined;
  readonly preferredSource?: Uint8Array | undefined;
  /** Lower goes first. */
  readonly metric: number;
}

export interface WantedNetwork {
  /** Links that are not there (yet) are skipped. */
  readonly links: readonly WantedLink[];
  readonly routes: readonly WantedRoute[];
}

export interface ObservedNetwork {
  readonly links: readonly Link[];
  readonly addresses: readonly InterfaceAddress[];
  readonly routes: readonly Route[];
}

export type NetworkChange =
  | {
      readonly kind: 'setLink';
      readonly index: number;
      readonly up?: boolean;
      readonly mtu?: number;
    }
  | { readonly kind: 'putAddress'; readonly index: number; readonly address: Cidr }
  | { readonly kind: 'deleteAddress'; readonly index: number; readonly address: Cidr }
  | { readonly kind: 'putRoute'; readonly route: RouteSettings }
  | { readonly kind: 'deleteRoute'; readonly route: RouteSettings };

/** Removals come before additions: a route may move from one link to another. */
export function planNetwork(wanted: WantedNetwork, observed: ObservedNetwork): NetworkChange[] {
  const byName = new Map(observed.links.map((link) => [link.name, link]));
  const lo = byName.get('lo');
  const changes: NetworkChange[] = [];
  if (lo !== undefined && (lo.flags & IFF.UP) === 0) {
    changes.push({ kind: 'setLink', index: lo.index, up: true });
  }
  const managed = new Set<number>();
  for (const link of wanted.links) {
    const present = byName.get(link.name);
    if (present === undefined) continue;
    managed.add(present.index);
    changes.push(...planLink(link, present, observed));
  }
  changes.push(...planRoutes(wanted.routes, { byName, managed, routes: observed.routes }));
  return changes;
}

function planLink(wanted: WantedLink, present: Link, observed: ObservedNetwork): NetworkChange[] {
  const { index } = present;
  const changes: NetworkChange[] = [];
  const up = (present.flags & IFF.UP) !== 0;
  const mtu = wanted.mtu === present.mtu ? undefined : wanted.mtu;
  if (!up || mtu !== undefined) {
    changes.push({
      kind: 'setLink',
      index,
      ...(up ? {} : { up: true }),
      ...(mtu === undefined ? {} : { mtu }),
    });
  }
  const wantedTexts = new Set(wanted.addresses.map((address) => formatCidr(address)));
  const presentTexts = new Set<string>();
  for (const entry of observed.addresses) {
    if (entry.index !== index || entry.scope !== RT_SCOPE.UNIVERSE) continue;
    const text = formatCidr(entry.address);
    presentTexts.add(text);
    if (wantedTexts.has(text) || !entry.permanent) continue;
    changes.push({ kind: 'deleteAddress', index, address: entry.address });
  }
  for (const address of wanted.addresses) {
    if (presentTexts.has(formatCidr(address))) continue;
    changes.push({ kind: 'putAddress', index, address });
  }
  return changes;
}

function planRoutes(
  wanted: readonly WantedRoute[],
  present: {
    readonly byName: ReadonlyMap<string, Link>;
    readonly managed: ReadonlySet<number>;
    readonly routes: readonly Route[];
  },
): NetworkChange[] {
  const settings = wanted.flatMap((route): RouteSettings[] => {
    const index = present.byName.get(route.linkName)?.index;
    if (index === undefined || !present.managed.has(index)) return [];
    const { family, destination, gateway, preferredSource, metric } = route;
    const protocol = RTPROT.STATIC;
    return [{ family, destination, gateway, preferredSource, index, protocol, priority: metric }];
  });
  const wantedKeys = new Set(settings.map((route) => routeKey(route)));
  const presentKeys = new Set<string>();
  const changes: NetworkChange[] = [];
  for (const route of present.routes) {
    const ours = route.protocol === RTPROT.STATIC && route.table === RT_TABLE_MAIN;
    if (!ours || route.index === undefined || !present.managed.has(route.index)) continue;
    const key = routeKey(route);
    presentKeys.add(key);
    if (!wantedKeys.has(key)) changes.push({ kind: 'deleteRoute', route });
  }
  for (const route of settings) {
    if (!presentKeys.has(routeKey(route))) changes.push({ kind: 'putRoute', route });
  }
  return changes;
}

function routeKey(route: RouteSettings): string {
  const { family, destination, gateway, preferredSource, index, priority = 0 } = route;
  const text = (address: Uint8Array | undefined) =>
    address === undefined ? '-' : formatIp(address);
  const target = destination === undefined ? 'default' : formatCidr(destination);
  return [family, target, text(gateway), text(preferredSource), index, priority].join(' ');
}
