/**
 * StatefulSets: the next steps towards pods 0..n-1 with stable names, in order or in parallel, rolling
 * updates from the highest ordinal down to the partition, and the status. Pure; rules as upstream's
 * stateful set control.
 */
import type { StatefulSet, StatefulSetStatus } from '#base/kube/api/apps-v1.gen.ts';
import type { Pod } from '#base/kube/api/core-v1.gen.ts';
import { isDeleting } from '#base/kube/metadata.ts';
import { BURST_REPLICAS_MAX } from '../limits.ts';
import { isPodAvailable, isPodReady, isPodTerminal } from '../shared/pods.ts';
import { REVISION_LABEL } from '../shared/revisions.ts';

export interface SetView {
  readonly set: StatefulSet;
  /** Owned pods, whatever their ordinal. */
  readonly pods: readonly Pod[];
  /** Names of the revisions. */
  readonly current: string;
  readonly update: string;
  /** A claim of the ordinal still belongs to an earlier pod, with which it goes. */
  readonly hasStaleClaim: (ordinal: number) => boolean;
}

export function ordinalOf(set: StatefulSet, podName: string): number | undefined {
  const prefix = `${set.metadata.name}-`;
  if (!podName.startsWith(prefix)) return undefined;
  const text = podName.slice(prefix.length);
  return /^(0|[1-9]\d*)$/.test(text) ? Number(text) : undefined;
}

export function revisionOfPod(pod: Pod): string {
  return pod.metadata.labels?.[REVISION_LABEL] ?? '';
}

export function startOf(set: StatefulSet): number {
  return set.spec.ordinals?.start ?? 0;
}

export function replicasOf(set: StatefulSet): number {
  return set.spec.replicas ?? 1;
}

function isMonotonic(set: StatefulSet): boolean {
  return set.spec.podManagementPolicy !== 'Parallel';
}

function partitionOf(set: StatefulSet): number {
  return set.spec.updateStrategy?.rollingUpdate?.partition ?? 0;
}

/**
 * The revision a new pod of `ordinal` gets: the old one below the partition alone. Without the strategy's
 * parameters, which defaulting fills in, upstream goes by the count of old pods in the status.
 */
export function revisionFor(view: SetView, ordinal: number): string {
  const { set, current, update } = view;
  const { type, rollingUpdate } = set.spec.updateStrategy ?? {};
  const counted = type === 'RollingUpdate' ? (set.status?.currentReplicas ?? 0) : 0;
  const old = rollingUpdate === undefined ? counted : (rollingUpdate.partition ?? 0);
  return ordinal < startOf(set) + old ? current : update;
}

export type Step =
  | { readonly kind: 'create'; readonly ordinal: number; readonly revision: string }
  /** `why`: a finished pod is deleted to be made anew. */
  | { readonly kind: 'delete'; readonly pod: Pod; readonly why: 'scale' | 'update' | 'recreate' };

/** Steps that may be taken now; with ordered management at most one, and none while one is awaited. */
export function planSteps(view: SetView, nowMs: number): Step[] {
  const { set } = view;
  if (isDeleting(set)) return [];
  const { replicas, condemned } = sortPods(view);
  const ordered = isMonotonic(set);
  const minReady = set.spec.minReadySeconds ?? 0;
  const steps: Step[] = [];
  for (let offset = 0; offset < replicasOf(set); offset++) {
    const ordinal = startOf(set) + offset;
    const pod = replicas.get(offset);
    if (pod === undefined) {
      if (!view.hasStaleClaim(ordinal)) {
        steps.push({ kind: 'create', ordinal, revision: revisionFor(view, ordinal) });
      }
      // The rest comes with the next pass: anybody may ask for two thousand million.
      if (ordered || steps.length >= BURST_REPLICAS_MAX) return steps;
      continue;
    }
    if (isPodTerminal(pod)) {
      if (!isDeleting(pod)) steps.push({ kind: 'delete', pod, why: 'recreate' });
      if (ordered) return steps;
      continue;
    }
    if (!ordered) continue;
    // The next one waits for this.
    if (isUnavailable(pod, minReady, nowMs)) return steps;
  }
  const unhealthy = firstUnhealthy(replicas, condemned, minReady, nowMs);
  for (const pod of condemned) {
    if (isDeleting(pod)) {
      if (ordered) return steps;
      continue;
    }
    // An unhealthy pod must not be joined by a second one, unless it is itself the one to go.
    if (ordered && isUnavailable(pod, minReady, nowMs) && pod !== unhealthy) return steps;
    steps.push({ kind: 'delete', pod, why: 'scale' });
    if (ordered) return steps;
  }
  if (steps.length > 0) return steps;
  return planUpdate(view, replicas, nowMs);
}

