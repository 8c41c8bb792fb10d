/**
 * The API server whole, over HTTPS: tables of requests and what is answered, then watches, pages
 * and informers. Runs the server in this process with throw-away certificates and a store in a
 * temporary directory.
 */
import * as https from 'node:https';
import * as k8s from '@kubernetes/client-node';
import t from 'tap';
import {
  type Ask,
  makeTestCluster,
  startTestServer,
  testClient,
  until,
} from './testing/test-server.ts';

const cluster = await makeTestCluster();
const { files, store } = cluster;
const server = await startTestServer(cluster);
const client = testClient(cluster, server.port);
const { send } = client;
const alice = await client.user('alice', ['devs']);
const admin = { cert: files.admin.certificate, key: files.admin.key };
t.teardown(async () => {
  await server.stop();
  await cluster.close();
});

const configMap = (name: string, more: object = {}) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name },
  ...more,
});
const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps';

t.test('paths without resources', async (t) => {
  const rows = [
    { path: '/healthz', status: 200, text: 'ok' },
    { path: '/livez?verbose', status: 200, text: /\[\+\]ping ok[^]*livez check passed/ },
    { path: '/readyz/etcd', status: 200, text: 'ok' },
    { path: '/readyz/nothing', status: 404, text: /404 page not found/ },
    { path: '/version', status: 200, text: /"minor":"36"/ },
    { path: '/api', status: 200, text: /"versions":\["v1"\]/ },
    { path: '/apis', status: 200, text: /"name":"apps"/ },
    { path: '/apis/apps/v1', status: 200, text: /"deployments\/scale"/ },
    { path: '/apis/none/v1', status: 404, text: /404 page not found/ },
    { path: '/metrics', status: 200, text: /apiserver_request_duration_seconds_bucket/ },
    { path: '/openid/v1/jwks', status: 200, text: /"kid"/ },
  ];
  for (const row of rows) {
    const { status, text } = await send('GET', row.path);
    t.equal(status, row.status, row.path);
    if (typeof row.text === 'string') t.equal(text, row.text, row.path);
    else t.match(text, row.text, row.path);
  }
});

t.test('who may what', async (t) => {
  const rows = [
    {
      ask: { as: 'anonymous' },
      path: '/api/v1/pods',
      status: 403,
      message:
        'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" at the cluster scope',
    },
    {
      ask: { as: alice },
      path: '/api/v1/namespaces/default/pods/x',
      status: 403,
      message:
        'pods "x" is forbidden: User "alice" cannot get resource "pods" in API group "" in the namespace "default"',
    },
    {
      ask: { as: alice },
      path: '/logs',
      status: 403,
      message: 'forbidden: User "alice" cannot get path "/logs"',
    },
    {
      ask: { as: { token: 'nonsense' } },
      path: '/api/v1/pods',
      status: 401,
      message: 'Unauthorized',
    },
    { ask: { as: 'anonymous' }, path: '/readyz', status: 200 },
    {
      ask: { as: alice, headers: { 'impersonate-user': 'root' } },
      path: '/api/v1/pods',
      status: 403,
      message:
        'users "root" is forbidden: User "alice" cannot impersonate resource "users" in API group "" at the cluster scope',
    },
    {
      ask: { headers: { 'impersonate-user': 'bob', 'impersonate-group': 'devs' } },
      path: '/api/v1/nodes',
      status: 403,
      message:
        'nodes is forbidden: User "bob" cannot list resource "nodes" in API group "" at the cluster scope',
    },
  ] satisfies { ask: Ask; path: string; status: number; message?: string }[];
  for (const row of rows) {
    const answer = await send('GET', row.path, row.ask);
    t.equal(answer.status, row.status, row.path);
    if ('message' in row) t.equal(answer.body.message, row.message);
  }
});

