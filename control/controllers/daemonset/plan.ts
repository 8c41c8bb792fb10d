/**
 * DaemonSets: which nodes run a pod, which pods to create and delete, how an update rolls, and the
 * status. Pure; semantics as upstream's daemon set controller.
 */
import type { DaemonSet, DaemonSetStatus } from '#base/kube/api/apps-v1.gen.ts';
import type { Node, Pod, PodSpec, Toleration } from '#base/kube/api/core-v1.gen.ts';
import { isDeleting } from '#base/kube/metadata.ts';
import { findUntolerated, matchesNodeAffinity } from '#control/scheduler/scheduler.ts';
import { DAEMON_BURST_MAX } from '../limits.ts';
import { scaledValue } from '../shared/int-or-percent.ts';
import { isPodAvailable, isPodReady, isPodTerminal } from '../shared/pods.ts';
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

/** What marks a pod as made from the present template; the old counter is still told. */
export function daemonLabels(ds: DaemonSet, hash: string): Record<string, string> {
  const generation = ds.metadata.annotations?.['deprecated.daemonset.template.generation'];
  return {
    [REVISION_LABEL]: hash,
    ...(generation === undefined ? {} : { 'pod-template-generation': generation }),
  };
}

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

/**
 * Binds through affinity, so that the scheduler still checks resources and ports. The template's own
 * required terms have chosen the node already, and are replaced.
 */
function withNode(spec: PodSpec, nodeName: string): PodSpec {
  const field = { key: 'metadata.name', operator: 'In', values: [nodeName] };
  const required = { nodeSelectorTerms: [{ matchFields: [field] }] };
  const nodeAffinity = {
    ...spec.affinity?.nodeAffinity,
    requiredDuringSchedulingIgnoredDuringExecution: required,
  };
  return { ...spec, affinity: { ...spec.affinity, nodeAffinity } };
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
  /** Of those removed, the ones that have ended: told in an event. */
  readonly ended: readonly Pod[];
  /** Failed pods that stay so long, or the next ones would fail as fast as they are made. */
  readonly waitMs: number | undefined;
}

/** `create` and `remove` are bounded as upstream's: the rest comes with the next pass. */
function bounded(plan: Partial<DaemonPlan>): DaemonPlan {
  const { create = [], remove = [], ended = [], waitMs } = plan;
  return {
    create: create.slice(0, DAEMON_BURST_MAX),
    remove: remove.slice(0, DAEMON_BURST_MAX),
    ended,
    waitMs,
  };
}

/** Owned pods by target node. Those that ended and are being deleted stand in nobody's way. */
export function groupByNode(owned: readonly Pod[]): Map<string, Pod[]> {
  const map = new Map<string, Pod[]>();
  for (const pod of owned) {
    const name = targetNode(pod);
    if (name === '' || (isPodTerminal(pod) && isDeleting(pod))) continue;
    const list = map.get(name);
    if (list === undefined) map.set(name, [pod]);
    else list.push(pod);
  }
  return map;
}

function byAge(a: Pod, b: Pod): number {
  const [x, y] = [a.metadata.creationTimestamp, b.metadata.creationTimestamp];
  return x === y ? (a.metadata.name < b.metadata.name ? -1 : 1) : x < y ? -1 : 1;
}

export function hasHash(pod: Pod, hash: string): boolean {
  return pod.metadata.labels?.[REVISION_LABEL] === hash;
}

/**
 * A pod on every node that should have one, none elsewhere, one each. `failureWaitMs` says how long a
 * failed pod of that node stays before it is replaced, 0 for no longer.
 */
