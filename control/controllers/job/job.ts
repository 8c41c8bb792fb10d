/**
 * The job controller: claims pods, creates and deletes them as plan.ts says, counts finished ones
 * through their finalizer, and ends the Job when all its pods have ended. Pods whose Job is gone lose
 * the finalizer, or they would stay for ever.
 */
import type { Job, JobStatus } from '#base/kube/api/batch-v1.gen.ts';
import type { Pod } from '#base/kube/api/core-v1.gen.ts';
import { jobs, pods } from '#base/kube/api/resources.gen.ts';
import { isKubeError } from '#base/kube/client.ts';
import {
  controllerOf,
  formatTime,
  hasFinalizer,
  isDeleting,
  jsonEquivalent,
  keyOf,
} from '#base/kube/metadata.ts';
import { compileLabelSelector } from '#base/kube/selectors.ts';
import type { WorkQueue } from '#base/kube/work-queue.ts';
import { canManage } from '../shared/claim.ts';
import {
  type Controller,
  type ControllerContext,
  runQueueController,
} from '../shared/controller.ts';
import { OwnedPods } from '../shared/owned-pods.ts';
import { createPod, deletePod, isNamespaceTerminating } from '../shared/pod-control.ts';
import { isPodReady } from '../shared/pods.ts';
import {
  deadlineLeftMs,
  type FailureRecord,
  hasUncounted,
  isFinished,
  isSuspended,
  planCompletion,
  planFailureRecord,
  planPods,
  planTracking,
  planVerdict,
  putJobCondition,
  settleUncounted,
  type Verdict,
} from './plan.ts';
import { draftPod } from './pod.ts';
import { type JobView, TRACKING_FINALIZER, viewJob } from './view.ts';

const COMPONENT = 'job-controller';
const ORPHAN_PREFIX = 'orphan pod ';
/** How long a status that we wrote may be missing from the cache. */
const STALE_MS = 100;

export const jobController: Controller = {
  name: 'job-controller',
  run: (context, signal) => new Driver(context).run(signal),
};

