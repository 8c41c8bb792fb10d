/** Rules of apps/v1 Deployments. Source: kubernetes v1.36.3 pkg/apis/apps, pkg/registry/apps. */
import type { Deployment } from '#base/kube/api/apps-v1.gen.ts';
import type { ResourceRules } from '../resource.ts';
import type { FieldErrors } from './field-errors.ts';
import { subdomainName, validateNotNegative } from './meta.ts';
import { defaultPodTemplateSpec } from './pod-defaults.ts';
import { sameValue } from './same-value.ts';
import { copyField } from './strategies.ts';
import { age, containerCells, formatSelector, tableOf } from './tables.ts';
import {
  countOrPercent,
  validateAtMostAll,
  validateCountOrPercent,
  validateCounts,
  validateReplicaCounts,
  validateReplicated,
} from './workloads.ts';
import { replicaScale, validateSameSelector, workloadStrategy } from './workload-strategy.ts';

function defaultDeployment(deployment: Deployment): void {
  deployment.spec ??= {} as Deployment['spec']; // What is missing is reported by validation.
  const { spec } = deployment;
  spec.replicas ??= 1;
  spec.strategy ??= {};
  spec.strategy.type ||= 'RollingUpdate';
  if (spec.strategy.type === 'RollingUpdate') {
    spec.strategy.rollingUpdate ??= {};
    spec.strategy.rollingUpdate.maxUnavailable ??= '25%';
    spec.strategy.rollingUpdate.maxSurge ??= '25%';
  }
  spec.revisionHistoryLimit ??= 10;
  spec.progressDeadlineSeconds ??= 600;
  spec.template ??= {};
  defaultPodTemplateSpec(spec.template);
}

function validateSpec(e: FieldErrors, { spec }: Deployment): void {
  validateNotNegative(e, 'spec.replicas', spec.replicas ?? 0);
  validateReplicated(e, 'spec', spec);
  validateStrategy(e, spec.strategy ?? {});
  validateNotNegative(e, 'spec.minReadySeconds', spec.minReadySeconds ?? 0);
  validateNotNegative(e, 'spec.revisionHistoryLimit', spec.revisionHistoryLimit ?? 0);
  const deadline = spec.progressDeadlineSeconds;
  if (deadline === undefined) return;
  validateNotNegative(e, 'spec.progressDeadlineSeconds', deadline);
  if (deadline <= (spec.minReadySeconds ?? 0)) {
    e.invalid('spec.progressDeadlineSeconds', deadline, 'must be greater than minReadySeconds');
  }
}

function validateStrategy(e: FieldErrors, strategy: Deployment['spec']['strategy'] & {}): void {
  const { type = '', rollingUpdate } = strategy;
  const path = 'spec.strategy.rollingUpdate';
  if (type === 'Recreate') {
    if (rollingUpdate === undefined) return;
    e.forbidden(path, "may not be specified when strategy `type` is 'Recreate'");
  } else if (type === 'RollingUpdate') {
    const { maxUnavailable, maxSurge } = rollingUpdate ?? {};
    validateCountOrPercent(e, `${path}.maxUnavailable`, maxUnavailable);
    validateCountOrPercent(e, `${path}.maxSurge`, maxSurge);
    if (countOrPercent(maxUnavailable) === 0 && countOrPercent(maxSurge) === 0) {
      e.invalid(`${path}.maxUnavailable`, maxUnavailable, 'may not be 0 when `maxSurge` is 0');
    }
    validateAtMostAll(e, `${path}.maxUnavailable`, maxUnavailable);
  } else {
    const shown = { Type: type, RollingUpdate: rollingUpdate ?? null };
    e.notSupported('spec.strategy', shown, ['Recreate', 'RollingUpdate']);
  }
}

function validateStatusUpdate(e: FieldErrors, deployment: Deployment, old: Deployment): void {
  const status = deployment.status ?? {};
  const { updatedReplicas, readyReplicas, availableReplicas } = status;
  validateCounts(e, 'status', {
    observedGeneration: status.observedGeneration,
    replicas: status.replicas,
    updatedReplicas,
    readyReplicas,
    availableReplicas,
    unavailableReplicas: status.unavailableReplicas,
    terminatingReplicas: status.terminatingReplicas,
    collisionCount: status.collisionCount,
  });
  validateReplicaCounts(e, status, { updatedReplicas, readyReplicas, availableReplicas });
  const before = old.status?.collisionCount;
  if (before !== undefined && (status.collisionCount ?? -1) < before) {
    e.invalid('status.collisionCount', status.collisionCount ?? 0, 'cannot be decremented');
  }
}

const strategy = workloadStrategy<Deployment>({
  meta: { namespaced: true, name: subdomainName, coreFinalizers: true },
  newStatus: () => ({}),
  validate: validateSpec,
  validateUpdate(e, deployment, old) {
    validateSpec(e, deployment);
    validateSameSelector(e, deployment.spec, old.spec);
  },
  validateStatusUpdate,
});

export const deploymentRules: ResourceRules<Deployment> = {
  group: 'apps',
  version: 'v1',
  resource: 'deployments',
  default: defaultDeployment,
  ...strategy,
  // Annotations count, because they are copied to the replica sets.
  bumpsGeneration: (deployment, old) =>
    strategy.bumpsGeneration(deployment, old) ||
    !sameValue(deployment.metadata.annotations, old.metadata.annotations),
  subresources: {
    status: {
      ...strategy.subresources.status,
      prepareForUpdate(deployment, old, context) {
        strategy.subresources.status.prepareForUpdate(deployment, old, context);
        copyField(deployment.metadata, old.metadata, 'labels');
      },
    },
  },
  scale: replicaScale<Deployment>(),
  table: tableOf(
    'Name,Ready,Up-to-date,Available,Age|Containers,Images,Selector',
    ({ metadata, spec, status }, nowMs) => [
      metadata.name,
      `${status?.readyReplicas ?? 0}/${spec.replicas ?? 0}`,
      status?.updatedReplicas ?? 0,
      status?.availableReplicas ?? 0,
      age(metadata.creationTimestamp, nowMs),
      ...containerCells(spec.template),
      formatSelector(spec.selector),
    ],
  ),
};