export function planPlacement(
  view: DaemonView,
  failureWaitMs: (nodeName: string) => number,
  nowMs: number,
): DaemonPlan {
  const create: string[] = [];
  const remove: Pod[] = [];
  const ended: Pod[] = [];
  const waits: number[] = [];
  const known = new Set(view.nodes.map((node) => node.metadata.name));
  const surges = surge(view) > 0;
  for (const node of view.nodes) {
    const { name } = node.metadata;
    const pods = view.podsByNode.get(name) ?? [];
    const alive = pods.filter((pod) => !isDeleting(pod));
    const { shouldRun, mayStay } = fitNode(view.ds, node);
    if (!mayStay) {
      remove.push(...alive);
      continue;
    }
    const running: Pod[] = [];
    for (const pod of alive) {
      if (!isPodTerminal(pod)) running.push(pod);
      else {
        const waitMs = pod.status?.phase === 'Failed' ? failureWaitMs(name) : 0;
        if (waitMs > 0) waits.push(waitMs);
        else ended.push(pod);
      }
    }
    if (shouldRun && (pods.length === 0 || (surges && running.length === 0))) create.push(name);
    remove.push(...surplusPods(view, running, nowMs));
  }
  for (const [name, pods] of view.podsByNode) {
    // Pods that wait for a node that is gone would wait for ever.
    if (!known.has(name)) remove.push(...pods.filter((p) => !isDeleting(p) && !p.spec.nodeName));
  }
  const waitMs = waits.length === 0 ? undefined : Math.min(...waits);
  return bounded({ create, remove: [...ended, ...remove], ended, waitMs });
}

/** All but the oldest; during a surge one old and one new pod may stand side by side. */
function surplusPods(view: DaemonView, running: readonly Pod[], nowMs: number): Pod[] {
  if (running.length <= 1) return [];
  const sorted = [...running].sort(byAge);
  if (surge(view) === 0) return sorted.slice(1);
  const [updated, ...moreUpdated] = sorted.filter((pod) => hasHash(pod, view.hash));
  const [old, ...moreOld] = sorted.filter((pod) => !hasHash(pod, view.hash));
  const surplus = [...moreUpdated, ...moreOld];
  if (updated === undefined || old === undefined) return surplus;
  const minReady = view.ds.spec.minReadySeconds ?? 0;
  const isReplaced = !isPodReady(old) || isPodAvailable(updated, minReady, nowMs);
  return isReplaced ? [...surplus, old] : surplus;
}

function desiredCount(view: DaemonView): number {
  return view.nodes.filter((node) => fitNode(view.ds, node).shouldRun).length;
}

function surge(view: DaemonView): number {
  const { type, rollingUpdate } = view.ds.spec.updateStrategy ?? {};
  if (type === 'OnDelete') return 0;
  return scaledValue(rollingUpdate?.maxSurge ?? 0, desiredCount(view), 'up');
}

/** What the nodes' old and new pods are, as a rolling update looks at them. */
interface NodePods {
  readonly name: string;
  readonly shouldRun: boolean;
  readonly updated: Pod | undefined;
  readonly old: Pod | undefined;
  /** More than one of either: the placement tidies up first. */
  readonly isCrowded: boolean;
}

function nodePods(view: DaemonView): NodePods[] {
  const fits = new Map(
    view.nodes.map((node) => [node.metadata.name, fitNode(view.ds, node).shouldRun]),
  );
  const wanted = [...fits].filter(([, shouldRun]) => shouldRun).map(([name]) => name);
  return [...new Set([...wanted, ...view.podsByNode.keys()])].map((name) => {
    const pods = (view.podsByNode.get(name) ?? []).filter((pod) => !isDeleting(pod));
    const updated = pods.filter((pod) => hasHash(pod, view.hash));
    const old = pods.filter((pod) => !hasHash(pod, view.hash));
    const isCrowded = updated.length > 1 || old.length > 1;
    const shouldRun = fits.get(name) === true;
    return { name, shouldRun, updated: updated[0], old: old[0], isCrowded };
  });
}

