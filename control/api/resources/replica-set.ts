/** Rules of apps/v1 ReplicaSets. Source: kubernetes v1.36.3 pkg/apis/apps, pkg/registry/apps. */
import type { ReplicaSet } from '#base/kube/api/apps-v1.gen.ts';
import type { ResourceRules } from '../resource.ts';
import type { FieldErrors } from './field-errors.ts';
import { subdomainName, validateNotNegative } from './meta.ts';
import { defaultPodTemplateSpec } from './pod-defaults.ts';
import { age, containerCells, formatSelector, tableOf } from './tables.ts';
import { validateCounts, validateReplicaCounts, validateReplicated } from './workloads.ts';
import { replicaScale, validateSameSelector, workloadStrategy } from './workload-strategy.ts';

function validateSpec(e: FieldErrors, { spec }: ReplicaSet): void {
  validateNotNegative(e, 'spec.replicas', spec.replicas ?? 0);
  validateNotNegative(e, 'spec.minReadySeconds', spec.minReadySeconds ?? 0);
  validateReplicated(e, 'spec', spec);
}

function validateStatusUpdate(e: FieldErrors, set: ReplicaSet): void {
  const status = set.status ?? { replicas: 0 };
  const { fullyLabeledReplicas, readyReplicas, availableReplicas } = status;
  validateCounts(e, 'status', {
    replicas: status.replicas,
    fullyLabeledReplicas,
    readyReplicas,
    availableReplicas,
    observedGeneration: status.observedGeneration,
    terminatingReplicas: status.terminatingReplicas,
  });
  validateReplicaCounts(e, status, { fullyLabeledReplicas, readyReplicas, availableReplicas });
}

export const replicaSetRules: ResourceRules<ReplicaSet> = {
  group: 'apps',
  version: 'v1',
  resource: 'replicasets',
  default(set) {
    set.spec ??= {} as ReplicaSet['spec']; // What is missing is reported by validation.
    set.spec.replicas ??= 1;
    set.spec.template ??= {};
    defaultPodTemplateSpec(set.spec.template);
  },
  ...workloadStrategy<ReplicaSet>({
    meta: { namespaced: true, name: subdomainName, coreFinalizers: true },
    newStatus: () => ({ replicas: 0 }),
    validate: validateSpec,
    validateUpdate(e, set, old) {
      validateSpec(e, set);
      validateSameSelector(e, set.spec, old.spec);
    },
    validateStatusUpdate,
  }),
  fieldLabels: ['status.replicas'],
  selectableFields: ({ status }) => ({ 'status.replicas': `${status?.replicas ?? 0}` }),
  scale: replicaScale<ReplicaSet>(),
  table: tableOf(
    'Name,Desired:integer,Current:integer,Ready:integer,Age|Containers,Images,Selector',
    ({ metadata, spec, status }, nowMs) => [
      metadata.name,
      spec.replicas ?? 0,
      status?.replicas ?? 0,
      status?.readyReplicas ?? 0,
      age(metadata.creationTimestamp, nowMs),
      ...containerCells(spec.template),
      formatSelector(spec.selector),
    ],
  ),
};
