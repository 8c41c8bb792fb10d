/**
 * The scheduling decision: one pod and the cluster as known give a node, or the reasons why none does.
 * Pure: `random` breaks ties, `startIndex` says where the search for feasible nodes begins (it rotates,
 * so that on large clusters, where only a sample is looked at, every node gets its turn).
 */
import { must } from '#base/assert.ts';
import type { Cluster, NodeInfo } from './cluster.ts';
import { filterNode, type Rejection } from './filter.ts';
import type { PodFacts } from './pod-facts.ts';
import { scoreNodes } from './score.ts';
import { observeTopology } from './topology.ts';

const FEASIBLE_MIN = 100;
const PERCENT_MIN = 5;

export type Decision =
  | { readonly kind: 'node'; readonly nodeName: string; readonly nextIndex: number }
  | {
      readonly kind: 'none';
      readonly message: string;
      /** Plugins that objected: only what they look at can change the answer. */
      readonly plugins: ReadonlySet<string>;
      readonly rejections: ReadonlyMap<string, Rejection>;
      readonly nextIndex: number;
    };

/** How many feasible nodes are enough. */
export function feasibleEnough(nodeCount: number): number {
  if (nodeCount < FEASIBLE_MIN) return nodeCount;
  const percent = Math.max(PERCENT_MIN, 50 - Math.floor(nodeCount / 125));
  return Math.max(FEASIBLE_MIN, Math.floor((nodeCount * percent) / 100));
}

export function decide(
  facts: PodFacts,
  cluster: Cluster,
  options: { readonly startIndex: number; readonly random: () => number },
): Decision {
  const nodes = cluster.nodes();
  if (nodes.length === 0) {
    return {
      kind: 'none',
      message: 'no nodes available to schedule pods',
      plugins: new Set(['NoNodes']), // Any node that comes may do.
      rejections: new Map(),
      nextIndex: 0,
    };
  }
  const topology = observeTopology(facts, cluster);
  const enough = feasibleEnough(nodes.length);
  const feasible: NodeInfo[] = [];
  const rejections = new Map<string, Rejection>();
  let seen = 0;
  for (; seen < nodes.length && feasible.length < enough; seen++) {
    const index = (options.startIndex + seen) % nodes.length;
    const info = must(nodes[index], 'index within nodes');
    const rejected = filterNode(facts, topology, info);
    if (rejected === undefined) feasible.push(info);
    else rejections.set(info.name, rejected);
  }
  const nextIndex = (options.startIndex + seen) % nodes.length;
  if (feasible.length === 0) {
    return {
      kind: 'none',
      message: failureMessage(nodes.length, rejections),
      plugins: new Set([...rejections.values()].map((rejected) => rejected.plugin)),
      rejections,
      nextIndex,
    };
  }
  const best = pickBest(scoreNodes(facts, topology, feasible), options.random);
  return { kind: 'node', nodeName: must(feasible[best], 'best is an index').name, nextIndex };
}

/** Index of the highest score; equal ones are chosen among by chance. */
function pickBest(scores: readonly number[], random: () => number): number {
  let best = 0;
  let ties = 0;
  for (const [index, score] of scores.entries()) {
    const top = scores[best] ?? 0;
    if (score > top) {
      best = index;
      ties = 1;
    } else if (score === top) {
      ties++;
      if (random() * ties < 1) best = index;
    }
  }
  return best;
}

/** `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.` */
function failureMessage(nodeCount: number, rejections: ReadonlyMap<string, Rejection>): string {
  const counts = new Map<string, number>();
  for (const { reasons } of rejections.values()) {
    for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  const reasons = [...counts].map(([reason, count]) => `${count} ${reason}`).sort();
  return `0/${nodeCount} nodes are available: ${reasons.join(', ')}.`;
}
