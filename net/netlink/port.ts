/**
 * Public face of net/netlink for code that decides: framing, and what links, addresses, routes and
 * flows are. Pure.
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
export { type Flow, type FlowTuple } from './flow.ts';
export {
  type BridgePortSettings,
  IFF,
  type Link,
  type LinkSettings,
  type OperState,
} from './link-codec.ts';
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
export { NetlinkWriter } from './writer.ts';
