import t from 'tap';
import { ANONYMOUS } from '../auth/users.ts';
import { parseRequestInfo } from '../request-info.ts';
import { makeTestCluster, startTestServer, testClient, until } from '../testing/test-server.ts';
import type { AuditEvent } from './audit.ts';
import { auditLevel } from './policy.ts';

const events: AuditEvent[] = [];
const cluster = await makeTestCluster();
const server = await startTestServer(cluster, { audit: { write: (event) => events.push(event) } });
const { send, user } = testClient(cluster, server.port);
const alice = await user('alice', ['devs']);
t.teardown(async () => {
  await server.stop();
  await cluster.close();
});

/** Events of requests with this header, in the order in which they were written. */
const eventsOf = (id: string) => events.filter((event) => event.auditID === id);

const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps';
const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { generateName: 'made-' } };

t.test('a write, with the name that its URL does not say', async (t) => {
  const headers = { 'audit-id': 'write', 'user-agent': 'test/1' };
  const made = await send('POST', CONFIG_MAPS, { body, headers });
  t.match(eventsOf('write'), [
    {
      kind: 'Event',
      apiVersion: 'audit.k8s.io/v1',
      level: 'Metadata',
      stage: 'ResponseComplete',
      requestURI: CONFIG_MAPS,
      verb: 'create',
      user: { username: 'admin', groups: ['system:masters', 'system:authenticated'] },
      sourceIPs: [/127\.0\.0\.1/],
      userAgent: 'test/1',
      objectRef: {
        resource: 'configmaps',
        namespace: 'default',
        name: made.body.metadata.name,
        apiVersion: 'v1',
      },
      responseStatus: { code: 201 },
      requestReceivedTimestamp: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/,
      annotations: { 'authorization.k8s.io/decision': 'allow' },
    },
  ]);
});

t.test('a refusal, with who was impersonated', async (t) => {
  const headers = { 'audit-id': 'refused', 'impersonate-user': 'bob' };
  await send('DELETE', `${CONFIG_MAPS}/x`, { headers });
  t.match(eventsOf('refused'), [
    {
      verb: 'delete',
      user: { username: 'admin' },
      impersonatedUser: { username: 'bob', groups: ['system:authenticated'] },
      objectRef: { name: 'x' },
      responseStatus: { status: 'Failure', reason: 'Forbidden', code: 403 },
      annotations: { 'authorization.k8s.io/decision': 'forbid' },
    },
  ]);
});

t.test('who cannot be told', async (t) => {
  const headers = { 'audit-id': 'unknown' };
  await send('GET', CONFIG_MAPS, { as: { token: 'wrong' }, headers });
  const [event] = eventsOf('unknown');
  t.match(event, { responseStatus: { reason: 'Unauthorized', code: 401 } });
  t.notOk(event?.annotations);
});

t.test('a watch, when it begins and when it ends', async (t) => {
  const headers = { 'audit-id': 'watch' };
  await send('GET', `${CONFIG_MAPS}?watch=1&timeoutSeconds=1`, { headers });
  await until(() => eventsOf('watch').length === 2, 'the end of the watch');
  t.match(eventsOf('watch'), [
    { verb: 'watch', stage: 'ResponseStarted', responseStatus: { code: 200 } },
    { verb: 'watch', stage: 'ResponseComplete', responseStatus: { code: 200 } },
  ]);
});

t.test('not what clusters ask themselves', async (t) => {
  const headers = { 'audit-id': 'quiet' };
  await send('GET', '/openapi/v3', { headers });
  t.same(eventsOf('quiet'), []);
  await send('GET', '/logs', { as: alice, headers });
  t.match(eventsOf('quiet'), [{ user: { username: 'alice' }, responseStatus: { code: 403 } }]);
});

const person = { name: 'alice', uid: '', groups: ['system:authenticated'], extra: {} };
const kubelet = { ...person, name: 'system:node:n', groups: ['system:nodes'] };
const account = {
  ...person,
  name: 'system:serviceaccount:default:x',
  groups: ['system:serviceaccounts', 'system:serviceaccounts:default'],
};
const PODS = '/api/v1/namespaces/a/pods';
const LEASE = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n';
const rows = [
  { user: person, method: 'GET', path: PODS, level: 'Metadata' },
  { user: account, method: 'GET', path: PODS, level: 'Metadata' },
  { user: kubelet, method: 'GET', path: PODS, level: 'None' },
  { user: kubelet, method: 'GET', path: PODS, code: 403, level: 'Metadata' },
  { user: kubelet, method: 'DELETE', path: `${PODS}/x`, level: 'Metadata' },
  { user: kubelet, method: 'PATCH', path: `${PODS}/x/status`, level: 'None' },
  { user: person, method: 'PATCH', path: `${PODS}/x/status`, level: 'Metadata' },
  { user: kubelet, method: 'PUT', path: LEASE, level: 'None' },
  { user: person, method: 'PUT', path: LEASE, level: 'Metadata' },
  { user: account, method: 'POST', path: '/api/v1/namespaces/a/events', level: 'None' },
  { user: ANONYMOUS, method: 'GET', path: '/readyz', level: 'None' },
  { user: person, method: 'GET', path: '/logs', level: 'Metadata' },
] as const;

for (const { user, method, path, level, ...rest } of rows) {
  const code = 'code' in rest ? rest.code : 200;
  t.test(`auditLevel() ${user.name} ${method} ${path} ${code}`, async (t) => {
    t.equal(auditLevel(user, parseRequestInfo(method, path, new URLSearchParams()), code), level);
  });
}
