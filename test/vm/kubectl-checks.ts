/** Every command of kubectl that README.md names, as people use them, on a machine that serves the sample. */
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { type MachineRun, NODE_NAME } from './machine-run.ts';
import { eventually, fetchPage } from './operator.ts';
import { SAMPLE_MANIFESTS, SAMPLE_NODE_PORT } from './sample.ts';

const WAIT_MS = 120_000;
const COPIED_BYTES = 300_000;

/** The sample serves before and after. */
export async function checkKubectl(t: Test, run: MachineRun): Promise<void> {
  const { operator } = run;
  const kubectl = (...args: string[]) => operator.kubectl(...args);
  const rolledOut = () => kubectl('rollout', 'status', 'deployment/sample', '--timeout=110s');
  /** Of a pod that is not about to end. */
  const podName = async () => {
    const { items } = JSON.parse(await kubectl('get', 'pods', '-l', 'app=sample', '-o', 'json'));
    const pods: { metadata: { name: string; deletionTimestamp?: string } }[] = items;
    const alive = pods.find(({ metadata }) => metadata.deletionTimestamp === undefined);
    if (alive === undefined) throw new Error(`no pod of the sample among ${pods.length}`);
    return alive.metadata.name;
  };
  const environment = async () => kubectl('exec', await podName(), '--', 'env');

  await t.test('get', async (t) => {
    const wide = await kubectl('get', 'pods', '-A', '-o', 'wide');
    const row = new RegExp(`^default +sample-\\S+ +1/1 +Running .* 10\\.244\\.\\S+ +${NODE_NAME} `);
    t.equal(wide.split('\n').filter((line) => row.test(line)).length, 2, wide);
    t.match(await kubectl('get', 'nodes'), new RegExp(`^${NODE_NAME} +Ready `, 'm'));
    t.match(await kubectl('get', 'service', 'sample'), new RegExp(`80:${SAMPLE_NODE_PORT}/TCP`));
  });

  await t.test('logs', async (t) => {
    await run.fetchSample();
    t.match(await kubectl('logs', '-l', 'app=sample', '--tail=20'), /response:200/);
  });

  await t.test('exec', async (t) => {
    const name = await podName();
    t.equal((await kubectl('exec', name, '--', 'hostname')).trim(), name);
    await t.rejects(kubectl('exec', name, '--', 'sh', '-c', 'echo oops >&2; exit 3'), {
      message: /code 3: oops/,
    });
  });

  await t.test('cp, in both directions', async (t) => {
    const name = await podName();
    const bytes = randomBytes(COPIED_BYTES);
    const [sent, received] = [join(run.files.dir, 'sent'), join(run.files.dir, 'received')];
    writeFileSync(sent, bytes);
    await kubectl('cp', sent, `default/${name}:/tmp/copied`);
    const size = await kubectl('exec', name, '--', 'stat', '-c', '%s', '/tmp/copied');
    t.equal(size.trim(), String(COPIED_BYTES));
    await kubectl('cp', `default/${name}:/tmp/copied`, received);
    t.ok(readFileSync(received).equals(bytes), 'the bytes that come back are those that were sent');
  });

  await t.test('scale', async (t) => {
    await kubectl('scale', 'deployment/sample', '--replicas=3');
    await rolledOut();
    const ready = 'jsonpath={.status.readyReplicas}';
    t.equal(await kubectl('get', 'deployment/sample', '-o', ready), '3');
    await kubectl('scale', 'deployment/sample', '--replicas=1');
    await eventually('one pod is left', WAIT_MS, async () => {
      const names = await kubectl('get', 'pods', '-l', 'app=sample', '-o', 'name');
      return names.trim().split('\n').length === 1;
    });
  });

  await t.test('set env, rollout status, rollout undo', async (t) => {
    await kubectl('set', 'env', 'deployment/sample', 'GREETING=ahoy');
    t.match(await rolledOut(), /successfully rolled out/);
    t.match(await environment(), /^GREETING=ahoy$/m);
    await kubectl('rollout', 'undo', 'deployment/sample');
    t.match(await rolledOut(), /successfully rolled out/);
    t.notMatch(await environment(), /^GREETING=/m);
    t.match(await kubectl('rollout', 'history', 'deployment/sample'), /^3 /m);
  });

  await t.test('apply, again and changed', async (t) => {
    t.match(await operator.apply(...SAMPLE_MANIFESTS), /deployment.apps\/sample configured/);
    await rolledOut();
    t.match(await operator.apply(...SAMPLE_MANIFESTS), /deployment.apps\/sample unchanged/);
    const [deployment, service] = SAMPLE_MANIFESTS;
    const changed = structuredClone(service) as { spec: { ports: { port: number }[] } }; // sample.ts.
    const [port] = changed.spec.ports;
    if (port !== undefined) port.port = 81;
    t.match(await operator.apply(changed), /service\/sample configured/);
    t.match(await kubectl('get', 'service', 'sample'), new RegExp(`81:${SAMPLE_NODE_PORT}/TCP`));
    t.match(await operator.apply(deployment ?? {}), /unchanged/);
  });

  await t.test('explain', async (t) => {
    const text = await kubectl('explain', 'deployment.spec.template.spec.containers');
    t.match(text, /^GROUP: +apps$/m);
    t.match(text, /^ +image\t?<string>/m);
    t.match(text, /Container image name/);
  });

  await t.test('auth can-i', async (t) => {
    t.equal((await kubectl('auth', 'can-i', 'create', 'deployments')).trim(), 'yes');
    await t.rejects(kubectl('auth', 'can-i', 'create', 'deployments', '--as=somebody'), {
      message: /code 1: no/,
    });
  });

  await t.test('delete', async (t) => {
    t.match(await kubectl('delete', 'deployment/sample', 'service/sample'), /"sample" deleted/);
    await eventually('its pods are gone', WAIT_MS, async () => {
      return (await kubectl('get', 'pods', '-l', 'app=sample', '-o', 'name')).trim() === '';
    });
    await t.rejects(fetchPage(run.sampleUrl, 10_000));
    await run.applySample();
    await run.fetchSample();
  });
}
