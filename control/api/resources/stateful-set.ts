/** Rules of apps/v1 StatefulSets. Source: kubernetes v1.36.3 pkg/apis/apps, pkg/registry/apps. */
import type { StatefulSet, StatefulSetSpec } from '#base/kube/api/apps-v1.gen.ts';
import type { PodTemplateSpec, Volume } from '#base/kube/api/core-v1.gen.ts';
import type { ResourceRules } from '../resource.ts';
import { FieldErrors, goJson, RenderedValue } from './field-errors.ts';
import { checkDnsLabel } from './formats.ts';
import { given } from './given.ts';
import {
  isEmptySelector,
  labelName,
  selectorValue,
  validateAnnotations,
  validateLabels,
  validateLabelSelector,
  validateNotNegative,
} from './meta.ts';
import { validateClaimSpec } from './persistent-volume-claim-spec.ts';
import { validatePodAnnotations } from './pod-annotations.ts';
import { defaultClaimSpec, defaultPodTemplateSpec } from './pod-defaults.ts';
import { validatePodTemplateSpec } from './pod-spec.ts';
import { sameValue } from './same-value.ts';
import { copyField } from './strategies.ts';
import { age, containerCells, tableOf } from './tables.ts';
import {
  countOrPercent,
  labelsValue,
  selectorMatches,
  validateAtMostAll,
  validateCollisions,
  validateCountOrPercent,
  validateCounts,
} from './workloads.ts';
import { replicaScale, workloadStrategy } from './workload-strategy.ts';

const MUTABLE = [
  'replicas',
  'template',
  'updateStrategy',
  'minReadySeconds',
  'ordinals',
  'revisionHistoryLimit',
  'persistentVolumeClaimRetentionPolicy',
] as const satisfies readonly (keyof StatefulSetSpec)[];
const FORBIDDEN_UPDATE =
  "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
const RETENTIONS = ['Delete', 'Retain'];

/** What an update need not fix, because it was stored before the rule or cannot be changed. */
interface Lenience {
  readonly serviceName: boolean;
  readonly claims: boolean;
  readonly template: boolean;
}

function defaultSet(set: StatefulSet): void {
  set.spec ??= {} as StatefulSetSpec; // What is missing is reported by validation.
  const { spec } = set;
  spec.podManagementPolicy ||= 'OrderedReady';
  spec.updateStrategy ??= {};
  const strategy = spec.updateStrategy;
  if ((strategy.type ?? '') === '') {
    strategy.type = 'RollingUpdate';
    strategy.rollingUpdate ??= {};
  }
  if (strategy.type === 'RollingUpdate' && strategy.rollingUpdate !== undefined) {
    strategy.rollingUpdate.partition ??= 0;
  }
  spec.persistentVolumeClaimRetentionPolicy ??= {};
  spec.persistentVolumeClaimRetentionPolicy.whenDeleted ||= 'Retain';
  spec.persistentVolumeClaimRetentionPolicy.whenScaled ||= 'Retain';
  spec.replicas ??= 1;
  spec.revisionHistoryLimit ??= 10;
  spec.template ??= {};
  defaultPodTemplateSpec(spec.template);
  for (const claim of spec.volumeClaimTemplates ?? []) {
    claim.kind = 'PersistentVolumeClaim';
    claim.apiVersion = 'v1';
    claim.spec ??= {};
    defaultClaimSpec(claim.spec);
    claim.status ??= {};
    claim.status.phase ||= 'Pending';
  }
}

/** Of a feature that is off by default: kept only where it is stored already. */
function dropMaxUnavailable(set: StatefulSet, old?: StatefulSet): void {
  if (old?.spec.updateStrategy?.rollingUpdate?.maxUnavailable !== undefined) return;
  delete set.spec.updateStrategy?.rollingUpdate?.maxUnavailable;
}

