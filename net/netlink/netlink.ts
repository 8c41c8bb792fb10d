/**
 * Public face of net/netlink: one synchronous netlink socket of ours, rtnetlink on top of it, events,
 * and the framing that net/nftables and conntrack share. Design.md section 10.
 */
export {
  type AddressSettings,
  type InterfaceAddress,
  NUD,
  type Neighbour,
  RTN,
  RTPROT,
  RT_SCOPE,
  RT_TABLE_MAIN,
  type Route,
  type RouteSettings,
} from './address-codec.ts';
export {
  type Flow,
  type FlowTuple,
  deleteConntrack,
  listConntrack,
} from './conntrack.ts';
export { NetlinkError } from './error.ts';
export { type NetlinkNotice, RTNLGRP, subscribeRoute } from './events.ts';
export {
  type BridgePortSettings,
  IFF,
  type Link,
  type LinkSettings,
  type OperState,
} from './link-codec.ts';
export { inNetns, inNetnsFd } from './netns.ts';
export {
  Attributes,
  NLM_F,
  NLMSG,
  NetlinkFormatError,
  type NetlinkMessage,
  eachAttribute,
  parseAttributes,
  parseMessages,
} from './reader.ts';
export { RtNetlink } from './rtnetlink.ts';
export { NETLINK, NetlinkSocket, type Rejection } from './socket.ts';
export { NetlinkWriter } from './writer.ts';