class Driver {
  readonly #context: ControllerContext;
  readonly #owned: OwnedPods<Job>;
  /** Pods whose finalizer we took and whose update the watch has not shown. */
  readonly #removing = new Set<string>();
  readonly #failures = new Map<string, FailureRecord>();
  /** resourceVersion of the last status written: an older one in the cache is not to be trusted. */
  readonly #written = new Map<string, bigint>();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#owned = new OwnedPods(context, {
      resource: jobs,
      selectorOf: (job) => compileLabelSelector(job.spec.selector),
    });
  }

  run(signal: AbortSignal): Promise<void> {
    return runQueueController(
      this.#context,
      {
        name: 'job-controller',
        workers: 5,
        informers: [this.#owned.owners, this.#owned.pods],
        subscribe: (queue) => this.#subscribe(queue),
        sync: (key, stop) =>
          key.startsWith(ORPHAN_PREFIX)
            ? this.#releaseOrphan(key.slice(ORPHAN_PREFIX.length), stop)
            : this.#sync(key, stop),
      },
      signal,
    );
  }

  #subscribe(queue: WorkQueue): Disposable[] {
    const { owners, pods: all } = this.#owned;
    const addOrphan = (pod: Pod) => {
      if (hasFinalizer(pod, TRACKING_FINALIZER)) queue.add(ORPHAN_PREFIX + keyOf(pod));
    };
    const changed = (pod: Pod) => {
      if (!hasFinalizer(pod, TRACKING_FINALIZER)) this.#removing.delete(pod.metadata.uid);
      if (this.#owned.ownerOf(pod) === undefined) addOrphan(pod);
    };
    return [
      ...this.#owned.watch(queue),
      owners.addHandler({
        onDelete: (job) => this.#owned.byController(job.metadata.uid).forEach(addOrphan),
      }),
      all.addHandler({
        onAdd: changed,
        onUpdate: changed,
        onDelete: (pod) => this.#removing.delete(pod.metadata.uid),
      }),
    ];
  }

  async #releaseOrphan(key: string, signal: AbortSignal): Promise<void> {
    const pod = this.#owned.pods.store.getByKey(key);
    if (pod === undefined || !hasFinalizer(pod, TRACKING_FINALIZER)) return;
    const ref = controllerOf(pod);
    if (ref !== undefined && (ref.kind !== 'Job' || this.#owned.ownerOf(pod) !== undefined)) return;
    if (ref !== undefined) {
      // The cache of Jobs may be behind that of pods.
      const at = { name: ref.name, namespace: pod.metadata.namespace };
      try {
        const job = await this.#context.client.get(jobs, at, signal);
        if (job.metadata.uid === ref.uid) return;
      } catch (error) {
        if (!isKubeError(error, 'NotFound')) throw error;
      }
    }
    await this.#releasePod(pod, signal);
  }

  async #releasePod(pod: Pod, signal: AbortSignal): Promise<void> {
    const { name, namespace, uid } = pod.metadata;
    const metadata = { uid, '$deleteFromPrimitiveList/finalizers': [TRACKING_FINALIZER] };
    this.#removing.add(uid);
    try {
      const patch = { type: 'strategic' as const, body: { metadata } };
      await this.#context.client.patch(pods, { name, namespace }, patch, signal);
    } catch (error) {
      if (isKubeError(error, 'NotFound', 'Conflict')) return; // Gone, or another of that name.
      this.#removing.delete(uid);
      throw error;
    }
  }

  async #sync(key: string, signal: AbortSignal): Promise<number | void> {
    const cached = this.#owned.owners.store.getByKey(key);
    if (cached === undefined) {
      this.#failures.delete(key);
      this.#written.delete(key);
      return undefined;
    }
    const managedBy = cached.spec.managedBy ?? 'kubernetes.io/job-controller';
    if (managedBy !== 'kubernetes.io/job-controller') return undefined;
    const written = this.#written.get(key);
    if (written !== undefined) {
      if (BigInt(cached.metadata.resourceVersion) < written) return STALE_MS;
      this.#written.delete(key);
    }
    const isCacheCurrent = this.#owned.expectations.isSatisfied(key, this.#context.clock.nowMs());
    if (isFinished(cached.status?.conditions)) {
      this.#failures.delete(key);
      for (const pod of this.#owned.byController(cached.metadata.uid)) {
        if (hasFinalizer(pod, TRACKING_FINALIZER)) await this.#releasePod(pod, signal);
      }
      return undefined;
    }
    const selector = compileLabelSelector(cached.spec.selector);
    if (!canManage(selector, cached.spec.template)) return undefined;
    const finalizer = TRACKING_FINALIZER;
    const claimed = await this.#owned.claim(cached, { finalizer }, signal);
    return this.#run(key, structuredClone(cached), claimed, isCacheCurrent, signal);
  }

  async #run(
    key: string,
    job: Job,
    claimed: readonly Pod[],
    isCacheCurrent: boolean,
    signal: AbortSignal,
  ): Promise<number | void> {
    const nowMs = this.#context.clock.nowMs();
    const view = viewJob(job, claimed, this.#removing);
    let status: JobStatus = { ...job.status };
    if (status.startTime === undefined && !isSuspended(view)) {
      status = { ...status, startTime: formatTime(nowMs) };
      job.status = status;
    }
    const record = planFailureRecord(view, this.#failures.get(key) ?? { count: 0, lastMs: 0 });
    let verdict = planVerdict(view, nowMs);
    let removed: readonly Pod[] = [];
    let createdCount = 0;
    let waitMs = deadlineLeftMs(view, nowMs);
    let failure: unknown;
    if (verdict !== undefined) {
      [removed, failure] = await this.#delete(key, view, view.active, signal);
      // Counted as final only when what runs is known to be all, and told to go.
      if (removed.length !== view.active.length || !isCacheCurrent) verdict = undefined;
    } else {
      const isManaged = isCacheCurrent && !isDeleting(job);
      if (isManaged) {
        const plan = planPods(view, record, nowMs);
        if (plan.remove.length > 0) {
          [removed, failure] = await this.#delete(key, view, plan.remove, signal);
        } else if (plan.create.length > 0) {
          [createdCount, failure] = await this.#create(key, view, plan.create, signal);
        }
        if (plan.waitMs > 0) waitMs = Math.min(waitMs ?? Infinity, plan.waitMs);
      }
      verdict = planCompletion(view, view.active.length - removed.length + createdCount);
      // A Job that has what it wants is not suspended any more.
      if (isManaged && verdict === undefined) status = this.#withSuspension(view, status, nowMs);
    }
    const removedReady = removed.filter(isPodReady).length;
    const terminating = view.terminating.length + removed.length;
    status = {
      ...status,
      active: view.active.length - removed.length + createdCount,
      ready: view.readyCount - removedReady,
      terminating,
    };
    await this.#track(key, view, status, verdict, terminating, signal);
    if (record.count > 0) this.#failures.set(key, record);
    else this.#failures.delete(key);
    if (failure !== undefined) throw failure;
    return waitMs === undefined ? undefined : Math.max(1, waitMs);
  }

  #withSuspension(view: JobView, status: JobStatus, nowMs: number): JobStatus {
    const isNow = isSuspended(view);
    const facts = isNow
      ? { type: 'Suspended', status: 'True', reason: 'JobSuspended', message: 'Job suspended' }
      : { type: 'Suspended', status: 'False', reason: 'JobResumed', message: 'Job resumed' };
    const { conditions, isChanged } = putJobCondition(status.conditions, facts, nowMs);
    if (!isChanged) return status;
    const { component } = { component: COMPONENT };
    const reason = isNow ? 'Suspended' : 'Resumed';
    const event = { type: 'Normal' as const, reason, message: facts.message, component };
    this.#context.events.record(view.job, event);
    const { startTime: _, ...rest } = status;
    return isNow ? { ...rest, conditions } : { ...rest, conditions, startTime: formatTime(nowMs) };
  }

  async #delete(
    key: string,
    view: JobView,
    victims: readonly Pod[],
    signal: AbortSignal,
  ): Promise<[removed: Pod[], failure: unknown]> {
    if (victims.length === 0) return [[], undefined];
    const { removed, error } = await this.#owned.remove(key, victims, (pod) =>
      deletePod(this.#context, COMPONENT, view.job, pod, signal),
    );
    signal.throwIfAborted();
    return [removed, error];
  }

  async #create(
    key: string,
    view: JobView,
    indexes: readonly (number | undefined)[],
    signal: AbortSignal,
  ): Promise<[created: number, failure: unknown]> {
    const result = await this.#owned.create(key, indexes.length, (i) =>
      createPod(this.#context, COMPONENT, view.job, draftPod(view, indexes[i]), signal),
    );
    signal.throwIfAborted();
    return [result.succeeded, isNamespaceTerminating(result.error) ? undefined : result.error];
  }

  async #track(
    key: string,
    view: JobView,
    next: JobStatus,
    verdict: Verdict | undefined,
    terminating: number,
    signal: AbortSignal,
  ): Promise<void> {
    const nowMs = this.#context.clock.nowMs();
    const tracking = planTracking(view, next, verdict, this.#removing);
    let { status } = tracking;
    if (verdict !== undefined) {
      const { isSuccess, reason, message } = verdict;
      const type = isSuccess ? 'SuccessCriteriaMet' : 'FailureTarget';
      const facts = { type, status: 'True', reason, message };
      status = {
        ...status,
        conditions: putJobCondition(status.conditions, facts, nowMs).conditions,
      };
    }
    let job = await this.#writeStatus(key, view.job, status, signal);
    for (const pod of tracking.release) await this.#releasePod(pod, signal);
    status = settleUncounted(job.status ?? {}, view.pods, this.#removing);
    if (verdict !== undefined && !hasUncounted(status) && terminating === 0) {
      const { isSuccess, reason, message } = verdict;
      const type = isSuccess ? 'Complete' : 'Failed';
      const facts = { type, status: 'True', reason, message };
      const { conditions } = putJobCondition(status.conditions, facts, nowMs);
      const done = isSuccess ? { completionTime: formatTime(nowMs) } : {};
      status = { ...status, conditions, ...done };
    }
    job = await this.#writeStatus(key, job, status, signal);
    if (verdict !== undefined && isFinished(job.status?.conditions)) this.#reportEnd(job, verdict);
  }

  #reportEnd(job: Job, verdict: Verdict): void {
    const component = COMPONENT;
    this.#context.events.record(
      job,
      verdict.isSuccess
        ? { type: 'Normal', reason: 'Completed', message: 'Job completed', component }
        : { type: 'Warning', reason: verdict.reason, message: verdict.message, component },
    );
  }

  async #writeStatus(key: string, job: Job, status: JobStatus, signal: AbortSignal): Promise<Job> {
    const cached = this.#owned.owners.store.getByKey(key);
    const isFirst = job.metadata.resourceVersion === cached?.metadata.resourceVersion;
    const old = isFirst ? cached?.status : job.status;
    if (jsonEquivalent(withoutZeros(old), withoutZeros(status))) return { ...job, status };
    const updated = await this.#context.client.updateStatus(jobs, { ...job, status }, signal);
    this.#written.set(key, BigInt(updated.metadata.resourceVersion));
    return updated;
  }
}

/** The server leaves out counts that are zero. */
function withoutZeros(status: JobStatus | undefined): object {
  return Object.fromEntries(Object.entries(status ?? {}).filter(([, value]) => value !== 0));
}
