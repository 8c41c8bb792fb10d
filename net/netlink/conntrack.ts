/**
 * Connection tracking (include/uapi/linux/netfilter/nfnetlink_conntrack.h): lists flows and deletes
 * those that a caller names. A UDP flow keeps its translation for as long as packets come, so it has
 * to go when its endpoint does.
 */
import { isErrno } from '#base/errors.ts';
import { CTA, type Flow, parseFlow } from './flow.ts';
import { type NetlinkMessage, parseAttributes } from './reader.ts';
import { NETLINK, NetlinkSocket } from './socket.ts';
import { NLA_F_NESTED } from './writer.ts';

const NFNL_SUBSYS_CTNETLINK = 1;
const CT_GET = (NFNL_SUBSYS_CTNETLINK << 8) | 1;
const CT_DELETE = (NFNL_SUBSYS_CTNETLINK << 8) | 2;
const AF = { ip: 2, ip6: 10 } as const;

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
