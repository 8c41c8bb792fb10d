/**
 * `@kubernetes/client-node`, which is not kubectl's client, on a development node: list by pages, watch,
 * informers that go on after the API server was killed, patch, exec, logs and cp.
 */
import { once } from 'node:events';
import { PassThrough, Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  ApiException,
  CoreV1Api,
  Exec,
  KubeConfig,
  Log,
  makeInformer,
  PatchStrategy,
  setHeaderOptions,
  type V1ConfigMap,
  type V1Pod,
  type V1Status,
  Watch,
} from '@kubernetes/client-node';
import t from 'tap';
import { BUSYBOX, cannotRun, eventually, TestNode } from './node.ts';

const reason = cannotRun();
if (reason !== undefined) {
  t.plan(0, reason);
  process.exit(0);
}
t.setTimeout(280_000);

const namespace = 'default';
const WATCHED = `/api/v1/namespaces/${namespace}/configmaps`;
let node: TestNode;
const config = new KubeConfig();
let api: CoreV1Api;

t.before(async () => {
  node = await TestNode.start();
  config.loadFromFile(node.kubeconfig);
  api = config.makeApiClient(CoreV1Api);
});
t.teardown(() => node[Symbol.asyncDispose]());

const configMap = (name: string, value: string, labels = {}): V1ConfigMap => ({
  metadata: { name, labels },
  data: { value },
});
const create = (name: string, value = 'x', labels = {}) =>
  api.createNamespacedConfigMap({ namespace, body: configMap(name, value, labels) });

const namesOf = (items: readonly V1ConfigMap[]): string[] =>
  items.map((item) => item.metadata?.name ?? '').toSorted();

/** Kills the API server and waits until another one answers. */
async function killControl(): Promise<void> {
  const pid = node.pidOf('control');
  process.kill(pid ?? 0, 'SIGKILL');
  await eventually('the API server is back', async () => {
    const now = node.pidOf('control');
    if (now === undefined || now === pid) return false;
    await api.listNamespace();
    return true;
  });
}

t.test('list by pages, with selectors', async (t) => {
  for (let i = 0; i < 7; i++) await create(`page-${i}`, 'x', { half: i % 2 === 0 ? 'a' : 'b' });
  const names: (string | undefined)[] = [];
  let _continue: string | undefined;
  let pages = 0;
  do {
    const page = await api.listNamespacedConfigMap({
      namespace,
      limit: 2,
      labelSelector: 'half',
      ...(_continue !== undefined && { _continue }),
    });
    names.push(...page.items.map((item) => item.metadata?.name));
    _continue = page.metadata?._continue;
    pages++;
  } while (_continue !== undefined && _continue !== '');
  t.same(names, ['page-0', 'page-1', 'page-2', 'page-3', 'page-4', 'page-5', 'page-6']);
  t.equal(pages, 4);
  const half = await api.listNamespacedConfigMap({ namespace, labelSelector: 'half=b' });
  t.equal(half.items.length, 3);
  const one = await api.listNamespacedConfigMap({
    namespace,
    fieldSelector: 'metadata.name=page-3',
  });
  t.equal(one.items.length, 1);
});

t.test('errors and patches', async (t) => {
  const at = { name: 'patched', namespace };
  await create('patched', 'one');
  await t.rejects(create('patched'), { code: 409 });
  const missing = await api.readNamespacedConfigMap({ name: 'none', namespace }).then(
    () => undefined,
    (error: unknown) => error,
  );
  t.ok(missing instanceof ApiException && missing.code === 404);
  const body = [{ op: 'replace', path: '/data/value', value: 'two' }];
  t.match(await api.patchNamespacedConfigMap({ ...at, body }), { data: { value: 'two' } });
  const merged = await api.patchNamespacedConfigMap(
    { ...at, body: { data: { more: 'yes' } } },
    setHeaderOptions('Content-Type', PatchStrategy.MergePatch),
  );
  t.same(merged.data, { value: 'two', more: 'yes' });
  const { metadata } = merged;
  const replace = (value: string) =>
    api.replaceNamespacedConfigMap({
      ...at,
      body: { data: { value }, ...(metadata !== undefined && { metadata }) },
    });
  t.match(await replace('three'), { data: { value: 'three' } });
  await t.rejects(replace('stale'), { code: 409 });
});

t.test('watch from a resource version', async (t) => {
  const { metadata } = await api.listNamespacedConfigMap({ namespace });
  const seen: string[] = [];
  const watch = await new Watch(config).watch(
    WATCHED,
    { resourceVersion: metadata?.resourceVersion, allowWatchBookmarks: true },
    (phase, object: V1ConfigMap) => {
      if (phase !== 'BOOKMARK') seen.push(`${phase} ${object.metadata?.name}`);
    },
    () => {},
  );
  await create('watched');
  await node.kubectl('label', 'configmap', 'watched', 'a=b');
  await api.deleteNamespacedConfigMap({ name: 'watched', namespace });
  await eventually('three events', () => seen.length === 3);
  watch.abort();
  t.same(seen, ['ADDED watched', 'MODIFIED watched', 'DELETED watched']);
});

