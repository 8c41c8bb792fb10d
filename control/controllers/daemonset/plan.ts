/**
 * DaemonSets: which nodes run a pod, which pods to create and delete, how an update rolls, and the
 * status. Pure; semantics as upstream's daemon set controller.
 */
import type { DaemonSet, DaemonSetStatus } from '#base/kube/api/apps-v1.gen.ts';
import type { Node, Pod, PodSpec, Toleration } from '#base/kube/api/core-v1.gen.ts';
import { isDeleting } from '#base/kube/metadata.ts';
import { findUntolerated, matchesNodeAffinity } from '#control/scheduler/scheduler.ts';
import { scaledValue } from '../shared/int-or-percent.ts';
import { isPodAvailable, isPodReady } from '../shared/pods.ts';
import { REVISION_LABEL } from '../shared/revisions.ts';

/** Daemons stay where ordinary pods are sent away from. */
const TOLERATIONS: readonly Toleration[] = [
  { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute' },
  { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute' },
  { key: 'node.kubernetes.io/disk-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/memory-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/pid-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/unschedulable', operator: 'Exists', effect: 'NoSchedule' },
];
const HOST_NETWORK_TOLERATION: Toleration = {
  key: 'node.kubernetes.io/network-unavailable',
  operator: 'Exists',
  effect: 'NoSchedule',
};

/** The template's spec as a daemon's: with the tolerations above, and bound to `nodeName` if given. */
export function daemonSpec(spec: PodSpec, nodeName?: string): PodSpec {
  const extra = spec.hostNetwork === true ? [...TOLERATIONS, HOST_NETWORK_TOLERATION] : TOLERATIONS;
  const own = spec.tolerations ?? [];
  const added = extra.filter(
    (t) => !own.some((o) => o.key === t.key && o.effect === t.effect && o.operator === t.operator),
  );
  const next = { ...structuredClone(spec), tolerations: [...own, ...added] };
  return nodeName === undefined ? next : withNode(next, nodeName);
}

/** Binds through affinity, so that the scheduler still checks resources and ports. */
function withNode(spec: PodSpec, nodeName: string): PodSpec {
  const field = { key: 'metadata.name', operator: 'In', values: [nodeName] };
  const { nodeAffinity } = spec.affinity ?? {};
  const terms = nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  const nodeSelectorTerms =
    terms === undefined || terms.length === 0
      ? [{ matchFields: [field] }]
      : terms.map((term) => ({ ...term, matchFields: [field] }));
  const required = { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } };
  return {
    ...spec,
    affinity: { ...spec.affinity, nodeAffinity: { ...nodeAffinity, ...required } },
  };
}

/** The node on which a daemon pod runs or is meant to. */
export function targetNode(pod: Pod): string {
  if ((pod.spec.nodeName ?? '') !== '') return pod.spec.nodeName ?? '';
  const required = pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  for (const { matchFields = [] } of required?.nodeSelectorTerms ?? []) {
    const field = matchFields.find(({ key }) => key === 'metadata.name');
    if (field?.values?.length === 1) return field.values[0] ?? '';
  }
  return '';
}

export interface NodeFit {
  readonly shouldRun: boolean;
  /** A pod that is there may stay although a new one would not be put there. */
  readonly mayStay: boolean;
}

export function fitNode(ds: DaemonSet, node: Node): NodeFit {
  const spec = daemonSpec(ds.spec.template.spec ?? { containers: [] });
  const wanted = spec.nodeName ?? '';
  if ((wanted !== '' && wanted !== node.metadata.name) || !matchesNodeAffinity(spec, node)) {
    return { shouldRun: false, mayStay: false };
  }
  const { taints } = node.spec ?? {};
  const repelled = findUntolerated(taints, spec.tolerations, ['NoSchedule', 'NoExecute']);
  const evicted = findUntolerated(taints, spec.tolerations, ['NoExecute']);
  return { shouldRun: repelled === undefined, mayStay: evicted === undefined };
}

export interface DaemonView {
  readonly ds: DaemonSet;
  readonly nodes: readonly Node[];
  /** Owned pods by target node; those whose node is gone are under its name all the same. */
  readonly podsByNode: ReadonlyMap<string, readonly Pod[]>;
  /** Label value of the present template's revision. */
  readonly hash: string;
}

export interface DaemonPlan {
  /** Node names to create a pod for. */
  readonly create: readonly string[];
  readonly remove: readonly Pod[];
  /** Of those removed, the ones that failed: told in an event. */
  readonly failed: readonly Pod[];
}

function byAge(a: Pod, b: Pod): number {
  const [x, y] = [a.metadata.creationTimestamp, b.metadata.creationTimestamp];
  return x === y ? (a.metadata.name < b.metadata.name ? -1 : 1) : x < y ? -1 : 1;
}

export function hasHash(pod: Pod, hash: string): boolean {
  return pod.metadata.labels?.[REVISION_LABEL] === hash;
}

/** A pod on every node that should have one, none elsewhere, one each. */
export function planPlacement(view: DaemonView, nowMs: number): DaemonPlan {
  const create: string[] = [];
  const remove: Pod[] = [];
  const failed: Pod[] = [];
  const known = new Set(view.nodes.map((node) => node.metadata.name));
  for (const node of view.nodes) {
    const { name } = node.metadata;
    const pods = view.podsByNode.get(name) ?? [];
    const { shouldRun, mayStay } = fitNode(view.ds, node);
    if (!mayStay) {
      remove.push(...pods.filter((pod) => !isDeleting(pod)));
      continue;
    }
    if (pods.length === 0) {
      if (shouldRun) create.push(name);
      continue;
    }
    const alive = pods.filter((pod) => !isDeleting(pod));
    const running = alive.filter((pod) => pod.status?.phase !== 'Failed');
    failed.push(...alive.filter((pod) => pod.status?.phase === 'Failed'));
    remove.push(...surplusPods(view, running, nowMs));
  }
  for (const [name, pods] of view.podsByNode) {
    // Pods that wait for a node that is gone would wait for ever.
    if (!known.has(name)) remove.push(...pods.filter((p) => !isDeleting(p) && !p.spec.nodeName));
  }
  return { create, remove: [...remove, ...failed], failed };
}

/** All but the oldest; during a surge one old and one new pod may stand side by side. */
function surplusPods(view: DaemonView, running: readonly Pod[], nowMs: number): Pod[] {
  if (running.length <= 1) return [];
  const sorted = [...running].sort(byAge);
  if (surge(view) === 0) return sorted.slice(1);
  const updated = sorted.filter((pod) => hasHash(pod, view.hash));
  const old = sorted.filter((pod) => !hasHash(pod, view.hash));
  const minReady = view.ds.spec.minReadySeconds ?? 0;
  const isReplaced = updated.some((pod) => isPodAvailable(pod, minReady, nowMs));
  return [...updated.slice(1), ...old.slice(isReplaced ? 0 : 1)];
}

function desiredCount(view: DaemonView): number {
  return view.nodes.filter((node) => fitNode(view.ds, node).shouldRun).length;
}

function surge(view: DaemonView): number {
  const { type, rollingUpdate } = view.ds.spec.updateStrategy ?? {};
  if (type === 'OnDelete') return 0;
  return scaledValue(rollingUpdate?.maxSurge ?? 0, desiredCount(view), 'up');
}

/** Old pods to delete now, and nodes that get a second, new pod. */
export function planRollout(view: DaemonView, nowMs: number): DaemonPlan {
  const nothing: DaemonPlan = { create: [], remove: [], failed: [] };
  if (view.ds.spec.updateStrategy?.type === 'OnDelete') return nothing;
  const desired = desiredCount(view);
  const { rollingUpdate } = view.ds.spec.updateStrategy ?? {};
  const maxSurge = surge(view);
  const unavailableMax = scaledValue(rollingUpdate?.maxUnavailable ?? 1, desired, 'up');
  const minReady = view.ds.spec.minReadySeconds ?? 0;
  const isAvailable = (pod: Pod) => isPodAvailable(pod, minReady, nowMs) && !isDeleting(pod);
  const idle: { node: string; pod: Pod }[] = [];
  const serving: { node: string; pod: Pod }[] = [];
  let unavailable = 0;
  let surging = 0;
  for (const node of view.nodes) {
    if (!fitNode(view.ds, node).shouldRun) continue;
    const { name } = node.metadata;
    const pods = (view.podsByNode.get(name) ?? []).filter((pod) => !isDeleting(pod));
    const updated = pods.find((pod) => hasHash(pod, view.hash));
    const old = pods.find((pod) => !hasHash(pod, view.hash));
    if (old === undefined) {
      if (updated === undefined || !isAvailable(updated)) unavailable++;
    } else if (updated !== undefined) {
      if (!isAvailable(updated)) surging++;
    } else if (isAvailable(old)) {
      serving.push({ node: name, pod: old });
    } else {
      unavailable++;
      idle.push({ node: name, pod: old });
    }
  }
  if (maxSurge > 0) {
    const more = serving.slice(0, Math.max(0, maxSurge - surging));
    return { ...nothing, create: [...idle, ...more].map(({ node }) => node) };
  }
  const more = serving.slice(0, Math.max(0, unavailableMax - unavailable));
  return { ...nothing, remove: [...idle, ...more].map(({ pod }) => pod) };
}

export function planDaemonStatus(
  view: DaemonView,
  collisionCount: number | undefined,
  nowMs: number,
): DaemonSetStatus {
  let current = 0;
  let misscheduled = 0;
  let ready = 0;
  let updated = 0;
  let available = 0;
  let desired = 0;
  for (const node of view.nodes) {
    const pods = [...(view.podsByNode.get(node.metadata.name) ?? [])].sort(byAge);
    if (!fitNode(view.ds, node).shouldRun) {
      if (pods.length > 0) misscheduled++;
      continue;
    }
    desired++;
    const pod = pods[0];
    if (pod === undefined) continue;
    current++;
    if (isPodReady(pod)) ready++;
    if (isPodAvailable(pod, view.ds.spec.minReadySeconds ?? 0, nowMs)) available++;
    if (pods.some((one) => hasHash(one, view.hash))) updated++;
  }
  return {
    desiredNumberScheduled: desired,
    currentNumberScheduled: current,
    numberMisscheduled: misscheduled,
    numberReady: ready,
    updatedNumberScheduled: updated,
    numberAvailable: available,
    numberUnavailable: desired - available,
    observedGeneration: view.ds.metadata.generation ?? 0,
    ...(collisionCount === undefined ? {} : { collisionCount }),
    ...(view.ds.status?.conditions === undefined ? {} : { conditions: view.ds.status.conditions }),
  };
}
