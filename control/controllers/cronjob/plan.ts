/**
 * What a CronJob does now: which finished Jobs go, and whether a Job is to be started. Pure.
 */
import type { CronJob, Job } from '#base/kube/api/batch-v1.gen.ts';
import { isDeleting, parseTime } from '#base/kube/metadata.ts';
import { lastDue, type Schedule } from './schedule.ts';

export function finishedAs(job: Job): 'Complete' | 'Failed' | undefined {
  const end = job.status?.conditions?.find(
    ({ type, status }) => (type === 'Complete' || type === 'Failed') && status === 'True',
  );
  return end === undefined ? undefined : end.type === 'Complete' ? 'Complete' : 'Failed';
}

/** Finished Jobs beyond the history limits, oldest first. */
export function planHistory(cronJob: CronJob, jobs: readonly Job[]): Job[] {
  const surplus = (as: 'Complete' | 'Failed', limit: number | undefined) => {
    if (limit === undefined) return [];
    const finished = jobs.filter((job) => finishedAs(job) === as);
    const start = (job: Job) => parseTime(job.status?.startTime) ?? 0;
    finished.sort((a, b) => start(a) - start(b) || (a.metadata.name < b.metadata.name ? -1 : 1));
    return finished.slice(0, Math.max(0, finished.length - limit));
  };
  const { successfulJobsHistoryLimit, failedJobsHistoryLimit } = cronJob.spec;
  return [
    ...surplus('Complete', successfulJobsHistoryLimit),
    ...surplus('Failed', failedJobsHistoryLimit),
  ];
}

export type StartPlan =
  | { readonly kind: 'wait' }
  | { readonly kind: 'tooLate'; readonly dueMs: number }
  | { readonly kind: 'forbidden' }
  | { readonly kind: 'start'; readonly dueMs: number; readonly replaces: boolean };

/** `activeCount`: Jobs of this CronJob that have not finished. */
export function planStart(
  cronJob: CronJob,
  schedule: Schedule,
  activeCount: number,
  nowMs: number,
): StartPlan {
  if (isDeleting(cronJob) || cronJob.spec.suspend === true) return { kind: 'wait' };
  const lastMs = parseTime(cronJob.status?.lastScheduleTime);
  const createdMs = parseTime(cronJob.metadata.creationTimestamp) ?? nowMs;
  const deadline = cronJob.spec.startingDeadlineSeconds;
  let earliestMs = lastMs ?? createdMs;
  if (deadline !== undefined) earliestMs = Math.max(earliestMs, nowMs - deadline * 1000);
  const dueMs = lastDue(schedule, earliestMs, nowMs);
  if (dueMs === undefined || dueMs === lastMs) return { kind: 'wait' };
  if (deadline !== undefined && dueMs + deadline * 1000 < nowMs) return { kind: 'tooLate', dueMs };
  const policy = cronJob.spec.concurrencyPolicy ?? 'Allow';
  if (policy === 'Forbid' && activeCount > 0) return { kind: 'forbidden' };
  return { kind: 'start', dueMs, replaces: policy === 'Replace' };
}

/**
 * When to look again. Counted from the last time that was due, not from now: an interval would begin
 * anew with every look.
 */
export function nextDue(cronJob: CronJob, schedule: Schedule, nowMs: number): number | undefined {
  const { lastScheduleTime } = cronJob.status ?? {};
  const anchor = lastScheduleTime ?? cronJob.metadata.creationTimestamp;
  const anchorMs = parseTime(anchor) ?? nowMs;
  const nextMs = schedule.after(lastDue(schedule, anchorMs, nowMs) ?? anchorMs);
  return nextMs === undefined || nextMs > nowMs ? nextMs : schedule.after(nowMs);
}

/** Unique per scheduled minute: starting twice ends in "already exists". */
export function jobName(cronJob: CronJob, dueMs: number): string {
  return `${cronJob.metadata.name}-${Math.floor(dueMs / 60_000)}`;
}
