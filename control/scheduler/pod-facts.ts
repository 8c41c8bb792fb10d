/**
 * What scheduling needs of a pod, worked out once when it arrives: resource requests, host ports,
 * compiled affinity terms. Pure. Amounts are numbers: cpu in thousandths, all else in whole units
 * (bytes, counts), exact up to 2^53.
 */
import type {
  Container,
  Pod,
  PodAffinityTerm,
  TopologySpreadConstraint,
} from '#base/kube/api/core-v1.gen.ts';
import { parseQuantity, quantityMilliValue, quantityValue } from '#base/kube/quantity.ts';
import { controllerOf } from '#base/kube/metadata.ts';
import { compileLabelSelector, LabelMatcher, type Labels } from '#base/kube/selectors.ts';

export type Amounts = ReadonlyMap<string, number>;

export interface HostPort {
  readonly ip: string;
  readonly protocol: string;
  readonly port: number;
}

export interface AffinityTerm {
  readonly selector: LabelMatcher;
  readonly topologyKey: string;
  /** Namespaces by name; with `namespaceSelector` those that it matches as well. */
  readonly namespaces: ReadonlySet<string>;
  readonly namespaceSelector: LabelMatcher;
  /** Of preferred terms; 0 for required ones. */
  readonly weight: number;
}

export interface SpreadConstraint {
  readonly maxSkew: number;
  readonly minDomains: number;
  readonly topologyKey: string;
  readonly selector: LabelMatcher;
  readonly isHard: boolean;
  readonly honourAffinity: boolean;
  readonly honourTaints: boolean;
}

export interface PodFacts {
  readonly pod: Pod;
  readonly uid: string;
  readonly namespace: string;
  readonly labels: Labels;
  readonly priority: number;
  readonly requests: Amounts;
  /** With defaults for containers that ask for nothing, so that scoring spreads them too. */
  readonly scoredCpu: number;
  readonly scoredMemory: number;
  readonly ports: readonly HostPort[];
  readonly requiredAffinity: readonly AffinityTerm[];
  readonly requiredAntiAffinity: readonly AffinityTerm[];
  readonly preferredAffinity: readonly AffinityTerm[];
  readonly preferredAntiAffinity: readonly AffinityTerm[];
  readonly spread: readonly SpreadConstraint[];
  /** Uid of the controller: siblings are spread over nodes. */
  readonly controllerUid: string;
}

export function amountOf(resource: string, text: string): number {
  const quantity = parseQuantity(text);
  return resource === 'cpu' ? quantityMilliValue(quantity) : quantityValue(quantity);
}

export function parseAmounts(
  map: Readonly<Record<string, string>> | undefined,
): Map<string, number> {
  return new Map(Object.entries(map ?? {}).map(([name, text]) => [name, amountOf(name, text)]));
}

function add(into: Map<string, number>, amounts: Amounts): void {
  for (const [name, amount] of amounts) into.set(name, (into.get(name) ?? 0) + amount);
}

function raise(into: Map<string, number>, amounts: Amounts): void {
  for (const [name, amount] of amounts) into.set(name, Math.max(into.get(name) ?? 0, amount));
}

type Requests = (container: Container) => Amounts;

/**
 * Effective requests: all containers and sidecars at once, or the largest init container beside the
 * sidecars started before it, whichever is more; what the pod itself states overrides; plus overhead.
 */
export function podRequests(
  pod: Pod,
  of: Requests = (container) => parseAmounts(container.resources?.requests),
): Map<string, number> {
  const total = containerTotal(pod, of);
  override(total, pod.spec.resources?.requests);
  add(total, parseAmounts(pod.spec.overhead));
  return total;
}

/** Effective limits, by the same sum; overhead counts where there is a limit to raise. */
export function podLimits(pod: Pod): Map<string, number> {
  const total = containerTotal(pod, (container) => parseAmounts(container.resources?.limits));
  override(total, pod.spec.resources?.limits);
  for (const [name, amount] of parseAmounts(pod.spec.overhead)) {
    const limit = total.get(name) ?? 0;
    if (limit > 0) total.set(name, limit + amount);
  }
  return total;
}

function containerTotal(pod: Pod, of: Requests): Map<string, number> {
  const total = new Map<string, number>();
  for (const container of pod.spec.containers) add(total, of(container));
  const sidecars = new Map<string, number>();
  const initial = new Map<string, number>();
  for (const container of pod.spec.initContainers ?? []) {
    const needed = new Map(sidecars);
    add(needed, of(container));
    raise(initial, needed);
    if (container.restartPolicy !== 'Always') continue;
    add(sidecars, of(container));
    add(total, of(container));
  }
  raise(total, initial);
  return total;
}

/** What the pod itself states counts instead of the sum. */
function override(
  total: Map<string, number>,
  stated: Readonly<Record<string, string>> | undefined,
): void {
  for (const [name, amount] of parseAmounts(stated)) {
    if (name === 'cpu' || name === 'memory' || name.startsWith('hugepages-')) {
      total.set(name, amount);
    }
  }
}

