/**
 * Public face of net/netlink for code that acts: one synchronous netlink socket of ours, rtnetlink and
 * conntrack on top of it, events (design.md section 10). Pure code imports port.ts.
 */
export { deleteConntrack, listConntrack } from './conntrack.ts';
export { NetlinkError } from './error.ts';
export {
  type NetlinkNotice,
  RTNLGRP,
  subscribeRoute,
  subscribeUevents,
  type UeventNotice,
} from './events.ts';
export { inNetns, inNetnsFd } from './netns.ts';
export { RtNetlink } from './rtnetlink.ts';
export { NETLINK, NetlinkSocket, type Rejection } from './socket.ts';
