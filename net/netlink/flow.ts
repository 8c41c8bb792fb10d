/**
 * Tracked connections as nfnetlink_conntrack.h lays them out. Pure.
 *
 *   nfgenmsg   u8 family | u8 version 0 | u16be 0      then attributes, values big-endian
 */
import { type Attributes, type NetlinkMessage, parseAttributes } from './reader.ts';

export const CTA = { TUPLE_ORIG: 1, TUPLE_REPLY: 2, ID: 12 } as const;
const CTA_TUPLE = { IP: 1, PROTO: 2 } as const;
const CTA_IP = { V4_SRC: 1, V4_DST: 2, V6_SRC: 3, V6_DST: 4 } as const;
const CTA_PROTO = { NUM: 1, SRC_PORT: 2, DST_PORT: 3 } as const;

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
