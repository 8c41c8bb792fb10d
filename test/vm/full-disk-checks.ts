/**
 * A volume DATA without a byte left: pods and images share it, the control plane does not. With evictions turned
 * off the node stays manageable and survives a restart of its agent; with them on it says what it lacks, takes
 * no pods, ends the one that fills the disk, and goes on.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import { parse, stringify } from 'yaml';
import { killProcess, pidOf, servicePid } from './hands.ts';
import { containers } from './kill-checks.ts';
import { type MachineRun, NODE_NAME } from './machine-run.ts';
import { eventually } from './operator.ts';
import { SAMPLE_IMAGE, SAMPLE_PAGE, writeSampleImage } from './sample.ts';

const WAIT_MS = 120_000;
/** Left to be written; the rest is only reserved, which takes no time. */
const WRITTEN_BYTES = 64 << 20;
const FREE_BYTES_MAX = 1 << 20;
const NO_EVICTION = Object.fromEntries(
  ['nodefs.available', 'nodefs.inodesFree', 'imagefs.available', 'imagefs.inodesFree'].map(
    (signal) => [signal, '0%'],
  ),
);

const pod = (name: string) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'default' },
  spec: {
    terminationGracePeriodSeconds: 0,
    containers: [
      {
        name,
        image: SAMPLE_IMAGE,
        command: ['sleep', '1000000'],
        volumeMounts: [{ name: 'space', mountPath: '/space' }],
      },
    ],
    volumes: [{ name: 'space', emptyDir: {} }],
  },
});

/** Expects the pod `hands`. */
export async function checkFullDisk(t: Test, run: MachineRun): Promise<void> {
  const { operator } = run;
  const kubectl = (...args: string[]) => operator.kubectl(...args);
  const dataFree = async () => {
    const { disks } = await run.status();
    return disks.find(({ name }) => name === 'DATA')?.freeBytes ?? 0;
  };
  const condition = (type: string) => {
    const path = `jsonpath={.status.conditions[?(@.type=="${type}")].status}`;
    return kubectl('get', 'node', NODE_NAME, '-o', path);
  };
  const setKubelet = async (kubelet: object) => {
    const config = parse(await operator.bareboat('config', 'get'));
    const path = join(run.files.dir, 'with-kubelet.yaml');
    writeFileSync(path, stringify({ ...config, kubelet }));
    const before = await servicePid(run, 'agent');
    await operator.bareboat('config', 'apply', path);
    await eventually('the agent has started anew', WAIT_MS, async () => {
      const pid = await servicePid(run, 'agent');
      return pid !== undefined && pid !== before;
    });
  };
  await setKubelet({ evictionHard: NO_EVICTION });
  await operator.apply(pod('filler'));
  await kubectl('wait', '--for=condition=Ready', 'pod/filler', '--timeout=110s');
  const before = await containers(run);

  await t.test("pods' logs lie on the volume, not in memory", async (t) => {
    const mounts = await kubectl('exec', 'hands', '--', 'cat', '/proc/1/mounts');
    t.match(mounts, /^\/dev\/vda\d \/var\/log\/pods ext4 /m);
  });

  await t.test('a pod can take the last byte', async (t) => {
    const bytes = (await dataFree()) - WRITTEN_BYTES;
    await kubectl('exec', 'filler', '--', 'fallocate', '-l', String(bytes), '/space/reserved');
    const write = ['dd', 'if=/dev/zero', 'of=/space/written', 'bs=1M'];
    await t.rejects(kubectl('exec', 'filler', '--', ...write), { message: /No space left/ });
    t.ok((await dataFree()) < FREE_BYTES_MAX, `${await dataFree()} bytes are free`);
    t.equal(await condition('Ready'), 'True');
  });

  await t.test('it stays manageable', async (t) => {
    await t.rejects(operator.bareboat('image', 'import', await writeSampleImage(run.files.dir)), {
      message: /code 1: bareboat: .*no space left/i,
    });
    t.match(await operator.bareboat('image', 'list'), /bareboat-sample/);
    t.match(await operator.bareboat('config', 'get'), new RegExp(`name: ${NODE_NAME}`));
    t.match(await operator.bareboat('events'), /agent/);
    await kubectl('create', 'configmap', 'while-full', '--from-literal=a=b');
    t.match(await kubectl('logs', '-l', 'app=sample', '--tail=5'), /response:200/);
    t.equal(await kubectl('exec', 'filler', '--', 'echo', 'here'), 'here\n');
    t.equal((await run.fetchSample()).trim(), SAMPLE_PAGE.trim());
  });

  await t.test('a killed agent comes back', async (t) => {
    const pid = await pidOf(run, 'agent');
    await killProcess(run, pid);
    await eventually('exec works again', WAIT_MS, async () => {
      const successor = await servicePid(run, 'agent');
      if (successor === undefined || successor === pid) return false;
      return (await kubectl('exec', 'filler', '--', 'echo', 'here')) === 'here\n';
    });
    await sleep(2_000); // Long enough for an agent that fails in its first work.
    t.not(await servicePid(run, 'agent'), undefined);
    t.equal(await containers(run), before, 'no container was restarted');
  });

  await t.test('it says what it lacks, and ends the pod that fills it', async (t) => {
    await setKubelet({ evictionPressureTransitionPeriod: '1m' });
    await eventually(
      'DiskPressure',
      WAIT_MS,
      async () => (await condition('DiskPressure')) === 'True',
    );
    await eventually('the taint', WAIT_MS, async () => {
      const path = 'jsonpath={.spec.taints[*].key}';
      const taints = await kubectl('get', 'node', NODE_NAME, '-o', path);
      return taints.includes('node.kubernetes.io/disk-pressure');
    });
    await operator.apply(pod('late'));
    await eventually('the pod is told why it does not run', WAIT_MS, async () => {
      return /untolerated taint/.test(await kubectl('describe', 'pod/late'));
    });
    await eventually('the eviction', WAIT_MS, async () => {
      return (await kubectl('get', 'pod/filler', '-o', 'jsonpath={.status.reason}')) === 'Evicted';
    });
    const message = await kubectl('get', 'pod/filler', '-o', 'jsonpath={.status.message}');
    t.match(message, /^The node was low on resource: ephemeral-storage\. Threshold quantity: /);
    t.equal((await run.fetchSample()).trim(), SAMPLE_PAGE.trim());
  });

  await t.test('it goes on when there is space', async (t) => {
    await eventually('no DiskPressure', WAIT_MS, async () => {
      return (await condition('DiskPressure')) === 'False';
    });
    await kubectl('wait', '--for=condition=Ready', 'pod/late', '--timeout=110s');
    await operator.bareboat('image', 'import', await writeSampleImage(run.files.dir));
    t.equal(await kubectl('get', 'cm/while-full', '-o', 'jsonpath={.data.a}'), 'b');
    await kubectl('delete', 'pod/filler', 'pod/late', '--now');
    await setKubelet({});
  });
}
