/**
 * Facts about pods that several controllers decide by: active, ready, available, which of many to
 * delete first. Pure.
 */
import type { Pod, PodCondition } from '#base/kube/api/core-v1.gen.ts';
import { isDeleting, parseTime } from '#base/kube/metadata.ts';

export function isPodTerminal(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}

/** Neither finished nor being deleted. */
export function isPodActive(pod: Pod): boolean {
  return !isPodTerminal(pod) && !isDeleting(pod);
}

export function podReadyCondition(pod: Pod): PodCondition | undefined {
  return pod.status?.conditions?.find((condition) => condition.type === 'Ready');
}

export function isPodReady(pod: Pod): boolean {
  return podReadyCondition(pod)?.status === 'True';
}

/** Ready for at least `minReadySeconds`. */
export function isPodAvailable(pod: Pod, minReadySeconds: number, nowMs: number): boolean {
  const condition = podReadyCondition(pod);
  if (condition?.status !== 'True') return false;
  if (minReadySeconds === 0) return true;
  const sinceMs = parseTime(condition.lastTransitionTime);
  return sinceMs !== undefined && sinceMs + minReadySeconds * 1000 <= nowMs;
}

/** Milliseconds until the pod becomes available by mere waiting; undefined if it is not waiting. */
function availableInMs(pod: Pod, minReadySeconds: number, nowMs: number): number | undefined {
  const condition = podReadyCondition(pod);
  if (condition?.status !== 'True' || minReadySeconds === 0) return undefined;
  const sinceMs = parseTime(condition.lastTransitionTime);
  if (sinceMs === undefined) return undefined;
  const leftMs = sinceMs + minReadySeconds * 1000 - nowMs;
  return leftMs > 0 ? leftMs : undefined;
}

/** Milliseconds until the next of the pods becomes available by mere waiting. */
export function nextAvailableInMs(
  pods: readonly Pod[],
  minReadySeconds: number,
  nowMs: number,
): number | undefined {
  const waits = pods
    .map((pod) => availableInMs(pod, minReadySeconds, nowMs))
    .filter((ms) => ms !== undefined);
  return waits.length === 0 ? undefined : Math.min(...waits) + 1;
}

function restartsMax(pod: Pod): number {
  return Math.max(0, ...(pod.status?.containerStatuses ?? []).map((c) => c.restartCount));
}

function deletionCost(pod: Pod): number {
  const text = pod.metadata.annotations?.['controller.kubernetes.io/pod-deletion-cost'];
  return text !== undefined && /^(0|[+-]?[1-9]\d*)$/.test(text) ? Number(text) : 0;
}

const PHASE_RANK: Readonly<Record<string, number>> = { Pending: 0, Unknown: 1, Running: 2 };

/** Ages compare by magnitude only, so that scaling down does not always hit the newest pod. */
function magnitude(sinceMs: number | undefined, nowMs: number): number {
  const seconds = Math.floor((nowMs - (sinceMs ?? nowMs)) / 1000);
  return seconds <= 0 ? 0 : Math.floor(Math.log2(seconds)) + 1;
}

interface Ranked {
  readonly pod: Pod;
  /** Number of related pods on the same node. */
  readonly rank: number;
}

/** Negative when `a` should be deleted before `b` (upstream's ActivePodsWithRanks). */
function compareForDeletion(a: Ranked, b: Ranked, nowMs: number): number {
  const unassigned = (pod: Pod) => ((pod.spec.nodeName ?? '') === '' ? 0 : 1);
  const phase = (pod: Pod) => PHASE_RANK[pod.status?.phase ?? ''] ?? 0;
  const ready = (pod: Pod) => (isPodReady(pod) ? 1 : 0);
  const steps: ((pod: Pod) => number)[] = [unassigned, phase, ready, deletionCost];
  for (const step of steps) {
    const difference = step(a.pod) - step(b.pod);
    if (difference !== 0) return difference;
  }
  if (a.rank !== b.rank) return b.rank - a.rank;
  const readySince = (pod: Pod) => parseTime(podReadyCondition(pod)?.lastTransitionTime);
  const createdAt = (pod: Pod) => parseTime(pod.metadata.creationTimestamp);
  if (isPodReady(a.pod) && isPodReady(b.pod)) {
    const difference = magnitude(readySince(a.pod), nowMs) - magnitude(readySince(b.pod), nowMs);
    if (difference !== 0) return difference;
  }
  const restarts = restartsMax(b.pod) - restartsMax(a.pod);
  if (restarts !== 0) return restarts;
  const age = magnitude(createdAt(a.pod), nowMs) - magnitude(createdAt(b.pod), nowMs);
  if (age !== 0) return age;
  return a.pod.metadata.uid < b.pod.metadata.uid ? -1 : 1;
}

/** The `count` pods to delete; `related` (theirs included) are counted by node to keep a spread. */
export function choosePodsToDelete(
  pods: readonly Pod[],
  related: readonly Pod[],
  count: number,
  nowMs: number,
): Pod[] {
  if (count >= pods.length) return [...pods];
  const perNode = new Map<string, number>();
  for (const pod of related) {
    if (!isPodActive(pod)) continue;
    const node = pod.spec.nodeName ?? '';
    perNode.set(node, (perNode.get(node) ?? 0) + 1);
  }
  return pods
    .map((pod) => ({ pod, rank: perNode.get(pod.spec.nodeName ?? '') ?? 0 }))
    .sort((a, b) => compareForDeletion(a, b, nowMs))
    .slice(0, count)
    .map(({ pod }) => pod);
}
