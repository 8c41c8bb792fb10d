/**
 * What a Job does next: whether it has succeeded or failed, which pods to create and delete, which
 * finalizers may go, and how the status counts. Pure; job.ts acts. Reasons and texts are upstream's.
 */
import type { JobCondition, JobStatus } from '#base/kube/api/batch-v1.gen.ts';
import type { Pod } from '#base/kube/api/core-v1.gen.ts';
import { findCondition, formatTime, isDeleting, parseTime } from '#base/kube/metadata.ts';
import { BURST_REPLICAS_MAX } from '../limits.ts';
import { choosePodsToDelete } from '../shared/pods.ts';
import { firstFree, formatIndexes, type Indexes } from './indexes.ts';
import { judgeFailure, judgeSuccess } from './policy.ts';
import {
  FAILURE_COUNT_ANNOTATION,
  finishedMs,
  IGNORED_COUNT_ANNOTATION,
  countAnnotation,
  indexOf,
  isFailed,
  isIndexed,
  isTracked,
  type JobView,
  onlyReplacesFailed,
} from './view.ts';

/** Uids in the status wait there at most in this number, to bound the object. */
const UNCOUNTED_MAX = 500;
const BACKOFF_MS_MIN = 10_000;
const BACKOFF_MS_MAX = 600_000;

export function isSuspended(view: JobView): boolean {
  return view.job.spec.suspend === true;
}

export function newJobCondition(
  facts: Pick<JobCondition, 'type' | 'status' | 'reason' | 'message'>,
  nowMs: number,
): JobCondition {
  const time = formatTime(nowMs);
  return { ...facts, lastProbeTime: time, lastTransitionTime: time };
}

/** How the Job ends: SuccessCriteriaMet or FailureTarget, each followed by its final condition. */
export interface Verdict {
  readonly isSuccess: boolean;
  readonly reason: string;
  readonly message: string;
}

/** The end that the Job is bound for already, or one that its pods give cause for. */
export function planVerdict(view: JobView, nowMs: number): Verdict | undefined {
  const { job, indexed } = view;
  const isTrue = (type: string) => {
    const condition = findCondition(job.status?.conditions, type);
    return condition?.status === 'True' ? condition : undefined;
  };
  const met = isTrue('SuccessCriteriaMet');
  const bound = met ?? isTrue('FailureTarget');
  if (bound !== undefined) {
    const { reason = '', message = '' } = bound;
    return { isSuccess: bound === met, reason, message };
  }
  const failure = (reason: string, message: string) => ({ isSuccess: false, reason, message });
  for (const pod of view.pods) {
    if (!isFailed(pod, job)) continue;
    const { action, message } = judgeFailure(job.spec.podFailurePolicy, pod);
    if (action === 'FailJob') return failure('PodFailurePolicy', message);
  }
  if (view.failed > (job.spec.backoffLimit ?? 6) || restartsExceeded(view)) {
    return failure('BackoffLimitExceeded', 'Job has reached the specified backoff limit');
  }
  const leftMs = deadlineLeftMs(view, nowMs);
  if (leftMs !== undefined && leftMs <= 0) {
    return failure('DeadlineExceeded', 'Job was active longer than specified deadline');
  }
  if (indexed === undefined) return undefined;
  const failedCount = indexed.failed?.size ?? 0;
  const { maxFailedIndexes } = job.spec;
  if (maxFailedIndexes !== undefined && failedCount > maxFailedIndexes) {
    const message = 'Job has exceeded the specified maximal number of failed indexes';
    return failure('MaxFailedIndexesExceeded', message);
  }
  if (failedCount > 0 && failedCount + indexed.succeeded.size >= indexed.completions) {
    return failure('FailedIndexes', 'Job has failed indexes');
  }
  const message = judgeSuccess(job.spec, indexed.succeeded);
  return message === undefined ? undefined : { isSuccess: true, reason: 'SuccessPolicy', message };
}

