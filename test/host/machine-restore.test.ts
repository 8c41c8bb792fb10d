/**
 * A cluster moves to another machine, in namespaces of this host, by a snapshot of its store: taken from the
 * first, refused by it as long as it has a cluster, and given to the second in place of bootstrap.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { eventually } from '#test/vm/operator.ts';
import { MachineScene } from './machine-scene.ts';

if (process.getuid?.() !== 0) {
  t.plan(0, 'a machine in namespaces needs root');
  process.exit(0);
}
t.setTimeout(290_000);

async function setUp(): Promise<MachineScene> {
  const scene = await MachineScene.open();
  const fingerprint = await scene.start();
  await scene.init();
  await scene.applyFirst(fingerprint);
  await eventually('the machine knows its operator', 30_000, () => scene.status());
  return scene;
}

async function runs(scene: MachineScene): Promise<void> {
  const { operator, dir } = scene;
  await eventually('it runs', 60_000, async () => (await scene.status()).stage === 'running');
  await operator.bareboat('kubeconfig', '--output', join(dir, 'kubeconfig'));
}

t.test('a cluster moves by a snapshot', async (t) => {
  let snapshot: Buffer;
  {
    await using first = await setUp();
    const { operator, dir } = first;
    await t.rejects(operator.bareboat('store', 'status'), { message: /control does not answer/ });
    await operator.bareboat('bootstrap');
    await runs(first);
    await operator.kubectl('create', 'configmap', 'moved', '--from-literal=a=b');
    const file = join(dir, 'a.snapshot');
    t.match(await operator.bareboat('store', 'status'), /alarms: +none/);
    await operator.bareboat('store', 'snapshot', file);
    snapshot = readFileSync(file);
    await t.rejects(operator.bareboat('store', 'restore', file), {
      message: /the cluster was bootstrapped already/,
    });
  }
  await using second = await setUp();
  const { operator, dir } = second;
  const file = join(dir, 'a.snapshot');
  writeFileSync(file, snapshot.subarray(0, snapshot.length - 50));
  await t.rejects(operator.bareboat('store', 'restore', file), {
    message: /checkpoint restore.snapshot has no trailer: it is cut, or is no snapshot/,
  });
  t.match((await second.status()).blockedBy, [/not bootstrapped/], 'nothing was begun');
  writeFileSync(file, snapshot);
  await operator.bareboat('store', 'restore', file);
  await runs(second);
  const moved = await operator.kubectl('get', 'configmap', 'moved', '-o', 'json');
  t.match(JSON.parse(moved), { data: { a: 'b' } });
  t.ok(JSON.parse(moved).metadata.resourceVersion < 1_000_000_000, 'it was not written since');
  const list = JSON.parse(
    await operator.kubectl('get', '--raw', '/api/v1/namespaces/default/configmaps'),
  );
  t.ok(list.metadata.resourceVersion > 1_000_000_000, 'the store is far ahead');
});
