/**
 * What the API server passes on: logs, exec and proxied requests, against a kubelet's and a pod's
 * end of the wire in this process.
 */
import { readFileSync } from 'node:fs';
import * as http from 'node:http';
import * as https from 'node:https';
import * as net from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import * as tls from 'node:tls';
import t from 'tap';
import { WebSocket, WebSocketServer } from 'ws';
import { issueLeaf } from '#base/pki/pki.ts';
import { requestBackend } from './stream/backend.ts';
import { makeTestCluster, startTestServer, testClient } from './testing/test-server.ts';

const cluster = await makeTestCluster();
const { files } = cluster;
const server = await startTestServer(cluster);
const client = testClient(cluster, server.port);
const { send } = client;

const serving = await issueLeaf(files.ca, {
  subject: { commonName: 'system:node:n1', organizations: ['system:nodes'] },
  usages: ['server'],
  ips: ['127.0.0.1'],
  nowMs: Date.now(),
  lifetimeMs: 3_600_000,
});
const asked: string[] = [];
const kubelet = https.createServer(
  {
    cert: serving.certificate,
    key: serving.key,
    ca: readFileSync(join(files.pkiDir, 'ca.crt')),
    requestCert: true,
    rejectUnauthorized: true,
  },
  (request, response) => {
    asked.push(request.url ?? '');
    if (request.url?.includes('/waiting') === true) {
      response.writeHead(400);
      response.end('container "waiting" in pod "web" is waiting to start: ContainerCreating');
      return;
    }
    response.write('line 1\n');
    response.end('line 2\n');
  },
);
const sockets = new WebSocketServer({
  server: kubelet,
  handleProtocols: (offered) => [...offered][0] ?? false,
});
sockets.on('connection', (socket, request) => {
  asked.push(request.url ?? '');
  socket.on('message', (data) => socket.send(data));
});
const seen: http.IncomingMessage[] = [];
const pod = http.createServer((request, response) => {
  seen.push(request);
  response.setHeader('content-type', 'text/html');
  if (request.url === '/moved') {
    response.writeHead(302, { location: '/there' });
    response.end();
    return;
  }
  response.end(`${request.method} ${request.url} <a href="/rewriteme">x</a>`);
});
// On a port.
const portOf = (one: http.Server | https.Server) => (one.address() as AddressInfo).port;
await Promise.all(
  [kubelet, pod].map(
    (one) => new Promise<void>((resolve) => one.listen(0, '127.0.0.1', () => resolve())),
  ),
);
t.teardown(async () => {
  for (const socket of sockets.clients) socket.terminate();
  kubelet.close();
  kubelet.closeAllConnections();
  pod.close();
  await server.stop();
  await cluster.close();
});

const PODS = '/api/v1/namespaces/default/pods';
await send('POST', '/api/v1/namespaces/default/serviceaccounts', {
  body: { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default' } },
});
await send('POST', '/api/v1/nodes', {
  body: {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'n1' },
    status: {
      addresses: [{ type: 'InternalIP', address: '127.0.0.1' }],
      daemonEndpoints: { kubeletEndpoint: { Port: portOf(kubelet) } },
    },
  },
});
const made = await send('POST', PODS, {
  body: {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'web' },
    spec: {
      nodeName: 'n1',
      containers: [
        { name: 'main', image: 'x', ports: [{ containerPort: portOf(pod) }] },
        { name: 'waiting', image: 'x' },
      ],
    },
  },
});
made.body.status.podIP = '127.0.0.1';
made.body.status.podIPs = [{ ip: '127.0.0.1' }];
await send('PUT', `${PODS}/web/status`, { body: made.body });

t.test('pods/log', async (t) => {
  const rows = [
    { query: 'container=main&tailLines=2', status: 200, text: 'line 1\nline 2\n' },
    {
      query: '',
      status: 400,
      text: /a container name must be specified for pod web, choose one of: \[main waiting\]/,
    },
    { query: 'container=none', status: 400, text: /container none is not valid for pod web/ },
    { query: 'container=waiting', status: 400, text: /is waiting to start: ContainerCreating/ },
    {
      query: 'container=main&tailLines=-1',
      status: 422,
      text: /must be greater than or equal to 0/,
    },
  ];
  for (const row of rows) {
    const answer = await send('GET', `${PODS}/web/log?${row.query}`);
    t.equal(answer.status, row.status, row.query);
    if (typeof row.text === 'string') t.equal(answer.text, row.text, row.query);
    else t.match(answer.text, row.text, row.query);
  }
  t.ok(asked.includes('/containerLogs/default/web/main?tailLines=2'));
});

function open(path: string, protocols: string[], user = files.admin): WebSocket {
  return new WebSocket(`wss://127.0.0.1:${client.port}${path}`, protocols, {
    ca: files.ca.certificate,
    cert: user.certificate,
    key: user.key,
  });
}

t.test('pods/exec passes WebSockets through', async (t) => {
  const path = `${PODS}/web/exec?container=main&command=ls&command=-l&stdin=true&stdout=true`;
  const socket = open(path, ['v5.channel.k8s.io', 'v4.channel.k8s.io']);
  const echoed = new Promise<Buffer>((resolve, reject) => {
    socket.on('message', (data: Buffer) => resolve(data));
    socket.on('error', reject);
  });
  socket.on('open', () => socket.send(Buffer.from([0, 104, 105])));
  t.same([...(await echoed)], [0, 104, 105]);
  t.equal(socket.protocol, 'v5.channel.k8s.io');
  t.ok(asked.includes('/exec/default/web/main?input=1&output=1&command=ls&command=-l'));
  socket.terminate();
});

