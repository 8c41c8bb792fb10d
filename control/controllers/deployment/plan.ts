/**
 * What a Deployment does next: the sizes its ReplicaSets should have (scaling in proportion, rolling
 * update, recreate) and which old ones go. Pure; deployment.ts acts, one step at a time, and is called
 * again when a ReplicaSet has changed.
 */
import type { Deployment, ReplicaSet } from '#base/kube/api/apps-v1.gen.ts';
import type { Pod } from '#base/kube/api/core-v1.gen.ts';
import { isDeleting } from '#base/kube/metadata.ts';
import { isPodTerminal } from '../shared/pods.ts';
import {
  byCreation,
  DESIRED_REPLICAS,
  historyLimit,
  isRollingUpdate,
  MAX_REPLICAS,
  maxSurge,
  maxUnavailable,
  newReplicaSetReplicas,
  nonNegativeAnnotation,
  replicasOf,
  revisionOf,
  sumReplicas,
  sumStatus,
} from './rollout.ts';

/** `force`: write the annotations even when the size stands. */
export interface Scale {
  readonly set: ReplicaSet;
  readonly replicas: number;
  readonly force: boolean;
}

const isActive = (rs: ReplicaSet) => replicasOf(rs) > 0;

export interface Sets {
  readonly deployment: Deployment;
  readonly newSet: ReplicaSet | undefined;
  readonly oldSets: readonly ReplicaSet[];
}

function all(sets: Sets): ReplicaSet[] {
  return sets.newSet === undefined ? [...sets.oldSets] : [...sets.oldSets, sets.newSet];
}

/** The Deployment was scaled since its ReplicaSets were last sized. */
export function isScaling(sets: Sets): boolean {
  return all(sets)
    .filter(isActive)
    .some((rs) => {
      const desired = nonNegativeAnnotation(rs, DESIRED_REPLICAS);
      return desired !== undefined && desired !== replicasOf(sets.deployment);
    });
}

/** Sizes after a scaling of the Deployment, or while it is paused. */
export function planScale(sets: Sets): Scale[] {
  const { deployment: d, newSet, oldSets } = sets;
  const active = all(sets).filter(isActive);
  const only = active.length > 1 ? undefined : (active[0] ?? newSet ?? latest(oldSets));
  if (active.length <= 1) {
    if (only === undefined || replicasOf(only) === replicasOf(d)) return [];
    return [{ set: only, replicas: replicasOf(d), force: false }];
  }
  if (newSet !== undefined && isSaturated(d, newSet)) {
    return oldSets.filter(isActive).map((set) => ({ set, replicas: 0, force: false }));
  }
  return isRollingUpdate(d) ? planProportional(d, active) : [];
}

function latest(sets: readonly ReplicaSet[]): ReplicaSet | undefined {
  return [...sets].sort(byCreation).at(-1);
}

function isSaturated(d: Deployment, rs: ReplicaSet): boolean {
  const desired = replicasOf(d);
  return (
    replicasOf(rs) === desired &&
    nonNegativeAnnotation(rs, DESIRED_REPLICAS) === desired &&
    (rs.status?.availableReplicas ?? 0) === desired
  );
}

/** Spreads the difference over all active ReplicaSets by size; the largest takes the rounding. */
function planProportional(d: Deployment, active: readonly ReplicaSet[]): Scale[] {
  const allowed = replicasOf(d) > 0 ? replicasOf(d) + maxSurge(d) : 0;
  const toAdd = allowed - sumReplicas(active);
  const newestFirst = toAdd > 0;
  const sorted = [...active].sort((a, b) => {
    const bySize = replicasOf(b) - replicasOf(a);
    if (bySize !== 0) return bySize;
    return newestFirst ? byCreation(b, a) : byCreation(a, b);
  });
  let added = 0;
  const scales = sorted.map((set) => {
    const share = toAdd === 0 ? 0 : proportion(d, set, { toAdd, added });
    added += share;
    return { set, replicas: replicasOf(set) + share, force: true };
  });
  const first = scales[0];
  if (first === undefined || toAdd === 0) return scales;
  const replicas = Math.max(0, first.replicas + toAdd - added);
  return [{ ...first, replicas }, ...scales.slice(1)];
}

function proportion(
  d: Deployment,
  rs: ReplicaSet,
  { toAdd, added }: { toAdd: number; added: number },
): number {
  if (replicasOf(rs) === 0 || toAdd === added) return 0;
  const fraction = fractionOf(d, rs);
  const left = toAdd - added;
  return toAdd > 0 ? Math.min(fraction, left) : Math.max(fraction, left);
}