t.test('requests that are refused, with upstream’s code, reason and message', async (t) => {
  await send('POST', CONFIG_MAPS, { body: configMap('taken') });
  const { body: taken } = await send('GET', `${CONFIG_MAPS}/taken`);
  const rows: {
    method: string;
    path: string;
    ask?: Ask;
    status: number;
    reason?: string;
    message: string | RegExp;
  }[] = [
    {
      method: 'GET',
      path: `${CONFIG_MAPS}/absent`,
      status: 404,
      reason: 'NotFound',
      message: 'configmaps "absent" not found',
    },
    {
      method: 'GET',
      path: '/apis/apps/v1/namespaces/default/deployments/absent',
      status: 404,
      reason: 'NotFound',
      message: 'deployments.apps "absent" not found',
    },
    {
      method: 'POST',
      path: CONFIG_MAPS,
      ask: { body: configMap('taken') },
      status: 409,
      reason: 'AlreadyExists',
      message: 'configmaps "taken" already exists',
    },
    {
      method: 'POST',
      path: '/api/v1/namespaces/nowhere/configmaps',
      ask: { body: configMap('a') },
      status: 404,
      reason: 'NotFound',
      message: 'namespaces "nowhere" not found',
    },
    {
      method: 'POST',
      path: CONFIG_MAPS,
      ask: { body: configMap('a', { metadata: { name: 'a', namespace: 'other' } }) },
      status: 400,
      reason: 'BadRequest',
      message:
        'the namespace of the provided object does not match the namespace sent on the request',
    },
    {
      method: 'POST',
      path: CONFIG_MAPS,
      ask: { body: configMap('a', { metadata: { name: 'a', resourceVersion: '1' } }) },
      status: 500,
      message: 'resourceVersion should not be set on objects to be created',
    },
    {
      method: 'POST',
      path: `${CONFIG_MAPS}?fieldValidation=Strict`,
      ask: { body: configMap('a', { bad: 1 }) },
      status: 400,
      reason: 'BadRequest',
      message:
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "bad"',
    },
    {
      method: 'POST',
      path: CONFIG_MAPS,
      ask: { body: { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'a' } } },
      status: 400,
      reason: 'BadRequest',
      message:
        'the object provided is unrecognized (must be of type ConfigMap): v1, Kind=Secret does not match the expected v1, Kind=ConfigMap',
    },
    {
      method: 'POST',
      path: `${CONFIG_MAPS}?dryRun=Some`,
      ask: { body: configMap('a') },
      status: 422,
      reason: 'Invalid',
      message:
        'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]: supported values: "All"',
    },
    {
      method: 'POST',
      path: CONFIG_MAPS,
      ask: { body: 'x: y', headers: { 'content-type': 'text/plain' } },
      status: 415,
      reason: 'UnsupportedMediaType',
      message:
        'the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf',
    },
    {
      method: 'GET',
      path: CONFIG_MAPS,
      ask: { headers: { accept: 'image/png' } },
      status: 406,
      reason: 'NotAcceptable',
      message:
        'only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf',
    },
    {
      method: 'PUT',
      path: `${CONFIG_MAPS}/taken`,
      ask: { body: configMap('taken', { metadata: { name: 'taken', resourceVersion: '1' } }) },
      status: 409,
      reason: 'Conflict',
      message:
        'Operation cannot be fulfilled on configmaps "taken": the object has been modified; please apply your changes to the latest version and try again',
    },
    {
      method: 'PUT',
      path: `${CONFIG_MAPS}/taken`,
      ask: { body: configMap('else') },
      status: 400,
      reason: 'BadRequest',
      message: 'the name of the object (else) does not match the name on the URL (taken)',
    },
    {
      method: 'PUT',
      path: `${CONFIG_MAPS}/absent`,
      ask: { body: configMap('absent') },
      status: 404,
      reason: 'NotFound',
      message: 'configmaps "absent" not found',
    },
    {
      method: 'PATCH',
      path: `${CONFIG_MAPS}/taken`,
      ask: { body: {}, headers: { 'content-type': 'application/json' } },
      status: 415,
      reason: 'UnsupportedMediaType',
      message: /^the body of the request was in an unknown format/,
    },
    {
      method: 'DELETE',
      path: `${CONFIG_MAPS}/taken`,
      ask: { body: { preconditions: { uid: 'other' } } },
      status: 409,
      reason: 'Conflict',
      message: `Operation cannot be fulfilled on ConfigMap "taken": the UID in the precondition (other) does not match the UID in record (${taken.metadata.uid}). The object might have been deleted and then recreated`,
    },
    {
      method: 'DELETE',
      path: '/api/v1/namespaces/kube-system',
      status: 403,
      reason: 'Forbidden',
      message: 'namespaces "kube-system" is forbidden: this namespace may not be deleted',
    },
    {
      method: 'GET',
      path: `${CONFIG_MAPS}?resourceVersionMatch=Exact`,
      status: 422,
      reason: 'Invalid',
      message:
        'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided',
    },
    {
      method: 'GET',
      path: `${CONFIG_MAPS}?resourceVersion=99999999`,
      status: 504,
      reason: 'Timeout',
      message: /^Timeout: Too large resource version: 99999999, current: \d+$/,
    },
    {
      method: 'GET',
      path: `${CONFIG_MAPS}?labelSelector=a(b`,
      status: 400,
      reason: 'BadRequest',
      message: /^unable to parse requirement/,
    },
    {
      method: 'GET',
      path: '/api/v1/pods?fieldSelector=spec.what%3D1',
      status: 400,
      reason: 'BadRequest',
      message: /field label not supported: spec.what/,
    },
    {
      method: 'GET',
      path: `${CONFIG_MAPS}?continue=abc`,
      status: 400,
      reason: 'BadRequest',
      message: /^continue key is not valid/,
    },
    {
      method: 'DELETE',
      path: '/api/v1/namespaces',
      status: 405,
      reason: 'MethodNotAllowed',
      message: 'deletecollection is not supported on resources of kind "namespaces"',
    },
  ];
  for (const row of rows) {
    const name = `${row.method} ${row.path}`;
    const { status, body } = await send(row.method, row.path, row.ask);
    t.equal(status, row.status, name);
    t.equal(body.kind, 'Status', name);
    t.equal(body.reason, row.reason, name);
    if (typeof row.message === 'string') t.equal(body.message, row.message, name);
    else t.match(body.message, row.message, name);
  }
});

