/** The cronjob controller: starts Jobs on schedule, follows them, and keeps their history short. */
import type { CronJob, CronJobStatus, Job } from '#base/kube/api/batch-v1.gen.ts';
import { cronjobs, jobs } from '#base/kube/api/resources.gen.ts';
import { errorText } from '#base/errors.ts';
import { isKubeError } from '#base/kube/client.ts';
import type { Informer } from '#base/kube/informer.ts';
import {
  controllerOf,
  formatTime,
  isControlledBy,
  isDeleting,
  jsonEquivalent,
  keyOf,
  newControllerRef,
  objectReference,
  parseTime,
} from '#base/kube/metadata.ts';
import {
  type Controller,
  type ControllerContext,
  runQueueController,
} from '../shared/controller.ts';
import { isNamespaceTerminating } from '../shared/pod-control.ts';
import { finishedAs, jobName, nextDue, planHistory, planStart } from './plan.ts';
import { parseSchedule, type Schedule, timeIn } from './schedule.ts';

const COMPONENT = 'cronjob-controller';

export const cronJobController: Controller = {
  name: 'cronjob-controller',
  run: async (context, signal) => {
    const all = context.informers.informer(cronjobs);
    const children = context.informers.informer(jobs);
    await runQueueController(
      context,
      {
        name: 'cronjob-controller',
        workers: 5,
        informers: [all, children],
        subscribe: (queue) => {
          const add = (cronJob: CronJob) => queue.add(keyOf(cronJob));
          const addOwner = (job: Job) => {
            const ref = controllerOf(job);
            if (ref?.kind === 'CronJob') queue.add(`${job.metadata.namespace}/${ref.name}`);
          };
          return [
            all.addHandler({ onAdd: add, onUpdate: add }),
            children.addHandler({ onAdd: addOwner, onUpdate: addOwner, onDelete: addOwner }),
          ];
        },
        sync: (key, stop) => new Sync(context, children).run(all.store.getByKey(key), stop),
      },
      signal,
    );
  },
};

class Sync {
  readonly #context: ControllerContext;
  readonly #children: Informer<Job>;

  constructor(context: ControllerContext, children: Informer<Job>) {
    this.#context = context;
    this.#children = children;
  }

  async run(cached: CronJob | undefined, signal: AbortSignal): Promise<number | void> {
    if (cached === undefined) return undefined;
    const own = this.#children.store
      .list(cached.metadata.namespace)
      .filter((job) => isControlledBy(job, cached));
    const cronJob = await this.#current(cached, own, signal);
    if (cronJob === undefined) return undefined;
    let status = await this.#follow(cronJob, own, signal);
    let waitMs: number | undefined;
    const schedule = this.#schedule(cronJob);
    if (schedule !== undefined) {
      [status, waitMs] = await this.#start(cronJob, status, schedule, signal);
    }
    if (!jsonEquivalent(status, cronJob.status)) {
      await this.#context.client.updateStatus(cronjobs, { ...cronJob, status }, signal);
    }
    for (const job of planHistory(cronJob, own)) await this.#deleteJob(cronJob, job, signal);
    return waitMs;
  }

