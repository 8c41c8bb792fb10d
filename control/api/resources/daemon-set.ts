/** Rules of apps/v1 DaemonSets. Source: kubernetes v1.36.3 pkg/apis/apps, pkg/registry/apps. */
import type { DaemonSet, DaemonSetSpec } from '#base/kube/api/apps-v1.gen.ts';
import type { ResourceRules } from '../resource.ts';
import { type FieldErrors, goJson, RenderedValue } from './field-errors.ts';
import {
  isEmptySelector,
  selectorValue,
  subdomainName,
  validateLabelSelector,
  validateNotNegative,
} from './meta.ts';
import { defaultPodTemplateSpec } from './pod-defaults.ts';
import { sameValue } from './same-value.ts';
import { age, containerCells, formatLabels, formatSelector, tableOf } from './tables.ts';
import {
  countOrPercent,
  validateAtMostAll,
  validateCollisions,
  validateCountOrPercent,
  validateCounts,
  validateRestartingTemplate,
  validateTemplateMatches,
} from './workloads.ts';
import { validateSameSelector, workloadStrategy } from './workload-strategy.ts';

/** The old counter of template changes, kept by the server; deprecated but still counted. */
const TEMPLATE_GENERATION = 'deprecated.daemonset.template.generation';

function defaultSet(set: DaemonSet): void {
  set.spec ??= {} as DaemonSetSpec; // What is missing is reported by validation.
  const { spec } = set;
  spec.updateStrategy ??= {};
  spec.updateStrategy.type ||= 'RollingUpdate';
  if (spec.updateStrategy.type === 'RollingUpdate') {
    spec.updateStrategy.rollingUpdate ??= {};
    spec.updateStrategy.rollingUpdate.maxUnavailable ??= 1;
    spec.updateStrategy.rollingUpdate.maxSurge ??= 0;
  }
  spec.revisionHistoryLimit ??= 10;
  spec.template ??= {};
  defaultPodTemplateSpec(spec.template);
}

/** The version v1 keeps the counter in an annotation. */
function templateGeneration({ metadata }: DaemonSet): number {
  return Number.parseInt(metadata.annotations?.[TEMPLATE_GENERATION] ?? '', 10) || 0;
}

function setTemplateGeneration({ metadata }: DaemonSet, generation: number): void {
  metadata.annotations = { ...metadata.annotations, [TEMPLATE_GENERATION]: `${generation}` };
}

function validateSpec(e: FieldErrors, { spec, ...set }: DaemonSet): void {
  const { selector } = spec as Partial<DaemonSetSpec>; // Not checked yet.
  validateLabelSelector(e, 'spec.selector', selector);
  // Upstream's nil selector matches nothing.
  validateTemplateMatches(e, 'spec', spec);
  if (selector !== undefined && isEmptySelector(selector)) {
    const detail = 'empty selector is invalid for daemonset';
    e.invalid('spec.selector', selectorValue(selector), detail);
  }
  validateRestartingTemplate(e, 'spec.template', spec.template, 'DaemonSet');
  validateNotNegative(e, 'spec.minReadySeconds', spec.minReadySeconds ?? 0);
  validateNotNegative(e, 'spec.templateGeneration', templateGeneration({ ...set, spec }));
  validateStrategy(e, spec.updateStrategy ?? {});
  validateNotNegative(e, 'spec.revisionHistoryLimit', spec.revisionHistoryLimit ?? 0);
}

function validateStrategy(e: FieldErrors, strategy: DaemonSetSpec['updateStrategy'] & {}): void {
  const { type = '', rollingUpdate } = strategy;
  const path = 'spec.updateStrategy.rollingUpdate';
  if (type === 'OnDelete') return;
  if (type !== 'RollingUpdate') {
    const { maxUnavailable = 0, maxSurge = 0 } = rollingUpdate ?? {};
    const update = { MaxUnavailable: maxUnavailable, MaxSurge: maxSurge };
    const shown = { Type: type, RollingUpdate: rollingUpdate === undefined ? null : update };
    const supported = ['RollingUpdate', 'OnDelete'];
    return e.notSupported('spec.updateStrategy', new RenderedValue(goJson(shown)), supported);
  }
  const { maxUnavailable, maxSurge } = rollingUpdate ?? {};
  validateCountOrPercent(e, `${path}.maxUnavailable`, maxUnavailable);
  validateCountOrPercent(e, `${path}.maxSurge`, maxSurge);
  validateAtMostAll(e, `${path}.maxUnavailable`, maxUnavailable);
  validateAtMostAll(e, `${path}.maxSurge`, maxSurge);
  const hasUnavailable = countOrPercent(maxUnavailable) !== 0;
  const hasSurge = countOrPercent(maxSurge) !== 0;
  if (hasUnavailable && hasSurge) {
    const detail = 'may not be set when maxUnavailable is non-zero';
    e.invalid(`${path}.maxSurge`, maxSurge, detail);
  } else if (!hasUnavailable && !hasSurge) {
    e.required(`${path}.maxUnavailable`, 'cannot be 0 when maxSurge is 0');
  }
}

function validateStatusUpdate(e: FieldErrors, set: DaemonSet, old: DaemonSet): void {
  const { status } = set;
  validateCounts(e, 'status', {
    currentNumberScheduled: status?.currentNumberScheduled,
    numberMisscheduled: status?.numberMisscheduled,
    desiredNumberScheduled: status?.desiredNumberScheduled,
    numberReady: status?.numberReady,
    observedGeneration: status?.observedGeneration,
    updatedNumberScheduled: status?.updatedNumberScheduled,
    numberAvailable: status?.numberAvailable,
    numberUnavailable: status?.numberUnavailable,
    collisionCount: status?.collisionCount,
  });
  validateCollisions(e, status?.collisionCount, old.status?.collisionCount);
}

const strategy = workloadStrategy<DaemonSet>({
  meta: { namespaced: true, name: subdomainName, coreFinalizers: true },
  newStatus: () => ({
    currentNumberScheduled: 0,
    numberMisscheduled: 0,
    desiredNumberScheduled: 0,
    numberReady: 0,
  }),
  validate: validateSpec,
  validateUpdate(e, set, old) {
    validateSameSelector(e, set.spec, old.spec);
    validateSpec(e, set);
  },
  validateStatusUpdate,
});

export const daemonSetRules: ResourceRules<DaemonSet> = {
  group: 'apps',
  version: 'v1',
  resource: 'daemonsets',
  default: defaultSet,
  ...strategy,
  prepareForCreate(set, context) {
    strategy.prepareForCreate(set, context);
    setTemplateGeneration(set, Math.max(templateGeneration(set), 1));
  },
  prepareForUpdate(set, old, context) {
    strategy.prepareForUpdate(set, old, context);
    const isChanged = !sameValue(set.spec.template, old.spec.template);
    setTemplateGeneration(set, templateGeneration(old) + (isChanged ? 1 : 0));
  },
  table: tableOf(
    'Name,Desired:integer,Current:integer,Ready:integer,Up-to-date:integer,Available:integer,' +
      'Node Selector,Age|Containers,Images,Selector',
    ({ metadata, spec, status }, nowMs) => [
      metadata.name,
      status?.desiredNumberScheduled ?? 0,
      status?.currentNumberScheduled ?? 0,
      status?.numberReady ?? 0,
      status?.updatedNumberScheduled ?? 0,
      status?.numberAvailable ?? 0,
      formatLabels(spec.template.spec?.nodeSelector),
      age(metadata.creationTimestamp, nowMs),
      ...containerCells(spec.template),
      formatSelector(spec.selector),
    ],
  ),
};