function validateSpec(e: FieldErrors, spec: StatefulSetSpec, lenience: Lenience): void {
  const policy = spec.podManagementPolicy ?? '';
  if (policy !== 'OrderedReady' && policy !== 'Parallel') {
    e.invalid('spec.podManagementPolicy', policy, "must be 'OrderedReady' or 'Parallel'");
  }
  validateStrategy(e, spec.updateStrategy ?? {});
  const retention = spec.persistentVolumeClaimRetentionPolicy;
  for (const field of ['whenDeleted', 'whenScaled'] as const) {
    const value = retention?.[field] ?? '';
    if (retention === undefined || RETENTIONS.includes(value)) continue;
    const path = `spec.persistentVolumeClaimRetentionPolicy.${field}`;
    e.notSupported(path, value, ['Retain', 'Delete']);
  }
  if (!lenience.claims) {
    for (const [i, claim] of (spec.volumeClaimTemplates ?? []).entries()) {
      validateClaimSpec(e, `spec.volumeClaimTemplates[${i}].spec`, claim.spec);
    }
  }
  validateNotNegative(e, 'spec.replicas', spec.replicas ?? 0);
  validateNotNegative(e, 'spec.minReadySeconds', spec.minReadySeconds ?? 0);
  validateNotNegative(e, 'spec.ordinals.start', spec.ordinals?.start ?? 0);
  const service = spec.serviceName ?? '';
  if (!lenience.serviceName && service !== '') {
    e.invalidEach('spec.serviceName', service, checkDnsLabel(service));
  }
  validateTemplate(e, spec, lenience);
}

function validateStrategy(e: FieldErrors, strategy: StatefulSetSpec['updateStrategy'] & {}): void {
  const { type = '', rollingUpdate } = strategy;
  const path = 'spec.updateStrategy.rollingUpdate';
  const shown = {
    Partition: rollingUpdate?.partition ?? 0,
    MaxUnavailable: rollingUpdate?.maxUnavailable ?? null,
  };
  if (type === 'OnDelete') {
    if (rollingUpdate === undefined) return;
    const detail = "only allowed for updateStrategy 'RollingUpdate'";
    return e.invalid(path, new RenderedValue(goJson(shown)), detail);
  }
  if (type !== 'RollingUpdate') {
    const value = { Type: type, RollingUpdate: rollingUpdate === undefined ? null : shown };
    const detail = "must be 'RollingUpdate' or 'OnDelete'";
    return e.invalid('spec.updateStrategy', new RenderedValue(goJson(value)), detail);
  }
  if (rollingUpdate === undefined) return;
  validateNotNegative(e, `${path}.partition`, rollingUpdate.partition ?? 0);
  const count = rollingUpdate.maxUnavailable;
  if (count === undefined) return;
  validateCountOrPercent(e, `${path}.maxUnavailable`, count);
  if (countOrPercent(count) === 0) e.invalid(`${path}.maxUnavailable`, count, 'cannot be 0');
  validateAtMostAll(e, `${path}.maxUnavailable`, count);
}

function validateTemplate(e: FieldErrors, spec: StatefulSetSpec, lenience: Lenience): void {
  const { selector } = spec as Partial<StatefulSetSpec>; // Not checked yet.
  const path = 'spec.template';
  if (selector === undefined) e.required('spec.selector');
  else {
    validateLabelSelector(e, 'spec.selector', selector);
    if (isEmptySelector(selector)) {
      const detail = 'empty selector is invalid for statefulset';
      e.invalid('spec.selector', selectorValue(selector), detail);
    }
  }
  const template = withClaims(spec);
  const { labels, annotations } = template.metadata ?? {};
  const matches = selector === undefined ? false : selectorMatches(selector, labels);
  if (matches === undefined) e.invalid('spec.selector', selectorValue(selector), '');
  else {
    const selectsAll = selector !== undefined && isEmptySelector(selector);
    if (!matches && !selectsAll) {
      const detail = '`selector` does not match template `labels`';
      e.invalid(`${path}.metadata.labels`, labelsValue(labels), detail);
    }
    if (!lenience.template) validatePodTemplateSpec(e, path, template);
    validateLabels(e, `${path}.labels`, labels);
    validateAnnotations(e, `${path}.annotations`, annotations);
    const pod = template.spec ?? { containers: [] };
    validatePodAnnotations(e, `${path}.annotations`, annotations, pod);
  }
  const restart = spec.template.spec?.restartPolicy ?? '';
  if (restart !== 'Always') e.notSupported(`${path}.spec.restartPolicy`, restart, ['Always']);
  if (spec.template.spec?.activeDeadlineSeconds !== undefined) {
    const detail = 'activeDeadlineSeconds in StatefulSet is not Supported';
    e.forbidden(`${path}.spec.activeDeadlineSeconds`, detail);
  }
}

