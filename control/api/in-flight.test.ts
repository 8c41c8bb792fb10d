/** More requests at a time than the limit: the surplus is refused, and room comes back. */
import * as http2 from 'node:http2';
import t from 'tap';
import { REQUESTS_IN_FLIGHT_MAX } from './limits.ts';
import { makeTestCluster, startTestServer, testClient } from './testing/test-server.ts';

const cluster = await makeTestCluster();
const server = await startTestServer(cluster);
const { send, user } = testClient(cluster, server.port);
t.teardown(async () => {
  await server.stop();
  await cluster.close();
});

t.test('requests in flight are bounded', async (t) => {
  const alice = await user('alice', []);
  const session = http2.connect(`https://127.0.0.1:${server.port}`, {
    ca: cluster.files.ca.certificate,
    cert: alice.certificate,
    key: alice.key,
  });
  t.teardown(() => session.destroy());
  const path = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
  const answered: number[] = [];
  const { promise: refused, resolve } = Promise.withResolvers<number>();
  for (let i = 0; i <= REQUESTS_IN_FLIGHT_MAX; i++) {
    // Bodies that never end.
    const stream = session.request({ ':method': 'POST', ':path': path }, { endStream: false });
    stream.on('error', () => {}); // The session ends under it.
    stream.on('response', (headers) => {
      const status = Number(headers[':status']);
      answered.push(status);
      resolve(status);
    });
  }
  t.equal(await refused, 429);
  t.same(answered, [429], 'just the surplus');
  const admin = await send('GET', '/api/v1/namespaces/default');
  t.equal(admin.status, 200, 'admins come through');
  const other = await send('GET', '/api/v1/namespaces/default', { as: await user('bob', []) });
  t.equal(other.status, 403, 'who may not ask is told so first');
  session.destroy();
  const body = {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectAccessReview',
    spec: { nonResourceAttributes: { path: '/x', verb: 'get' } },
  };
  let status = 0;
  for (const deadline = Date.now() + 5000; status !== 201 && Date.now() < deadline; ) {
    ({ status } = await send('POST', path, { as: alice, body }));
  }
  t.equal(status, 201, 'there is room again');
});