const DEFAULT_CPU_MILLI = 100;
const DEFAULT_MEMORY_BYTES = 200 * 1024 * 1024;

function scoredRequests(container: Container): Amounts {
  const amounts = parseAmounts(container.resources?.requests);
  if (!amounts.has('cpu')) amounts.set('cpu', DEFAULT_CPU_MILLI);
  if (!amounts.has('memory')) amounts.set('memory', DEFAULT_MEMORY_BYTES);
  return amounts;
}

function hostPorts(pod: Pod): HostPort[] {
  const sidecars = (pod.spec.initContainers ?? []).filter((c) => c.restartPolicy === 'Always');
  const ports: HostPort[] = [];
  for (const container of [...sidecars, ...pod.spec.containers]) {
    for (const { hostPort = 0, hostIP = '', protocol = 'TCP' } of container.ports ?? []) {
      if (hostPort > 0)
        ports.push({ ip: hostIP === '' ? '0.0.0.0' : hostIP, protocol, port: hostPort });
    }
  }
  return ports;
}

export function portsConflict(a: HostPort, b: HostPort): boolean {
  if (a.port !== b.port || a.protocol !== b.protocol) return false;
  return a.ip === b.ip || a.ip === '0.0.0.0' || b.ip === '0.0.0.0';
}

function compileTerm(term: PodAffinityTerm, pod: Pod, weight = 0): AffinityTerm {
  const base = compileLabelSelector(term.labelSelector);
  const labels = pod.metadata.labels ?? {};
  const extra = [
    ...(term.matchLabelKeys ?? []).map((key) => ({ key, operator: 'in' as const })),
    ...(term.mismatchLabelKeys ?? []).map((key) => ({ key, operator: 'notin' as const })),
  ]
    .filter(({ key }) => labels[key] !== undefined)
    .map(({ key, operator }) => ({ key, operator, values: [labels[key] ?? ''] }));
  const names = term.namespaces ?? [];
  const isOwn = names.length === 0 && term.namespaceSelector === undefined;
  return {
    selector:
      term.labelSelector === undefined || extra.length === 0
        ? base
        : new LabelMatcher([...base.requirements, ...extra]),
    topologyKey: term.topologyKey,
    namespaces: new Set(isOwn ? [pod.metadata.namespace ?? ''] : names),
    namespaceSelector: compileLabelSelector(term.namespaceSelector),
    weight,
  };
}

function spreadConstraint(constraint: TopologySpreadConstraint, pod: Pod): SpreadConstraint {
  const base = compileLabelSelector(constraint.labelSelector);
  const labels = pod.metadata.labels ?? {};
  const extra = (constraint.matchLabelKeys ?? [])
    .filter((key) => labels[key] !== undefined)
    .map((key) => ({ key, operator: 'in' as const, values: [labels[key] ?? ''] }));
  return {
    maxSkew: constraint.maxSkew,
    minDomains: constraint.minDomains ?? 1,
    topologyKey: constraint.topologyKey,
    // Without a selector nothing is counted, whatever the keys.
    selector:
      constraint.labelSelector === undefined || extra.length === 0
        ? base
        : new LabelMatcher([...base.requirements, ...extra]),
    isHard: constraint.whenUnsatisfiable === 'DoNotSchedule',
    honourAffinity: constraint.nodeAffinityPolicy !== 'Ignore',
    honourTaints: constraint.nodeTaintsPolicy === 'Honor',
  };
}

export function podFacts(pod: Pod): PodFacts {
  const scored = podRequests(pod, scoredRequests);
  const { podAffinity, podAntiAffinity } = pod.spec.affinity ?? {};
  const required = (terms: readonly PodAffinityTerm[] | undefined) =>
    (terms ?? []).map((term) => compileTerm(term, pod));
  type Weighted = { weight: number; podAffinityTerm: PodAffinityTerm };
  const preferred = (terms: readonly Weighted[] | undefined) =>
    (terms ?? []).map(({ weight, podAffinityTerm }) => compileTerm(podAffinityTerm, pod, weight));
  return {
    pod,
    uid: pod.metadata.uid,
    namespace: pod.metadata.namespace ?? '',
    labels: pod.metadata.labels ?? {},
    priority: pod.spec.priority ?? 0,
    requests: podRequests(pod),
    scoredCpu: scored.get('cpu') ?? 0,
    scoredMemory: scored.get('memory') ?? 0,
    ports: hostPorts(pod),
    requiredAffinity: required(podAffinity?.requiredDuringSchedulingIgnoredDuringExecution),
    requiredAntiAffinity: required(podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution),
    preferredAffinity: preferred(podAffinity?.preferredDuringSchedulingIgnoredDuringExecution),
    preferredAntiAffinity: preferred(
      podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution,
    ),
    spread: (pod.spec.topologySpreadConstraints ?? []).map((c) => spreadConstraint(c, pod)),
    controllerUid: controllerOf(pod)?.uid ?? '',
  };
}
