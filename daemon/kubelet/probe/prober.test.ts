/** Probes over the network, against servers of the test on loopback. */
import { once } from 'node:events';
import { createServer, type Server as HttpServer } from 'node:http';
import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import t from 'tap';
import { RealClock } from '#base/clock.ts';
import type { Pod, Probe } from '#base/kube/api/core-v1.gen.ts';
import { FakeRuntime } from '../pod/fake-runtime.ts';
import { Prober } from './prober.ts';

const { signal } = new AbortController();
const prober = new Prober({ runtime: new FakeRuntime(), clock: new RealClock() });

async function listen(t: { teardown(run: () => void): void }, server: Server | HttpServer) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return (server.address() as AddressInfo).port; // TCP.
}

function run(probe: Probe, ports: { name: string; containerPort: number }[] = []) {
  const container = { name: 'c', ports };
  const pod = { metadata: { name: 'p' }, spec: { containers: [container] } } as Pod; // Enough.
  return prober.run(probe, { container, pod, podIP: '127.0.0.1', containerId: 'id' }, signal);
}

/** The text of field 1, whose length is a varint of one or two bytes; all of `body` must be it. */
function serviceOf(body: Buffer): string {
  if (body.length === 0) return '';
  const [tag, low = 0, high = 0] = body;
  const [length, start] = low < 0x80 ? [low, 2] : [(low & 0x7f) | (high << 7), 3];
  const whole = tag === 0x0a && body.length === start + length;
  return whole ? body.toString('utf8', start) : 'malformed';
}

t.test('HTTP: statuses, headers, redirects, named ports', async (t) => {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const { url = '', headers } = request;
    asked.push(`${url} ${headers.host} ${headers['user-agent']} ${String(headers['x-a'])}`);
    const status = Number(/\d+/.exec(url)?.[0] ?? 200);
    const to = { '/301': '/200', '/302': 'http://192.0.2.1/', '/303': '/303' }[url];
    response.writeHead(status, to === undefined ? {} : { location: to });
    response.end('body');
  });
  const port = await listen(t, server);
  const get = (path: string, more: object = {}) => run({ httpGet: { path, port, ...more } });
  t.same(await get('/200'), { result: 'success', output: 'body' });
  t.match(await get('/399'), { result: 'success' });
  t.same(await get('/500'), {
    result: 'failure',
    output: 'HTTP probe failed with statuscode: 500',
  });
  t.match(await get('/301'), { result: 'success' }, 'followed');
  t.match(await get('/302'), { result: 'success' }, 'elsewhere: not followed');
  t.match(await get('/303'), { result: 'failure', output: /stopped after 10 redirects/ });
  asked.length = 0;
  const httpHeaders = [
    { name: 'Host', value: 'name.example' },
    { name: 'X-A', value: 'b' },
  ];
  const named = { httpGet: { path: 'x', port: 'web', httpHeaders } };
  t.match(await run(named, [{ name: 'web', containerPort: port }]), { result: 'success' });
  t.same(asked, ['/x name.example kube-probe/1.36 b']);
  t.match(await run(named), { result: 'failure', output: /couldn't find port: "web"/ });
});

t.test('TCP, and what does not answer', async (t) => {
  const silent = createTcpServer(() => {});
  const port = await listen(t, silent);
  t.match(await run({ tcpSocket: { port } }), { result: 'success' });
  t.match(await run({ httpGet: { port }, timeoutSeconds: 0.05 }), {
    result: 'failure',
    output: /context deadline exceeded/,
  });
  silent.close();
  t.same(await run({ tcpSocket: { port } }), {
    result: 'failure',
    output: `dial tcp 127.0.0.1:${port}: connect: connection refused`,
  });
});

t.test('gRPC: serving, not serving, services with long names', async (t) => {
  const long = 'x'.repeat(300);
  const asked: string[] = [];
  const server = createHttp2Server();
  server.on('stream', (stream: ServerHttp2Stream) => {
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      const body = Buffer.concat(chunks).subarray(5);
      const service = serviceOf(body);
      asked.push(service);
      stream.respond(
        { ':status': 200, 'content-type': 'application/grpc' },
        { waitForTrailers: true },
      );
      stream.on('wantTrailers', () => {
        stream.sendTrailers({ 'grpc-status': service === 'none' ? '5' : '0' });
      });
      stream.end(Buffer.from([0, 0, 0, 0, 2, 8, service === 'down' ? 2 : 1]));
    });
  });
  const port = await listen(t, server);
  const check = (service?: string) =>
    run({ grpc: { port, ...(service !== undefined && { service }) } });
  t.same(await check(), { result: 'success', output: 'service healthy' });
  t.same(await check(long), { result: 'success', output: 'service healthy' });
  t.match(await check('down'), { result: 'failure', output: /NOT_SERVING/ });
  t.match(await check('none'), { result: 'failure', output: /code = 5/ });
  t.same(asked, ['', long, 'down', 'none']);
});

t.test('gRPC: what a server sends can neither break nor fill the agent', async (t) => {
  const server = createHttp2Server();
  server.on('stream', (stream: ServerHttp2Stream) => {
    stream.on('error', () => {}); // The probe leaves early.
    stream.respond(
      { ':status': 200, 'content-type': 'application/grpc' },
      { waitForTrailers: true },
    );
    stream.on('wantTrailers', () => {
      stream.sendTrailers({ 'grpc-status': '13', 'grpc-message': 'half a percent: %zz' });
    });
    let body = '';
    stream.on('data', (chunk: Buffer) => (body += chunk.toString('latin1')));
    stream.on('end', () => {
      if (body.includes('endless')) stream.write(Buffer.alloc(1024 * 1024));
      else if (body.includes('cut')) stream.close();
      else stream.end();
    });
  });
  const port = await listen(t, server);
  const probe = (service: string) => run({ timeoutSeconds: 5, grpc: { port, service } });
  t.match(await probe('x'), { result: 'failure', output: /half a percent: %zz/ });
  t.match(await probe('endless'), { result: 'failure', output: /more than \d+ bytes/ });
  t.match(await probe('cut'), { result: 'failure' });
});
