/**
 * Addresses, routes and neighbours in rtnetlink (if_addr.h, rtnetlink.h, neighbour.h). Pure.
 *
 *   ifaddrmsg   u8 family | u8 prefix length | u8 flags | u8 scope | u32 index
 *   rtmsg       u8 family | u8 dst length | u8 src length | u8 tos | u8 table | u8 protocol |
 *               u8 scope | u8 type | u32 flags
 *   ndmsg       u8 family | 3 zeros | i32 index | u16 state | u8 flags | u8 type
 */
import type { Cidr, IpFamily } from '#base/ip.ts';
import { type NetlinkMessage, parseAttributes } from './reader.ts';
import type { NetlinkWriter } from './writer.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const IFA = { ADDRESS: 1, LOCAL: 2, FLAGS: 8 } as const;
const IFA_F_NODAD = 0x2;
const IFA_F_PERMANENT = 0x80;
const IFA_F_NOPREFIXROUTE = 0x200;
const RTA = { DST: 1, OIF: 4, GATEWAY: 5, PRIORITY: 6, PREFSRC: 7, TABLE: 15 } as const;
const NDA = { DST: 1, LLADDR: 2 } as const;
const RTNH_F_ONLINK = 4;

/** Origin of a route: who may replace or remove it. */
export const RTPROT = { KERNEL: 2, BOOT: 3, STATIC: 4, DHCP: 16 } as const;
export const RT_SCOPE = { UNIVERSE: 0, LINK: 253, HOST: 254 } as const;
export const RTN = { UNICAST: 1, LOCAL: 2, BROADCAST: 3, BLACKHOLE: 6, UNREACHABLE: 7 } as const;
export const RT_TABLE_MAIN = 254;
export const NUD = { REACHABLE: 0x2, STALE: 0x4, PERMANENT: 0x80 } as const;

export interface InterfaceAddress {
  readonly index: number;
  readonly address: Cidr;
  readonly scope: number;
  /** Set by somebody; false for what autoconfiguration gave for a time. */
  readonly permanent: boolean;
}

export interface AddressSettings {
  readonly index: number;
  readonly address: Cidr;
  readonly scope?: number | undefined;
  /** Do not add the route to the prefix that comes with an address. */
  readonly noPrefixRoute?: boolean | undefined;
}

export interface Route {
  readonly family: IpFamily;
  /** Absent = default route. */
  readonly destination: Cidr | undefined;
  readonly gateway: Uint8Array | undefined;
  readonly index: number | undefined;
  readonly preferredSource: Uint8Array | undefined;
  readonly priority: number;
  readonly table: number;
  readonly protocol: number;
  readonly scope: number;
  readonly type: number;
}

export interface RouteSettings {
  readonly family: IpFamily;
  readonly destination?: Cidr | undefined;
  readonly gateway?: Uint8Array | undefined;
  readonly index?: number | undefined;
  readonly preferredSource?: Uint8Array | undefined;
  readonly priority?: number | undefined;
  readonly table?: number | undefined;
  readonly protocol?: number | undefined;
  readonly scope?: number | undefined;
  readonly type?: number | undefined;
  /** The gateway is reachable on the link although no prefix says so. */
  readonly onLink?: boolean | undefined;
}

export interface Neighbour {
  readonly index: number;
  readonly address: Uint8Array;
  readonly hardwareAddress: Uint8Array | undefined;
  readonly state: number;
}

function addressFamily(family: IpFamily): number {
  return family === 4 ? AF_INET : AF_INET6;
}

function familyOf(addressFamilyNumber: number | undefined): IpFamily | undefined {
  if (addressFamilyNumber === AF_INET) return 4;
  return addressFamilyNumber === AF_INET6 ? 6 : undefined;
}

export function formatAddress(writer: NetlinkWriter, settings: AddressSettings): void {
  const { family, address, prefixLength } = settings.address;
  writer.u8(addressFamily(family)).u8(prefixLength).u8(0);
  writer.u8(settings.scope ?? RT_SCOPE.UNIVERSE).u32(settings.index);
  writer.attribute(IFA.LOCAL, address).attribute(IFA.ADDRESS, address);
  const flags =
    (settings.noPrefixRoute === true ? IFA_F_NOPREFIXROUTE : 0) | (family === 6 ? IFA_F_NODAD : 0);
  if (flags !== 0) writer.attributeU32(IFA.FLAGS, flags);
}

