/**
 * Public face of net/link: the node's interfaces, for the supervisor: list them, bring them up, set
 * addresses and routes, and hear of changes. Level-triggered: `apply` compares and may be repeated.
 * Works in the network namespace of the thread that constructs NodeLinks.
 */
import { must } from '#base/assert.ts';
import { isErrno } from '#base/errors.ts';
import { formatIp } from '#base/ip.ts';
import { NetlinkError, RTNLGRP, RtNetlink, subscribeRoute } from '#net/netlink/netlink.ts';
import {
  IFF,
  type InterfaceAddress,
  type Link,
  RT_SCOPE,
  RT_TABLE_MAIN,
  type Route,
} from '#net/netlink/port.ts';
import {
  type NetworkChange,
  type ObservedNetwork,
  type WantedNetwork,
  planNetwork,
} from './plan.ts';

export {
  type NetworkChange,
  type ObservedNetwork,
  type WantedLink,
  type WantedNetwork,
  type WantedRoute,
  planNetwork,
} from './plan.ts';

const ARPHRD_ETHER = 1;
/** Addresses, what they took along, and the routes of those: more passes would be a quarrel. */
const PASSES_MAX = 3;
const GROUPS = [
  RTNLGRP.LINK,
  RTNLGRP.IPV4_IFADDR,
  RTNLGRP.IPV4_ROUTE,
  RTNLGRP.IPV6_IFADDR,
  RTNLGRP.IPV6_ROUTE,
];

/** A wired interface of the machine: neither virtual nor the loopback. */
export function isWired(link: Link): boolean {
  return link.type === ARPHRD_ETHER && link.kind === '' && (link.flags & IFF.LOOPBACK) === 0;
}

/** A cable is plugged in and the link is up. */
export function hasCarrier(link: Link): boolean {
  return (link.flags & IFF.UP) !== 0 && (link.flags & IFF.LOWER_UP) !== 0;
}

/** Where the node is reached: the address of the link with the best default route, IPv4 first. */
export function primaryAddress(observed: ObservedNetwork): string | undefined {
  for (const family of [4, 6] as const) {
    const [best] = observed.routes
      .filter((route) => isDefault(route) && route.family === family)
      .sort((a, b) => a.priority - b.priority);
    if (best === undefined) continue;
    const source = best.preferredSource ?? firstAddress(observed.addresses, best);
    if (source !== undefined) return formatIp(source);
  }
  return undefined;
}

function isDefault(route: Route): boolean {
  return route.destination === undefined && route.table === RT_TABLE_MAIN;
}

function firstAddress(
  addresses: readonly InterfaceAddress[],
  { family, index }: Route,
): Uint8Array | undefined {
  return addresses.find(
    (entry) =>
      entry.index === index && entry.scope === RT_SCOPE.UNIVERSE && entry.address.family === family,
  )?.address.address;
}

export class NodeLinks implements Disposable {
  readonly #rt = new RtNetlink();

  observe(): ObservedNetwork {
    return {
      links: this.#rt.links(),
      addresses: this.#rt.addresses(),
      routes: [...this.#rt.routes(4), ...this.#routesIpv6()],
    };
  }

  /** Brings the loopback up: the first thing that a machine does. */
  loopbackUp(): void {
    const { index } = must(this.#rt.link('lo'), 'link lo');
    this.#rt.setLink({ index, up: true });
  }

  setUp(name: string, up: boolean): void {
    const link = this.#rt.link(name);
    if (link !== undefined) this.#rt.setLink({ index: link.index, up });
  }

  /**
   * Makes addresses and routes those that are wanted; returns what that took. A change that the kernel
   * refuses is given to `onRefused`, and the others are made; without it the NetlinkError is thrown.
   * With an address the kernel removes the routes (and further addresses) that hang on it, so the
   * plan is made again until nothing is left to do.
   */
  apply(
    wanted: WantedNetwork,
    onRefused?: (change: NetworkChange, error: NetlinkError) => void,
  ): readonly NetworkChange[] {
    const done: NetworkChange[] = [];
    const refused = new Map<string, () => void>();
    for (let pass = 0; pass < PASSES_MAX; pass++) {
      const changes = planNetwork(wanted, this.observe());
      refused.clear(); // Only what the last pass could not do has not been done.
      for (const change of changes) {
        try {
          this.#perform(change);
          done.push(change);
        } catch (error) {
          if (onRefused === undefined || !(error instanceof NetlinkError)) throw error;
          refused.set(JSON.stringify(change), () => onRefused(change, error));
        }
      }
      if (changes.length === refused.size) break;
    }
    for (const tell of refused.values()) tell();
    return done;
  }

  /**
   * Calls back, at most once a turn of the event loop, after links, addresses or routes changed.
   * What changed is for `observe` to tell. `onEnd`: no more notifications come.
   */
  onChange(listener: () => void, onEnd: (error: Error) => void): Disposable {
    let queued: NodeJS.Immediate | undefined;
    const subscription = subscribeRoute(
      { groups: GROUPS },
      () => {
        queued ??= setImmediate(() => {
          queued = undefined;
          listener();
        });
      },
      onEnd,
    );
    return {
      [Symbol.dispose]() {
        clearImmediate(queued);
        subscription[Symbol.dispose]();
      },
    };
  }

  #perform(change: NetworkChange): void {
    switch (change.kind) {
      case 'setLink':
        this.#rt.setLink({ index: change.index, up: change.up, mtu: change.mtu });
        return;
      case 'putAddress':
        this.#rt.putAddress(change);
        return;
      case 'deleteAddress':
        this.#rt.deleteAddress(change);
        return;
      case 'putRoute':
        this.#rt.putRoute(change.route);
        return;
      case 'deleteRoute':
        this.#rt.deleteRoute(change.route);
        return;
    }
  }

  #routesIpv6(): Route[] {
    try {
      return this.#rt.routes(6);
    } catch (error) {
      // A kernel without IPv6 answers the dump of an unknown family so.
      if (isErrno(error, 'EOPNOTSUPP', 'EAFNOSUPPORT')) return [];
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#rt[Symbol.dispose]();
  }
}
