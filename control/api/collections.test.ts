/**
 * Reading collections from the API server over HTTPS: pages, history, watches, tables and informers.
 * Runs the server in this process with throw-away certificates and a store in a temporary directory.
 */
import * as https from 'node:https';
import * as k8s from '@kubernetes/client-node';
import t from 'tap';
import { CONFIG_MAPS, configMap } from './testing/config-maps.ts';
import { makeTestCluster, startTestServer, testClient, until } from './testing/test-server.ts';

const cluster = await makeTestCluster();
const { files, store } = cluster;
const server = await startTestServer(cluster);
const client = testClient(cluster, server.port);
const { send } = client;
const admin = { cert: files.admin.certificate, key: files.admin.key };
t.teardown(async () => {
  await server.stop();
  await cluster.close();
});

t.test('pages show the state of the first page', async (t) => {
  const names = ['p1', 'p2', 'p3', 'p4', 'p5'];
  const list = `${CONFIG_MAPS}?labelSelector=`;
  for (const name of names) await send('POST', CONFIG_MAPS, { body: configMap(name) });
  const first = await send('GET', `${CONFIG_MAPS}?limit=2`);
  t.equal(first.body.items.length, 2);
  const total = (await send('GET', list)).body.items.length;
  t.equal(first.body.metadata.remainingItemCount, total - 2);
  await send('DELETE', `${CONFIG_MAPS}/p5`);
  await send('POST', CONFIG_MAPS, { body: configMap('p6') });
  const seen: string[] = first.body.items.map(
    (i: { metadata: { name: string } }) => i.metadata.name,
  );
  let token: string = first.body.metadata.continue;
  while (token) {
    const { body } = await send('GET', `${CONFIG_MAPS}?limit=2&continue=${token}`);
    t.equal(body.metadata.resourceVersion, first.body.metadata.resourceVersion);
    seen.push(...body.items.map((i: { metadata: { name: string } }) => i.metadata.name));
    token = body.metadata.continue;
  }
  t.equal(seen.length, total);
  t.ok(seen.includes('p5'), 'deleted since');
  t.notOk(seen.includes('p6'), 'created since');
});

t.test('what lies before the caches comes from history, until it is compacted', async (t) => {
  const late = await startTestServer(cluster);
  client.port = late.port;
  t.teardown(async () => {
    client.port = server.port;
    await late.stop();
  });
  const { body } = await send('GET', `${CONFIG_MAPS}?limit=1`);
  const forged = JSON.parse(Buffer.from(body.metadata.continue, 'base64url').toString());
  const historic = Buffer.from(JSON.stringify({ ...forged, rv: forged.rv - 1 }));
  const past = await send('GET', `${CONFIG_MAPS}?continue=${historic.toString('base64url')}`);
  t.equal(past.status, 200);
  t.equal(past.body.metadata.resourceVersion, String(forged.rv - 1));
  await store.compact(
    (await store.status(AbortSignal.timeout(5000))).revision,
    AbortSignal.timeout(5000),
  );
  const old = Buffer.from(JSON.stringify({ ...forged, rv: 1 })).toString('base64url');
  const gone = await send('GET', `${CONFIG_MAPS}?limit=1&continue=${old}`);
  t.equal(gone.status, 410);
  t.equal(gone.body.reason, 'Expired');
  const rest = await send('GET', `${CONFIG_MAPS}?continue=${gone.body.metadata.continue}`);
  t.equal(rest.status, 200);
  t.ok(rest.body.items.length > 0);
  const events = await watch('/api/v1/namespaces?watch=1&resourceVersion=1', 9);
  t.equal(events.length, 1);
  t.match(events[0], { type: 'ERROR', object: { code: 410, reason: 'Expired' } });
});

interface Event {
  type: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- any kind of object
  object: any;
}

/** Events of a watch until `count` came or it ended. */
function watch(path: string, count: number): Promise<Event[]> {
  return new Promise((resolve, reject) => {
    const events: Event[] = [];
    const options = {
      host: '127.0.0.1',
      port: client.port,
      path,
      ca: files.ca.certificate,
      ...admin,
    };
    const request = https.get(options, (response) => {
      let rest = '';
      response.on('data', (chunk: Buffer) => {
        rest += chunk.toString();
        const lines = rest.split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) events.push(JSON.parse(line));
        if (events.length >= count) request.destroy();
      });
      response.on('close', () => resolve(events));
      response.on('error', () => resolve(events)); // Cut off by ourselves.
    });
    request.on('error', reject);
    request.setTimeout(5000, () => request.destroy(new Error(`watch ${path}: no end`)));
  });
}