/** The highest pod of an old revision goes, when all above it are updated and available. */
function planUpdate(view: SetView, replicas: ReadonlyMap<number, Pod>, nowMs: number): Step[] {
  const { set, update } = view;
  if (set.spec.updateStrategy?.type === 'OnDelete') return [];
  const minReady = set.spec.minReadySeconds ?? 0;
  for (let offset = replicasOf(set) - 1; offset >= partitionOf(set); offset--) {
    const pod = replicas.get(offset);
    if (pod === undefined || isUnavailable(pod, minReady, nowMs)) {
      // One that is broken anyway costs nothing: an update is often what repairs it.
      const isRepair = pod !== undefined && !isDeleting(pod) && revisionOfPod(pod) !== update;
      return isRepair ? [{ kind: 'delete', pod, why: 'update' }] : [];
    }
    if (revisionOfPod(pod) !== update) return [{ kind: 'delete', pod, why: 'update' }];
  }
  return [];
}

function isUnavailable(pod: Pod, minReady: number, nowMs: number): boolean {
  return isDeleting(pod) || !isRunningAndReady(pod) || !isPodAvailable(pod, minReady, nowMs);
}

interface Sorted {
  /** By ordinal offset, lowest first. */
  readonly replicas: ReadonlyMap<number, Pod>;
  /** Beyond the range, highest first. */
  readonly condemned: Pod[];
}

function sortPods({ set, pods }: SetView): Sorted {
  const ordinal = (pod: Pod) => ordinalOf(set, pod.metadata.name) ?? -1;
  const members = pods.filter((pod) => ordinal(pod) >= 0);
  members.sort((a, b) => ordinal(a) - ordinal(b));
  const offset = (pod: Pod) => ordinal(pod) - startOf(set);
  const isWanted = (pod: Pod) => offset(pod) >= 0 && offset(pod) < replicasOf(set);
  return {
    replicas: new Map(members.filter(isWanted).map((pod) => [offset(pod), pod])),
    condemned: members.filter((pod) => !isWanted(pod)).toReversed(),
  };
}

function isRunningAndReady(pod: Pod): boolean {
  return pod.status?.phase === 'Running' && isPodReady(pod);
}

function firstUnhealthy(
  replicas: ReadonlyMap<number, Pod>,
  condemned: readonly Pod[],
  minReady: number,
  nowMs: number,
): Pod | undefined {
  const isSick = (pod: Pod) => isUnavailable(pod, minReady, nowMs);
  return [...replicas.values()].find(isSick) ?? condemned.toReversed().find(isSick);
}

export interface StatusFacts {
  readonly view: SetView;
  readonly collisionCount: number | undefined;
  readonly nowMs: number;
}

export function planSetStatus({ view, collisionCount, nowMs }: StatusFacts): StatefulSetStatus {
  const { set, current, update } = view;
  const minReady = set.spec.minReadySeconds ?? 0;
  const created = view.pods.filter((pod) => ordinalOf(set, pod.metadata.name) !== undefined);
  const alive = created.filter((pod) => !isDeleting(pod));
  const count = (matches: (pod: Pod) => boolean) => alive.filter(matches).length;
  const currentReplicas = count((pod) => revisionOfPod(pod) === current);
  const updatedReplicas = count((pod) => revisionOfPod(pod) === update);
  const readyReplicas = created.filter(isRunningAndReady).length;
  const available = created.filter(
    (pod) => isRunningAndReady(pod) && isPodAvailable(pod, minReady, nowMs),
  ).length;
  const status: StatefulSetStatus = {
    replicas: created.length,
    readyReplicas,
    availableReplicas: available,
    currentReplicas,
    updatedReplicas,
    currentRevision: current,
    updateRevision: update,
    observedGeneration: set.metadata.generation ?? 0,
    collisionCount: collisionCount ?? 0, // Upstream's always says so.
    ...(set.status?.conditions === undefined ? {} : { conditions: set.status.conditions }),
  };
  const isComplete =
    set.spec.updateStrategy?.type !== 'OnDelete' &&
    updatedReplicas === created.length &&
    readyReplicas === created.length &&
    created.length === replicasOf(set);
  return isComplete
    ? { ...status, currentRevision: update, currentReplicas: updatedReplicas }
    : status;
}
