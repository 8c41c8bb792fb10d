/** Rules of v1 ReplicationControllers and PodTemplates. Source: kubernetes v1.36.3 pkg/apis/core. */
import type { PodTemplate, ReplicationController } from '#base/kube/api/core-v1.gen.ts';
import type { ResourceRules } from '../resource.ts';
import type { FieldErrors } from './field-errors.ts';
import { subdomainName, validateMeta, validateMetaUpdate, validateNotNegative } from './meta.ts';
import { defaultPodTemplateSpec } from './pod-defaults.ts';
import { validatePodTemplateSpec } from './pod-spec.ts';
import { sameValue } from './same-value.ts';
import { collect, collectUpdate } from './strategies.ts';
import { age, containerCells, formatLabels, NONE, tableOf } from './tables.ts';
import {
  labelsValue,
  validateCounts,
  validateReplicaCounts,
  validateRestartingTemplate,
} from './workloads.ts';
import { workloadStrategy } from './workload-strategy.ts';

const META = { namespaced: true, name: subdomainName, coreFinalizers: true };

function defaultController(controller: ReplicationController): void {
  controller.spec ??= {};
  const { spec, metadata } = controller;
  spec.replicas ??= 1;
  if (spec.template === undefined) return;
  defaultPodTemplateSpec(spec.template);
  const labels = spec.template.metadata?.labels;
  if (labels === undefined) return;
  if (Object.keys(spec.selector ?? {}).length === 0) spec.selector = { ...labels };
  if (Object.keys(metadata.labels ?? {}).length === 0) metadata.labels = { ...labels };
}

function validateSpec(e: FieldErrors, controller: ReplicationController): void {
  const spec = controller.spec ?? {};
  validateNotNegative(e, 'spec.minReadySeconds', spec.minReadySeconds ?? 0);
  const selector = Object.entries(spec.selector ?? {});
  if (selector.length === 0) e.required('spec.selector');
  validateNotNegative(e, 'spec.replicas', spec.replicas ?? 0);
  if (spec.template === undefined) return e.required('spec.template');
  const labels = spec.template.metadata?.labels;
  if (selector.some(([key, value]) => labels?.[key] !== value)) {
    const detail = '`selector` does not match template `labels`';
    e.invalid('spec.template.metadata.labels', labelsValue(labels), detail);
  }
  validateRestartingTemplate(e, 'spec.template', spec.template, 'ReplicationController');
}

function validateStatusUpdate(e: FieldErrors, controller: ReplicationController): void {
  const status = controller.status ?? { replicas: 0 };
  const { fullyLabeledReplicas, readyReplicas, availableReplicas } = status;
  const parts = { fullyLabeledReplicas, readyReplicas, availableReplicas };
  validateCounts(e, 'status', {
    replicas: status.replicas,
    ...parts,
    observedGeneration: status.observedGeneration,
  });
  validateReplicaCounts(e, status, parts);
}

const labelsText = (labels: Readonly<Record<string, string>> | undefined): string => {
  const text = formatLabels(labels);
  return text === NONE ? '' : text;
};

export const replicationControllerRules: ResourceRules<ReplicationController> = {
  group: '',
  version: 'v1',
  resource: 'replicationcontrollers',
  defaultPropagation: 'Orphan',
  default: defaultController,
  ...workloadStrategy<ReplicationController>({
    meta: META,
    newStatus: () => ({ replicas: 0 }),
    validate: validateSpec,
    validateUpdate: validateSpec,
    validateStatusUpdate,
  }),
  fieldLabels: ['status.replicas'],
  selectableFields: ({ status }) => ({ 'status.replicas': `${status?.replicas ?? 0}` }),
  scale: {
    specReplicas: ({ spec }) => spec?.replicas ?? 0,
    statusReplicas: ({ status }) => status?.replicas ?? 0,
    selector: ({ spec }) => labelsText(spec?.selector),
    setSpecReplicas(controller, replicas) {
      controller.spec = { ...controller.spec, replicas };
    },
  },
  table: tableOf(
    'Name,Desired:integer,Current:integer,Ready:integer,Age|Containers,Images,Selector',
    ({ metadata, spec, status }, nowMs) => [
      metadata.name,
      spec?.replicas ?? 0,
      status?.replicas ?? 0,
      status?.readyReplicas ?? 0,
      age(metadata.creationTimestamp, nowMs),
      ...containerCells(spec?.template),
      formatLabels(spec?.selector),
    ],
  ),
};

export const podTemplateRules: ResourceRules<PodTemplate> = {
  group: '',
  version: 'v1',
  resource: 'podtemplates',
  hasGeneration: true,
  default(template) {
    template.template ??= {};
    defaultPodTemplateSpec(template.template);
  },
  validate: (template) =>
    collect((e) => {
      validateMeta(e, template.metadata, META);
      validatePodTemplateSpec(e, 'template', template.template);
    }),
  validateUpdate: (template, old) =>
    collectUpdate(template, old, META, (e) => {
      validateMetaUpdate(e, template.metadata, old.metadata, META);
      validatePodTemplateSpec(e, 'template', template.template);
    }),
  returnsDeletedObject: true,
  bumpsGeneration: (template, old) => !sameValue(template.template, old.template),
  table: tableOf('Name,Containers,Images,Pod Labels', ({ metadata, template }) => [
    metadata.name,
    ...containerCells(template),
    formatLabels(template?.metadata?.labels),
  ]),
};
