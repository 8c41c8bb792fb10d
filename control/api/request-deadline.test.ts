import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import * as http2 from 'node:http2';
import * as https from 'node:https';
import t from 'tap';
import { requestTimeoutMs } from './request-deadline.ts';
import { parseRequestInfo } from './request-info.ts';
import { makeTestCluster, startTestServer } from './testing/test-server.ts';

const PODS = '/api/v1/namespaces/a/pods';
const rows = [
  { method: 'GET', path: PODS, want: 60_000 },
  { method: 'GET', path: `${PODS}?timeout=500ms`, want: 500 },
  { method: 'PUT', path: `${PODS}/x?timeout=1m30s`, want: 60_000 },
  { method: 'PUT', path: `${PODS}/x?timeout=0s`, want: 60_000 },
  { method: 'PUT', path: `${PODS}/x?timeout=-1s`, want: 60_000 },
  { method: 'GET', path: '/version?timeout=1s', want: 1000 },
  { method: 'GET', path: `${PODS}?watch=1&timeout=1s`, want: undefined },
  { method: 'GET', path: `${PODS}/x/log?timeout=nonsense`, want: undefined },
  { method: 'POST', path: `${PODS}/x/exec`, want: undefined },
  { method: 'GET', path: `${PODS}/x/proxy/`, want: undefined },
  { method: 'GET', path: '/api/v1/proxy', want: 60_000 },
  { method: 'GET', path: `${PODS}?timeout=10`, want: 'time: missing unit in duration "10"' },
  { method: 'GET', path: `${PODS}?timeout=10d`, want: 'time: unknown unit "d" in duration "10d"' },
  { method: 'GET', path: `${PODS}?timeout=x`, want: 'time: invalid duration "x"' },
] as const;

for (const { method, path, want } of rows) {
  t.test(`requestTimeoutMs() ${method} ${path}`, (t) => {
    const [where = '', search = ''] = path.split('?');
    const query = new URLSearchParams(search);
    const run = () =>
      requestTimeoutMs(parseRequestInfo(method, where, query), query.get('timeout'));
    if (typeof want !== 'string') t.equal(run(), want);
    else {
      const message = `invalid timeout specified in the request URL - ${want}`;
      t.throws(run, { code: 400, message });
    }
    t.end();
  });
}

t.test('a request that does not end is answered 504, and its connection given up', async (t) => {
  const cluster = await makeTestCluster();
  const server = await startTestServer(cluster);
  t.teardown(async () => {
    await server.stop();
    await cluster.close();
  });
  const { files } = cluster;
  const secrets = { ca: files.ca.certificate, cert: files.admin.certificate, key: files.admin.key };
  const path = '/api/v1/namespaces/default/configmaps?timeout=100ms';

  const slow = https.request({
    ...secrets,
    port: server.port,
    method: 'POST',
    path,
    headers: { 'content-length': 100, 'content-type': 'application/json' },
  });
  slow.write('{');
  const [incoming] = (await once(slow, 'response')) as [IncomingMessage];
  const closed = once(incoming.socket, 'close');
  const answer: unknown = JSON.parse((await incoming.setEncoding('utf8').toArray()).join(''));
  t.match(answer, {
    kind: 'Status',
    reason: 'Timeout',
    message: 'Timeout: request did not complete within the allotted timeout',
    code: 504,
  });
  await closed;

  const session = http2.connect(`https://127.0.0.1:${server.port}`, secrets);
  const stream = session.request({ ':method': 'POST', ':path': path, 'content-length': 100 });
  stream.write('{');
  const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
  t.equal(headers[':status'], 504);
  stream.resume();
  await once(stream, 'close');
  session.close();
});
