/**
 * Connection tracking (include/uapi/linux/netfilter/nfnetlink_conntrack.h): lists flows and deletes
 * those that a caller names. A UDP flow keeps its translation for as long as packets come, so it has
 * to go when its endpoint does.
 *
 *   nfgenmsg   u8 family | u8 version 0 | u16be 0      then attributes, values big-endian
 */
import { isErrno } from '#base/errors.ts';
import { type Attributes, type NetlinkMessage, parseAttributes } from './reader.ts';
import { NETLINK, NetlinkSocket } from './socket.ts';
import { NLA_F_NESTED } from './writer.ts';

const NFNL_SUBSYS_CTNETLINK = 1;
const CT_GET = (NFNL_SUBSYS_CTNETLINK << 8) | 1;
const CT_DELETE = (NFNL_SUBSYS_CTNETLINK << 8) | 2;
const CTA = { TUPLE_ORIG: 1, TUPLE_REPLY: 2, ID: 12 } as const;
const CTA_TUPLE = { IP: 1, PROTO: 2 } as const;
const CTA_IP = { V4_SRC: 1, V4_DST: 2, V6_SRC: 3, V6_DST: 4 } as const;
const CTA_PROTO = { NUM: 1, SRC_PORT: 2, DST_PORT: 3 } as const;
const AF = { ip: 2, ip6: 10 } as const;

/** One direction of a flow. Ports are 0 where the protocol has none. */
export interface FlowTuple {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

export interface Flow {
  /** IP protocol number. */
  readonly protocol: number;
  /** As the first packet was sent. */
  readonly original: FlowTuple;
  /** As answers arrive: its source is the endpoint that a translation chose. */
  readonly reply: FlowTuple;
}

export function listConntrack(family: 'ip' | 'ip6'): Flow[] {
  using socket = new NetlinkSocket(NETLINK.NETFILTER);
  return dump(socket, family)
    .map((message) => parseFlow(message))
    .filter((flow) => flow !== undefined);
}

/** Deletes the flows that `matches` picks; returns how many. Those that ended meanwhile count not. */
export function deleteConntrack(family: 'ip' | 'ip6', matches: (flow: Flow) => boolean): number {
  using socket = new NetlinkSocket(NETLINK.NETFILTER);
  let count = 0;
  for (const message of dump(socket, family)) {
    const flow = parseFlow(message);
    if (flow === undefined || !matches(flow)) continue;
    const attributes = parseAttributes(message.payload, 4);
    const tuple = attributes.bytes(CTA.TUPLE_ORIG);
    const id = attributes.bytes(CTA.ID);
    if (tuple === undefined) continue;
    try {
      socket.request({ type: CT_DELETE, operation: 'delete flow' }, (writer) => {
        writer.u8(AF[family]).u8(0).u16be(0);
        writer.attribute(CTA.TUPLE_ORIG | NLA_F_NESTED, tuple);
        if (id !== undefined) writer.attribute(CTA.ID, id);
      });
      count++;
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error; // It ended by itself.
    }
  }
  return count;
}

function dump(socket: NetlinkSocket, family: 'ip' | 'ip6'): NetlinkMessage[] {
  return socket.dump({ type: CT_GET, operation: 'list flows' }, (writer) => {
    writer.u8(AF[family]).u8(0).u16be(0);
  });
}

export function parseFlow(message: NetlinkMessage): Flow | undefined {
  const attributes = parseAttributes(message.payload, 4);
  const original = parseTuple(attributes.nested(CTA.TUPLE_ORIG));
  const reply = parseTuple(attributes.nested(CTA.TUPLE_REPLY));
  if (original === undefined || reply === undefined) return undefined;
  return { protocol: original.protocol, original: original.tuple, reply: reply.tuple };
}

function parseTuple(
  attributes: Attributes | undefined,
): { readonly protocol: number; readonly tuple: FlowTuple } | undefined {
  const ip = attributes?.nested(CTA_TUPLE.IP);
  const proto = attributes?.nested(CTA_TUPLE.PROTO);
  const source = ip?.bytes(CTA_IP.V4_SRC) ?? ip?.bytes(CTA_IP.V6_SRC);
  const destination = ip?.bytes(CTA_IP.V4_DST) ?? ip?.bytes(CTA_IP.V6_DST);
  const protocol = proto?.u8(CTA_PROTO.NUM);
  if (source === undefined || destination === undefined || protocol === undefined) return undefined;
  return {
    protocol,
    tuple: {
      source,
      destination,
      sourcePort: proto?.u16be(CTA_PROTO.SRC_PORT) ?? 0,
      destinationPort: proto?.u16be(CTA_PROTO.DST_PORT) ?? 0,
    },
  };
}
