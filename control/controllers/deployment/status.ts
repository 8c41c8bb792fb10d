/**
 * The status of a Deployment: counts, the Available, Progressing and ReplicaFailure conditions, and
 * when to look again for the progress deadline. Pure; reasons and texts are upstream's.
 */
import type {
  Deployment,
  DeploymentCondition,
  DeploymentStatus,
  ReplicaSet,
} from '#base/kube/api/apps-v1.gen.ts';
import { findCondition, formatTime, parseTime } from '#base/kube/metadata.ts';
import {
  hasProgressDeadline,
  isComplete,
  maxUnavailable,
  replicasOf,
  sumReplicas,
  sumStatus,
} from './rollout.ts';

export const REASON = {
  updated: 'ReplicaSetUpdated',
  createFailed: 'ReplicaSetCreateError',
  created: 'NewReplicaSetCreated',
  found: 'FoundNewReplicaSet',
  available: 'NewReplicaSetAvailable',
  timedOut: 'ProgressDeadlineExceeded',
  paused: 'DeploymentPaused',
  resumed: 'DeploymentResumed',
} as const;

export function newCondition(
  facts: Pick<DeploymentCondition, 'type' | 'status' | 'reason' | 'message'>,
  nowMs: number,
): DeploymentCondition {
  const time = formatTime(nowMs);
  return { ...facts, lastUpdateTime: time, lastTransitionTime: time };
}

/** Same status and reason: nothing changes. Same status alone: the transition time stands. */
export function putCondition(
  conditions: readonly DeploymentCondition[] | undefined,
  next: DeploymentCondition,
): DeploymentCondition[] {
  const old = findCondition(conditions, next.type);
  if (old !== undefined && old.status === next.status && old.reason === next.reason) {
    return [...(conditions ?? [])];
  }
  const kept =
    old?.status === next.status ? { ...next, lastTransitionTime: old.lastTransitionTime } : next;
  return [...withoutCondition(conditions, next.type), kept];
}

export function withoutCondition(
  conditions: readonly DeploymentCondition[] | undefined,
  type: string,
): DeploymentCondition[] {
  return (conditions ?? []).filter((condition) => condition.type !== type);
}

export interface DeploymentView {
  readonly deployment: Deployment;
  readonly newSet: ReplicaSet | undefined;
  readonly oldSets: readonly ReplicaSet[];
}

function allSets(view: DeploymentView): ReplicaSet[] {
  return view.newSet === undefined ? [...view.oldSets] : [...view.oldSets, view.newSet];
}

/** Counts and the Available condition. */
export function planStatus(view: DeploymentView, nowMs: number): DeploymentStatus {
  const { deployment: d, newSet } = view;
  const all = allSets(view);
  const available = sumStatus(all, 'availableReplicas');
  const isAvailable = available >= replicasOf(d) - maxUnavailable(d);
  const condition = newCondition(
    isAvailable
      ? {
          type: 'Available',
          status: 'True',
          reason: 'MinimumReplicasAvailable',
          message: 'Deployment has minimum availability.',
        }
      : {
          type: 'Available',
          status: 'False',
          reason: 'MinimumReplicasUnavailable',
          message: 'Deployment does not have minimum availability.',
        },
    nowMs,
  );
  return {
    observedGeneration: d.metadata.generation ?? 0,
    replicas: sumStatus(all, 'replicas'),
    updatedReplicas: newSet === undefined ? 0 : (newSet.status?.replicas ?? 0),
    readyReplicas: sumStatus(all, 'readyReplicas'),
    availableReplicas: available,
    unavailableReplicas: Math.max(0, sumReplicas(all) - available),
    terminatingReplicas: sumStatus(all, 'terminatingReplicas'),
    ...(d.status?.collisionCount === undefined ? {} : { collisionCount: d.status.collisionCount }),
    conditions: putCondition(d.status?.conditions, condition),
  };
}

