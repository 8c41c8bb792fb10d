/**
 * A Job that is suspended when its last pod has already succeeded: the controller finds both at once,
 * as after a restart.
 */
import t from 'tap';
import { RealClock } from '#base/clock.ts';
import type { Job } from '#base/kube/api/batch-v1.gen.ts';
import type { Pod } from '#base/kube/api/core-v1.gen.ts';
import { jobs, pods } from '#base/kube/api/resources.gen.ts';
import { newControllerRef } from '#base/kube/metadata.ts';
import { silentLog } from '#base/log.ts';
import { until } from '#control/api/testing/test-server.ts';
import { jobController } from '#control/controllers/job/job.ts';
import { runControllers } from '#control/controllers/run.ts';
import { partial, startControlPlane } from './control-plane.ts';

const plane = await startControlPlane([]);
const { client, signal } = plane;
const stop = new AbortController();
t.teardown(() => plane.stop());

t.test('a Job that has what it wants is complete, suspended or not', async (t) => {
  const at = { name: 'done', namespace: 'default' };
  const containers = [{ name: 'c', image: 'i' }];
  const template = { spec: { containers, restartPolicy: 'Never' } };
  const draft = partial<Job>({
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: at,
    spec: { template, suspend: true },
  });
  const made = await client.create(jobs, draft, signal);
  const startTime = '2026-11-27T12:00:00Z';
  const job = await client.updateStatus(jobs, { ...made, status: { startTime } }, signal);
  const pod = await client.create(
    pods,
    partial<Pod>({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        ...at,
        labels: job.spec.template.metadata?.labels,
        finalizers: ['batch.kubernetes.io/job-tracking'],
        ownerReferences: [newControllerRef(jobs, job)],
      },
      spec: template.spec,
    }),
    signal,
  );
  await client.updateStatus(pods, { ...pod, status: { phase: 'Succeeded' } }, signal);
  const config = { podCidr: '', serviceCidr: '', readRootCa: () => '' };
  const io = { client, clock: new RealClock(), log: silentLog, config, component: 'test' };
  const running = runControllers({ ...io, controllers: [jobController] }, stop.signal).catch(
    (error: unknown) => {
      if (!stop.signal.aborted) throw error;
    },
  );
  t.teardown(async () => {
    stop.abort(new Error('test is over'));
    await running;
  });
  const conditions = async () =>
    ((await client.get(jobs, at, signal)).status?.conditions ?? []).map(({ type }) => type);
  await until(async () => (await conditions()).includes('Complete'), 'the Job is complete');
  t.same(await conditions(), ['SuccessCriteriaMet', 'Complete']);
  t.equal((await client.get(jobs, at, signal)).status?.startTime, startTime);
});
