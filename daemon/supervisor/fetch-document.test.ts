/** fetchDocument() against a server of this process. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { fetchDocument } from './fetch-document.ts';

const server = createServer((request, response) => {
  switch (request.url) {
    case '/good':
      response.end('version: 1\n');
      return;
    case '/moved':
      response.writeHead(302, { location: '/good' }).end();
      return;
    case '/loop':
      response.writeHead(301, { location: '/loop' }).end();
      return;
    case '/away':
      response.writeHead(301, { location: 'file:///etc/passwd' }).end();
      return;
    case '/large':
      response.end(Buffer.alloc(2 << 20));
      return;
    case '/broken':
      response.writeHead(200, { 'content-length': '100' });
      response.write('half');
      setImmediate(() => response.destroy());
      return;
    default:
      response.writeHead(404).end('not this');
  }
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`; // Of TCP.
t.teardown(() => server.close());

for (const path of ['/good', '/moved']) {
  t.test(`fetchDocument() gets ${path}`, async (t) => {
    t.equal(await fetchDocument(`${base}${path}`), 'version: 1\n');
  });
}

const bad = [
  { path: '/none', message: /\/none: status 404$/ },
  { path: '/loop', message: /\/loop: more than 3 redirections$/ },
  { path: '/away', message: /\/away: leads to file:/ },
  { path: '/large', message: /\/large: more than 1048576 bytes$/ },
  { path: '/broken', message: /\/broken: aborted$/ },
];
for (const { path, message } of bad) {
  t.test(`fetchDocument() refuses ${path}`, async (t) => {
    await t.rejects(fetchDocument(`${base}${path}`), { message });
  });
}

t.test('fetchDocument() names a server that is not there', async (t) => {
  await t.rejects(fetchDocument('http://127.0.0.1:1/x'), {
    message: /127\.0\.0\.1:1\/x: .*ECONNREFUSED/,
  });
});
