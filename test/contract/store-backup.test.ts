/**
 * Goal (reference/store.md section 8, rule 9): the operator's command writes a snapshot of a running control
 * plane; a control plane made of it is what it was then, and clients notice: what they watched they read
 * anew. Real processes: control, and a gateway of this one before it.
 */
import { type ChildProcess, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CoreV1Api, KubeConfig, makeInformer } from '@kubernetes/client-node';
import t from 'tap';
import { must } from '#base/assert.ts';
import { runCli } from '#cli/test-run.ts';
import { writeClusterFiles } from '#control/api/testing/cluster-files.ts';
import { VERSION } from '#control/store/versions.ts';
import { freePort } from './free-ports.ts';
import { waitFor } from './store-process.ts';
import { spawnTied } from './tied-child.ts';
import { startTestGateway } from './test-gateway.ts';

const namespace = 'default';
const dir = mkdtempSync(join(tmpdir(), 'backup-'));
const path = (name: string) => join(dir, name);
const MAIN = new URL('../../control/main.ts', import.meta.url).pathname;
const bareboat = (...args: string[]) =>
  runCli(['--config', path('bareboat.yaml'), ...args], AbortSignal.timeout(30_000));

async function startControl() {
  const child = spawnTied(process.execPath, ['--no-warnings', MAIN, path('config.json')], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const output: string[] = [];
  for (const pipe of [child.stdout, child.stderr]) {
    must(pipe, 'a pipe')
      .setEncoding('utf8')
      .on('data', (text: string) => output.push(text));
  }
  await waitFor(() => {
    if (child.exitCode !== null) throw new Error(output.join(''));
    return Promise.resolve(output.join('').includes('API server is serving'));
  });
  return child;
}

async function stop(child: ChildProcess): Promise<void> {
  child.kill('SIGTERM');
  await once(child, 'exit');
}

/** What control says when it is to make a store of the file. */
function restore(file: string): { code: number | null; said: object } {
  const args = ['--no-warnings', MAIN, '--restore', file, dir];
  const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  return { code: status, said: JSON.parse(stdout) as object }; // One line of JSON.
}

t.test('a control plane is snapshotted, lost and restored', { timeout: 120_000 }, async (t) => {
  const port = await freePort();
  await writeClusterFiles(dir, port);
  const config = JSON.parse(readFileSync(path('config.json'), 'utf8')) as object; // Just written.
  const more = { socketPath: path('control.sock'), backup: { everyHours: 24, keep: 2 } };
  writeFileSync(path('config.json'), JSON.stringify({ ...config, ...more }));
  let control = await startControl();
  const gateway = await startTestGateway(dir, { control: path('control.sock') });
  t.teardown(async () => {
    await gateway[Symbol.asyncDispose]();
    rmSync(dir, { recursive: true, force: true });
  });
  const kube = new KubeConfig();
  kube.loadFromFile(path('admin.kubeconfig'));
  const api = kube.makeApiClient(CoreV1Api);
  const create = (name: string) =>
    api.createNamespacedConfigMap({ namespace, body: { metadata: { name }, data: { name } } });
  await create('kept');
  await create('deleted-later');
  const informer = makeInformer(kube, `/api/v1/namespaces/${namespace}/configmaps`, () =>
    api.listNamespacedConfigMap({ namespace }),
  );
  let isEnding = false;
  t.teardown(() => {
    isEnding = true;
    return informer.stop();
  });
  informer.on('error', () => {
    // As its documentation has it: who wants to go on starts it again.
    if (!isEnding) setTimeout(() => void informer.start().catch(() => {}), 200);
  });
  await informer.start();
  const seen = () =>
    informer
      .list()
      .map(({ metadata }) => metadata?.name ?? '')
      .filter((name) => name !== 'kube-root-ca.crt')
      .toSorted()
      .join();
  await waitFor(() => Promise.resolve(seen() === 'deleted-later,kept'));

  const file = path('my.snapshot');
  writeFileSync(`${file}.part`, 'left by another', { mode: 0o644 });
  const written = await bareboat('store', 'snapshot', file);
  t.match(written, { code: 0, notes: /my.snapshot: revision \d+, .*, checked/ });
  t.equal(statSync(file).mode & 0o777, 0o600, 'it holds secrets');
  t.match(await bareboat('store', 'snapshot', file), { code: 2, notes: /exists already: --force/ });
  t.match(await bareboat('store', 'snapshot', file, '--force'), { code: 0 });
  const nowhere = path('none/my.snapshot');
  t.match(await bareboat('store', 'snapshot', nowhere), { code: 2, notes: /its directory does/ });
  const status = await bareboat('store', 'status', '-o', 'json');
  t.match(JSON.parse(status.out), { alarms: [], members: [{ role: 'voter' }], version: VERSION });
  t.match(await bareboat('store', 'status'), { code: 0, out: /alarms:? +none/i });
  t.match(await bareboat('store', 'token'), { code: 0, out: /^[\w-]{32}\n$/ });
  t.match(await bareboat('store', 'token', '--hours', 'x'), { code: 2, notes: /is no time/ });
  t.match(await bareboat('store', 'remove', 'x'), { code: 2, notes: /no number of a member/ });
  const none = await bareboat('store', 'remove', '12345');
  t.match(none, { code: 1, notes: /12345/ });
  t.match(await bareboat('store', 'move-leader', '12345'), { code: 1, notes: /12345/ });

  await create('after-the-snapshot');
  await api.deleteNamespacedConfigMap({ namespace, name: 'deleted-later' });
  await waitFor(() => Promise.resolve(seen() === 'after-the-snapshot,kept'));
  const late = await api.readNamespacedConfigMap({ namespace, name: 'after-the-snapshot' });
  const lateVersion = must(late.metadata?.resourceVersion, 'a version');
  await waitFor(() => Promise.resolve(readdirSync(path('backups')).length === 1));
  await stop(control);

  t.match(restore(file), { code: 1, said: { code: 'INVALID_REQUEST', message: /holds a store/ } });
  renameSync(path('store'), path('store.lost'));
  const bytes = readFileSync(file);
  writeFileSync(path('cut'), bytes.subarray(0, bytes.length - 100));
  t.match(restore(path('cut')), {
    code: 1,
    said: { code: 'CORRUPT', message: /^checkpoint cut / },
  });
  t.match(restore(path('config.json')), { code: 1, said: { code: 'CORRUPT' } });
  t.match(restore(path('none')), { code: 1, said: { message: /ENOENT/ } });
  t.notOk(readdirSync(dir).includes('store'), 'nothing was made');
  t.same(readdirSync(path('restore')), []);
  const [scheduled = ''] = readdirSync(path('backups'));
  t.match(restore(join(path('backups'), scheduled)), { code: 0 }, 'a scheduled one serves, too');
  const restored = restore(file);
  t.match(restored, { code: 0, said: { revision: Number } });

  control = await startControl();
  await waitFor(() => Promise.resolve(seen() === 'deleted-later,kept'));
  t.pass('the informer read everything anew');
  const { metadata } = await api.listNamespacedConfigMap({ namespace });
  t.ok(Number(metadata?.resourceVersion) > Number(lateVersion) + 900_000_000, 'far ahead');
  await t.rejects(
    api.listNamespacedConfigMap({
      namespace,
      resourceVersion: lateVersion,
      resourceVersionMatch: 'Exact',
    }),
    { code: 410 },
  );
  await create('new');
  await waitFor(() => Promise.resolve(seen() === 'deleted-later,kept,new'));
  t.pass('and goes on');
  isEnding = true;
  await informer.stop();
  await stop(control);
  t.same(readdirSync(path('backups')), [scheduled], 'the next one is not due');
});
