/**
 * Rules on whole Jobs: the generated selector, what an update may change.
 * Source: kubernetes v1.36.3 pkg/apis/batch/validation, pkg/registry/batch/job.
 */
import type { Job, JobSpec } from '#base/kube/api/batch-v1.gen.ts';
import type { PodSpec, PodTemplateSpec } from '#base/kube/api/core-v1.gen.ts';
import { type FieldErrors, goJson, RenderedValue, sortedMap } from './field-errors.ts';
import { checkDnsLabel } from './formats.ts';
import { internalPodSpec, renderedInternal } from './internal-form.ts';
import { validateJobSpecBody } from './job-spec.ts';
import {
  IMMUTABLE,
  selectorValue,
  subdomainName,
  validateLabelSelector,
  validateMeta,
  validateMetaUpdate,
} from './meta.ts';
import { sameValue } from './same-value.ts';
import { selectorMatches, validateTemplateMatches } from './workloads.ts';

export const META = { namespaced: true, name: subdomainName, coreFinalizers: true };
export const UID_LABELS = ['controller-uid', 'batch.kubernetes.io/controller-uid'] as const;
export const NAME_LABELS = ['job-name', 'batch.kubernetes.io/job-name'] as const;

export function validateJob(e: FieldErrors, job: Job, old: Job | undefined): void {
  validateMeta(e, job.metadata, META);
  validateGeneratedSelector(e, job, old);
  validateSpec(e, job.spec);
  const { completionMode, completions = 0 } = job.spec;
  if (completionMode !== 'Indexed' || completions <= 0) return;
  const host = `${job.metadata.name}-${completions - 1}`;
  if (checkDnsLabel(host).length > 0) {
    const detail = `will not able to create pod with invalid DNS label: ${host}`;
    e.invalid('metadata.name', job.metadata.name, detail);
  }
}

function validateSpec(e: FieldErrors, spec: JobSpec): void {
  validateJobSpecBody(e, 'spec', spec);
  if (spec.selector === undefined) e.required('spec.selector');
  else validateLabelSelector(e, 'spec.selector', spec.selector);
  validateTemplateMatches(e, 'spec', spec);
}

/** Labels that tie pods to their job must be the generated ones, in both spellings. */
function validateGeneratedSelector(e: FieldErrors, job: Job, old: Job | undefined): void {
  const { spec, metadata } = job;
  if (spec.manualSelector === true || spec.selector === undefined) return;
  if ((metadata.uid ?? '') === '') e.required('metadata.uid');
  const labels = spec.template.metadata?.labels;
  const oldLabels = old?.spec.template.metadata?.labels;
  const hadBoth =
    oldLabels?.[NAME_LABELS[1]] !== undefined && oldLabels[UID_LABELS[1]] !== undefined;
  const spellings = old === undefined || hadBoth ? ([0, 1] as const) : ([0] as const);
  const expected: Record<string, string> = {};
  for (const i of spellings) {
    expected[UID_LABELS[i]] = metadata.uid;
    expected[NAME_LABELS[i]] = metadata.name;
  }
  for (const [label, value] of Object.entries(expected)) {
    const field = `spec.template.metadata.labels[${label}]`;
    const actual = labels?.[label];
    if (actual === undefined) e.required(field, `must be '${value}'`);
    else if (actual !== value) e.invalid(field, sortedMap(labels), `must be '${value}'`);
  }
  if (selectorMatches(spec.selector, expected) === false) {
    e.invalid('spec.selector', selectorValue(spec.selector), '`selector` not auto-generated');
  }
}

