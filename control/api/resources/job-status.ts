/**
 * What an update of /status may do to a Job. Most rules hold only for what the update changes, so that
 * a status with an old fault can still be written.
 * Source: kubernetes v1.36.3 pkg/apis/batch/validation, pkg/registry/batch/job.
 */
import type { Job, JobStatus } from '#base/kube/api/batch-v1.gen.ts';
import type { FieldErrors } from './field-errors.ts';
import { goJson, RenderedValue } from './field-errors.ts';
import { firstOverlap, parseIndexes } from './job-indexes.ts';
import { IMMUTABLE, validateMetaUpdate, validateNotNegative } from './meta.ts';
import { sameValue } from './same-value.ts';

const CONDITIONS = 'status.conditions';

interface State {
  readonly complete: boolean;
  readonly failed: boolean;
  readonly failureTarget: boolean;
  readonly successMet: boolean;
  readonly finished: boolean;
}

function has(job: Job, type: string, status: string): boolean {
  return (job.status?.conditions ?? []).some((c) => c.type === type && c.status === status);
}

function stateOf(job: Job): State {
  const complete = has(job, 'Complete', 'True');
  const failed = has(job, 'Failed', 'True');
  return {
    complete,
    failed,
    failureTarget: has(job, 'FailureTarget', 'True'),
    successMet: has(job, 'SuccessCriteriaMet', 'True'),
    finished: complete || failed,
  };
}

interface Change {
  readonly job: Job;
  readonly old: Job;
  readonly status: JobStatus;
  readonly before: JobStatus;
  readonly now: State;
  readonly was: State;
  readonly changed: (...fields: (keyof JobStatus | keyof State)[]) => boolean;
}

export function validateJobStatusUpdate(e: FieldErrors, job: Job, old: Job): void {
  validateMetaUpdate(e, job.metadata, old.metadata, { coreFinalizers: true });
  const status = job.status ?? {};
  const before = old.status ?? {};
  const [now, was] = [stateOf(job), stateOf(old)];
  const isChanged = (field: keyof JobStatus | keyof State): boolean => {
    if (field in now) return now[field as keyof State] !== was[field as keyof State]; // Just tested.
    const own = field as keyof JobStatus; // The other kind of field.
    return !sameValue(status[own], before[own]);
  };
  const changed = (...fields: (keyof JobStatus | keyof State)[]): boolean => fields.some(isChanged);
  const change: Change = { job, old, status, before, now, was, changed };
  validateCounts(e, status);
  validateCompletion(e, change);
  validateFinished(e, change);
  validateIndexes(e, change);
  validateRest(e, change);
  validateTransitions(e, change);
}

function validateCounts(e: FieldErrors, status: JobStatus): void {
  for (const field of ['active', 'succeeded', 'failed', 'ready', 'terminating'] as const) {
    validateNotNegative(e, `status.${field}`, status[field] ?? 0);
  }
  const seen = new Set<string>();
  for (const list of ['succeeded', 'failed'] as const) {
    for (const [i, uid] of (status.uncountedTerminatedPods?.[list] ?? []).entries()) {
      const field = `status.uncountedTerminatedPods.${list}[${i}]`;
      if (uid === '') e.invalid(field, uid, 'must not be empty');
      else if (seen.has(uid)) e.duplicate(field, uid);
      seen.add(uid);
    }
  }
}

function validateCompletion(e: FieldErrors, { now, status, changed }: Change): void {
  if (changed('complete', 'failed') && now.complete && now.failed) {
    e.invalidOmitted(CONDITIONS, 'cannot set Complete=True and Failed=true conditions');
  }
  if (changed('complete', 'failureTarget') && now.complete && now.failureTarget) {
    e.invalidOmitted(CONDITIONS, 'cannot set Complete=True and FailureTarget=true conditions');
  }
  const { completionTime, startTime } = status;
  const field = 'status.completionTime';
  if (changed('complete', 'completionTime')) {
    if (completionTime !== undefined && !now.complete) {
      const detail = 'cannot set completionTime when there is no Complete=True condition';
      e.invalid(field, completionTime, detail);
    }
    if (completionTime === undefined && now.complete) {
      e.required(field, 'completionTime is required for Complete jobs');
    }
  }
  const isBackwards =
    startTime !== undefined &&
    completionTime !== undefined &&
    Date.parse(completionTime) < Date.parse(startTime);
  if (changed('startTime', 'completionTime') && isBackwards) {
    e.invalid(field, completionTime, 'must be equal to or after `startTime`');
  }
  if (changed('failed', 'failedIndexes') && now.failed && !now.failureTarget) {
    const detail = 'cannot set Failed=True condition without the FailureTarget=true condition';
    e.invalidOmitted(CONDITIONS, detail);
  }
  if (changed('complete', 'successMet') && now.complete && !now.successMet) {
    const detail =
      'cannot set Complete=True condition without the SuccessCriteriaMet=true condition';
    e.invalidOmitted(CONDITIONS, detail);
  }
}