t.test('pods/exec refuses', async (t) => {
  const alice = await client.user('alice', []);
  const rows = [
    { user: alice, query: 'command=ls&stdout=1', status: 403 },
    { user: files.admin, query: 'stdout=1', status: 400 },
    { user: files.admin, query: 'command=ls', status: 400 },
    { user: files.admin, query: 'command=ls&tty=1&stderr=1', status: 400 },
  ];
  for (const row of rows) {
    const path = `${PODS}/web/exec?container=main&${row.query}`;
    const socket = open(path, ['v5.channel.k8s.io'], row.user);
    const status = await new Promise<number | undefined>((resolve) => {
      socket.on('unexpected-response', (_request, response) => resolve(response.statusCode));
      socket.on('open', () => resolve(101));
    });
    t.equal(status, row.status, row.query);
    socket.on('error', () => {}); // Its own report of the refusal.
    socket.terminate();
  }
});

t.test('a log over a WebSocket', async (t) => {
  const socket = open(`${PODS}/web/log?container=main`, ['binary.k8s.io']);
  const parts: Buffer[] = [];
  socket.on('message', (data: Buffer) => parts.push(data));
  await new Promise<void>((resolve, reject) => {
    socket.on('close', () => resolve());
    socket.on('error', reject);
  });
  t.equal(Buffer.concat(parts).toString(), 'line 1\nline 2\n');
});

t.test('pods/proxy and services/proxy', async (t) => {
  await send('POST', '/api/v1/namespaces/default/services', {
    body: {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web' },
      spec: { ports: [{ name: 'http', port: 80 }] },
    },
  });
  const root = `${PODS}/web:${portOf(pod)}/proxy`;
  const answer = await send('PUT', `${root}/a/b?c=d`, { body: 'x' });
  t.equal(answer.text, `PUT /a/b?c=d <a href="${root}/rewriteme">x</a>`);
  const moved = await send('GET', `${root}/moved`);
  t.equal(moved.headers['location'], `${root}/there`);
  const bare = await send('GET', `${root}?a=b`);
  t.equal(bare.status, 301);
  t.equal(bare.headers.location, `${root}/?a=b`);
  const missing = await send('GET', '/api/v1/namespaces/default/services/web:http/proxy/');
  t.equal(missing.status, 503);
  t.match(missing.body.message, /no endpoints available for service "web"/);
});

/** Opens a connection of the admin's and sends `head`; what was answered until it closed. */
function raw(head: readonly string[], onData: (socket: tls.TLSSocket) => void): Promise<string> {
  const { certificate: cert, key } = files.admin;
  const at = { host: '127.0.0.1', port: client.port, ALPNProtocols: ['http/1.1'] };
  const socket = tls.connect({ ...at, ca: files.ca.certificate, cert, key });
  let text = '';
  socket.write(`${head.join('\r\n')}\r\n\r\n`);
  return new Promise((resolve, reject) => {
    socket.on('data', (data: Buffer) => {
      text += data.toString();
      onData(socket);
    });
    socket.on('close', () => resolve(text));
    socket.on('error', reject);
  });
}

t.test('a refused upgrade gives the client no connection to the backend', async (t) => {
  const from = seen.length;
  const token = `base64url.bearer.authorization.k8s.io.${Buffer.from('secret').toString('base64url')}`;
  const text = await raw(
    [
      `GET ${PODS}/web:${portOf(pod)}/proxy/first HTTP/1.1`,
      'Host: x',
      'Connection: Upgrade',
      'Upgrade: websocket',
      `Sec-WebSocket-Protocol: ${token}, chat`,
    ],
    (socket) => socket.write('GET /second HTTP/1.1\r\nHost: x\r\n\r\n'),
  );
  t.match(text, /^HTTP\/1\.1 200 OK\r\n/);
  t.match(text, /GET \/first/);
  t.same(
    seen.slice(from).map((request) => request.url),
    ['/first'],
    'nothing else reaches the backend',
  );
  t.equal(seen[from]?.headers['sec-websocket-protocol'], 'chat', 'the token stays here');
});

t.test('a body that is not over yet when the backend is found missing', async (t) => {
  const text = await raw(
    [
      `POST ${PODS}/web:1/proxy/x HTTP/1.1`,
      'Host: x',
      'Connection: close',
      'Content-Length: 100',
      '',
      'some',
    ],
    (socket) => socket.end(),
  );
  t.match(text, /^HTTP\/1\.1 503 /);
});

t.test('a backend that does not answer', async (t) => {
  const arrived = Promise.withResolvers<void>();
  const left = Promise.withResolvers<void>();
  const held = new Set<net.Socket>();
  const silent = net.createServer((socket) => {
    held.add(socket);
    socket.on('error', () => undefined); // Cut off by the other side.
    socket.on('data', () => arrived.resolve());
    socket.on('close', () => left.resolve());
  });
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', () => resolve()));
  const { port } = silent.address() as AddressInfo; // On a port.
  t.teardown(() => {
    for (const socket of held) socket.destroy();
    silent.close();
  });
  const url = `/api/v1/namespaces/default/pods/web:${port}/proxy/slow`;
  const { certificate: cert, key } = files.admin;
  const tlsOptions = { cert, key, ca: files.ca.certificate };
  const asking = https.request({
    ...tlsOptions,
    host: '127.0.0.1',
    port: server.port,
    path: url,
  });
  asking.on('error', () => undefined); // Ended below.
  asking.end();
  await arrived.promise;
  asking.destroy();
  await left.promise;
  t.pass('its connection ends when the client leaves');
  const backend = { host: '127.0.0.1', port, tls: {}, handshakeMsMax: 20 };
  const request = { method: 'GET', path: '/', headers: {}, onLeave: () => undefined };
  const message = 'error trying to reach service: net/http: TLS handshake timeout';
  await t.rejects(requestBackend(backend, request), { message });
});
