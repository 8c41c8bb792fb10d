/**
 * Rules between pods through topology (zone, host, ...): required and preferred pod affinity and
 * anti-affinity, and spread constraints. What a decision needs is counted once per pod over the whole
 * cluster (`observeTopology`), then each node is looked up. Pure.
 */
import { must } from '#base/assert.ts';
import { isDeleting } from '#base/kube/metadata.ts';
import type { Cluster, NodeInfo } from './cluster.ts';
import { findUntolerated, matchesNodeAffinity } from './node-match.ts';
import type { AffinityTerm, PodFacts, SpreadConstraint } from './pod-facts.ts';

/** Topology pair as a key: label key and value. */
const pair = (key: string, value: string) => `${key}\0${value}`;

type Counts = Map<string, number>;

function count(counts: Counts, key: string, by: number): void {
  counts.set(key, (counts.get(key) ?? 0) + by);
}

/** Does `term` (of another pod or of this one) select `facts`? */
function selects(term: AffinityTerm, facts: PodFacts, cluster: Cluster): boolean {
  const isInNamespace =
    term.namespaces.has(facts.namespace) ||
    term.namespaceSelector.matches(cluster.namespaceLabels(facts.namespace));
  return isInNamespace && term.selector.matches(facts.labels);
}

interface SpreadState {
  readonly constraint: SpreadConstraint;
  /** Matching pods per value of the topology key, over eligible nodes. */
  readonly counts: Counts;
  readonly selfMatch: number;
}

export interface Topology {
  /** Pairs where a pod stands whose anti-affinity forbids this one. */
  readonly forbidden: ReadonlySet<string>;
  /** Pairs with a pod that all required affinity terms select: term index in the key. */
  readonly affinity: ReadonlySet<string>;
  /** Pairs with a pod that a required anti-affinity term selects. */
  readonly antiAffinity: ReadonlySet<string>;
  /** No pod matches the affinity terms yet, and this one would match its own. */
  readonly isFirstOfGroup: boolean;
  readonly spread: readonly SpreadState[];
  /** Preference of a topology pair, by weights of both sides. */
  readonly preference: ReadonlyMap<string, number>;
}

export function observeTopology(facts: PodFacts, cluster: Cluster): Topology {
  const forbidden = new Set<string>();
  const affinity = new Set<string>();
  const antiAffinity = new Set<string>();
  const preference: Counts = new Map();
  const { requiredAffinity, requiredAntiAffinity, preferredAffinity, preferredAntiAffinity } =
    facts;
  const looksAtAll =
    requiredAffinity.length + requiredAntiAffinity.length > 0 ||
    preferredAffinity.length + preferredAntiAffinity.length > 0;
  if (looksAtAll || cluster.hasAffinityPods) {
    for (const info of cluster.nodes()) {
      observeExisting(facts, info, cluster, { forbidden, preference });
      if (!looksAtAll) continue;
      for (const other of info.pods.values()) {
        if (
          requiredAffinity.length > 0 &&
          requiredAffinity.every((t) => selects(t, other, cluster))
        ) {
          for (const term of requiredAffinity) mark(affinity, term, info);
        }
        for (const term of requiredAntiAffinity) {
          if (selects(term, other, cluster)) mark(antiAffinity, term, info);
        }
        for (const term of preferredAffinity) {
          if (selects(term, other, cluster))
            prefer(preference, term.topologyKey, info, term.weight);
        }
        for (const term of preferredAntiAffinity) {
          if (selects(term, other, cluster))
            prefer(preference, term.topologyKey, info, -term.weight);
        }
      }
    }
  }
  return {
    forbidden,
    affinity,
    antiAffinity,
    isFirstOfGroup:
      affinity.size === 0 && requiredAffinity.every((term) => selects(term, facts, cluster)),
    spread: facts.spread.map((constraint) => observeSpread(facts, constraint, cluster)),
    preference,
  };
}

function mark(pairs: Set<string>, term: AffinityTerm, info: NodeInfo): void {
  const value = info.labels[term.topologyKey];
  if (value !== undefined) pairs.add(pair(term.topologyKey, value));
}

function prefer(preference: Counts, key: string, info: NodeInfo, weight: number): void {
  const value = info.labels[key];
  if (value !== undefined) count(preference, pair(key, value), weight);
}

/** Terms of pods that are there, about the one that comes. */
function observeExisting(
  facts: PodFacts,
  info: NodeInfo,
  cluster: Cluster,
  { forbidden, preference }: { forbidden: Set<string>; preference: Counts },
): void {
  for (const other of info.antiAffinityPods) {
    for (const term of other.requiredAntiAffinity) {
      if (selects(term, facts, cluster)) mark(forbidden, term, info);
    }
  }
  for (const other of info.affinityPods) {
    for (const term of other.requiredAffinity) {
      // Upstream's weight of the wish to be near those that required it (hardPodAffinityWeight 1).
      if (selects(term, facts, cluster)) prefer(preference, term.topologyKey, info, 1);
    }
    for (const term of other.preferredAffinity) {
      if (selects(term, facts, cluster)) prefer(preference, term.topologyKey, info, term.weight);
    }
    for (const term of other.preferredAntiAffinity) {
      if (selects(term, facts, cluster)) prefer(preference, term.topologyKey, info, -term.weight);
    }
  }
}