t.test('an informer goes on after the API server was killed', async (t) => {
  const events: string[] = [];
  let errors = 0;
  let stopped = false;
  const informer = makeInformer(
    config,
    WATCHED,
    () => api.listNamespacedConfigMap({ namespace, labelSelector: 'informed' }),
    'informed',
  );
  for (const kind of ['add', 'update', 'delete'] as const) {
    informer.on(kind, ({ metadata, data }) =>
      events.push(`${kind} ${metadata?.name} ${data?.['value']}`),
    );
  }
  // As the client's documentation has it: whoever uses an informer starts it again.
  informer.on('error', () => {
    if (stopped) return; // Stopping it is an error, too.
    errors++;
    setTimeout(() => {
      informer.start().catch(() => {}); // Its failures come as errors again.
    }, 100);
  });
  const labels = { informed: 'yes' };
  await create('kept', '1', labels);
  await create('changed', '1', labels);
  await create('deleted', '1', labels);
  await informer.start();
  t.same(events.toSorted(), ['add changed 1', 'add deleted 1', 'add kept 1']);
  events.length = 0;
  await create('fresh', '1', labels);
  await eventually('it sees what comes', () => events.includes('add fresh 1'));

  for (const round of [1, 2]) {
    events.length = 0;
    errors = 0;
    await killControl();
    // Perhaps before the informer is back: it must not matter.
    const body = configMap('changed', `after ${round}`, labels);
    await api.replaceNamespacedConfigMap({ name: 'changed', namespace, body });
    await create(`new-${round}`, '1', labels);
    const gone = round === 1 ? 'deleted' : 'fresh';
    await api.deleteNamespacedConfigMap({ name: gone, namespace });
    await eventually('it has caught up', () => events.length >= 3);
    await sleep(300); // Whatever comes twice.
    const wanted = [`add new-${round} 1`, `delete ${gone} 1`, `update changed after ${round}`];
    t.same(events.toSorted(), wanted, 'each change once, nothing else');
    t.ok(errors > 0, 'it had lost its connection');
    const { items } = await api.listNamespacedConfigMap({ namespace, labelSelector: 'informed' });
    t.same(namesOf(informer.list()), namesOf(items));
  }
  stopped = true;
  await informer.stop();
});

t.test('an informer that is too far behind begins anew', async (t) => {
  const watch = new Watch(config);
  const failure = Promise.withResolvers<unknown>();
  await watch.watch(
    WATCHED,
    { resourceVersion: '1' },
    (phase, object: V1Status) => phase === 'ERROR' && failure.resolve(object.code),
    (error: { statusCode?: number } | null) => failure.resolve(error?.statusCode),
  );
  t.equal(await failure.promise, 410);
});

const pod: V1Pod = {
  metadata: { name: 'worker' },
  spec: {
    terminationGracePeriodSeconds: 0,
    containers: [
      {
        name: 'main',
        image: BUSYBOX,
        command: ['sh', '-c', 'echo hello; while :; do sleep 1; done'],
      },
    ],
  },
};

t.test('a pod: seen by an informer, exec, logs', async (t) => {
  const running = Promise.withResolvers<void>();
  const pods = makeInformer(config, `/api/v1/namespaces/${namespace}/pods`, () =>
    api.listNamespacedPod({ namespace }),
  );
  pods.on('change', ({ status }) => status?.phase === 'Running' && running.resolve());
  await pods.start();
  await api.createNamespacedPod({ namespace, body: pod });
  await running.promise;
  await pods.stop();

  const exec = async (command: string[], input: string, tty: boolean) => {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const [out, err] = [stdout, stderr].map((stream) => stream.setEncoding('utf8').toArray());
    const status = Promise.withResolvers<V1Status>();
    const stdin = Readable.from([input]);
    const client = new Exec(config);
    const socket = await client.exec(
      ...([namespace, 'worker', 'main', command, stdout, stderr, stdin, tty] as const),
      (end) => status.resolve(end),
    );
    const end = await status.promise;
    if (socket.readyState !== socket.CLOSED) await once(socket, 'close');
    stdout.end();
    stderr.end();
    return { end, out: (await out)?.join(''), err: (await err)?.join('') };
  };
  const script = 'read x; echo "got $x"; echo problem >&2; exit 7';
  const done = await exec(['sh', '-c', script], 'input\n', false);
  t.match(done, { out: 'got input\n', err: 'problem\n' });
  t.match(done.end, { status: 'Failure', details: { causes: [{ message: '7' }] } });
  const terminal = await exec(['sh', '-c', 'tty; exit 0'], '', true);
  t.match(terminal, { out: /\/dev\/pts\/\d+\r\n/, end: { status: 'Success' } });

  const log = new PassThrough();
  const read = log.setEncoding('utf8').toArray();
  await new Log(config).log(namespace, 'worker', 'main', log, { follow: false });
  t.equal((await read).join(''), 'hello\n');
  t.match(await api.readNamespacedPodLog({ name: 'worker', namespace, tailLines: 1 }), 'hello\n');
  await api.deleteNamespacedPod({ name: 'worker', namespace });
});