t.test('watch events under a selector', async (t) => {
  const { body: list } = await send('GET', `${CONFIG_MAPS}?limit=1`);
  const from = list.metadata.resourceVersion;
  const path = `${CONFIG_MAPS}?watch=1&labelSelector=a%3Db&resourceVersion=${from}`;
  const watching = watch(path, 4);
  const label = (value: string | null) =>
    send('PATCH', `${CONFIG_MAPS}/w`, {
      body: { metadata: { labels: { a: value } } },
      headers: { 'content-type': 'application/merge-patch+json' },
    });
  await send('POST', CONFIG_MAPS, { body: configMap('w') });
  await label('b');
  await send('PATCH', `${CONFIG_MAPS}/w`, {
    body: { data: { x: 'y' } },
    headers: { 'content-type': 'application/merge-patch+json' },
  });
  const last = await label('c');
  await label('b');
  const events = await watching;
  t.same(
    events.map((e) => e.type),
    ['ADDED', 'MODIFIED', 'DELETED', 'ADDED'],
  );
  t.equal(
    events[2]?.object.metadata.labels.a,
    'b',
    'a DELETED event shows the last matching state',
  );
  t.equal(events[2]?.object.metadata.resourceVersion, last.body.metadata.resourceVersion);
});

t.test('a watch-list ends its initial events with a marked bookmark', async (t) => {
  const query =
    'watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true';
  const { body } = await send('GET', '/api/v1/namespaces');
  const events = await watch(`/api/v1/namespaces?${query}`, body.items.length + 1);
  t.equal(events.at(-1)?.type, 'BOOKMARK');
  t.equal(events.at(-1)?.object.metadata.annotations['k8s.io/initial-events-end'], 'true');
  t.ok(events.slice(0, -1).every((e) => e.type === 'ADDED'));
});

t.test('a watch ends after timeoutSeconds', async (t) => {
  const events = await watch('/api/v1/nodes?watch=1&timeoutSeconds=1', 1);
  t.same(events, []);
});

t.test('tables and partial metadata', async (t) => {
  const table = await send('GET', CONFIG_MAPS, {
    headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json' },
  });
  t.equal(table.body.kind, 'Table');
  t.equal(table.body.columnDefinitions[0].format, 'name');
  t.equal(table.body.rows[0].object.kind, 'PartialObjectMetadata');
  const accept = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1';
  const partial = await send('GET', CONFIG_MAPS, { headers: { accept } });
  t.equal(partial.body.kind, 'PartialObjectMetadataList');
  t.equal(partial.body.items[0].data, undefined);
  const wrong = await send('GET', `${CONFIG_MAPS}/taken`, { headers: { accept } });
  t.equal(wrong.status, 406, 'a list was asked for where there is one object');
});
t.test('informers of @kubernetes/client-node', async (t) => {
  const config = new k8s.KubeConfig();
  const address = `https://127.0.0.1:${client.port}`;
  const pem = (text: string) => Buffer.from(text).toString('base64');
  config.loadFromOptions({
    clusters: [{ name: 'c', server: address, caData: pem(files.ca.certificate) }],
    users: [{ name: 'u', certData: pem(admin.cert), keyData: pem(admin.key) }],
    contexts: [{ name: 'x', cluster: 'c', user: 'u' }],
    currentContext: 'x',
  });
  const core = config.makeApiClient(k8s.CoreV1Api);
  const informer = k8s.makeInformer(config, '/api/v1/namespaces/kube-public/configmaps', () =>
    core.listNamespacedConfigMap({ namespace: 'kube-public' }),
  );
  const seen: string[] = [];
  for (const verb of ['add', 'update', 'delete'] as const) {
    informer.on(verb, (object) => seen.push(`${verb} ${object.metadata?.name}`));
  }
  informer.on('error', () => {}); // Ends with the connection below.
  await informer.start();
  const namespace = 'kube-public';
  await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: 'i' } } });
  await until(() => seen.includes('add i'), 'add');
  const body = { metadata: { name: 'i' }, data: { a: 'b' } };
  await core.replaceNamespacedConfigMap({ namespace, name: 'i', body });
  await until(() => seen.includes('update i'), 'update');
  await core.deleteNamespacedConfigMap({ namespace, name: 'i' });
  await until(() => seen.includes('delete i'), 'delete');
  await informer.stop();
  t.same(seen, ['add i', 'update i', 'delete i']);
});