t.test('life of an object', async (t) => {
  const created = await send('POST', CONFIG_MAPS, {
    body: configMap('life', {
      data: { a: '1' },
      metadata: { name: 'life', finalizers: ['x.io/y'] },
    }),
  });
  t.equal(created.status, 201);
  t.match(created.body.metadata.uid, /^[0-9a-f-]{36}$/);
  const path = `${CONFIG_MAPS}/life`;
  const same = await send('PUT', path, { body: created.body });
  const { resourceVersion } = created.body.metadata;
  t.equal(same.body.metadata.resourceVersion, resourceVersion, 'a no-op update writes nothing');
  const merge = await send('PATCH', path, {
    body: { data: { a: null, b: '2' } },
    headers: { 'content-type': 'application/merge-patch+json' },
  });
  t.same(merge.body.data, { b: '2' });
  const jsonPatch = await send('PATCH', path, {
    body: [{ op: 'add', path: '/data/c', value: '3' }],
    headers: { 'content-type': 'application/json-patch+json' },
  });
  t.same(jsonPatch.body.data, { b: '2', c: '3' });
  const failing = await send('PATCH', path, {
    body: [{ op: 'test', path: '/data/c', value: '4' }],
    headers: { 'content-type': 'application/json-patch+json' },
  });
  t.equal(failing.status, 422);
  const strategic = (body: unknown) =>
    send('PATCH', path, {
      body,
      headers: { 'content-type': 'application/strategic-merge-patch+json' },
    });
  t.equal((await strategic({ $patch: 'x' })).status, 500);
  t.equal((await strategic({ $retainKeys: 'a' })).status, 400);
  const undecodable = await strategic({ data: 5 });
  t.equal(undecodable.status, 422);
  t.match(undecodable.body.message, /^ "" is invalid: patch: Invalid value: "map\[data:5\]": /);
  const dry = await send('DELETE', `${path}?dryRun=All`);
  t.equal(dry.status, 200);
  const deleting = await send('DELETE', path);
  t.match(deleting.body.metadata, { deletionTimestamp: String, deletionGracePeriodSeconds: 0 });
  const freed = await send('PATCH', path, {
    body: { metadata: { finalizers: null } },
    headers: { 'content-type': 'application/merge-patch+json' },
  });
  t.equal(freed.status, 200);
  t.equal((await send('GET', path)).status, 404, 'the last finalizer takes the object with it');
});

t.test('generated names', async (t) => {
  const { body } = await send('POST', CONFIG_MAPS, {
    body: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { generateName: 'gen-' } },
  });
  t.match(body.metadata.name, /^gen-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
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

t.test('service account tokens', async (t) => {
  const accounts = '/api/v1/namespaces/default/serviceaccounts';
  await send('POST', accounts, {
    body: { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'robot' } },
  });
  const made = await send('POST', `${accounts}/robot/token`, {
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} },
  });
  t.equal(made.status, 201);
  const { token } = made.body.status;
  const self = await send('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', {
    as: { token },
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' },
  });
  t.match(self.body.status.userInfo, {
    username: 'system:serviceaccount:default:robot',
    groups: ['system:serviceaccounts', 'system:serviceaccounts:default', 'system:authenticated'],
  });
  await send('DELETE', `${accounts}/robot`);
  await until(
    async () => (await send('GET', '/version', { as: { token } })).status === 401,
    'the token to end with its account',
  );
});

t.test('cluster IPs are claimed and given back', async (t) => {
  const services = '/api/v1/namespaces/default/services';
  const service = (name: string, spec: object = {}) => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name },
    spec: { ports: [{ port: 80 }], ...spec },
  });
  const one = await send('POST', services, { body: service('one', { type: 'NodePort' }) });
  const { clusterIP, ports } = one.body.spec;
  t.match(clusterIP, /^10\.96\./);
  t.ok(ports[0].nodePort >= 30000);
  const two = await send('POST', services, { body: service('two', { clusterIP }) });
  t.equal(two.status, 422);
  t.match(two.body.message, /provided IP is already allocated/);
  await send('DELETE', `${services}/one`);
  const again = await send('POST', services, { body: service('two', { clusterIP }) });
  t.equal(again.status, 201);
});

t.test('a namespace stays until its finalizer is gone', async (t) => {
  const path = '/api/v1/namespaces/short';
  await send('POST', '/api/v1/namespaces', {
    body: { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'short' } },
  });
  const deleting = await send('DELETE', path);
  t.equal(deleting.body.status.phase, 'Terminating');
  const refused = await send('POST', `${path}/configmaps`, { body: configMap('late') });
  t.equal(refused.status, 403);
  t.equal(refused.body.details.causes[0].reason, 'NamespaceTerminating');
  const { body: current } = await send('GET', path);
  const finalized = await send('PUT', `${path}/finalize`, { body: { ...current, spec: {} } });
  t.equal(finalized.status, 200);
  t.equal((await send('GET', path)).status, 404);
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