/** The template with the claims as volumes and without what the controller sets for each pod. */
function withClaims({
  template,
  volumeClaimTemplates: claims = [],
}: StatefulSetSpec): PodTemplateSpec {
  if (template.spec === undefined) return template;
  const { subdomain: _subdomain, hostname: _hostname, volumes = [], ...rest } = template.spec;
  const names = new Set(claims.map(({ metadata }) => metadata.name));
  const added: Volume[] = [...names].map((name) => ({
    name,
    persistentVolumeClaim: { claimName: name },
  }));
  const kept = volumes.filter(({ name }) => !names.has(name));
  return { ...template, spec: { ...rest, volumes: [...added, ...kept] } };
}

function validateUpdate(e: FieldErrors, set: StatefulSet, old: StatefulSet): void {
  const lenience = { serviceName: true, claims: true, template: false };
  const before = new FieldErrors();
  validateSpec(before, old.spec, lenience);
  validateSpec(e, set.spec, { ...lenience, template: !before.ok });
  const rest = { ...set.spec };
  for (const field of MUTABLE) copyField(rest, old.spec, field);
  if (!sameValue(rest, old.spec)) e.forbidden('spec', FORBIDDEN_UPDATE);
}

function validateStatusUpdate(e: FieldErrors, set: StatefulSet, old: StatefulSet): void {
  const status = set.status ?? { replicas: 0 };
  const { replicas = 0 } = given(status);
  const counts = {
    replicas,
    readyReplicas: status.readyReplicas,
    currentReplicas: status.currentReplicas,
    updatedReplicas: status.updatedReplicas,
    availableReplicas: status.availableReplicas,
    observedGeneration: status.observedGeneration,
    collisionCount: status.collisionCount,
  };
  validateCounts(e, 'status', counts);
  for (const field of [
    'readyReplicas',
    'currentReplicas',
    'updatedReplicas',
    'availableReplicas',
  ] as const) {
    const count = counts[field] ?? 0;
    if (count > replicas) {
      e.invalid(`status.${field}`, count, 'cannot be greater than status.replicas');
    }
  }
  const available = status.availableReplicas ?? 0;
  if (available > (status.readyReplicas ?? 0)) {
    const detail = 'cannot be greater than status.readyReplicas';
    e.invalid('status.availableReplicas', available, detail);
  }
  validateCollisions(e, status.collisionCount, old.status?.collisionCount);
}

const strategy = workloadStrategy<StatefulSet>({
  meta: { namespaced: true, name: labelName, coreFinalizers: true },
  newStatus: () => ({ replicas: 0 }),
  validate: (e, set) =>
    validateSpec(e, set.spec, { serviceName: false, claims: false, template: false }),
  validateUpdate,
  validateStatusUpdate,
});

export const statefulSetRules: ResourceRules<StatefulSet> = {
  group: 'apps',
  version: 'v1',
  resource: 'statefulsets',
  default: defaultSet,
  ...strategy,
  prepareForCreate(set, context) {
    strategy.prepareForCreate(set, context);
    dropMaxUnavailable(set);
  },
  prepareForUpdate(set, old, context) {
    strategy.prepareForUpdate(set, old, context);
    dropMaxUnavailable(set, old);
  },
  scale: replicaScale<StatefulSet>(),
  table: tableOf('Name,Ready,Age|Containers,Images', ({ metadata, spec, status }, nowMs) => [
    metadata.name,
    `${status?.readyReplicas ?? 0}/${spec.replicas ?? 0}`,
    age(metadata.creationTimestamp, nowMs),
    ...containerCells(spec.template),
  ]),
};
