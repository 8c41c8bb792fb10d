/**
 * A Job and its pods as counted for one pass. Pure. A pod counts through its tracking finalizer: until
 * that is gone it is counted from the pod, from then on from the status, where its uid waits in
 * uncountedTerminatedPods in between. So no pod is counted twice or lost, whatever crashes.
 */
import type { Job } from '#base/kube/api/batch-v1.gen.ts';
import type { Pod } from '#base/kube/api/core-v1.gen.ts';
import { hasFinalizer, isDeleting, parseTime } from '#base/kube/metadata.ts';
import { isPodActive, isPodReady, isPodTerminal } from '../shared/pods.ts';
import { type Indexes, parseIndexes } from './indexes.ts';
import { judgeFailure } from './policy.ts';

export const TRACKING_FINALIZER = 'batch.kubernetes.io/job-tracking';
export const INDEX_ANNOTATION = 'batch.kubernetes.io/job-completion-index';
export const FAILURE_COUNT_ANNOTATION = 'batch.kubernetes.io/job-index-failure-count';
export const IGNORED_COUNT_ANNOTATION = 'batch.kubernetes.io/job-index-ignored-failure-count';

export interface JobView {
  readonly job: Job;
  readonly pods: readonly Pod[];
  readonly active: readonly Pod[];
  readonly readyCount: number;
  readonly terminating: readonly Pod[];
  /** Finished since the last pass: still with finalizer, not yet in the status. */
  readonly newSucceeded: readonly Pod[];
  readonly newFailed: readonly Pod[];
  readonly succeeded: number;
  readonly failed: number;
  /** Indexed Jobs only. */
  readonly indexed:
    | {
        readonly completions: number;
        /** As in the status. */
        readonly before: Indexes;
        readonly succeeded: Indexes;
        /** Only with backoffLimitPerIndex. */
        readonly failed: Indexes | undefined;
        /** Failed pods that stay until their successor exists: it continues their failure count. */
        readonly awaiting: ReadonlyMap<number, Pod>;
      }
    | undefined;
}

export function isIndexed(job: Job): boolean {
  return job.spec.completionMode === 'Indexed';
}

export function onlyReplacesFailed(job: Job): boolean {
  return job.spec.podReplacementPolicy === 'Failed' || job.spec.podFailurePolicy !== undefined;
}

export function isFailed(pod: Pod, job: Job): boolean {
  if (pod.status?.phase === 'Failed') return true;
  return !onlyReplacesFailed(job) && isDeleting(pod) && pod.status?.phase !== 'Succeeded';
}

export function indexOf(pod: Pod): number | undefined {
  const text = pod.metadata.annotations?.[INDEX_ANNOTATION];
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}

export function countAnnotation(pod: Pod | undefined, name: string): number {
  const text = pod?.metadata.annotations?.[name];
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : 0;
}

/** When the pod's last container ended, as far as it tells. */
export function finishedMs(pod: Pod): number {
  const { containerStatuses = [], initContainerStatuses = [], conditions = [] } = pod.status ?? {};
  const ends = [...containerStatuses, ...initContainerStatuses]
    .map((status) => parseTime(status.state?.terminated?.finishedAt))
    .filter((ms) => ms !== undefined);
  if (ends.length > 0) return Math.max(...ends);
  const ready = parseTime(conditions.find(({ type }) => type === 'Ready')?.lastTransitionTime);
  return ready ?? parseTime(pod.metadata.creationTimestamp) ?? 0;
}

/** Tracked: with the finalizer, unless its removal is under way. */
export function isTracked(pod: Pod, removing: ReadonlySet<string>): boolean {
  return hasFinalizer(pod, TRACKING_FINALIZER) && !removing.has(pod.metadata.uid);
}

export function viewJob(job: Job, pods: readonly Pod[], removing: ReadonlySet<string>): JobView {
  const active = pods.filter(isPodActive);
  const status = job.status ?? {};
  const uncounted = {
    succeeded: new Set(status.uncountedTerminatedPods?.succeeded ?? []),
    failed: new Set(status.uncountedTerminatedPods?.failed ?? []),
  };
  const completions = job.spec.completions ?? 0;
  const counts = (pod: Pod, known: ReadonlySet<string>) => {
    if (!isTracked(pod, removing) || known.has(pod.metadata.uid)) return false;
    const index = indexOf(pod);
    return !isIndexed(job) || (index !== undefined && index < completions);
  };
  const newSucceeded = pods.filter(
    (pod) => pod.status?.phase === 'Succeeded' && counts(pod, uncounted.succeeded),
  );
  const newFailed = pods.filter((pod) => isFailed(pod, job) && counts(pod, uncounted.failed));
  const policy = job.spec.podFailurePolicy;
  const counted = newFailed.filter((pod) => judgeFailure(policy, pod).action !== 'Ignore');
  const indexed = isIndexed(job) ? viewIndexes(job, pods, active, removing) : undefined;
  return {
    job,
    pods,
    active,
    readyCount: active.filter(isPodReady).length,
    terminating: pods.filter((pod) => isDeleting(pod) && !isPodTerminal(pod)),
    newSucceeded,
    newFailed,
    succeeded:
      indexed?.succeeded.size ??
      (status.succeeded ?? 0) + newSucceeded.length + uncounted.succeeded.size,
    failed: (status.failed ?? 0) + counted.length + uncounted.failed.size,
    indexed,
  };
}

function viewIndexes(
  job: Job,
  pods: readonly Pod[],
  active: readonly Pod[],
  removing: ReadonlySet<string>,
): NonNullable<JobView['indexed']> {
  const completions = job.spec.completions ?? 0;
  const before = parseIndexes(job.status?.completedIndexes, completions);
  const succeeded = new Set(before);
  const limit = job.spec.backoffLimitPerIndex;
  const failed =
    limit === undefined ? undefined : parseIndexes(job.status?.failedIndexes, completions);
  const valid = pods.flatMap((pod) => {
    const index = indexOf(pod);
    const isValid =
      index !== undefined && index < completions && hasFinalizer(pod, TRACKING_FINALIZER);
    return isValid ? [{ pod, index }] : [];
  });
  for (const { pod, index } of valid) {
    if (pod.status?.phase === 'Succeeded') succeeded.add(index);
    if (failed === undefined || !isFailed(pod, job)) continue;
    const { action } = judgeFailure(job.spec.podFailurePolicy, pod);
    const isLast = countAnnotation(pod, FAILURE_COUNT_ANNOTATION) >= (limit ?? 0);
    if (action === 'FailIndex' || (action !== 'Ignore' && isLast)) failed.add(index);
  }
  const awaiting = new Map<number, Pod>();
  if (failed !== undefined) {
    const busy = new Set(active.map(indexOf));
    for (const { pod, index } of valid) {
      if (!isFailed(pod, job) || !isTracked(pod, removing)) continue;
      if (succeeded.has(index) || failed.has(index) || busy.has(index)) continue;
      const other = awaiting.get(index);
      if (other === undefined || attempts(pod) >= attempts(other)) awaiting.set(index, pod);
    }
  }
  return { completions, before, succeeded, failed, awaiting };
}

function attempts(pod: Pod): number {
  return (
    countAnnotation(pod, FAILURE_COUNT_ANNOTATION) + countAnnotation(pod, IGNORED_COUNT_ANNOTATION)
  );
}