function fractionOf(d: Deployment, rs: ReplicaSet): number {
  if (replicasOf(d) === 0) return -replicasOf(rs);
  const before = nonNegativeAnnotation(rs, MAX_REPLICAS) || (d.status?.replicas ?? 0);
  if (before === 0) return 0;
  const size = (replicasOf(rs) * (replicasOf(d) + maxSurge(d))) / before;
  return Math.round(size) - replicasOf(rs);
}

/** One step of a rolling update: the new ReplicaSet up, else the old ones down. */
export function planRolling(sets: Sets & { newSet: ReplicaSet }): Scale[] {
  const { deployment: d, newSet } = sets;
  const current = replicasOf(newSet);
  if (current > replicasOf(d)) return [{ set: newSet, replicas: replicasOf(d), force: false }];
  if (current < replicasOf(d)) {
    const replicas = newReplicaSetReplicas(d, all(sets), current);
    if (replicas !== current) return [{ set: newSet, replicas, force: false }];
  }
  return planScaleDownOld(sets);
}

function planScaleDownOld(sets: Sets & { newSet: ReplicaSet }): Scale[] {
  const { deployment: d, newSet } = sets;
  const old = sets.oldSets.filter(isActive).sort(byCreation);
  if (old.length === 0) return [];
  const minAvailable = replicasOf(d) - maxUnavailable(d);
  const newUnavailable = replicasOf(newSet) - (newSet.status?.availableReplicas ?? 0);
  const removable = sumReplicas(all(sets)) - minAvailable - newUnavailable;
  if (removable <= 0) return [];
  const sizes = new Map(old.map((rs) => [rs, replicasOf(rs)]));
  // Pods that never became available go first: they hold nothing up.
  let removed = 0;
  for (const rs of old) {
    const unhealthy = replicasOf(rs) - (rs.status?.availableReplicas ?? 0);
    const count = Math.min(Math.max(0, unhealthy), removable - removed);
    sizes.set(rs, replicasOf(rs) - count);
    removed += count;
  }
  let spare = sumStatus([...old, newSet], 'availableReplicas') - minAvailable;
  for (const rs of old) {
    const count = Math.min(Math.max(0, spare), sizes.get(rs) ?? 0);
    sizes.set(rs, (sizes.get(rs) ?? 0) - count);
    spare -= count;
  }
  return old
    .map((set) => ({ set, replicas: sizes.get(set) ?? 0, force: false }))
    .filter(({ set, replicas }) => replicas !== replicasOf(set));
}

export type RecreateStep =
  | { readonly kind: 'scale'; readonly scales: readonly Scale[] }
  /** Old pods still run: the new ReplicaSet must wait. */
  | { readonly kind: 'wait' }
  | { readonly kind: 'proceed' };

/** Recreate: all old pods are gone before the first new one. `podsOf` by ReplicaSet uid. */
export function planRecreate(sets: Sets, podsOf: (uid: string) => readonly Pod[]): RecreateStep {
  const active = sets.oldSets.filter(isActive);
  if (active.length > 0) {
    return {
      kind: 'scale',
      scales: active.map((set) => ({ set, replicas: 0, force: false })),
    };
  }
  const isRunning =
    sumStatus(sets.oldSets, 'replicas') > 0 ||
    sets.oldSets.some((rs) => podsOf(rs.metadata.uid).some((pod) => !isPodTerminal(pod)));
  return { kind: isRunning ? 'wait' : 'proceed' };
}

/** Old ReplicaSets beyond the history limit that are empty and settled, oldest revision first. */
export function planCleanup(d: Deployment, oldSets: readonly ReplicaSet[]): ReplicaSet[] {
  const limit = historyLimit(d);
  if (limit === undefined) return [];
  const cleanable = oldSets.filter((rs) => !isDeleting(rs));
  const surplus = cleanable.length - limit;
  if (surplus <= 0) return [];
  return cleanable
    .sort((a, b) => {
      const difference = revisionOf(a) - revisionOf(b);
      return difference === 0n ? byCreation(a, b) : difference < 0n ? -1 : 1;
    })
    .slice(0, surplus)
    .filter(
      (rs) =>
        (rs.status?.replicas ?? 0) === 0 &&
        replicasOf(rs) === 0 &&
        (rs.metadata.generation ?? 0) <= (rs.status?.observedGeneration ?? 0),
    );
}