export function validateJobUpdate(e: FieldErrors, job: Job, old: Job): void {
  validateJob(e, job, old);
  validateMetaUpdate(e, job.metadata, old.metadata, META);
  const { spec } = job;
  validateSpec(e, spec);
  validateCompletions(e, spec, old.spec);
  if (!sameValue(spec.selector, old.spec.selector)) {
    e.invalid('spec.selector', selectorValue(spec.selector), IMMUTABLE);
  }
  validateTemplateUpdate(e, job, old);
  immutable(e, 'completionMode', job, old);
  if (!sameValue(spec.podFailurePolicy, old.spec.podFailurePolicy)) {
    const shown = renderedInternal('PodFailurePolicy', spec.podFailurePolicy);
    e.invalid('spec.podFailurePolicy', shown, IMMUTABLE);
  }
  immutable(e, 'backoffLimitPerIndex', job, old);
  immutable(e, 'managedBy', job, old);
  if (!sameValue(spec.successPolicy, old.spec.successPolicy)) {
    const shown = renderedInternal('SuccessPolicy', spec.successPolicy);
    e.invalid('spec.successPolicy', shown, IMMUTABLE);
  }
}

function immutable(
  e: FieldErrors,
  field: 'completionMode' | 'backoffLimitPerIndex' | 'managedBy' | 'completions',
  job: { readonly spec: JobSpec },
  old: { readonly spec: JobSpec },
): void {
  const value = job.spec[field];
  if (value !== old.spec[field]) e.invalid(`spec.${field}`, value ?? null, IMMUTABLE);
}

function validateCompletions(e: FieldErrors, spec: JobSpec, old: JobSpec): void {
  if (spec.completionMode !== 'Indexed')
    return immutable(e, 'completions', { spec }, { spec: old });
  const { completions, parallelism } = spec;
  if (completions === old.completions || completions === undefined) return;
  if (completions !== parallelism) {
    e.invalid(
      'spec.completions',
      completions,
      'can only be modified in tandem with spec.parallelism',
    );
  }
}

const isTrue = (job: Job, type: string): boolean =>
  (job.status?.conditions ?? []).some((c) => c.type === type && c.status === 'True');

/** A suspended job without pods may get new scheduling directives and resources. */
function validateTemplateUpdate(e: FieldErrors, job: Job, old: Job): void {
  const isSuspended = old.spec.suspend === true;
  const isIdle =
    isSuspended &&
    (old.status?.startTime === undefined || isTrue(old, 'Suspended')) &&
    (old.status?.active ?? 0) === 0;
  const template = job.spec.template;
  const allowed = isIdle ? withDirectivesOf(old.spec.template, template) : old.spec.template;
  if (!isIdle) {
    if (!sameValue(template, allowed)) {
      const shown = renderedInternal('PodTemplateSpec', template);
      e.invalid('spec.template', shown, IMMUTABLE);
    }
    return;
  }
  const spec = template.spec ?? { containers: [] };
  const expected = withResourcesOf(allowed.spec ?? { containers: [] }, spec);
  if (!sameValue(spec, expected)) {
    const shown = new RenderedValue(goJson(internalPodSpec(spec)));
    e.invalid('spec.template.spec', shown, IMMUTABLE);
  }
}

function withDirectivesOf(old: PodTemplateSpec, template: PodTemplateSpec): PodTemplateSpec {
  const now = template.spec;
  const { affinity: oldAffinity, ...rest } = old.spec ?? { containers: [] };
  const { nodeAffinity: _nodeAffinity, ...others } = oldAffinity ?? {};
  const nodeAffinity = now?.affinity?.nodeAffinity;
  const affinity = { ...others, ...(nodeAffinity === undefined ? {} : { nodeAffinity }) };
  const spec: PodSpec = {
    ...rest,
    nodeSelector: now?.nodeSelector,
    tolerations: now?.tolerations,
    schedulingGates: now?.schedulingGates,
    ...(Object.keys(affinity).length === 0 && now?.affinity === undefined ? {} : { affinity }),
  };
  const metadata = { ...old.metadata, ...template.metadata } as PodTemplateSpec['metadata']; // Either may be absent.
  return metadata === undefined ? { spec } : { metadata, spec };
}

function withResourcesOf(old: PodSpec, spec: PodSpec): PodSpec {
  const mixed = { ...old };
  for (const list of ['containers', 'initContainers'] as const) {
    const now = spec[list];
    const before = old[list];
    if (now === undefined || before === undefined || now.length !== before.length) continue;
    mixed[list] = before.map((container, i) => {
      const other = now[i];
      if (other === undefined || other.name !== container.name) return container;
      return { ...container, resources: other.resources };
    });
  }
  return mixed;
}