/** Enough pods have succeeded and none runs any more. */
export function planCompletion(view: JobView, activeCount: number): Verdict | undefined {
  const { completions } = view.job.spec;
  const isEnough = completions === undefined ? view.succeeded > 0 : view.succeeded >= completions;
  if (!isEnough || activeCount > 0) return undefined;
  const message = 'Reached expected number of succeeded pods';
  return { isSuccess: true, reason: 'CompletionsReached', message };
}

function restartsExceeded(view: JobView): boolean {
  if (view.job.spec.template.spec?.restartPolicy !== 'OnFailure') return false;
  let restarts = 0;
  for (const { status } of view.pods) {
    if (status?.phase !== 'Running' && status?.phase !== 'Pending') continue;
    for (const one of [
      ...(status.initContainerStatuses ?? []),
      ...(status.containerStatuses ?? []),
    ]) {
      restarts += one.restartCount;
    }
  }
  const limit = view.job.spec.backoffLimit ?? 6;
  return limit === 0 ? restarts > 0 : restarts >= limit;
}

/** Time until activeDeadlineSeconds strikes; undefined when there is none. */
export function deadlineLeftMs(view: JobView, nowMs: number): number | undefined {
  const seconds = view.job.spec.activeDeadlineSeconds;
  const startMs = parseTime(view.job.status?.startTime);
  if (seconds === undefined || startMs === undefined || isSuspended(view)) return undefined;
  return startMs + seconds * 1000 - nowMs;
}

export interface PodsPlan {
  readonly remove: readonly Pod[];
  /** One entry per pod to create; the index of Indexed Jobs. */
  readonly create: readonly (number | undefined)[];
  /** Creation waits so long for the back-off after failures. */
  readonly waitMs: number;
}

export interface FailureRecord {
  /** Failures since the last success. */
  readonly count: number;
  readonly lastMs: number;
}

export function backoffLeftMs(record: FailureRecord, nowMs: number): number {
  if (record.count === 0) return 0;
  const waitMs = Math.min(BACKOFF_MS_MIN * 2 ** (record.count - 1), BACKOFF_MS_MAX);
  return Math.max(0, record.lastMs + waitMs - nowMs);
}

/** The record after what finished since the last pass, in order of time. */
export function planFailureRecord(view: JobView, old: FailureRecord): FailureRecord {
  const ends = [
    ...view.newSucceeded.map((pod) => ({ isSuccess: true, atMs: finishedMs(pod) })),
    ...view.newFailed.map((pod) => ({ isSuccess: false, atMs: finishedMs(pod) })),
  ].sort((a, b) => a.atMs - b.atMs);
  let { count, lastMs } = old;
  for (const { isSuccess, atMs } of ends) {
    count = isSuccess ? 0 : count + 1;
    if (!isSuccess) lastMs = Math.max(lastMs, atMs);
  }
  return { count, lastMs };
}

export function planPods(view: JobView, record: FailureRecord, nowMs: number): PodsPlan {
  const { job, active, indexed } = view;
  const nothing: PodsPlan = { remove: [], create: [], waitMs: 0 };
  if (isSuspended(view)) return { ...nothing, remove: active };
  const parallelism = job.spec.parallelism ?? 1;
  const { completions } = job.spec;
  const wanted =
    completions === undefined
      ? view.succeeded > 0
        ? active.length
        : parallelism
      : Math.max(0, Math.min(parallelism, completions - view.succeeded));
  const remove = planRemovals(view, active.length - wanted, nowMs);
  if (remove.length > 0) return { ...nothing, remove };
  const busy = active.length + (onlyReplacesFailed(job) ? view.terminating.length : 0);
  const missing = Math.min(wanted - busy, BURST_REPLICAS_MAX);
  if (missing <= 0) return nothing;
  if (indexed === undefined) {
    const waitMs = backoffLeftMs(record, nowMs);
    if (waitMs > 0) return { ...nothing, waitMs };
    return { ...nothing, create: Array.from({ length: missing }, () => undefined) };
  }
  return planIndexed(view, indexed, { missing, record, nowMs });
}

