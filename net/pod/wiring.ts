/**
 * Links, addresses and routes of the pod network: the bridge, and the veth pair of one pod. Each
 * function makes what is missing and leaves what is right, so it may be repeated.
 *
 * A pod's address is a /32 (/128): whatever it sends goes through the node's routing, neighbours on
 * the same bridge included. So translated connections always come back the way they went, without
 * br_netfilter; bridge ports are isolated from each other.
 */
import { closeSync, openSync } from 'node:fs';
import { must } from '#base/assert.ts';
import { isErrno } from '#base/errors.ts';
import { type Cidr, formatCidr, parseIp } from '#base/ip.ts';
import { RtNetlink, inNetnsFd } from '#net/netlink/netlink.ts';
import { type Link, RT_SCOPE, RT_TABLE_MAIN } from '#net/netlink/port.ts';
import { PodNetworkError } from './error.ts';
import { gatewayOf } from './ipam.ts';
import { setSysctl } from './sysctl.ts';

const POD_LINK_NAME = 'eth0';
const MTU_DEFAULT = 1500;

export interface BridgeConfig {
  readonly bridgeName: string;
  readonly podCidr: Cidr;
}

/** The bridge with the gateway's address, forwarding switched on. */
export function ensureBridge(rt: RtNetlink, config: BridgeConfig): void {
  const { bridgeName, podCidr } = config;
  const gateway = gatewayOf(podCidr);
  const found = rt.link(bridgeName);
  if (found !== undefined && found.kind !== 'bridge') {
    throw new PodNetworkError('INVALID_CONFIG', `link ${bridgeName} exists and is no bridge`);
  }
  if (found === undefined) {
    // Without an address of its own a bridge takes its ports', and changes it with them.
    const hardwareAddress = hardwareAddressOf(gateway);
    rt.createLink({ name: bridgeName, kind: 'bridge', hardwareAddress, mtu: uplinkMtu(rt) });
  }
  const { index } = must(rt.link(bridgeName), `link ${bridgeName} just made`);
  rt.setLink({ index, up: true });
  const wanted: Cidr = { ...podCidr, address: gateway };
  for (const present of rt.addresses()) {
    const { address } = present;
    const foreign = address.family === wanted.family && present.scope === RT_SCOPE.UNIVERSE;
    if (present.index === index && foreign && formatCidr(address) !== formatCidr(wanted)) {
      rt.deleteAddress(present);
    }
  }
  rt.putAddress({ index, address: wanted });
  if (podCidr.family === 4) setForwardingIpv4(bridgeName);
  else setSysctl('ipv6/conf/all/forwarding', '1');
}

function setForwardingIpv4(bridgeName: string): void {
  setSysctl('ipv4/ip_forward', '1');
  // Host ports on 127.0.0.1 reach a pod over the bridge; rules.ts guards the loopback.
  setSysctl(`ipv4/conf/${bridgeName}/route_localnet`, '1');
  // Pods on one bridge are meant to speak through the node.
  setSysctl('ipv4/conf/all/send_redirects', '0');
  setSysctl(`ipv4/conf/${bridgeName}/send_redirects`, '0');
  try {
    // Translating bridged frames would send them between isolated ports.
    setSysctl('bridge/bridge-nf-call-iptables', '0');
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error; // br_netfilter is not loaded: nothing to switch off.
  }
}

/** MTU of the link with the default route. */
export function uplinkMtu(rt: RtNetlink): number {
  const uplink = rt
    .routes(4)
    .filter((route) => route.destination === undefined && route.table === RT_TABLE_MAIN)
    .sort((a, b) => a.priority - b.priority)[0];
  return rt.links().find((link) => link.index === uplink?.index)?.mtu ?? MTU_DEFAULT;
}

export interface PodWiring extends BridgeConfig {
  readonly linkName: string;
  readonly ip: string;
  readonly netnsPath: string;
}

/** veth, address and routes of one pod. */
export function wirePod(rt: RtNetlink, wiring: PodWiring): void {
  const netnsFd = openNetns(wiring.netnsPath);
  try {
    const bridge = must(rt.link(wiring.bridgeName), `bridge ${wiring.bridgeName}`);
    const address = must(parseIp(wiring.ip), `allocated address ${wiring.ip}`);
    if (rt.link(wiring.linkName) === undefined || !hasEthernet(netnsFd)) {
      rt.deleteLink({ name: wiring.linkName }); // Half of an attempt that was cut short.
      createPair(rt, { ...wiring, bridge, netnsFd, address });
    }
    const { index } = must(rt.link(wiring.linkName), `link ${wiring.linkName} just made`);
    rt.setBridgePort({ index, isolated: true });
    rt.setLink({ index, up: true });
    const gateway = gatewayOf(wiring.podCidr);
    inNetnsFd(netnsFd, () => configurePod({ address, gateway }));
  } finally {
    closeSync(netnsFd);
  }
}

function openNetns(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
    throw new PodNetworkError('NETNS_MISSING', `no network namespace ${path}`, { cause: error });
  }
}

function hasEthernet(netnsFd: number): boolean {
  return inNetnsFd(netnsFd, () => {
    using pod = new RtNetlink();
    return pod.link(POD_LINK_NAME) !== undefined;
  });
}

function createPair(
  rt: RtNetlink,
  pair: {
    readonly linkName: string;
    readonly bridge: Link;
    readonly netnsFd: number;
    readonly address: Uint8Array;
  },
): void {
  const { mtu } = pair.bridge;
  rt.createLink({
    name: pair.linkName,
    kind: 'veth',
    mtu,
    masterIndex: pair.bridge.index,
    // The address follows the IP, so that the node's neighbour entry outlives a reuse.
    peer: {
      name: POD_LINK_NAME,
      mtu,
      netnsFd: pair.netnsFd,
      hardwareAddress: hardwareAddressOf(pair.address),
    },
  });
}

/** Runs in the pod's namespace. */
function configurePod(ends: { readonly address: Uint8Array; readonly gateway: Uint8Array }): void {
  const { address, gateway } = ends;
  const family = address.length === 4 ? 4 : 6;
  using pod = new RtNetlink();
  for (const link of pod.links()) {
    if (link.name === 'lo') pod.setLink({ index: link.index, up: true });
  }
  const { index } = must(pod.link(POD_LINK_NAME), `link ${POD_LINK_NAME} of the pod`);
  pod.setLink({ index, up: true });
  const prefixLength = address.length * 8;
  pod.putAddress({ index, address: { family, address, prefixLength } });
  pod.putRoute({ family, destination: { family, address: gateway, prefixLength }, index });
  pod.putRoute({ family, gateway, index });
}

/** A locally administered address that contains the last four bytes of an IP. */
export function hardwareAddressOf(ip: Uint8Array): Uint8Array {
  return Uint8Array.of(0x0a, 0x58, ...ip.slice(-4));
}
