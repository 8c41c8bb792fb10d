/** Rules of apps/v1 ReplicaSets. Source: kubernetes v1.36.3 pkg/apis/apps, pkg/registry/apps. */
import type { ReplicaSet } from '#base/kube/api/apps-v1.gen.ts';
import type { ResourceRules } from '../resource.ts';
import type { FieldErrors } from './field-errors.ts';
import {
  IMMUTABLE,
  selectorValue,
  subdomainName,
  validateMeta,
  validateMetaUpdate,
  validateNotNegative,
} from './meta.ts';
import { defaultPodTemplateSpec } from './pod-defaults.ts';
import { sameValue } from './same-value.ts';
import { collect, collectUpdate, copyField } from './strategies.ts';
import { age, containerCells, formatSelector, selectorText, tableOf } from './tables.ts';
import {
  podNameWarnings,
  validateCounts,
  validateReplicaCounts,
  validateReplicated,
} from './workloads.ts';

const META = { namespaced: true, name: subdomainName, coreFinalizers: true };

function validateSpec(e: FieldErrors, { spec }: ReplicaSet): void {
  validateNotNegative(e, 'spec.replicas', spec.replicas ?? 0);
  validateNotNegative(e, 'spec.minReadySeconds', spec.minReadySeconds ?? 0);
  validateReplicated(e, 'spec', spec);
}

function validateStatusUpdate(e: FieldErrors, set: ReplicaSet, old: ReplicaSet): void {
  validateMetaUpdate(e, set.metadata, old.metadata, META);
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
  hasGeneration: true,
  default(set) {
    set.spec ??= {} as ReplicaSet['spec']; // What is missing is reported by validation.
    set.spec.replicas ??= 1;
    set.spec.template ??= {};
    defaultPodTemplateSpec(set.spec.template);
  },
  prepareForCreate(set) {
    set.status = { replicas: 0 };
  },
  validate: (set) =>
    collect((e) => {
      validateMeta(e, set.metadata, META);
      validateSpec(e, set);
    }),
  prepareForUpdate(set, old) {
    copyField(set, old, 'status');
  },
  validateUpdate: (set, old) =>
    collectUpdate(set, old, META, (e) => {
      validateMetaUpdate(e, set.metadata, old.metadata, META);
      validateSpec(e, set);
      if (!sameValue(set.spec.selector, old.spec.selector)) {
        e.invalid('spec.selector', selectorValue(set.spec.selector), IMMUTABLE);
      }
    }),
  warningsOnCreate: ({ metadata }) => podNameWarnings(metadata.name),
  bumpsGeneration: (set, old) => !sameValue(set.spec, old.spec),
  fieldLabels: ['status.replicas'],
  selectableFields: ({ status }) => ({ 'status.replicas': `${status?.replicas ?? 0}` }),
  subresources: {
    status: {
      prepareForUpdate(set, old) {
        copyField(set, old, 'spec');
      },
      validateUpdate: (set, old) =>
        collectUpdate(set, old, META, (e) => validateStatusUpdate(e, set, old)),
    },
  },
  scale: {
    specReplicas: ({ spec }) => spec.replicas ?? 0,
    statusReplicas: ({ status }) => status?.replicas ?? 0,
    selector: ({ spec }) => selectorText(spec.selector),
    setSpecReplicas({ spec }, replicas) {
      spec.replicas = replicas;
    },
  },
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