function planIndexed(
  view: JobView,
  indexed: NonNullable<JobView['indexed']>,
  { missing, record, nowMs }: { missing: number; record: FailureRecord; nowMs: number },
): PodsPlan {
  const indexesOf = (pods: readonly Pod[]): Indexes =>
    new Set(pods.map(indexOf).filter((index) => index !== undefined));
  const taken = [indexed.succeeded, indexesOf(view.active), indexed.failed ?? new Set<number>()];
  if (onlyReplacesFailed(view.job)) taken.push(indexesOf(view.terminating));
  const free = firstFree(missing, indexed.completions, taken);
  if (indexed.failed === undefined) {
    const waitMs = backoffLeftMs(record, nowMs);
    return waitMs > 0
      ? { remove: [], create: [], waitMs }
      : { remove: [], create: free, waitMs: 0 };
  }
  // Every index backs off for itself.
  const waits = free.map((index) => {
    const last = indexed.awaiting.get(index);
    if (last === undefined) return { index, waitMs: 0 };
    const count = countAnnotation(last, FAILURE_COUNT_ANNOTATION) + 1;
    return { index, waitMs: backoffLeftMs({ count, lastMs: finishedMs(last) }, nowMs) };
  });
  const create = waits.filter(({ waitMs }) => waitMs === 0).map(({ index }) => index);
  const rest = waits.filter(({ waitMs }) => waitMs > 0).map(({ waitMs }) => waitMs);
  return { remove: [], create, waitMs: rest.length === 0 ? 0 : Math.min(...rest) };
}

/** At least `surplus` pods; of Indexed Jobs first those with an index twice or out of range. */
function planRemovals(view: JobView, surplus: number, nowMs: number): Pod[] {
  const invalid: Pod[] = [];
  let rest: readonly Pod[] = view.active;
  if (view.indexed !== undefined) {
    const seen = new Set<number>();
    const valid: Pod[] = [];
    for (const pod of view.active) {
      const index = indexOf(pod);
      if (index === undefined || index >= view.indexed.completions || seen.has(index)) {
        invalid.push(pod);
      } else {
        seen.add(index);
        valid.push(pod);
      }
    }
    rest = valid;
  }
  const more = Math.max(0, surplus - invalid.length);
  return [...invalid, ...choosePodsToDelete(rest, [], more, nowMs)].slice(0, BURST_REPLICAS_MAX);
}

/** Failure counts that the pod for `index` continues, as annotations. */
export function failureAnnotations(view: JobView, index: number): Record<string, string> {
  const { indexed, job } = view;
  if (indexed?.failed === undefined) return {};
  const last = indexed.awaiting.get(index);
  let failures = countAnnotation(last, FAILURE_COUNT_ANNOTATION);
  let ignored = countAnnotation(last, IGNORED_COUNT_ANNOTATION);
  if (last !== undefined) {
    if (judgeFailure(job.spec.podFailurePolicy, last).action === 'Ignore') ignored++;
    else failures++;
  }
  return {
    [FAILURE_COUNT_ANNOTATION]: String(failures),
    ...(ignored > 0 ? { [IGNORED_COUNT_ANNOTATION]: String(ignored) } : {}),
  };
}

export interface TrackingPlan {
  readonly status: JobStatus;
  /** Pods whose finalizer goes once the status is written. */
  readonly release: readonly Pod[];
}