export function formatAddressQuery(writer: NetlinkWriter): void {
  writer.zeros(8);
}

/** Undefined for families other than IPv4 and IPv6. */
export function parseAddress(message: NetlinkMessage): InterfaceAddress | undefined {
  const { payload } = message;
  const family = familyOf(payload[0]);
  const attributes = parseAttributes(payload, 8);
  const address = attributes.bytes(IFA.LOCAL) ?? attributes.bytes(IFA.ADDRESS);
  if (family === undefined || address === undefined) return undefined;
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  return {
    index: view.getUint32(4, true),
    address: { family, address, prefixLength: payload[1] ?? 0 },
    scope: payload[3] ?? 0,
    permanent: ((attributes.u32(IFA.FLAGS) ?? payload[2] ?? 0) & IFA_F_PERMANENT) !== 0,
  };
}

export function formatRoute(writer: NetlinkWriter, settings: RouteSettings): void {
  const { destination, gateway, index, preferredSource, priority } = settings;
  const table = settings.table ?? RT_TABLE_MAIN;
  const scope = settings.scope ?? (gateway === undefined ? RT_SCOPE.LINK : RT_SCOPE.UNIVERSE);
  writer.u8(addressFamily(settings.family)).u8(destination?.prefixLength ?? 0);
  writer.u8(0).u8(0);
  writer.u8(table > 255 ? 0 : table).u8(settings.protocol ?? RTPROT.STATIC);
  writer.u8(settings.family === 6 ? RT_SCOPE.UNIVERSE : scope).u8(settings.type ?? RTN.UNICAST);
  writer.u32(settings.onLink === true ? RTNH_F_ONLINK : 0);
  if (destination !== undefined) writer.attribute(RTA.DST, destination.address);
  if (gateway !== undefined) writer.attribute(RTA.GATEWAY, gateway);
  if (index !== undefined) writer.attributeU32(RTA.OIF, index);
  if (preferredSource !== undefined) writer.attribute(RTA.PREFSRC, preferredSource);
  if (priority !== undefined) writer.attributeU32(RTA.PRIORITY, priority);
  if (table > 255) writer.attributeU32(RTA.TABLE, table);
}

/** Payload of a route dump: with strict checking the kernel filters by family. */
export function formatRouteQuery(writer: NetlinkWriter, family: IpFamily): void {
  writer.u8(addressFamily(family)).zeros(11);
}

export function parseRoute(message: NetlinkMessage): Route | undefined {
  const { payload } = message;
  const family = familyOf(payload[0]);
  if (family === undefined) return undefined;
  const attributes = parseAttributes(payload, 12);
  const destination = attributes.bytes(RTA.DST);
  const prefixLength = payload[1] ?? 0;
  return {
    family,
    destination: destination && { family, address: destination, prefixLength },
    gateway: attributes.bytes(RTA.GATEWAY),
    index: attributes.u32(RTA.OIF),
    preferredSource: attributes.bytes(RTA.PREFSRC),
    priority: attributes.u32(RTA.PRIORITY) ?? 0,
    table: attributes.u32(RTA.TABLE) ?? payload[4] ?? 0,
    protocol: payload[5] ?? 0,
    scope: payload[6] ?? 0,
    type: payload[7] ?? 0,
  };
}

export function formatNeighbour(writer: NetlinkWriter, neighbour: Neighbour): void {
  const { address, hardwareAddress } = neighbour;
  writer.u8(address.length === 4 ? AF_INET : AF_INET6).zeros(3);
  writer.u32(neighbour.index).u16(neighbour.state).u16(0);
  writer.attribute(NDA.DST, address);
  if (hardwareAddress !== undefined) writer.attribute(NDA.LLADDR, hardwareAddress);
}

export function formatNeighbourQuery(writer: NetlinkWriter): void {
  writer.zeros(12);
}

export function parseNeighbour(message: NetlinkMessage): Neighbour | undefined {
  const { payload } = message;
  const attributes = parseAttributes(payload, 12);
  const address = attributes.bytes(NDA.DST);
  if (familyOf(payload[0]) === undefined || address === undefined) return undefined;
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  return {
    index: view.getInt32(4, true),
    address,
    hardwareAddress: attributes.bytes(NDA.LLADDR),
    state: view.getUint16(8, true),
  };
}
