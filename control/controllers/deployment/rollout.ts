/**
 * Arithmetic of Deployments: surge and unavailability, revisions, annotations that ReplicaSets carry,
 * which ReplicaSet is the new one. Pure; names and formats as upstream's deployment utilities.
 */
import type { Deployment, DeploymentStatus, ReplicaSet } from '#base/kube/api/apps-v1.gen.ts';
import type { PodTemplateSpec } from '#base/kube/api/core-v1.gen.ts';
import { jsonEquivalent } from '#base/kube/metadata.ts';
import { parseInteger } from '#base/kube/selectors.ts';
import { REVISION_HISTORY_CHARS_MAX } from '../limits.ts';
import { scaledValue } from '../shared/int-or-percent.ts';

export const HASH_LABEL = 'pod-template-hash';
export const REVISION = 'deployment.kubernetes.io/revision';
export const REVISION_HISTORY = 'deployment.kubernetes.io/revision-history';
export const DESIRED_REPLICAS = 'deployment.kubernetes.io/desired-replicas';
export const MAX_REPLICAS = 'deployment.kubernetes.io/max-replicas';
const NOT_COPIED = new Set([
  'kubectl.kubernetes.io/last-applied-configuration',
  REVISION,
  REVISION_HISTORY,
  DESIRED_REPLICAS,
  MAX_REPLICAS,
  'deprecated.deployment.rollback.to',
]);
/** Both mean "no limit". */
const INT32_MAX = 2 ** 31 - 1;

export function replicasOf(object: { spec: { replicas?: number | undefined } }): number {
  return object.spec.replicas ?? 1;
}

export function sumReplicas(sets: readonly ReplicaSet[]): number {
  return sets.reduce((sum, rs) => sum + replicasOf(rs), 0);
}

export function sumStatus(
  sets: readonly ReplicaSet[],
  field: 'replicas' | 'readyReplicas' | 'availableReplicas' | 'terminatingReplicas',
): number {
  return sets.reduce((sum, rs) => sum + (rs.status?.[field] ?? 0), 0);
}

export function isRollingUpdate(d: Deployment): boolean {
  return (d.spec.strategy?.type ?? 'RollingUpdate') === 'RollingUpdate';
}

function fenceposts(d: Deployment): { surge: number; unavailable: number } {
  const { maxSurge, maxUnavailable } = d.spec.strategy?.rollingUpdate ?? {};
  const surge = scaledValue(maxSurge ?? '25%', replicasOf(d), 'up');
  const unavailable = scaledValue(maxUnavailable ?? '25%', replicasOf(d), 'down');
  // Both may round to nothing; one pod must move or the rollout never ends.
  return surge === 0 && unavailable === 0 ? { surge, unavailable: 1 } : { surge, unavailable };
}

export function maxSurge(d: Deployment): number {
  return isRollingUpdate(d) ? fenceposts(d).surge : 0;
}

export function maxUnavailable(d: Deployment): number {
  if (!isRollingUpdate(d) || replicasOf(d) === 0) return 0;
  return Math.min(fenceposts(d).unavailable, replicasOf(d));
}

export function hasProgressDeadline(d: Deployment): boolean {
  const seconds = d.spec.progressDeadlineSeconds;
  return seconds !== undefined && seconds !== INT32_MAX;
}

export function historyLimit(d: Deployment): number | undefined {
  const limit = d.spec.revisionHistoryLimit;
  return limit === INT32_MAX ? undefined : limit;
}

function withoutHash(template: PodTemplateSpec | undefined): unknown {
  const { [HASH_LABEL]: _, ...labels } = template?.metadata?.labels ?? {};
  return { ...template, metadata: { ...template?.metadata, labels, creationTimestamp: undefined } };
}

export function equalTemplates(
  a: PodTemplateSpec | undefined,
  b: PodTemplateSpec | undefined,
): boolean {
  return jsonEquivalent(withoutHash(a), withoutHash(b));
}

export function byCreation(a: ReplicaSet, b: ReplicaSet): number {
  const [x, y] = [a.metadata.creationTimestamp, b.metadata.creationTimestamp];
  if (x === y) return a.metadata.name < b.metadata.name ? -1 : 1;
  return (x ?? '') < (y ?? '') ? -1 : 1;
}

/** The ReplicaSet of the present template: the oldest, should several be equal. */
export function findNewReplicaSet(
  d: Deployment,
  sets: readonly ReplicaSet[],
): ReplicaSet | undefined {
  return [...sets].sort(byCreation).find((rs) => equalTemplates(rs.spec.template, d.spec.template));
}

/** Revisions are int64; an adopted ReplicaSet may bring any. */
export function revisionOf(object: ReplicaSet | Deployment): bigint {
  return parseInteger(object.metadata.annotations?.[REVISION]) ?? 0n;
}

export function nonNegativeAnnotation(rs: ReplicaSet, name: string): number | undefined {
  const text = rs.metadata.annotations?.[name];
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}

type Annotations = Record<string, string>;

export function replicasAnnotations(d: Deployment): Annotations {
  return {
    [DESIRED_REPLICAS]: String(replicasOf(d)),
    [MAX_REPLICAS]: String(replicasOf(d) + maxSurge(d)),
  };
}

/** The new ReplicaSet's annotations: the Deployment's own, and revision with its history. */
export function newReplicaSetAnnotations(
  d: Deployment,
  old: Annotations,
  newRevision: bigint,
): Annotations {
  const annotations = { ...old };
  for (const [key, value] of Object.entries(d.metadata.annotations ?? {})) {
    if (!NOT_COPIED.has(key)) annotations[key] = value;
  }
  const oldText = old[REVISION];
  const oldRevision = parseInteger(oldText) ?? 0n;
  if (oldRevision >= newRevision) return annotations;
  annotations[REVISION] = String(newRevision);
  if (oldText === undefined) return annotations;
  const past = (old[REVISION_HISTORY] ?? '').split(',').filter((entry) => entry !== '');
  past.push(oldText);
  while (past.join(',').length > REVISION_HISTORY_CHARS_MAX) past.shift();
  annotations[REVISION_HISTORY] = past.join(',');
  return annotations;
}

/** How large the new ReplicaSet may be now, beside what the others hold. */
export function newReplicaSetReplicas(
  d: Deployment,
  all: readonly ReplicaSet[],
  newReplicas: number,
): number {
  const desired = replicasOf(d);
  if (!isRollingUpdate(d)) return desired;
  const surge = scaledValue(d.spec.strategy?.rollingUpdate?.maxSurge ?? '25%', desired, 'up');
  const room = desired + surge - sumReplicas(all);
  return room <= 0 ? newReplicas : newReplicas + Math.min(room, desired - newReplicas);
}

export function isComplete(d: Deployment, status: DeploymentStatus): boolean {
  const desired = replicasOf(d);
  return (
    (status.updatedReplicas ?? 0) === desired &&
    (status.replicas ?? 0) === desired &&
    (status.availableReplicas ?? 0) === desired &&
    (status.observedGeneration ?? 0) >= (d.metadata.generation ?? 0)
  );
}
