/** Rules of batch/v1 CronJobs. Source: kubernetes v1.36.3 pkg/apis/batch, pkg/registry/batch. */
import type { CronJob, CronJobSpec } from '#base/kube/api/batch-v1.gen.ts';
import type { ResourceRules } from '../resource.ts';
import { scheduleProblem } from './cron-schedule.ts';
import type { FieldErrors } from './field-errors.ts';
import { defaultFailurePolicy } from './job.ts';
import { validateJobSpecBody } from './job-spec.ts';
import { selectorValue, subdomainName, validateNotNegative } from './meta.ts';
import { defaultPodTemplateSpec } from './pod-defaults.ts';
import { age, containerCells, formatSelector, NONE, tableOf, UNSET } from './tables.ts';
import { workloadStrategy } from './workload-strategy.ts';

/** The controller adds the time of the run to the names of jobs. */
const NAME_MAX = 52;
const POLICIES = ['Allow', 'Forbid', 'Replace'];
const ZONE_PART = /^[A-Za-z0-9._+-]{1,}$/;

function defaultCronJob(job: CronJob): void {
  job.spec ??= {} as CronJobSpec; // What is missing is reported by validation.
  const { spec } = job;
  spec.concurrencyPolicy ||= 'Allow';
  spec.suspend ??= false;
  spec.successfulJobsHistoryLimit ??= 3;
  spec.failedJobsHistoryLimit ??= 1;
  spec.jobTemplate ??= {} as CronJobSpec['jobTemplate'];
  spec.jobTemplate.spec ??= { template: {} };
  defaultFailurePolicy(spec.jobTemplate.spec);
  spec.jobTemplate.spec.template ??= {};
  defaultPodTemplateSpec(spec.jobTemplate.spec.template);
}

function validateSpec(e: FieldErrors, spec: CronJobSpec, old: CronJobSpec | undefined): void {
  const { schedule = '' } = spec as Partial<CronJobSpec>; // Not checked yet.
  if (schedule === '') e.required('spec.schedule');
  else validateSchedule(e, { ...spec, schedule }, old);
  validateNotNegative(e, 'spec.startingDeadlineSeconds', spec.startingDeadlineSeconds ?? 0);
  if (spec.timeZone !== undefined && spec.timeZone !== old?.timeZone) {
    validateTimeZone(e, spec.timeZone);
  }
  const policy = spec.concurrencyPolicy ?? '';
  if (!POLICIES.includes(policy)) e.notSupported('spec.concurrencyPolicy', policy, POLICIES);
  const template = spec.jobTemplate.spec ?? { template: {} };
  const path = 'spec.jobTemplate.spec';
  validateJobSpecBody(e, path, template);
  if (template.selector !== undefined) {
    const detail = '`selector` will be auto-generated';
    e.invalid(`${path}.selector`, selectorValue(template.selector), detail);
  }
  if (template.manualSelector === true) {
    e.notSupported(`${path}.manualSelector`, true, ['nil', 'false']);
  }
  for (const field of ['successfulJobsHistoryLimit', 'failedJobsHistoryLimit'] as const) {
    validateNotNegative(e, `spec.${field}`, spec[field] ?? 0);
  }
}

function validateSchedule(e: FieldErrors, spec: CronJobSpec, old: CronJobSpec | undefined): void {
  const { schedule } = spec;
  const problem = scheduleProblem(schedule);
  if (problem !== undefined) e.invalid('spec.schedule', schedule, problem);
  if (!schedule.includes('TZ')) return;
  if (old?.schedule.includes('TZ') !== true) {
    const detail = 'cannot use TZ or CRON_TZ in schedule, use timeZone field instead';
    e.invalid('spec.schedule', schedule, detail);
  } else if (spec.timeZone !== undefined) {
    const detail = 'cannot use both timeZone field and TZ or CRON_TZ in schedule';
    e.invalid('spec.schedule', schedule, detail);
  }
}

function validateTimeZone(e: FieldErrors, zone: string): void {
  const field = 'spec.timeZone';
  if (zone === '') return e.invalid(field, zone, 'timeZone must be nil or non-empty string');
  const isOdd = zone
    .split('/')
    .some((part) => part === '.' || part === '..' || part.startsWith('-') || !ZONE_PART.test(part));
  if (isOdd) return e.invalid(field, zone, `unknown time zone ${zone}`);
  if (zone.toLowerCase() === 'local') {
    const detail =
      'timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones';
    e.invalid(field, zone, detail);
  }
  if (zone !== 'Local' && !isKnownZone(zone)) {
    e.invalid(field, zone, `unknown time zone ${zone}`);
  }
}

function isKnownZone(timeZone: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}

export const cronJobRules: ResourceRules<CronJob> = {
  group: 'batch',
  version: 'v1',
  resource: 'cronjobs',
  default: defaultCronJob,
  ...workloadStrategy<CronJob>({
    meta: { namespaced: true, name: subdomainName, coreFinalizers: true },
    newStatus: () => ({}),
    validate(e, { metadata, spec }) {
      validateSpec(e, spec, undefined);
      const { name } = metadata;
      if (name.length <= NAME_MAX) return;
      e.invalid('metadata.name', name, `must be no more than ${NAME_MAX} characters`);
    },
    validateUpdate: (e, { spec }, old) => validateSpec(e, spec, old.spec),
    validateStatusUpdate() {},
  }),
  table: tableOf(
    'Name,Schedule,Timezone,Suspend:boolean,Active:integer,Last Schedule,Age|Containers,Images,Selector',
    ({ metadata, spec, status }, nowMs) => [
      metadata.name,
      spec.schedule,
      spec.timeZone ?? NONE,
      spec.suspend === undefined ? UNSET : spec.suspend ? 'True' : 'False',
      (status?.active ?? []).length,
      status?.lastScheduleTime === undefined ? NONE : age(status.lastScheduleTime, nowMs),
      age(metadata.creationTimestamp, nowMs),
      ...containerCells(spec.jobTemplate.spec?.template),
      formatSelector(spec.jobTemplate.spec?.selector),
    ],
  ),
};
