/** The cronjob controller against an API server of ours, with Jobs that it did not start itself. */
import t from 'tap';
import type { CronJob, Job } from '#base/kube/api/batch-v1.gen.ts';
import { cronjobs, events, jobs } from '#base/kube/api/resources.gen.ts';
import { newControllerRef } from '#base/kube/metadata.ts';
import { until } from '#control/api/testing/test-server.ts';
import { cronJobController } from '#control/controllers/cronjob/cronjob.ts';
import { partial, startControlPlane } from './control-plane.ts';

const plane = await startControlPlane([cronJobController]);
const { client, signal } = plane;
t.teardown(() => plane.stop());

const namespace = 'default';
const template = {
  spec: { containers: [{ name: 'c', image: 'i' }], restartPolicy: 'Never' },
};

t.test('a Job made by hand from a CronJob is not one of its own runs', async (t) => {
  const at = { name: 'hourly', namespace };
  const draft = partial<CronJob>({
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata: at,
    spec: {
      schedule: '@every 2s',
      concurrencyPolicy: 'Replace',
      jobTemplate: { spec: { template } },
    },
  });
  const cron = await client.create(cronjobs, draft, signal);
  // As `kubectl create job --from` does.
  const manual = partial<Job>({
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: 'manual', namespace, ownerReferences: [newControllerRef(cronjobs, cron)] },
    spec: { template },
  });
  await client.create(jobs, manual, signal);
  let own: string[] = [];
  await until(async () => {
    const { items } = await client.list(jobs, { namespace }, signal);
    const runs = items.filter(({ metadata }) => metadata.name !== 'manual');
    own = [...new Set([...own, ...runs.map(({ metadata }) => metadata.name)])];
    return own.length > 0;
  }, 'a run of its own');
  const all = await client.list(jobs, { namespace }, signal);
  t.ok(
    all.items.some(({ metadata }) => metadata.name === 'manual'),
    'Replace leaves it alone',
  );
  await until(async () => {
    const { status } = await client.get(cronjobs, at, signal);
    return status?.active?.length === 1 && status.active[0]?.name === own[0];
  }, 'the own run alone is active');
  await until(async () => {
    const { items } = await client.list(events, { namespace }, signal);
    return items.some(({ reason }) => reason === 'UnexpectedJob');
  }, 'an event tells of it');
});