  /** A Job that runs and is not listed may be one that the cache does not show as started yet. */
  async #current(
    cached: CronJob,
    own: readonly Job[],
    signal: AbortSignal,
  ): Promise<CronJob | undefined> {
    const listed = new Set((cached.status?.active ?? []).map(({ uid }) => uid));
    const isKnown = own.every(
      (job) => finishedAs(job) !== undefined || listed.has(job.metadata.uid),
    );
    if (isKnown) return cached;
    const { name, namespace, uid } = cached.metadata;
    try {
      const fresh = await this.#context.client.get(cronjobs, { name, namespace }, signal);
      return fresh.metadata.uid === uid ? fresh : undefined;
    } catch (error) {
      if (isKubeError(error, 'NotFound')) return undefined;
      throw error;
    }
  }

  #event(cronJob: CronJob, type: 'Normal' | 'Warning', reason: string, message: string): void {
    this.#context.events.record(cronJob, { type, reason, message, component: COMPONENT });
  }

  #schedule(cronJob: CronJob): Schedule | undefined {
    const { schedule, timeZone } = cronJob.spec;
    try {
      return parseSchedule(schedule, timeZone);
    } catch (error) {
      const message = `unparseable schedule: "${schedule}" : ${errorText(error)}`;
      this.#event(cronJob, 'Warning', 'UnparseableSchedule', message); // Until it is changed.
      return undefined;
    }
  }

  /** The status after what became of the active Jobs. */
  async #follow(
    cronJob: CronJob,
    own: readonly Job[],
    signal: AbortSignal,
  ): Promise<CronJobStatus> {
    let active = [...(cronJob.status?.active ?? [])];
    let lastMs = parseTime(cronJob.status?.lastSuccessfulTime);
    for (const job of own) {
      const as = finishedAs(job);
      const { uid, name } = job.metadata;
      const isListed = active.some((ref) => ref.uid === uid);
      if (as === undefined) {
        // Made by hand, say; one of ours that outlived a crash is found when it is to be made again.
        if (!isListed) {
          const message = `Saw a job that the controller did not create or forgot: ${name}`;
          this.#event(cronJob, 'Warning', 'UnexpectedJob', message);
        }
        continue;
      }
      if (isListed) {
        active = active.filter((ref) => ref.uid !== uid);
        const message = `Saw completed job: ${name}, condition: ${as}`;
        this.#event(cronJob, 'Normal', 'SawCompletedJob', message);
      }
      const endMs = as === 'Complete' ? parseTime(job.status?.completionTime) : undefined;
      if (endMs !== undefined) lastMs = Math.max(lastMs ?? 0, endMs);
    }
    for (const ref of active) {
      if (own.some((job) => job.metadata.uid === ref.uid)) continue;
      try {
        await this.#context.client.get(
          jobs,
          { name: ref.name ?? '', namespace: ref.namespace },
          signal,
        );
      } catch (error) {
        if (!isKubeError(error, 'NotFound')) throw error;
        active = active.filter((other) => other !== ref);
        this.#event(cronJob, 'Normal', 'MissingJob', `Active job went missing: ${ref.name}`);
      }
    }
    return {
      ...cronJob.status,
      active,
      ...(lastMs === undefined ? {} : { lastSuccessfulTime: formatTime(lastMs) }),
    };
  }

  async #start(
    cronJob: CronJob,
    status: CronJobStatus,
    schedule: Schedule,
    signal: AbortSignal,
  ): Promise<[CronJobStatus, number | undefined]> {
    const nowMs = this.#context.clock.nowMs();
    const nextMs = nextDue(cronJob, schedule, nowMs);
    // A little later, so that the clock has surely passed it.
    const waitMs = nextMs === undefined ? undefined : nextMs - nowMs + 100;
    const plan = planStart(cronJob, schedule, status.active?.length ?? 0, nowMs);
    switch (plan.kind) {
      case 'wait':
        return [status, cronJob.spec.suspend === true || isDeleting(cronJob) ? undefined : waitMs];
      case 'tooLate': {
        const time = new Date(plan.dueMs).toUTCString().replace('GMT', '+0000');
        const message = `Missed scheduled time to start a job: ${time}`;
        this.#event(cronJob, 'Warning', 'MissSchedule', message);
        return [status, waitMs];
      }
      case 'forbidden': {
        const message =
          'Not starting job because prior execution is running and concurrency policy is Forbid';
        this.#event(cronJob, 'Normal', 'JobAlreadyActive', message);
        return [status, waitMs];
      }
      case 'start': {
        let active = status.active ?? [];
        if (plan.replaces) {
          for (const { name = '', namespace } of active) {
            const job = this.#children.store.get(namespace, name);
            if (job !== undefined) await this.#deleteJob(cronJob, job, signal);
          }
          active = [];
        }
        const job = await this.#createJob(cronJob, plan.dueMs, signal);
        if (job === undefined) return [{ ...status, active }, waitMs];
        const refs = active.some((ref) => ref.uid === job.metadata.uid)
          ? active
          : [...active, objectReference(job)];
        const lastScheduleTime = formatTime(plan.dueMs);
        return [{ ...status, active: refs, lastScheduleTime }, waitMs];
      }
    }
  }

  async #createJob(cronJob: CronJob, dueMs: number, signal: AbortSignal): Promise<Job | undefined> {
    const { metadata, spec } = cronJob.spec.jobTemplate;
    const name = jobName(cronJob, dueMs);
    const { namespace = '' } = cronJob.metadata;
    const { timeZone } = cronJob.spec;
    const scheduled = {
      'batch.kubernetes.io/cronjob-scheduled-timestamp': timeIn(dueMs, timeZone),
    };
    try {
      const job = await this.#context.client.create(
        jobs,
        {
          apiVersion: 'batch/v1',
          kind: 'Job',
          metadata: {
            name,
            namespace,
            ...(metadata?.labels === undefined ? {} : { labels: metadata.labels }),
            annotations: { ...metadata?.annotations, ...scheduled },
            ownerReferences: [newControllerRef(cronjobs, cronJob)],
          },
          spec: structuredClone(spec ?? { template: {} }),
        },
        signal,
      );
      this.#event(cronJob, 'Normal', 'SuccessfulCreate', `Created job ${name}`);
      return job;
    } catch (error) {
      signal.throwIfAborted();
      if (isNamespaceTerminating(error)) return undefined;
      if (isKubeError(error, 'AlreadyExists')) {
        const job = await this.#context.client.get(jobs, { name, namespace }, signal);
        return isControlledBy(job, cronJob) ? job : undefined;
      }
      this.#event(cronJob, 'Warning', 'FailedCreate', `Error creating job: ${errorText(error)}`);
      throw error;
    }
  }

  async #deleteJob(cronJob: CronJob, job: Job, signal: AbortSignal): Promise<void> {
    const { name, namespace } = job.metadata;
    try {
      const options = { propagationPolicy: 'Background' as const };
      await this.#context.client.delete(jobs, { name, namespace }, options, signal);
    } catch (error) {
      if (isKubeError(error, 'NotFound')) return; // Gone already.
      this.#event(cronJob, 'Warning', 'FailedDelete', `Deleted job: ${errorText(error)}`);
      throw error;
    }
    this.#event(cronJob, 'Normal', 'SuccessfulDelete', `Deleted job ${name}`);
  }
}