/** Old pods to delete now, and nodes that get a second, new pod. */
export function planRollout(view: DaemonView, nowMs: number): DaemonPlan {
  if (view.ds.spec.updateStrategy?.type === 'OnDelete') return bounded({});
  const desired = desiredCount(view);
  const { rollingUpdate } = view.ds.spec.updateStrategy ?? {};
  const minReady = view.ds.spec.minReadySeconds ?? 0;
  const isAvailable = (pod: Pod) => isPodAvailable(pod, minReady, nowMs);
  const surgeMax = surge(view);
  if (surgeMax > 0) return planSurge(nodePods(view), { desired, surgeMax, isAvailable });
  const stated = scaledValue(rollingUpdate?.maxUnavailable ?? 1, desired, 'up');
  // Neither surge nor unavailability would never end.
  return planReplacement(nodePods(view), { unavailableMax: Math.max(1, stated), isAvailable });
}

/** Old pods go within the limit; those that serve nobody go at once. */
function planReplacement(
  nodes: readonly NodePods[],
  rules: { readonly unavailableMax: number; readonly isAvailable: (pod: Pod) => boolean },
): DaemonPlan {
  const idle: Pod[] = [];
  const serving: Pod[] = [];
  let unavailable = 0;
  for (const { updated, old, isCrowded } of nodes) {
    if (isCrowded || (old === undefined) === (updated === undefined)) unavailable++;
    else if (updated !== undefined) {
      if (!rules.isAvailable(updated)) unavailable++;
    } else if (old !== undefined) {
      if (rules.isAvailable(old)) serving.push(old);
      else {
        unavailable++;
        idle.push(old);
      }
    }
  }
  const more = serving.slice(0, Math.max(0, rules.unavailableMax - unavailable));
  return bounded({ remove: [...idle, ...more] });
}

/** New pods come first, within the limit; an old one goes when its successor is available. */
function planSurge(
  nodes: readonly NodePods[],
  rules: {
    readonly desired: number;
    readonly surgeMax: number;
    readonly isAvailable: (pod: Pod) => boolean;
  },
): DaemonPlan {
  const remove: Pod[] = [];
  const leaving: Pod[] = [];
  const idle: string[] = [];
  const serving: string[] = [];
  let surging = 0;
  let available = 0;
  for (const { name, shouldRun, updated, old, isCrowded } of nodes) {
    if (isCrowded) {
      surging++;
      continue;
    }
    const first = old ?? updated;
    if (first !== undefined && rules.isAvailable(first)) available++;
    if (old === undefined) continue;
    if (updated !== undefined) {
      if (rules.isAvailable(updated)) remove.push(old);
      else surging++;
    } else if (!shouldRun) {
      (rules.isAvailable(old) ? leaving : remove).push(old);
    } else (rules.isAvailable(old) ? serving : idle).push(name);
  }
  // Where none should run any more, the pod goes only when another has taken its place elsewhere.
  remove.push(...leaving.slice(0, Math.max(0, available - rules.desired)));
  const more = serving.slice(0, Math.max(0, rules.surgeMax - surging));
  return bounded({ create: [...idle, ...more], remove });
}

export interface DaemonStatusFacts {
  readonly collisionCount: number | undefined;
  /** The pods were brought in line with this generation, or tried to be. */
  readonly isManaged: boolean;
  readonly nowMs: number;
}

export function planDaemonStatus(view: DaemonView, facts: DaemonStatusFacts): DaemonSetStatus {
  const { collisionCount, isManaged, nowMs } = facts;
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
    if (hasHash(pod, view.hash)) updated++;
  }
  return {
    desiredNumberScheduled: desired,
    currentNumberScheduled: current,
    numberMisscheduled: misscheduled,
    numberReady: ready,
    updatedNumberScheduled: updated,
    numberAvailable: available,
    numberUnavailable: desired - available,
    observedGeneration: isManaged
      ? (view.ds.metadata.generation ?? 0)
      : (view.ds.status?.observedGeneration ?? 0),
    ...(collisionCount === undefined ? {} : { collisionCount }),
    ...(view.ds.status?.conditions === undefined ? {} : { conditions: view.ds.status.conditions }),
  };
}
