/** Rules of batch/v1 Jobs. Source: kubernetes v1.36.3 pkg/apis/batch, pkg/registry/batch/job. */
import type { Job, JobSpec } from '#base/kube/api/batch-v1.gen.ts';
import type { ObjectMeta } from '#base/kube/api/meta-v1.gen.ts';
import type { ResourceRules } from '../resource.ts';
import { validateJobStatusUpdate } from './job-status.ts';
import { META, NAME_LABELS, UID_LABELS, validateJob, validateJobUpdate } from './job-validation.ts';
import { defaultPodTemplateSpec } from './pod-defaults.ts';
import { sameValue } from './same-value.ts';
import { collect, collectUpdate, copyField } from './strategies.ts';
import { age, containerCells, formatSelector, humanDuration, tableOf } from './tables.ts';
import { podNameWarnings } from './workloads.ts';

const BACKOFF_UNLIMITED = 2 ** 31 - 1;

export function defaultFailurePolicy(spec: JobSpec): void {
  for (const rule of spec.podFailurePolicy?.rules ?? []) {
    for (const pattern of rule.onPodConditions ?? []) pattern.status ||= 'True';
  }
}

function defaultJob(job: Job): void {
  job.spec ??= { template: {} };
  const { spec, metadata } = job;
  spec.template ??= {};
  if (spec.completions === undefined && spec.parallelism === undefined) spec.completions = 1;
  spec.parallelism ??= 1;
  spec.backoffLimit ??= spec.backoffLimitPerIndex === undefined ? 6 : BACKOFF_UNLIMITED;
  const labels = spec.template.metadata?.labels;
  if (labels !== undefined && Object.keys(metadata.labels ?? {}).length === 0) {
    metadata.labels = { ...labels };
  }
  spec.completionMode ??= 'NonIndexed';
  spec.suspend ??= false;
  spec.podReplacementPolicy ??=
    spec.podFailurePolicy === undefined ? 'TerminatingOrFailed' : 'Failed';
  spec.manualSelector ??= false;
  defaultFailurePolicy(spec);
  defaultPodTemplateSpec(spec.template);
}

/** Labels that are unique to this job go to the template; the selector asks for one of them. */
function generateSelector(job: Job): void {
  const { spec, metadata } = job;
  if (spec.manualSelector === true) return;
  const labels = { ...spec.template.metadata?.labels };
  for (const label of NAME_LABELS) labels[label] ??= metadata.name;
  for (const label of UID_LABELS) labels[label] ??= metadata.uid;
  spec.template.metadata = { ...spec.template.metadata, labels } as ObjectMeta; // Templates lack most.
  const selector = { ...spec.selector };
  selector.matchLabels = { [UID_LABELS[1]]: metadata.uid, ...selector.matchLabels };
  spec.selector = selector;
}

const hasCondition = (job: Job, type: string): boolean =>
  (job.status?.conditions ?? []).some((c) => c.type === type && c.status === 'True');

function statusCell(job: Job): string {
  for (const [type, text] of [
    ['Complete', 'Complete'],
    ['Failed', 'Failed'],
  ] as const) {
    if (hasCondition(job, type)) return text;
  }
  if (job.metadata.deletionTimestamp !== undefined) return 'Terminating';
  const rest = ['Suspended', 'FailureTarget', 'SuccessCriteriaMet'];
  return rest.find((type) => hasCondition(job, type)) ?? 'Running';
}

function completionsCell({ spec, status }: Job): string {
  const succeeded = status?.succeeded ?? 0;
  if (spec.completions !== undefined) return `${succeeded}/${spec.completions}`;
  const parallelism = spec.parallelism ?? 0;
  return parallelism > 1 ? `${succeeded}/1 of ${parallelism}` : `${succeeded}/1`;
}

function durationCell({ status }: Job, nowMs: number): string {
  if (status?.startTime === undefined) return '';
  const end = status.completionTime === undefined ? nowMs : Date.parse(status.completionTime);
  return humanDuration(end - Date.parse(status.startTime));
}

export const jobRules: ResourceRules<Job> = {
  group: 'batch',
  version: 'v1',
  resource: 'jobs',
  hasGeneration: true,
  default: defaultJob,
  prepareForCreate(job) {
    generateSelector(job);
    job.status = {};
  },
  validate: (job) => collect((e) => validateJob(e, job, undefined)),
  prepareForUpdate(job, old) {
    copyField(job, old, 'status');
  },
  validateUpdate: (job, old) =>
    collectUpdate(job, old, META, (e) => validateJobUpdate(e, job, old)),
  warningsOnCreate: ({ metadata }) => podNameWarnings(metadata.name),
  defaultPropagation: 'Orphan',
  bumpsGeneration: (job, old) => !sameValue(job.spec, old.spec),
  fieldLabels: ['status.successful'],
  selectableFields: ({ status }) => ({ 'status.successful': `${status?.succeeded ?? 0}` }),
  subresources: {
    status: {
      prepareForUpdate(job, old) {
        copyField(job, old, 'spec');
      },
      validateUpdate: (job, old) =>
        collectUpdate(job, old, META, (e) => validateJobStatusUpdate(e, job, old)),
    },
  },
  table: tableOf(
    'Name,Status,Completions,Duration,Age|Containers,Images,Selector',
    (job, nowMs) => [
      job.metadata.name,
      statusCell(job),
      completionsCell(job),
      durationCell(job, nowMs),
      age(job.metadata.creationTimestamp, nowMs),
      ...containerCells(job.spec.template),
      formatSelector(job.spec.selector),
    ],
  ),
};
