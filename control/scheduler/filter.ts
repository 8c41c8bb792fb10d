/**
 * Which nodes can take a pod, and upstream's words for why not. Pure. The order is upstream's plugin
 * order: the first plugin that objects names the reasons.
 */
import { must } from '#base/assert.ts';
import type { NodeInfo } from './cluster.ts';
import { findUntolerated, isCordonedFor, matchesNodeAffinity } from './node-match.ts';
import { type PodFacts, portsConflict } from './pod-facts.ts';
import { type Topology, topologyProblem } from './topology.ts';

export interface Rejection {
  readonly plugin: string;
  readonly reasons: readonly string[];
  /** Evicting pods from this node could not help. */
  readonly isFinal: boolean;
}

function rejection(plugin: string, isFinal: boolean, ...reasons: string[]): Rejection {
  return { plugin, reasons, isFinal };
}

/** Undefined: the node can take the pod. */
export function filterNode(
  facts: PodFacts,
  topology: Topology,
  info: NodeInfo,
): Rejection | undefined {
  const node = must(info.node, 'listed nodes exist');
  const { spec } = facts.pod;
  if (isCordonedFor(spec, node)) {
    return rejection('NodeUnschedulable', true, 'node(s) were unschedulable');
  }
  if ((spec.nodeName ?? '') !== '' && spec.nodeName !== info.name) {
    return rejection('NodeName', true, "node(s) didn't match the requested node name");
  }
  const effects = ['NoSchedule', 'NoExecute'];
  if (findUntolerated(node.spec?.taints, spec.tolerations, effects) !== undefined) {
    return rejection('TaintToleration', true, 'node(s) had untolerated taint(s)');
  }
  if (!matchesNodeAffinity(spec, node)) {
    return rejection('NodeAffinity', true, "node(s) didn't match Pod's node affinity/selector");
  }
  if (hasPortConflict(facts, info)) {
    const reason = "node(s) didn't have free ports for the requested pod ports";
    return rejection('NodePorts', false, reason);
  }
  const lacking = lackingResources(facts, info);
  if (lacking.length > 0) {
    return rejection('NodeResourcesFit', cannotEverFit(facts, info), ...lacking);
  }
  const problem = topologyProblem(facts, topology, info);
  if (problem === undefined) return undefined;
  return rejection(problem.plugin, problem.isFinal, problem.reason);
}

function hasPortConflict(facts: PodFacts, info: NodeInfo): boolean {
  if (facts.ports.length === 0 || info.portPods === 0) return false;
  for (const other of info.pods.values()) {
    if (other.ports.some((theirs) => facts.ports.some((ours) => portsConflict(ours, theirs)))) {
      return true;
    }
  }
  return false;
}

function lackingResources(facts: PodFacts, info: NodeInfo): string[] {
  const lacking: string[] = [];
  if (info.pods.size + 1 > (info.allocatable.get('pods') ?? 0)) lacking.push('Too many pods');
  for (const [name, amount] of facts.requests) {
    if (amount === 0) continue;
    const free = (info.allocatable.get(name) ?? 0) - (info.used.get(name) ?? 0);
    if (amount > free) lacking.push(`Insufficient ${name}`);
  }
  return lacking;
}

/** More than the empty node has. */
function cannotEverFit(facts: PodFacts, info: NodeInfo): boolean {
  for (const [name, amount] of facts.requests) {
    if (amount > (info.allocatable.get(name) ?? 0)) return true;
  }
  return false;
}
