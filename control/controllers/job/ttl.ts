/** The ttl-after-finished controller: deletes Jobs ttlSecondsAfterFinished after their end. */
import type { Job } from '#base/kube/api/batch-v1.gen.ts';
import { jobs } from '#base/kube/api/resources.gen.ts';
import { isKubeError } from '#base/kube/client.ts';
import { isDeleting, keyOf, parseTime } from '#base/kube/metadata.ts';
import { type Controller, runQueueController } from '../shared/controller.ts';

/** When the Job is to be deleted, or undefined: never, or it has not finished. */
export function expiryMs(job: Job): number | undefined {
  const seconds = job.spec.ttlSecondsAfterFinished;
  const end = job.status?.conditions?.find(
    ({ type, status }) => (type === 'Complete' || type === 'Failed') && status === 'True',
  );
  const endMs = parseTime(end?.lastTransitionTime);
  if (seconds === undefined || endMs === undefined || isDeleting(job)) return undefined;
  return endMs + seconds * 1000;
}

export const ttlAfterFinishedController: Controller = {
  name: 'ttl-after-finished-controller',
  run: async (context, signal) => {
    const informer = context.informers.informer(jobs);
    await runQueueController(
      context,
      {
        name: 'ttl-after-finished-controller',
        workers: 2,
        informers: [informer],
        subscribe: (queue) => {
          const add = (job: Job) => {
            if (expiryMs(job) !== undefined) queue.add(keyOf(job));
          };
          return [informer.addHandler({ onAdd: add, onUpdate: add })];
        },
        sync: async (key, stop) => {
          const cached = informer.store.getByKey(key);
          if (cached === undefined) return undefined;
          const { name, namespace, uid } = cached.metadata;
          try {
            // Fresh: the ttl may have been raised, and deletion cannot be undone.
            const job = await context.client.get(jobs, { name, namespace }, stop);
            const atMs = expiryMs(job);
            if (atMs === undefined) return undefined;
            const leftMs = atMs - context.clock.nowMs();
            if (leftMs > 0) return leftMs;
            const options = { propagationPolicy: 'Foreground' as const, preconditions: { uid } };
            await context.client.delete(jobs, { name, namespace }, options, stop);
          } catch (error) {
            if (!isKubeError(error, 'NotFound', 'Conflict')) throw error; // Gone, or another.
          }
          return undefined;
        },
      },
      signal,
    );
  },
};
