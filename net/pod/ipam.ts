/**
 * Addresses of pods from the node's prefix. Pure: state in, state out.
 *
 * Allocation goes round from where the last one ended, so an address that was given back is used
 * again as late as possible: connections and caches of its former pod have ended by then.
 * Invariants: an address is held by one sandbox; network, gateway (first) and broadcast (last)
 * addresses are never given out.
 */
import { type Cidr, addressAt, cidrSize, formatIp } from '#base/ip.ts';
import type { AttachRequest } from './port.ts';

export interface Allocation {
  readonly sandboxId: string;
  readonly ip: string;
  /** Name of the veth on the node's side. */
  readonly linkName: string;
  readonly hostPorts: AttachRequest['hostPorts'];
}

export interface IpamState {
  /** Index in the prefix at which the search for a free address starts. */
  readonly nextIndex: number;
  /** By sandbox id. */
  readonly allocations: ReadonlyMap<string, Allocation>;
}

export const EMPTY_IPAM: IpamState = { nextIndex: 2, allocations: new Map() };

/** A /8 holds more addresses than a node ever runs pods; the search is bounded by pods, not by it. */
const FIRST_INDEX = 2;

export function gatewayOf(podCidr: Cidr): Uint8Array {
  return addressAt(podCidr, 1);
}

/** Undefined when no address is free. */
export function allocate(
  state: IpamState,
  podCidr: Cidr,
  request: Omit<Allocation, 'ip'>,
): { readonly state: IpamState; readonly allocation: Allocation } | undefined {
  const endIndex = cidrSize(podCidr) - (podCidr.family === 4 ? 1 : 0);
  const taken = new Set([...state.allocations.values()].map(({ ip }) => ip));
  const countMax = Math.min(endIndex - FIRST_INDEX, taken.size + 1);
  let index = state.nextIndex;
  for (let tried = 0; tried < countMax; tried++, index++) {
    if (index < FIRST_INDEX || index >= endIndex) index = FIRST_INDEX;
    const ip = formatIp(addressAt(podCidr, index));
    if (taken.has(ip)) continue;
    const allocation = { ...request, ip };
    const allocations = new Map(state.allocations).set(request.sandboxId, allocation);
    return { state: { nextIndex: index + 1, allocations }, allocation };
  }
  return undefined;
}

export function release(state: IpamState, sandboxId: string): IpamState {
  const allocations = new Map(state.allocations);
  allocations.delete(sandboxId);
  return { ...state, allocations };
}