/** planStatus() with the Progressing and ReplicaFailure conditions of a rollout. */
export function planRolloutStatus(view: DeploymentView, nowMs: number): DeploymentStatus {
  const { deployment: d, newSet } = view;
  const status = planStatus(view, nowMs);
  let conditions = status.conditions;
  const current = findCondition(d.status?.conditions, 'Progressing');
  if (!hasProgressDeadline(d)) {
    conditions = withoutCondition(conditions, 'Progressing');
  } else if (
    !(status.replicas === status.updatedReplicas && current?.reason === REASON.available)
  ) {
    const what =
      newSet === undefined
        ? `Deployment "${d.metadata.name}"`
        : `ReplicaSet "${newSet.metadata.name}"`;
    const progressing = (conditionStatus: string, reason: string, text: string) =>
      newCondition(
        { type: 'Progressing', status: conditionStatus, reason, message: `${what} ${text}` },
        nowMs,
      );
    if (isComplete(d, status)) {
      const next = progressing('True', REASON.available, 'has successfully progressed.');
      conditions = putCondition(conditions, next);
    } else if (hasProgressed(d, status)) {
      const next = progressing('True', REASON.updated, 'is progressing.');
      // Replaced even when equal, so that its update time tells of the last progress.
      const kept =
        current?.status === 'True' ? current.lastTransitionTime : next.lastTransitionTime;
      conditions = [
        ...withoutCondition(conditions, 'Progressing'),
        { ...next, lastTransitionTime: kept },
      ];
    } else if (isTimedOut(d, conditions, nowMs)) {
      const next = progressing('False', REASON.timedOut, 'has timed out progressing.');
      conditions = putCondition(conditions, next);
    }
  }
  const failure = replicaFailure(view);
  conditions =
    failure === undefined
      ? withoutCondition(conditions, 'ReplicaFailure')
      : putCondition(conditions, failure);
  return { ...status, conditions };
}

function replicaFailure(view: DeploymentView): DeploymentCondition | undefined {
  const sets = view.newSet === undefined ? view.oldSets : [view.newSet, ...view.oldSets];
  for (const rs of sets) {
    const failure = findCondition(rs.status?.conditions, 'ReplicaFailure');
    if (failure !== undefined) return { ...failure, lastUpdateTime: failure.lastTransitionTime };
  }
  return undefined;
}

function hasProgressed(d: Deployment, next: DeploymentStatus): boolean {
  const old = d.status ?? {};
  const outdated = (s: DeploymentStatus) => (s.replicas ?? 0) - (s.updatedReplicas ?? 0);
  return (
    (next.updatedReplicas ?? 0) > (old.updatedReplicas ?? 0) ||
    outdated(next) < outdated(old) ||
    (next.readyReplicas ?? 0) > (old.readyReplicas ?? 0) ||
    (next.availableReplicas ?? 0) > (old.availableReplicas ?? 0)
  );
}

function isTimedOut(
  d: Deployment,
  conditions: readonly DeploymentCondition[] | undefined,
  nowMs: number,
): boolean {
  const condition = findCondition(conditions, 'Progressing');
  if (condition === undefined || condition.reason === REASON.available) return false;
  if (condition.reason === REASON.timedOut) return true;
  const sinceMs = parseTime(condition.lastUpdateTime);
  const limitMs = (d.spec.progressDeadlineSeconds ?? 600) * 1000;
  return sinceMs !== undefined && sinceMs + limitMs < nowMs;
}

/** When the progress deadline must be looked at again, if nothing else happens. */
export function deadlineInMs(
  d: Deployment,
  status: DeploymentStatus,
  nowMs: number,
): number | undefined {
  const current = findCondition(status.conditions, 'Progressing');
  if (!hasProgressDeadline(d) || current === undefined) return undefined;
  if (isComplete(d, status) || current.reason === REASON.timedOut) return undefined;
  const sinceMs = parseTime(current.lastUpdateTime) ?? nowMs;
  return Math.max(1000, sinceMs + (d.spec.progressDeadlineSeconds ?? 600) * 1000 - nowMs + 1000);
}

/** The status with Progressing telling of pausing or resuming, or undefined when it does already. */
export function planPaused(d: Deployment, nowMs: number): DeploymentStatus | undefined {
  if (!hasProgressDeadline(d)) return undefined;
  const current = findCondition(d.status?.conditions, 'Progressing');
  if (current?.reason === REASON.timedOut) return undefined;
  const isPaused = d.spec.paused === true;
  if (isPaused === (current?.reason === REASON.paused)) return undefined;
  const condition = newCondition(
    {
      type: 'Progressing',
      status: 'Unknown',
      reason: isPaused ? REASON.paused : REASON.resumed,
      message: isPaused ? 'Deployment is paused' : 'Deployment is resumed',
    },
    nowMs,
  );
  return { ...d.status, conditions: putCondition(d.status?.conditions, condition) };
}
