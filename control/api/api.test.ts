/**
 * The API server whole, over HTTPS: tables of requests and what is answered, and the life of objects
 * (collections.test.ts reads many at a time). Runs the server in this process with throw-away
 * certificates and a store in a temporary directory.
 */
import t from 'tap';
import { CONFIG_MAPS, configMap } from './testing/config-maps.ts';
import {
  type Ask,
  makeTestCluster,
  startTestServer,
  testClient,
  until,
} from './testing/test-server.ts';

const cluster = await makeTestCluster();
const server = await startTestServer(cluster);
const client = testClient(cluster, server.port);
const { send } = client;
const alice = await client.user('alice', ['devs']);
t.teardown(async () => {
  await server.stop();
  await cluster.close();
});

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
