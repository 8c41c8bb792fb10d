/**
 * Preemption: when a pod fits nowhere, the node where the least important pods would have to go for
 * it. Pods of lower priority only; as few as possible; budgets are kept where they can be. Pure: the
 * cluster is changed while trying and put back. Order of preference as upstream's default preemption.
 */
import { must } from '#base/assert.ts';
import type { PodDisruptionBudget } from '#base/kube/api/policy-v1.gen.ts';
import { isDeleting, parseTime } from '#base/kube/metadata.ts';
import { compileLabelSelector, type LabelMatcher } from '#base/kube/selectors.ts';
import type { Cluster, NodeInfo } from './cluster.ts';
import { filterNode, type Rejection } from './filter.ts';
import type { PodFacts } from './pod-facts.ts';
import { observeTopology } from './topology.ts';

/** Nodes tried; beyond it the best so far is good enough. */
const CANDIDATES_MAX = 100;

export type Preemption =
  | { readonly kind: 'node'; readonly nodeName: string; readonly victims: readonly PodFacts[] }
  /** `message` is what follows the reasons of the nodes in the event. */
  | { readonly kind: 'none'; readonly message: string };

interface Candidate {
  readonly nodeName: string;
  /** Most important first. */
  readonly victims: readonly PodFacts[];
  readonly violations: number;
}

export interface PreemptionInput {
  readonly facts: PodFacts;
  readonly cluster: Cluster;
  readonly rejections: ReadonlyMap<string, Rejection>;
  readonly budgets: readonly PodDisruptionBudget[];
  /** Where victims were evicted for this pod before. */
  readonly nominatedNodeName?: string | undefined;
}

/**
 * The event's text: why no node took the pod, and why neither plugin that could free one did. No pod
 * has claims of devices here, which is what upstream's first one says.
 */
export function failureText(reasons: string, preemption: string): string {
  return `${reasons} no new claims to deallocate, preemption: ${preemption}`;
}

export function planPreemption(input: PreemptionInput): Preemption {
  const { facts, cluster, rejections } = input;
  if (facts.pod.spec.preemptionPolicy === 'Never') {
    return { kind: 'none', message: 'not eligible due to preemptionPolicy=Never.' };
  }
  const nominated = cluster.get(input.nominatedNodeName ?? '');
  if (nominated !== undefined && hasDeparting(facts, nominated)) {
    const message = 'not eligible due to a terminating pod on the nominated node.';
    return { kind: 'none', message };
  }
  const budgets = input.budgets
    .filter((pdb) => (pdb.status?.disruptionsAllowed ?? 0) <= 0)
    .map((pdb) => ({
      namespace: pdb.metadata.namespace ?? '',
      matcher: compileLabelSelector(pdb.spec?.selector),
    }));
  let best: Candidate | undefined;
  let tried = 0;
  for (const [name, rejection] of rejections) {
    const info = rejection.isFinal ? undefined : cluster.get(name);
    if (info === undefined) continue;
    const candidate = selectVictims(facts, info, cluster, budgets);
    if (candidate !== undefined && (best === undefined || isBetter(candidate, best))) {
      best = candidate;
    }
    if (++tried >= CANDIDATES_MAX && best !== undefined) break;
  }
  if (best !== undefined) return { kind: 'node', nodeName: best.nodeName, victims: best.victims };
  return { kind: 'none', message: failureMessage(rejections) };
}

function failureMessage(rejections: ReadonlyMap<string, Rejection>): string {
  const helpless = [...rejections.values()].filter(({ isFinal }) => isFinal).length;
  const rest = rejections.size - helpless;
  const parts = [
    ...(rest > 0 ? [`${rest} No preemption victims found for incoming pod`] : []),
    ...(helpless > 0 ? [`${helpless} Preemption is not helpful for scheduling`] : []),
  ];
  return `0/${rejections.size} nodes are available: ${parts.join(', ')}.`;
}

/** Victims chosen before are still on their way out: wait for them. */
function hasDeparting(facts: PodFacts, info: NodeInfo): boolean {
  for (const other of info.pods.values()) {
    if (other.priority < facts.priority && isDeleting(other.pod)) return true;
  }
  return false;
}

function startMs(facts: PodFacts): number {
  return parseTime(facts.pod.status?.startTime) ?? Infinity;
}

/** Higher priority first; of equal ones the longer running. */
function byImportance(a: PodFacts, b: PodFacts): number {
  return b.priority - a.priority || startMs(a) - startMs(b);
}

interface Guard {
  readonly namespace: string;
  readonly matcher: LabelMatcher;
}

function selectVictims(
  facts: PodFacts,
  info: NodeInfo,
  cluster: Cluster,
  budgets: readonly Guard[],
): Candidate | undefined {
  const lower = [...info.pods.values()].filter((pod) => pod.priority < facts.priority);
  if (lower.length === 0) return undefined;
  const fits = () => filterNode(facts, observeTopology(facts, cluster), info) === undefined;
  for (const pod of lower) cluster.removePod(pod.uid);
  const victims: PodFacts[] = [];
  let violations = 0;
  const isFeasible = fits();
  if (isFeasible) {
    const isGuarded = (pod: PodFacts) =>
      budgets.some(
        ({ namespace, matcher }) => namespace === pod.namespace && matcher.matches(pod.labels),
      );
    const sorted = [...lower].sort(byImportance);
    // The more a pod matters, the earlier it is tried whether it may stay after all.
    for (const pod of [...sorted.filter(isGuarded), ...sorted.filter((one) => !isGuarded(one))]) {
      cluster.putPod(pod, info.name);
      if (fits()) continue;
      cluster.removePod(pod.uid);
      victims.push(pod);
      if (isGuarded(pod)) violations++;
    }
  }
  for (const pod of lower) cluster.putPod(pod, info.name);
  if (!isFeasible || victims.length === 0) return undefined;
  return { nodeName: info.name, victims: victims.sort(byImportance), violations };
}

/** Fewer violations, then less important victims, then fewer, then those started last. */
function isBetter(a: Candidate, b: Candidate): boolean {
  const top = (c: Candidate) => must(c.victims[0], 'a candidate has victims');
  const sum = (c: Candidate) => c.victims.reduce((total, pod) => total + pod.priority, 0);
  const earliest = (c: Candidate) => Math.min(...c.victims.map(startMs));
  const steps: ((c: Candidate) => number)[] = [
    (c) => c.violations,
    (c) => top(c).priority,
    sum,
    (c) => c.victims.length,
    (c) => -earliest(c),
  ];
  for (const step of steps) {
    const [x, y] = [step(a), step(b)];
    if (x !== y) return x < y;
  }
  return false;
}
