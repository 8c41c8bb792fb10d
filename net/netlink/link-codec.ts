/**
 * Links in rtnetlink (include/uapi/linux/if_link.h). Pure.
 *
 *   ifinfomsg   u8 family | u8 0 | u16 type | i32 index | u32 flags | u32 change      then attributes
 */
import { Attributes, type NetlinkMessage, parseAttributes } from './reader.ts';
import { NLA_F_NESTED, type NetlinkWriter } from './writer.ts';

export const RTM = {
  NEWLINK: 16,
  DELLINK: 17,
  GETLINK: 18,
  SETLINK: 19,
  NEWADDR: 20,
  DELADDR: 21,
  GETADDR: 22,
  NEWROUTE: 24,
  DELROUTE: 25,
  GETROUTE: 26,
  NEWNEIGH: 28,
  DELNEIGH: 29,
  GETNEIGH: 30,
} as const;

export const IFF = { UP: 0x1, LOOPBACK: 0x8, RUNNING: 0x40, LOWER_UP: 0x10000 } as const;

const IFLA = {
  ADDRESS: 1,
  IFNAME: 3,
  MTU: 4,
  LINK: 5,
  MASTER: 10,
  PROTINFO: 12,
  OPERSTATE: 16,
  LINKINFO: 18,
  NET_NS_FD: 28,
  EXT_MASK: 29,
} as const;
const IFLA_INFO = { KIND: 1, DATA: 2 } as const;
const VETH_INFO_PEER = 1;
const IFLA_BRPORT = { HAIRPIN: 4, ISOLATED: 33 } as const;
const AF_BRIDGE = 7;

/** RFC 2863 operational state by number. */
const OPER_STATES = [
  'unknown',
  'notpresent',
  'down',
  'lowerlayerdown',
  'testing',
  'dormant',
  'up',
] as const;
export type OperState = (typeof OPER_STATES)[number];

export interface Link {
  readonly index: number;
  readonly name: string;
  /** `bridge`, `veth`, ...; empty for hardware and loopback. */
  readonly kind: string;
  /** ARPHRD_*: 1 Ethernet, 772 loopback. */
  readonly type: number;
  /** Bits of IFF. */
  readonly flags: number;
  readonly mtu: number;
  /** Hardware address as `02:42:...`, empty when it has none. */
  readonly address: string;
  /** Index of the bridge it is a port of, 0 for none. */
  readonly masterIndex: number;
  readonly operState: OperState;
}

/** What `formatLink` writes; absent = as it is. */
export interface LinkSettings {
  readonly index?: number | undefined;
  readonly name?: string | undefined;
  readonly up?: boolean | undefined;
  readonly mtu?: number | undefined;
  /** 0 takes the port out of its bridge. */
  readonly masterIndex?: number | undefined;
  readonly hardwareAddress?: Uint8Array | undefined;
  /** Moves the link into the namespace behind this fd. */
  readonly netnsFd?: number | undefined;
  readonly kind?: 'bridge' | 'veth' | undefined;
  /** The other end of a veth pair. */
  readonly peer?: LinkSettings | undefined;
}

function ifinfomsg(writer: NetlinkWriter, settings: LinkSettings, family = 0): void {
  const flags = settings.up === true ? IFF.UP : 0;
  const change = settings.up === undefined ? 0 : IFF.UP;
  writer.u8(family).u8(0).u16(0);
  writer
    .u32(settings.index ?? 0)
    .u32(flags)
    .u32(change);
}

export function formatLink(writer: NetlinkWriter, settings: LinkSettings): void {
  ifinfomsg(writer, settings);
  if (settings.hardwareAddress !== undefined) {
    writer.attribute(IFLA.ADDRESS, settings.hardwareAddress);
  }
  if (settings.name !== undefined) writer.attributeString(IFLA.IFNAME, settings.name);
  if (settings.mtu !== undefined) writer.attributeU32(IFLA.MTU, settings.mtu);
  if (settings.masterIndex !== undefined) writer.attributeU32(IFLA.MASTER, settings.masterIndex);
  if (settings.netnsFd !== undefined) writer.attributeU32(IFLA.NET_NS_FD, settings.netnsFd);
  const { kind, peer } = settings;
  if (kind === undefined) return;
  writer.nest(IFLA.LINKINFO, () => {
    writer.attributeString(IFLA_INFO.KIND, kind);
    if (peer === undefined) return;
    writer.nest(IFLA_INFO.DATA, () => writer.nest(VETH_INFO_PEER, () => formatLink(writer, peer)));
  });
}

export interface BridgePortSettings {
  readonly index: number;
  /** Lets frames out of the port that they came in by. */
  readonly hairpin?: boolean | undefined;
  /** Ports that are isolated reach the bridge itself, never each other. */
  readonly isolated?: boolean | undefined;
}

/** Payload of an RTM_SETLINK that changes a bridge port. */
export function formatBridgePort(writer: NetlinkWriter, settings: BridgePortSettings): void {
  ifinfomsg(writer, { index: settings.index }, AF_BRIDGE);
  writer.container(IFLA.PROTINFO | NLA_F_NESTED, () => {
    if (settings.hairpin !== undefined) {
      writer.attributeU8(IFLA_BRPORT.HAIRPIN, settings.hairpin ? 1 : 0);
    }
    if (settings.isolated !== undefined) {
      writer.attributeU8(IFLA_BRPORT.ISOLATED, settings.isolated ? 1 : 0);
    }
  });
}

/** Payload of an RTM_GETLINK: of one link by name, or of all. */
export function formatLinkQuery(writer: NetlinkWriter, name?: string): void {
  ifinfomsg(writer, {});
  if (name !== undefined) writer.attributeString(IFLA.IFNAME, name);
  writer.attributeU32(IFLA.EXT_MASK, 8); // RTEXT_FILTER_SKIP_STATS: 700 bytes less a link.
}

export function parseLink(message: NetlinkMessage): Link {
  const { payload } = message;
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const attributes = parseAttributes(payload, 16);
  const info = attributes.nested(IFLA.LINKINFO) ?? new Attributes(new Map());
  return {
    index: view.getInt32(4, true),
    name: attributes.string(IFLA.IFNAME) ?? '',
    kind: info.string(IFLA_INFO.KIND) ?? '',
    type: view.getUint16(2, true),
    flags: view.getUint32(8, true),
    mtu: attributes.u32(IFLA.MTU) ?? 0,
    address: formatHardwareAddress(attributes.bytes(IFLA.ADDRESS)),
    masterIndex: attributes.u32(IFLA.MASTER) ?? 0,
    operState: OPER_STATES[attributes.u8(IFLA.OPERSTATE) ?? 0] ?? 'unknown',
  };
}

export function formatHardwareAddress(bytes: Uint8Array = new Uint8Array()): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}
