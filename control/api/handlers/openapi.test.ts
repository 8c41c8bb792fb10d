import t from 'tap';
import { makeTestCluster, startTestServer, testClient } from '../testing/test-server.ts';

const cluster = await makeTestCluster();
const server = await startTestServer(cluster);
const { send } = testClient(cluster, server.port);
t.teardown(async () => {
  await server.stop();
  await cluster.close();
});

const PROTOBUF = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';
const PROTOBUF_ANSWER = PROTOBUF.replace('@', '.');

const rows = [
  { path: '/openapi/v2', accept: '', type: 'application/json', begins: '{"swagger":"2.0"' },
  { path: '/openapi/v2', accept: PROTOBUF, type: PROTOBUF_ANSWER, begins: '\n\x032.0' },
  { path: '/openapi/v2', accept: PROTOBUF_ANSWER, type: PROTOBUF_ANSWER, begins: '\n\x032.0' },
  { path: '/openapi/v3', accept: '*/*', type: 'application/json', begins: '{"paths":{"api/v1":' },
  {
    path: '/openapi/v3/apis/apps/v1',
    accept: 'application/json',
    type: 'application/json',
    begins: '{"openapi":"3.0.0"',
  },
];

for (const { path, accept, type, begins } of rows) {
  t.test(`${path} as '${accept}', once for each client`, async (t) => {
    const answer = await send('GET', path, { headers: { accept } });
    t.match(answer, { status: 200, headers: { 'content-type': type, vary: 'Accept' } });
    t.equal(answer.text.slice(0, begins.length), begins);
    const etag = String(answer.headers['etag']);
    const again = await send('GET', path, { headers: { accept, 'if-none-match': etag } });
    t.match(again, { status: 304, text: '' });
    const packed = await send('GET', path, { headers: { accept, 'accept-encoding': 'gzip' } });
    t.match(packed, { status: 200, headers: { 'content-encoding': 'gzip', etag } });
  });
}

t.test('documents in no form that is served', async (t) => {
  for (const path of ['/openapi/v2', '/openapi/v3/apis/apps/v1']) {
    const headers = { accept: 'image/png' };
    t.match(await send('GET', path, { headers }), { status: 406, text: '' }, path);
  }
  t.match(await send('GET', '/openapi/v3/apis/none/v1'), { status: 404 });
});

t.test('documents of v3 by their hash', async (t) => {
  const path = '/openapi/v3/apis/apps/v1';
  const { body } = await send('GET', '/openapi/v3');
  const url: string = body.paths['apis/apps/v1'].serverRelativeURL;
  const kept = { status: 200, headers: { 'cache-control': 'public, immutable' } };
  t.match(await send('GET', url), kept);
  const moved = { status: 301, headers: { location: url } };
  t.match(await send('GET', `${path}?hash=OLD`), moved);
});