function observeSpread(
  facts: PodFacts,
  constraint: SpreadConstraint,
  cluster: Cluster,
): SpreadState {
  const counts: Counts = new Map();
  for (const info of cluster.nodes()) {
    const value = info.labels[constraint.topologyKey];
    if (value === undefined || !hasAllKeys(facts, constraint, info)) continue;
    if (!isEligible(facts, constraint, info)) continue;
    let matching = 0;
    for (const other of info.pods.values()) {
      if (other.namespace !== facts.namespace || isDeleting(other.pod)) continue;
      if (constraint.selector.matches(other.labels)) matching++;
    }
    count(counts, value, matching);
  }
  return { constraint, counts, selfMatch: constraint.selector.matches(facts.labels) ? 1 : 0 };
}

/** A node that lacks a key of one constraint is no domain of the others of its kind either. */
function hasAllKeys(facts: PodFacts, { isHard }: SpreadConstraint, info: NodeInfo): boolean {
  return facts.spread.every(
    (other) => other.isHard !== isHard || info.labels[other.topologyKey] !== undefined,
  );
}

/** Nodes where the pod cannot go for other reasons do not count as domains. */
function isEligible(facts: PodFacts, constraint: SpreadConstraint, info: NodeInfo): boolean {
  const node = must(info.node, 'listed nodes exist');
  if (constraint.honourAffinity && !matchesNodeAffinity(facts.pod.spec, node)) return false;
  if (!constraint.honourTaints) return true;
  const { tolerations } = facts.pod.spec;
  return findUntolerated(node.spec?.taints, tolerations, ['NoSchedule', 'NoExecute']) === undefined;
}

export interface TopologyProblem {
  readonly plugin: string;
  readonly reason: string;
  /** Evicting pods would not help. */
  readonly isFinal: boolean;
}

/** Why the node does not do, or undefined. */
export function topologyProblem(
  facts: PodFacts,
  topology: Topology,
  info: NodeInfo,
): TopologyProblem | undefined {
  const problem = spreadProblem(topology, info);
  if (problem !== undefined) return { plugin: 'PodTopologySpread', ...problem };
  const at = (term: AffinityTerm) => {
    const value = info.labels[term.topologyKey];
    return value === undefined ? undefined : pair(term.topologyKey, value);
  };
  const plugin = 'InterPodAffinity';
  for (const term of facts.requiredAffinity) {
    const key = at(term);
    if (key === undefined || !(topology.affinity.has(key) || topology.isFirstOfGroup)) {
      return { plugin, reason: "node(s) didn't match pod affinity rules", isFinal: true };
    }
  }
  for (const term of facts.requiredAntiAffinity) {
    const key = at(term);
    if (key !== undefined && topology.antiAffinity.has(key)) {
      return { plugin, reason: "node(s) didn't match pod anti-affinity rules", isFinal: false };
    }
  }
  for (const [key, value] of topology.forbidden.size === 0 ? [] : Object.entries(info.labels)) {
    if (topology.forbidden.has(pair(key, value))) {
      const reason = "node(s) didn't satisfy existing pods anti-affinity rules";
      return { plugin, reason, isFinal: false };
    }
  }
  return undefined;
}

function spreadProblem(
  topology: Topology,
  info: NodeInfo,
): { reason: string; isFinal: boolean } | undefined {
  const unmatched = "node(s) didn't match pod topology spread constraints";
  for (const { constraint, counts, selfMatch } of topology.spread) {
    if (!constraint.isHard) continue;
    const value = info.labels[constraint.topologyKey];
    if (value === undefined) {
      return { reason: `${unmatched} (missing required label)`, isFinal: true };
    }
    const least = counts.size < constraint.minDomains ? 0 : Math.min(...counts.values());
    const skew = (counts.get(value) ?? 0) + selfMatch - least;
    if (skew > constraint.maxSkew) return { reason: unmatched, isFinal: false };
  }
  return undefined;
}

/** Wishes of pod affinity for this node: larger is better, may be negative. */
export function affinityPreference(topology: Topology, info: NodeInfo): number {
  if (topology.preference.size === 0) return 0;
  let sum = 0;
  for (const [key, value] of Object.entries(info.labels)) {
    sum += topology.preference.get(pair(key, value)) ?? 0;
  }
  return sum;
}

/** Matching pods in the node's domains of soft constraints: smaller is better. */
export function spreadCost(topology: Topology, info: NodeInfo): number {
  let cost = 0;
  for (const { constraint, counts } of topology.spread) {
    if (constraint.isHard) continue;
    const value = info.labels[constraint.topologyKey];
    cost += value === undefined ? Math.max(0, ...counts.values()) + 1 : (counts.get(value) ?? 0);
  }
  return cost;
}