function validateFinished(e: FieldErrors, { job, now, status, changed }: Change): void {
  if (!now.finished) return;
  const active = status.active ?? 0;
  if (changed('finished', 'active') && active > 0) {
    e.invalid('status.active', active, 'active>0 is invalid for finished job');
  }
  const neverRuns = job.spec.suspend === true && job.spec.completions === 0;
  if (changed('finished', 'startTime') && !neverRuns && status.startTime === undefined) {
    e.required('status.startTime', 'startTime is required for finished job');
  }
  const pods = status.uncountedTerminatedPods;
  const count = (pods?.failed ?? []).length + (pods?.succeeded ?? []).length;
  if (changed('finished', 'uncountedTerminatedPods') && count > 0) {
    const shown = { Succeeded: pods?.succeeded ?? null, Failed: pods?.failed ?? null };
    const badValue = new RenderedValue(goJson(shown));
    e.invalid('status.uncountedTerminatedPods', badValue, 'must be empty for finished job');
  }
}

function validateIndexes(e: FieldErrors, { job, status, changed }: Change): void {
  const { completions, backoffLimitPerIndex: backoff } = job.spec;
  const { failedIndexes: failed } = status;
  const completed = status.completedIndexes ?? '';
  const check = (field: 'completedIndexes' | 'failedIndexes', text: string): void => {
    const set = parseIndexes(text, completions ?? 0);
    if (set.kind === 'ok') return;
    e.invalid(`status.${field}`, text, `error parsing ${field}: ${set.problem}`);
  };
  if (changed('completedIndexes') && completions !== undefined)
    check('completedIndexes', completed);
  const isPerIndex = completions !== undefined && backoff !== undefined;
  if (changed('failedIndexes') && isPerIndex && failed !== undefined)
    check('failedIndexes', failed);
  if (changed('completedIndexes') && completed !== '' && job.spec.completionMode !== 'Indexed') {
    const detail = 'cannot set non-empty completedIndexes when non-indexed completion mode';
    e.invalid('status.completedIndexes', completed, detail);
  }
  if (changed('failedIndexes') && backoff === undefined && failed !== undefined) {
    const detail = 'cannot set non-null failedIndexes when backoffLimitPerIndex is null';
    e.invalid('status.failedIndexes', failed, detail);
  }
  if (!changed('failedIndexes', 'completedIndexes') || completions === undefined) return;
  if (failed === undefined || failed === '' || completed === '') return;
  const overlap = firstOverlap(completed, failed, completions);
  if (overlap === undefined) return;
  const detail = `failedIndexes and completedIndexes overlap at index: ${overlap}`;
  e.invalid('status.failedIndexes', failed, detail);
}

function validateRest(e: FieldErrors, { job, now, status, changed }: Change): void {
  const { ready = 0, active = 0, terminating = 0 } = status;
  if (changed('finished', 'terminating') && terminating > 0 && now.finished) {
    e.invalid('status.terminating', terminating, 'terminating>0 is invalid for finished job');
  }
  if (changed('ready', 'active') && ready > active) {
    e.invalid('status.ready', ready, 'cannot set more ready pods than active');
  }
  if (now.successMet && now.failed) {
    e.invalidOmitted(CONDITIONS, 'cannot set SuccessCriteriaMet=True and Failed=true conditions');
  }
  if (now.successMet && now.failureTarget) {
    const detail = 'cannot set SuccessCriteriaMet=True and FailureTarget=true conditions';
    e.invalidOmitted(CONDITIONS, detail);
  }
  if (job.spec.successPolicy !== undefined && !now.successMet && now.complete) {
    const detail =
      'cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True';
    e.invalidOmitted(CONDITIONS, detail);
  }
}

function validateTransitions(e: FieldErrors, change: Change): void {
  const { job, old, status, before, now, was, changed } = change;
  for (const type of ['Failed', 'Complete', 'FailureTarget']) {
    if (has(old, type, 'True') && !has(job, type, 'True')) {
      e.invalidOmitted(CONDITIONS, `cannot disable the terminal ${type}=True condition`);
    }
  }
  const { failed = 0, succeeded = 0 } = status;
  if (failed < (before.failed ?? 0)) {
    e.invalid('status.failed', failed, 'cannot decrease the failed counter');
  }
  const { spec } = job;
  const mayShrink = spec.completionMode === 'Indexed' && spec.completions === spec.parallelism;
  if (!mayShrink && succeeded < (before.succeeded ?? 0)) {
    e.invalid('status.succeeded', succeeded, 'cannot decrease the succeeded counter');
  }
  const { completionTime, startTime } = status;
  const isMoved =
    completionTime !== undefined &&
    before.completionTime !== undefined &&
    completionTime !== before.completionTime;
  if (isMoved) e.invalid('status.completionTime', completionTime, IMMUTABLE);
  const isResuming = has(old, 'Suspended', 'True') && has(job, 'Suspended', 'False');
  const isFixed = before.startTime !== undefined && spec.suspend !== true && !isResuming;
  if (isFixed && changed('startTime')) {
    const detail = 'field is immutable for unsuspended job once set';
    e.invalid('status.startTime', startTime ?? null, detail);
  }
  if (was.successMet && !now.successMet) {
    e.invalidOmitted(CONDITIONS, 'cannot disable the SuccessCriteriaMet=True condition');
  }
  if (was.complete && !was.successMet && now.successMet) {
    const detail =
      'cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions';
    e.invalidOmitted(CONDITIONS, detail);
  }
}
