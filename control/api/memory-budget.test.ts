/** Answers that nobody takes, and bodies, hold a bounded part of the memory; the rest is told to wait. */
import * as http2 from 'node:http2';
import { once } from 'node:events';
import t, { type Test } from 'tap';
import { makeTestCluster, startTestServer, testClient } from './testing/test-server.ts';

const LIST_BYTES = 1_000_000;
const cluster = await makeTestCluster();
const server = await startTestServer(cluster, { requestMemoryBytes: 1.5 * LIST_BYTES });
const { send } = testClient(cluster, server.port);
t.teardown(async () => {
  await server.stop();
  await cluster.close();
});

const path = '/api/v1/namespaces/default/configmaps';
const configMap = (name: string, length: number) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name },
  data: { text: 'x'.repeat(length) },
});

t.before(async () => {
  for (let i = 0; i < 10; i++) {
    const { status } = await send('POST', path, { body: configMap(`c${i}`, LIST_BYTES / 10) });
    t.equal(status, 201);
  }
});

/** A list that is asked for, answered, and not read. */
async function unreadList(session: http2.ClientHttp2Session) {
  const stream = session.request({ ':path': path });
  stream.on('error', () => {}); // It may be cancelled.
  const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
  return { stream, status: headers[':status'], retryAfter: headers['retry-after'] };
}

function connect(t: Test, port = server.port) {
  const { certificate: cert, key } = cluster.files.admin;
  const ca = cluster.files.ca.certificate;
  const session = http2.connect(`https://127.0.0.1:${port}`, { ca, cert, key });
  t.teardown(() => session.destroy());
  return session;
}

async function untilListed(t: Test, text: string) {
  let status = 0;
  for (const deadline = Date.now() + 5000; status !== 200 && Date.now() < deadline; ) {
    ({ status } = await send('GET', path));
  }
  t.equal(status, 200, text);
}

t.test('lists that nobody reads', async (t) => {
  const session = connect(t);
  const first = await unreadList(session);
  t.equal(first.status, 200);
  const second = await unreadList(session);
  t.match(second, { status: 429, retryAfter: '1' });
  t.equal((await send('GET', `${path}/c0`)).status, 200, 'other requests are served');
  let length = 0;
  first.stream.on('data', (chunk: Buffer) => (length += chunk.length));
  await once(first.stream, 'end');
  t.ok(length > LIST_BYTES);
  await untilListed(t, 'there is room again');
});

t.test('a list whose reader goes away', async (t) => {
  const session = connect(t);
  const { stream } = await unreadList(session);
  t.equal((await send('GET', path)).status, 429);
  stream.close(http2.constants.NGHTTP2_CANCEL);
  await untilListed(t, 'there is room again');
});

t.test('bodies', async (t) => {
  const session = connect(t);
  await unreadList(session);
  const refused = await send('POST', path, { body: configMap('large', 300_000) });
  t.equal(refused.status, 429);
  const small = await send('POST', path, { body: configMap('small', 10) });
  t.equal(small.status, 201);
});

t.test('answers that tell what a whole collection was that is deleted', async (t) => {
  const session = connect(t);
  const { stream } = await unreadList(session);
  const refused = await send('DELETE', `${path}?dryRun=All`);
  t.equal(refused.status, 429);
  t.equal((await send('DELETE', path)).status, 429);
  t.equal((await send('GET', `${path}/c0`)).status, 200, 'and nothing was deleted');
  stream.close(http2.constants.NGHTTP2_CANCEL);
  await untilListed(t, 'there is room again');
  const deleted = session.request({ ':path': `${path}?dryRun=All`, ':method': 'DELETE' });
  deleted.on('error', () => {}); // It is cancelled.
  const [headers] = (await once(deleted, 'response')) as [http2.IncomingHttpHeaders];
  t.equal(headers[':status'], 200);
  t.equal((await send('GET', path)).status, 429, 'it is held until it is read');
  deleted.close(http2.constants.NGHTTP2_CANCEL);
  await untilListed(t, 'there is room again');
});

t.test('lists of the past, which are read from the store', async (t) => {
  const { resourceVersion } = (await send('GET', `${path}?limit=1`)).body.metadata;
  await send('POST', path, { body: configMap('later', 10) });
  // Its cache does not go back so far.
  const late = await startTestServer(cluster, { requestMemoryBytes: 1.5 * LIST_BYTES });
  t.teardown(() => late.stop());
  const past = `${path}?resourceVersion=${resourceVersion}&resourceVersionMatch=Exact`;
  const lateClient = testClient(cluster, late.port);
  const alone = await lateClient.send('GET', past);
  t.equal(alone.status, 200, 'one above the budget comes through alone');
  const session = connect(t, late.port);
  await unreadList(session);
  const none = await lateClient.send('GET', `${past}&labelSelector=no%3Done`);
  t.equal(none.status, 429, 'what is read counts, not what is answered');
});

t.test('a list above the whole budget comes through alone', async (t) => {
  for (let i = 10; i < 20; i++) {
    await send('POST', path, { body: configMap(`c${i}`, LIST_BYTES / 10) });
  }
  const { status, body } = await send('GET', path);
  t.equal(status, 200);
  t.equal(body.items.length, 22);
});
