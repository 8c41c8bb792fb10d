/**
 * ReplicaSets and ReplicationControllers: how many pods to create, which to delete, and the status.
 * Pure; replicaset.ts acts. Semantics as upstream's replicaset controller.
 */
import type { ReplicaSetCondition, ReplicaSetStatus } from '#base/kube/api/apps-v1.gen.ts';
import type { Pod, PodTemplateSpec } from '#base/kube/api/core-v1.gen.ts';
import { formatTime, isDeleting } from '#base/kube/metadata.ts';
import { compileLabelSet, type LabelMatcher } from '#base/kube/selectors.ts';
import { BURST_REPLICAS_MAX } from '../limits.ts';
import {
  choosePodsToDelete,
  isPodActive,
  isPodAvailable,
  isPodReady,
  isPodTerminal,
} from '../shared/pods.ts';

/** What both kinds have in common. */
export interface ReplicaOwner {
  readonly selector: LabelMatcher;
  readonly replicas: number;
  readonly minReadySeconds: number;
  readonly template: PodTemplateSpec;
  readonly generation: number;
  readonly conditions: readonly ReplicaSetCondition[];
}

export type ReplicaPlan =
  | { readonly kind: 'none' }
  | { readonly kind: 'create'; readonly count: number }
  | { readonly kind: 'delete'; readonly pods: readonly Pod[] };

/** `active` are the owner's own active pods; `related` those of sibling ReplicaSets as well. */
export function planReplicas(
  owner: ReplicaOwner,
  active: readonly Pod[],
  related: readonly Pod[],
  nowMs: number,
): ReplicaPlan {
  const missing = owner.replicas - active.length;
  if (missing > 0) return { kind: 'create', count: Math.min(missing, BURST_REPLICAS_MAX) };
  if (missing === 0) return { kind: 'none' };
  const count = Math.min(-missing, BURST_REPLICAS_MAX);
  return { kind: 'delete', pods: choosePodsToDelete(active, related, count, nowMs) };
}

export interface ManageFailure {
  readonly kind: 'create' | 'delete';
  readonly message: string;
}

/** `owned` are all pods of the owner, terminating and finished ones included. */
export function planReplicaStatus(
  owner: ReplicaOwner,
  owned: readonly Pod[],
  failure: ManageFailure | undefined,
  nowMs: number,
): ReplicaSetStatus {
  const active = owned.filter(isPodActive);
  const template = compileLabelSet(owner.template.metadata?.labels);
  const count = (matches: (pod: Pod) => boolean) => active.filter(matches).length;
  return {
    replicas: active.length,
    fullyLabeledReplicas: count((pod) => template.matches(pod.metadata.labels)),
    readyReplicas: count(isPodReady),
    availableReplicas: count((pod) => isPodAvailable(pod, owner.minReadySeconds, nowMs)),
    terminatingReplicas: owned.filter((pod) => isDeleting(pod) && !isPodTerminal(pod)).length,
    observedGeneration: owner.generation,
    conditions: planConditions(owner, failure, nowMs),
  };
}

function planConditions(
  owner: ReplicaOwner,
  failure: ManageFailure | undefined,
  nowMs: number,
): ReplicaSetCondition[] {
  const others = owner.conditions.filter((condition) => condition.type !== 'ReplicaFailure');
  if (failure === undefined) return others;
  const old = owner.conditions.find((condition) => condition.type === 'ReplicaFailure');
  const reason = failure.kind === 'create' ? 'FailedCreate' : 'FailedDelete';
  if (old !== undefined && old.status === 'True' && old.reason === reason)
    return [...owner.conditions];
  const lastTransitionTime = formatTime(nowMs);
  const { message } = failure;
  return [
    ...others,
    { type: 'ReplicaFailure', status: 'True', lastTransitionTime, reason, message },
  ];
}
