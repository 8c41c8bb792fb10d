/**
 * What workloads with a selector and a pod template share: rules on both and on replica counts.
 * Source: kubernetes v1.36.3 pkg/apis/apps/validation.
 */
import type { PodTemplateSpec } from '#base/kube/api/core-v1.gen.ts';
import type { LabelSelector } from '#base/kube/api/meta-v1.gen.ts';
import { compileLabelSelector } from '#base/kube/selectors.ts';
import { FieldErrors, RenderedValue, sortedMap } from './field-errors.ts';
import { checkDnsLabel, checkPercent } from './formats.ts';
import {
  isEmptySelector,
  selectorValue,
  validateLabelSelector,
  validateNotNegative,
} from './meta.ts';
import { validatePodTemplateSpec } from './pod-spec.ts';

const MISMATCH = '`selector` does not match template `labels`';

/** Undefined when the selector is not well-formed. */
export function selectorMatches(
  selector: LabelSelector | undefined,
  labels: Readonly<Record<string, string>> | undefined,
): boolean | undefined {
  const errors = new FieldErrors();
  validateLabelSelector(errors, '', selector);
  return errors.ok ? compileLabelSelector(selector).matches(labels ?? {}) : undefined;
}

/** A map of labels as Go prints it: null when absent. */
export function labelsValue(labels: Readonly<Record<string, string>> | undefined): unknown {
  return labels === undefined ? new RenderedValue('null') : sortedMap(labels);
}

export interface Workload {
  readonly selector?: LabelSelector | undefined;
  readonly template?: PodTemplateSpec | undefined;
}

/** Selector and template of Deployments and ReplicaSets, whose pods always restart. */
export function validateReplicated(e: FieldErrors, path: string, spec: Workload): void {
  const { selector, template } = spec;
  validateSelector(e, path, selector, 'deployment');
  const matches = selectorMatches(selector, template?.metadata?.labels);
  if (matches === undefined) {
    return e.invalid(`${path}.selector`, selectorValue(selector), 'invalid label selector');
  }
  const selectsAll = selector !== undefined && isEmptySelector(selector);
  if (!selectsAll && !matches) {
    const labels = labelsValue(template?.metadata?.labels);
    e.invalid(`${path}.template.metadata.labels`, labels, MISMATCH);
  }
  validateRestartingTemplate(e, `${path}.template`, template, 'ReplicaSet');
}

export function validateSelector(
  e: FieldErrors,
  path: string,
  selector: LabelSelector | undefined,
  kind: string,
): void {
  if (selector === undefined) return e.required(`${path}.selector`);
  validateLabelSelector(e, `${path}.selector`, selector);
  if (isEmptySelector(selector)) {
    const detail = `empty selector is invalid for ${kind}`;
    e.invalid(`${path}.selector`, selectorValue(selector), detail);
  }
}

export function validateTemplateMatches(e: FieldErrors, path: string, spec: Workload): void {
  const labels = spec.template?.metadata?.labels;
  if (selectorMatches(spec.selector, labels) !== false) return;
  e.invalid(`${path}.template.metadata.labels`, labelsValue(labels), MISMATCH);
}

export function validateRestartingTemplate(
  e: FieldErrors,
  path: string,
  template: PodTemplateSpec | undefined,
  kind: string,
): void {
  validatePodTemplateSpec(e, path, template);
  const policy = template?.spec?.restartPolicy ?? '';
  if (policy !== 'Always') e.notSupported(`${path}.spec.restartPolicy`, policy, ['Always']);
  if (template?.spec?.activeDeadlineSeconds !== undefined) {
    const detail = `activeDeadlineSeconds in ${kind} is not Supported`;
    e.forbidden(`${path}.spec.activeDeadlineSeconds`, detail);
  }
}

export function validateCountOrPercent(
  e: FieldErrors,
  field: string,
  value: number | string | undefined,
): void {
  if (typeof value === 'string') e.invalidEach(field, value, checkPercent(value));
  else validateNotNegative(e, field, value ?? 0);
}

/** `25%` is 25, as 25 is. */
export function countOrPercent(value: number | string | undefined): number {
  return typeof value === 'string' ? Number.parseInt(value, 10) || 0 : (value ?? 0);
}

export function validateAtMostAll(
  e: FieldErrors,
  field: string,
  value: number | string | undefined,
): void {
  if (typeof value === 'string' && /^\d+%$/.test(value) && countOrPercent(value) > 100) {
    e.invalid(field, value, 'must not be greater than 100%');
  }
}

export function validateCounts(
  e: FieldErrors,
  path: string,
  counts: Readonly<Record<string, number | undefined>>,
): void {
  for (const [field, count] of Object.entries(counts)) {
    validateNotNegative(e, `${path}.${field}`, count ?? 0);
  }
}

/** Counts that may not exceed `status.replicas`, and available ones that may not exceed the ready. */
export function validateReplicaCounts(
  e: FieldErrors,
  status: { readonly replicas?: number | undefined },
  parts: Readonly<Record<string, number | undefined>>,
): void {
  const replicas = status.replicas ?? 0;
  for (const [field, count = 0] of Object.entries(parts)) {
    if (count > replicas) {
      e.invalid(`status.${field}`, count, 'cannot be greater than status.replicas');
    }
  }
  const available = parts['availableReplicas'] ?? 0;
  if (available > (parts['readyReplicas'] ?? 0)) {
    e.invalid('status.availableReplicas', available, 'cannot be greater than readyReplicas');
  }
}

/** The counter of hash collisions of a status only rises. */
export function validateCollisions(
  e: FieldErrors,
  count: number | undefined,
  before: number | undefined,
): void {
  if (before === undefined || (count ?? -1) >= before) return;
  e.invalid('status.collisionCount', count ?? 0, 'cannot be decremented');
}

/** Names that become host names of pods should be DNS labels. */
export function podNameWarnings(name: string): string[] {
  const messages = checkDnsLabel(name);
  if (messages.length === 0) return [];
  return [
    `metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [${messages.join(' ')}]`,
  ];
}
