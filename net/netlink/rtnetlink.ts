/**
 * Links, addresses, routes and neighbours of one network namespace: that of the thread at
 * construction (see netns.ts for others). Every call is one synchronous round trip to the kernel;
 * refusals are NetlinkError. Deletions of what is not there are no error: callers converge.
 */
import type { IpFamily } from '#base/ip.ts';
import { isErrno } from '#base/errors.ts';
import {
  type AddressSettings,
  type InterfaceAddress,
  type Neighbour,
  type Route,
  type RouteSettings,
  formatAddress,
  formatAddressQuery,
  formatNeighbour,
  formatNeighbourQuery,
  formatRoute,
  formatRouteQuery,
  parseAddress,
  parseNeighbour,
  parseRoute,
} from './address-codec.ts';
import {
  type BridgePortSettings,
  type Link,
  type LinkSettings,
  RTM,
  formatBridgePort,
  formatLink,
  formatLinkQuery,
  parseLink,
} from './link-codec.ts';
import { NLM_F } from './reader.ts';
import { NETLINK, NetlinkSocket } from './socket.ts';

export class RtNetlink implements Disposable {
  readonly #socket: NetlinkSocket;

  constructor() {
    this.#socket = new NetlinkSocket(NETLINK.ROUTE);
  }

  links(): Link[] {
    return this.#socket
      .dump({ type: RTM.GETLINK, operation: 'list links' }, (writer) => formatLinkQuery(writer))
      .map((message) => parseLink(message));
  }

  /** Undefined when there is no link of that name. */
  link(name: string): Link | undefined {
    try {
      const [message] = this.#socket.request(
        { type: RTM.GETLINK, operation: `get link ${name}` },
        (writer) => formatLinkQuery(writer, name),
      );
      return message === undefined ? undefined : parseLink(message);
    } catch (error) {
      if (isErrno(error, 'ENODEV')) return undefined;
      throw error;
    }
  }

  /** Throws EEXIST when the name is taken. */
  createLink(settings: LinkSettings & { readonly name: string }): void {
    this.#socket.request(
      {
        type: RTM.NEWLINK,
        flags: NLM_F.CREATE | NLM_F.EXCL,
        operation: `create link ${settings.name}`,
      },
      (writer) => formatLink(writer, settings),
    );
  }

  setLink(settings: LinkSettings & { readonly index: number }): void {
    this.#socket.request({ type: RTM.NEWLINK, operation: `set link ${settings.index}` }, (writer) =>
      formatLink(writer, settings),
    );
  }

  setBridgePort(settings: BridgePortSettings): void {
    this.#socket.request(
      { type: RTM.SETLINK, operation: `set bridge port ${settings.index}` },
      (writer) => formatBridgePort(writer, settings),
    );
  }

  /** By index or name. A veth takes its peer with it. */
  deleteLink(which: { readonly index: number } | { readonly name: string }): void {
    this.#ignoring(['ENODEV'], () => {
      this.#socket.request(
        { type: RTM.DELLINK, operation: `delete link ${JSON.stringify(which)}` },
        (writer) => formatLink(writer, which),
      );
    });
  }

  /** The same without stopping this thread for the 20 ms that the kernel takes to remove a link. */
  async deleteLinkAsync(name: string): Promise<void> {
    using socket = new NetlinkSocket(NETLINK.ROUTE);
    try {
      await socket.requestAsync({ type: RTM.DELLINK, operation: `delete link ${name}` }, (writer) =>
        formatLink(writer, { name }),
      );
    } catch (error) {
      if (!isErrno(error, 'ENODEV')) throw error; // It is gone already.
    }
  }

  addresses(): InterfaceAddress[] {
    return this.#socket
      .dump({ type: RTM.GETADDR, operation: 'list addresses' }, formatAddressQuery)
      .map((message) => parseAddress(message))
      .filter((address) => address !== undefined);
  }

  /** Adds, or changes the flags and scope of, an address. */
  putAddress(settings: AddressSettings): void {
    this.#socket.request(
      {
        type: RTM.NEWADDR,
        flags: NLM_F.CREATE | NLM_F.REPLACE,
        operation: `put address on link ${settings.index}`,
      },
      (writer) => formatAddress(writer, settings),
    );
  }

  deleteAddress(settings: AddressSettings): void {
    this.#ignoring(['EADDRNOTAVAIL', 'ENODEV'], () => {
      this.#socket.request(
        { type: RTM.DELADDR, operation: `delete address of link ${settings.index}` },
        (writer) => formatAddress(writer, settings),
      );
    });
  }

  /** Of every table, the kernel's local one included. */
  routes(family: IpFamily): Route[] {
    return this.#socket
      .dump({ type: RTM.GETROUTE, operation: 'list routes' }, (writer) =>
        formatRouteQuery(writer, family),
      )
      .map((message) => parseRoute(message))
      .filter((route) => route !== undefined);
  }

  /** Adds a route, or replaces the one with the same destination and priority. */
  putRoute(settings: RouteSettings): void {
    this.#socket.request(
      { type: RTM.NEWROUTE, flags: NLM_F.CREATE | NLM_F.REPLACE, operation: 'put route' },
      (writer) => formatRoute(writer, settings),
    );
  }

  deleteRoute(settings: RouteSettings): void {
    this.#ignoring(['ESRCH', 'ENODEV'], () => {
      this.#socket.request({ type: RTM.DELROUTE, operation: 'delete route' }, (writer) =>
        formatRoute(writer, settings),
      );
    });
  }

  neighbours(): Neighbour[] {
    return this.#socket
      .dump({ type: RTM.GETNEIGH, operation: 'list neighbours' }, formatNeighbourQuery)
      .map((message) => parseNeighbour(message))
      .filter((neighbour) => neighbour !== undefined);
  }

  putNeighbour(neighbour: Neighbour): void {
    this.#socket.request(
      { type: RTM.NEWNEIGH, flags: NLM_F.CREATE | NLM_F.REPLACE, operation: 'put neighbour' },
      (writer) => formatNeighbour(writer, neighbour),
    );
  }

  deleteNeighbour(neighbour: Neighbour): void {
    this.#ignoring(['ENOENT', 'ENODEV'], () => {
      this.#socket.request({ type: RTM.DELNEIGH, operation: 'delete neighbour' }, (writer) =>
        formatNeighbour(writer, neighbour),
      );
    });
  }

  #ignoring(codes: readonly string[], run: () => void): void {
    try {
      run();
    } catch (error) {
      if (!isErrno(error, ...codes)) throw error;
      // What was to be removed is gone already.
    }
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}