/** Moves finished pods from "counted by finalizer" to "counted by status". */
export function planTracking(
  view: JobView,
  status: JobStatus,
  verdict: Verdict | undefined,
  removing: ReadonlySet<string>,
): TrackingPlan {
  const { job, indexed } = view;
  const settled = settleUncounted(status, view.pods, removing);
  const uncounted = {
    succeeded: [...(settled.uncountedTerminatedPods?.succeeded ?? [])],
    failed: [...(settled.uncountedTerminatedPods?.failed ?? [])],
  };
  const completed = new Set(indexed?.before ?? []);
  const release: Pod[] = [];
  const isBoundToFail = verdict !== undefined && !verdict.isSuccess;
  let added = 0;
  for (const pod of view.pods) {
    if (!isTracked(pod, removing)) continue;
    if (uncounted.succeeded.length + uncounted.failed.length + added >= UNCOUNTED_MAX) break;
    const hasFailed = isFailed(pod, job);
    if (!mayRelease(view, pod, verdict, hasFailed)) continue;
    release.push(pod);
    const { uid } = pod.metadata;
    const index = indexOf(pod);
    const isValid = indexed === undefined || (index !== undefined && index < indexed.completions);
    if (pod.status?.phase === 'Succeeded' && !uncounted.failed.includes(uid)) {
      if (indexed !== undefined) {
        if (isValid && index !== undefined && !completed.has(index)) {
          completed.add(index);
          added++;
        }
      } else if (!uncounted.succeeded.includes(uid)) uncounted.succeeded.push(uid);
    } else if (hasFailed || isBoundToFail) {
      const isIgnored = judgeFailure(job.spec.podFailurePolicy, pod).action === 'Ignore';
      if (isValid && !isIgnored && !uncounted.failed.includes(uid)) uncounted.failed.push(uid);
    }
  }
  return {
    release,
    status: {
      ...settled,
      uncountedTerminatedPods: uncounted,
      ...(indexed === undefined
        ? {}
        : { completedIndexes: formatIndexes(completed), succeeded: completed.size }),
      ...(indexed?.failed === undefined ? {} : { failedIndexes: formatIndexes(indexed.failed) }),
    },
  };
}

function mayRelease(
  view: JobView,
  pod: Pod,
  verdict: Verdict | undefined,
  hasFailed: boolean,
): boolean {
  if (isDeleting(view.job) || verdict !== undefined || pod.status?.phase === 'Succeeded')
    return true;
  if (!hasFailed) return false;
  const index = indexOf(pod);
  return index === undefined || view.indexed?.awaiting.get(index) !== pod;
}

/** Uids whose pods have lost the finalizer are counted for good. */
export function settleUncounted(
  status: JobStatus,
  pods: readonly Pod[],
  removing: ReadonlySet<string>,
): JobStatus {
  const tracked = new Set(
    pods.filter((pod) => isTracked(pod, removing)).map((pod) => pod.metadata.uid),
  );
  const { succeeded = [], failed = [] } = status.uncountedTerminatedPods ?? {};
  const keep = (uids: readonly string[]) => uids.filter((uid) => tracked.has(uid));
  const left = { succeeded: keep(succeeded), failed: keep(failed) };
  return {
    ...status,
    uncountedTerminatedPods: left,
    succeeded: (status.succeeded ?? 0) + succeeded.length - left.succeeded.length,
    failed: (status.failed ?? 0) + failed.length - left.failed.length,
  };
}

export function hasUncounted(status: JobStatus): boolean {
  const { succeeded = [], failed = [] } = status.uncountedTerminatedPods ?? {};
  return succeeded.length + failed.length > 0;
}

/** Sets a condition; one that would begin as False is left out. */
export function putJobCondition(
  conditions: readonly JobCondition[] | undefined,
  facts: Pick<JobCondition, 'type' | 'status' | 'reason' | 'message'>,
  nowMs: number,
): { conditions: JobCondition[]; isChanged: boolean } {
  const old = findCondition(conditions, facts.type);
  const list = [...(conditions ?? [])];
  if (old === undefined) {
    if (facts.status === 'False') return { conditions: list, isChanged: false };
    return { conditions: [...list, newJobCondition(facts, nowMs)], isChanged: true };
  }
  const isSame =
    old.status === facts.status && old.reason === facts.reason && old.message === facts.message;
  if (!isSame) list[list.indexOf(old)] = newJobCondition(facts, nowMs);
  return { conditions: list, isChanged: !isSame };
}

export function isFinished(conditions: readonly JobCondition[] | undefined): boolean {
  return (conditions ?? []).some(
    ({ type, status }) => (type === 'Complete' || type === 'Failed') && status === 'True',
  );
}

export { isIndexed };
