/**
 * Which of the feasible nodes is best: upstream's default plugins and weights. Every plugin gives 0 to
 * 100 per node, normalised over the feasible nodes where its raw values have no bound. Pure.
 */
import { must } from '#base/assert.ts';
import type { NodeInfo } from './cluster.ts';
import { preferredNodeWeight, tolerates } from './node-match.ts';
import type { PodFacts } from './pod-facts.ts';
import { affinityPreference, spreadCost, type Topology } from './topology.ts';

const MB = 1024 * 1024;
const IMAGE_BYTES_MIN = 23 * MB;
const IMAGE_BYTES_MAX_PER_CONTAINER = 1000 * MB;

/** Total score of each node, in the order given. */
export function scoreNodes(
  facts: PodFacts,
  topology: Topology,
  nodes: readonly NodeInfo[],
): number[] {
  const totals = nodes.map(
    (info) => leastAllocated(facts, info) + balanced(facts, info) + imageLocality(facts, info),
  );
  const add = (weight: number, scores: readonly number[]) => {
    for (const [i, score] of scores.entries()) totals[i] = (totals[i] ?? 0) + weight * score;
  };
  add(3, lessIsBetter(nodes.map((info) => intolerablePreferences(facts, info))));
  add(2, moreIsBetter(nodes.map((info) => nodePreference(facts, info))));
  add(2, spread(nodes.map((info) => affinityPreference(topology, info))));
  add(2, lessIsBetter(nodes.map((info) => spreadCost(topology, info) + siblings(facts, info))));
  return totals;
}

function fraction(used: number, allocatable: number): number {
  return allocatable <= 0 ? 1 : Math.min(1, used / allocatable);
}

function fractions(facts: PodFacts, info: NodeInfo): [cpu: number, memory: number] {
  const cpu = info.scoredCpuUsed + facts.scoredCpu;
  const memory = info.scoredMemoryUsed + facts.scoredMemory;
  return [
    fraction(cpu, info.allocatable.get('cpu') ?? 0),
    fraction(memory, info.allocatable.get('memory') ?? 0),
  ];
}

function leastAllocated(facts: PodFacts, info: NodeInfo): number {
  const [cpu, memory] = fractions(facts, info);
  return ((1 - cpu + (1 - memory)) / 2) * 100;
}

/** High when cpu and memory are used alike. */
function balanced(facts: PodFacts, info: NodeInfo): number {
  const [cpu, memory] = fractions(facts, info);
  return (1 - Math.abs(cpu - memory) / 2) * 100;
}

function imageLocality(facts: PodFacts, info: NodeInfo): number {
  if (info.images.size === 0) return 0;
  const { containers } = facts.pod.spec;
  let bytes = 0;
  for (const { image = '' } of containers) {
    bytes += info.images.get(image) ?? info.images.get(`${image}:latest`) ?? 0;
  }
  const max = IMAGE_BYTES_MAX_PER_CONTAINER * containers.length;
  const clamped = Math.min(Math.max(bytes, IMAGE_BYTES_MIN), max);
  return ((clamped - IMAGE_BYTES_MIN) / (max - IMAGE_BYTES_MIN)) * 100;
}

function intolerablePreferences(facts: PodFacts, info: NodeInfo): number {
  const tolerations = facts.pod.spec.tolerations ?? [];
  const taints = info.node?.spec?.taints ?? [];
  return taints.filter(
    (taint) => taint.effect === 'PreferNoSchedule' && !tolerations.some((t) => tolerates(t, taint)),
  ).length;
}

function nodePreference(facts: PodFacts, info: NodeInfo): number {
  return preferredNodeWeight(facts.pod, must(info.node, 'listed nodes exist'));
}

/** Pods of the same controller on this node: upstream spreads them by default constraints. */
function siblings(facts: PodFacts, info: NodeInfo): number {
  if (facts.controllerUid === '') return 0;
  let count = 0;
  for (const other of info.pods.values()) if (other.controllerUid === facts.controllerUid) count++;
  return count;
}

function moreIsBetter(values: readonly number[]): number[] {
  const max = Math.max(0, ...values);
  return values.map((value) => (max === 0 ? 0 : (value / max) * 100));
}

function lessIsBetter(values: readonly number[]): number[] {
  const max = Math.max(0, ...values);
  return values.map((value) => (max === 0 ? 100 : (1 - value / max) * 100));
}

function spread(values: readonly number[]): number[] {
  const min = Math.min(...values);
  const range = Math.max(...values) - min;
  return values.map((value) => (range === 0 ? 0 : ((value - min) / range) * 100));
}
