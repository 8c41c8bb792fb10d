/**
 * What one service port puts into the maps of the table. Pure.
 *
 * Every frontend (an address and port that clients use) with endpoints gets a shape of balancing in
 * `service-ips` or `service-nodeports`, and its endpoints; one without is refused: rejected when the
 * service has no endpoint at all, dropped when only this node has none (another node has, and
 * the client may find it).
 */
import { fnv1a32 } from '#base/fnv1a.ts';
import type { Verdict } from '#net/nftables/port.ts';
import { binaryU16be, binaryU32, binaryU8 } from '#net/nftables/port.ts';
import { type Kind, type Scope, type Shape, shapeName } from './chains.ts';
import type { Backend, BackendChoice } from './endpoints.ts';
import { PROTOCOL_NUMBERS, type ServicePort } from './service.ts';

export interface PlannedElement {
  readonly set: string;
  readonly key: string;
  readonly value: string | Verdict;
}

export interface PlannedFrontend {
  readonly kind: Kind;
  /** Key in the sets: address . protocol . port, or protocol . port. */
  readonly key: string;
  readonly elements: readonly PlannedElement[];
  readonly shape: Shape | undefined;
  /** Sources that this node may refuse: the chain's name follows from the ranges. */
  readonly sourceRanges: readonly string[];
  /** Targets that a flow of this frontend may have; read for UDP only. */
  readonly targets: readonly string[];
}

/** `fw-` and a hash of the ranges: services with equal ranges share a chain. */
export function firewallName(ranges: readonly string[]): string {
  return `fw-${fnv1a32([...ranges].sort().join(' '))
    .toString(16)
    .padStart(8, '0')}`;
}

type Policy = 'cluster' | 'external' | 'local';

interface FrontendPlan {
  readonly kind: Kind;
  readonly key: string;
  readonly policy: Policy;
  readonly choice: BackendChoice;
  readonly affinitySeconds: number;
  readonly sourceRanges: readonly string[];
}

export function planServicePort(port: ServicePort, choice: BackendChoice): PlannedFrontend[] {
  const suffix = binaryU8(PROTOCOL_NUMBERS[port.protocol]) + binaryU16be(port.port);
  const shared = { choice, affinitySeconds: port.affinitySeconds, sourceRanges: [] };
  const external: Policy = port.externalLocal ? 'local' : 'external';
  // Inside, the local policy has no short cut to other nodes: its choice is the local one.
  const inside = port.internalLocal
    ? { ...choice, cluster: choice.local, elsewhere: choice.cluster.length > 0 }
    : { ...choice, elsewhere: false };
  const planned = port.clusterIps.map((ip) =>
    planFrontend({ ...shared, kind: 'vip', key: ip + suffix, policy: 'cluster', choice: inside }),
  );
  for (const ip of port.externalIps) {
    planned.push(planFrontend({ ...shared, kind: 'vip', key: ip + suffix, policy: external }));
  }
  for (const ip of port.loadBalancerIps) {
    const { sourceRanges } = port;
    const frontend = { ...shared, sourceRanges, kind: 'vip', key: ip + suffix } as const;
    planned.push(planFrontend({ ...frontend, policy: external }));
  }
  if (port.nodePort > 0) {
    const key = binaryU8(PROTOCOL_NUMBERS[port.protocol]) + binaryU16be(port.nodePort);
    planned.push(planFrontend({ ...shared, kind: 'port', key, policy: external }));
  }
  return planned;
}

function planFrontend(
  plan: FrontendPlan & { readonly choice: BackendChoice & { readonly elsewhere?: boolean } },
): PlannedFrontend {
  const { kind, key, choice, policy, sourceRanges } = plan;
  const elements: PlannedElement[] = [];
  const shape = shapeOf(plan);
  if (shape !== undefined) {
    const value = gotoChain(shapeName(shape));
    elements.push({ set: kind === 'vip' ? 'service-ips' : 'service-nodeports', key, value });
    addTargets(elements, plan, { scope: 'cluster', backends: choice.cluster });
    if (policy === 'local') addTargets(elements, plan, { scope: 'local', backends: choice.local });
  }
  const localOnly = policy === 'local' && choice.local.length === 0;
  if (shape === undefined || localOnly) {
    const elsewhere = localOnly ? choice.cluster.length > 0 : choice.elsewhere === true;
    const set = kind === 'vip' ? 'no-endpoint-services' : 'no-endpoint-nodeports';
    elements.push({ set, key, value: elsewhere ? DROP : gotoChain('reject') });
  }
  if (sourceRanges.length > 0) {
    elements.push({ set: 'firewall-ips', key, value: gotoChain(firewallName(sourceRanges)) });
  }
  const targets = [...choice.cluster, ...choice.local].map(({ target }) => target);
  return { kind, key, elements, shape, sourceRanges, targets };
}

function shapeOf(plan: FrontendPlan): Shape | undefined {
  const { kind, policy, choice, affinitySeconds } = plan;
  const count = choice.cluster.length;
  if (policy === 'local') {
    const localCount = choice.local.length;
    // Local endpoints that only terminate may be all there is.
    if (count === 0) return undefined;
    return { kind, policy, count, localCount, affinitySeconds };
  }
  return count === 0 ? undefined : { kind, policy, scope: 'cluster', count, affinitySeconds };
}

function addTargets(
  elements: PlannedElement[],
  plan: FrontendPlan,
  group: { readonly scope: Scope; readonly backends: readonly Backend[] },
): void {
  const { kind, key, affinitySeconds } = plan;
  const prefix = `${kind}-${group.scope}`;
  for (const [i, { target }] of group.backends.entries()) {
    elements.push({ set: `${prefix}-endpoints`, key: binaryU32(i) + key, value: target });
    if (affinitySeconds > 0) {
      elements.push({ set: `${prefix}-affinity-valid`, key: key + target, value: '' });
    }
  }
}

const DROP: Verdict = { kind: 'drop' };

function gotoChain(chain: string): Verdict {
  return { kind: 'goto', chain };
}
