/** Client, transport over a MessagePort, and informer against a scripted server. */
import t from 'tap';
import { MessageChannel } from 'node:worker_threads';
import { RealClock } from '../clock.ts';
import { silentLog } from '../log.ts';
import type { ConfigMap } from './api/core-v1.gen.ts';
import {
  isKubeError,
  type KubeTransport,
  type Resource,
  type TransportRequest,
  type TransportResponse,
} from './client.ts';
import { Informer } from './informer.ts';
import { createKubeClient, splitLines } from './kube-client.ts';
import { PORT_WINDOW_BYTES } from './limits.ts';
import { PortTransport, serveTransportPort } from './port-transport.ts';

const configMaps: Resource<ConfigMap> = {
  group: '',
  version: 'v1',
  resource: 'configmaps',
  kind: 'ConfigMap',
  namespaced: true,
};

type Script = (request: TransportRequest, signal: AbortSignal) => Promise<TransportResponse>;

async function* bytesOf(...parts: (string | Uint8Array)[]) {
  for (const part of parts) yield typeof part === 'string' ? new TextEncoder().encode(part) : part;
}

function answer(status: number, value: unknown): TransportResponse {
  return {
    status,
    headers: { 'content-type': 'application/json' },
    body: bytesOf(JSON.stringify(value)),
  };
}

/** A transport over a real MessageChannel to `script`. */
function connect(script: Script): { transport: KubeTransport } & AsyncDisposable {
  const { port1, port2 } = new MessageChannel();
  const serving = serveTransportPort(port2, script);
  const transport = new PortTransport(port1);
  return {
    transport,
    async [Symbol.asyncDispose]() {
      serving[Symbol.dispose]();
      await transport.close();
      port2.close();
    },
  };
}

const never = new AbortController().signal;

t.test('KubeClient builds requests and fills in kinds of list items', async (t) => {
  const seen: TransportRequest[] = [];
  await using server = connect(async (request) => {
    seen.push(request);
    if (request.method === 'GET') return answer(200, { metadata: {}, items: [{ metadata: {} }] });
    return answer(201, { kind: 'ConfigMap' });
  });
  const client = createKubeClient(server.transport, { userAgent: 'test/1' });
  const list = await client.list(
    configMaps,
    { namespace: 'ns', labelSelector: 'a in (b,c)', limit: 5 },
    never,
  );
  t.same(list.items, [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: {} }]);
  await client.create(
    configMaps,
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x', namespace: 'ns' } },
    never,
  );
  await client.patch(
    configMaps,
    { name: 'x', namespace: 'ns' },
    { type: 'merge', body: { data: null } },
    never,
  );
  t.same(
    seen.map((r) => `${r.method} ${r.path} ${r.headers['content-type'] ?? '-'}`),
    [
      'GET /api/v1/namespaces/ns/configmaps?labelSelector=a%20in%20(b%2Cc)&limit=5 -',
      'POST /api/v1/namespaces/ns/configmaps application/json',
      'PATCH /api/v1/namespaces/ns/configmaps/x application/merge-patch+json',
    ],
  );
});

t.test('KubeClient turns failures into KubeError', async (t) => {
  await using server = connect(async (request) => {
    if (request.path.endsWith('/plain')) {
      return { status: 404, headers: {}, body: bytesOf('404 page not found') };
    }
    const status = { kind: 'Status', code: 409, reason: 'AlreadyExists', message: 'there already' };
    return answer(409, status);
  });
  const client = createKubeClient(server.transport, { userAgent: 'test/1' });
  const at = (name: string) => client.get(configMaps, { name, namespace: 'ns' }, never);
  await t.rejects(at('x'), { message: 'there already', code: 409 });
  const error = await at('plain').catch((e: unknown) => e);
  t.equal(isKubeError(error, 'NotFound'), true);
});

t.test(
  'PortTransport: abort reaches the handler, and large bodies wait for the reader',
  async (t) => {
    let aborted = false;
    let sentBytes = 0;
    await using server = connect(async (_request, signal) => {
      signal.addEventListener('abort', () => {
        aborted = true;
      });
      return {
        status: 200,
        headers: {},
        body: (async function* () {
          for (;;) {
            sentBytes += 1 << 20;
            yield new Uint8Array(1 << 20);
          }
        })(),
      };
    });
    const stop = new AbortController();
    const request = { method: 'GET', path: '/', headers: {} };
    const response = await server.transport.send(request, stop.signal);
    await new Promise((resolve) => setTimeout(resolve, 50));
    t.ok(sentBytes <= PORT_WINDOW_BYTES + (1 << 20), `${sentBytes} bytes sent unread`);
    stop.abort(new Error('enough'));
    await t.rejects(
      (async () => {
        for await (const _chunk of response.body);
      })(),
      { message: 'enough' },
    );
    for (let i = 0; i < 100 && !aborted; i++)
      await new Promise((resolve) => setTimeout(resolve, 5));
    t.equal(aborted, true);
  },
);

t.test('PortTransport: a handler that throws fails its request only', async (t) => {
  await using server = connect(async (request) => {
    if (request.path === '/bad') throw new Error('handler broke');
    return answer(200, {});
  });
  const send = (path: string) => server.transport.send({ method: 'GET', path, headers: {} }, never);
  await t.rejects(send('/bad'), { message: 'handler broke' });
  t.equal((await send('/good')).status, 200);
});

t.test('splitLines() joins what chunks cut, also inside a character', async (t) => {
  const bytes = new TextEncoder().encode('one\ntwö\n\nthree');
  const lines: string[] = [];
  const body = bytesOf(bytes.subarray(0, 7), bytes.subarray(7, 8), bytes.subarray(8));
  for await (const line of splitLines(body)) lines.push(line);
  t.same(lines, ['one', 'twö', 'three']);
});

function configMap(name: string, resourceVersion: string, uid = name): ConfigMap {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: 'ns', uid, resourceVersion, creationTimestamp: '' },
  };
}

const line = (type: string, object: unknown) => `${JSON.stringify({ type, object })}\n`;
const end = (resourceVersion: string) =>
  line('BOOKMARK', {
    metadata: { resourceVersion, annotations: { 'k8s.io/initial-events-end': 'true' } },
  });

/** Runs an informer against successive answers; the last request hangs. */
async function runInformer(answers: ((request: TransportRequest) => TransportResponse)[]) {
  const paths: string[] = [];
  const log: string[] = [];
  const stop = new AbortController();
  await using server = connect(async (request, signal) => {
    paths.push(request.path.replace(/&timeoutSeconds=\d+/, ''));
    const next = answers.shift();
    if (next !== undefined) return next(request);
    stop.abort(new Error('script over'));
    signal.throwIfAborted();
    return answer(200, {});
  });
  const client = createKubeClient(server.transport, { userAgent: 'test/1' });
  const informer = new Informer({ client, clock: new RealClock(), log: silentLog }, configMaps);
  informer.addHandler({
    onAdd: (o) => log.push(`+${o.metadata.name}`),
    onUpdate: (o, old) =>
      log.push(`${o.metadata.name}:${old.metadata.resourceVersion}>${o.metadata.resourceVersion}`),
    onDelete: (o) => log.push(`-${o.metadata.name}`),
  });
  await informer.run(stop.signal).catch((error: unknown) => {
    if (error !== stop.signal.reason) throw error;
  });
  return { paths, log, informer };
}

const stream =
  (...parts: string[]) =>
  () => ({
    status: 200,
    headers: { 'content-type': 'application/json' },
    body: bytesOf(...parts),
  });

const WATCH_LIST =
  '/api/v1/configmaps?resourceVersionMatch=NotOlderThan&watch=true&allowWatchBookmarks=true&sendInitialEvents=true';
const watchFrom = (rv: string) =>
  `/api/v1/configmaps?resourceVersion=${rv}&watch=true&allowWatchBookmarks=true`;

t.test('Informer: watch-list, continuation, and relist after 410', async (t) => {
  const { paths, log, informer } = await runInformer([
    stream(line('ADDED', configMap('a', '1')), line('ADDED', configMap('b', '2')), end('5')),
    stream(
      line('MODIFIED', configMap('a', '6')),
      line('ADDED', configMap('c', '7')),
      line('DELETED', configMap('b', '8')),
    ),
    stream(line('ERROR', { kind: 'Status', code: 410, reason: 'Expired' })),
    stream(line('ADDED', configMap('c', '7')), line('ADDED', configMap('a', '9', 'a2')), end('12')),
  ]);
  t.same(paths, [WATCH_LIST, watchFrom('5'), watchFrom('8'), WATCH_LIST, watchFrom('12')]);
  t.same(log, ['+a', '+b', 'a:1>6', '+c', '-b', '-a', '+a']);
  t.same(
    informer.store
      .list('ns')
      .map((o) => o.metadata.name)
      .sort(),
    ['a', 'c'],
  );
});

t.test('Informer: falls back to list and watch, page by page', async (t) => {
  const { paths, log } = await runInformer([
    () => answer(422, { kind: 'Status', code: 422, reason: 'Invalid' }),
    () => answer(200, { metadata: { continue: 'tok' }, items: [configMap('a', '1')] }),
    () => answer(200, { metadata: { resourceVersion: '4' }, items: [configMap('b', '2')] }),
    stream(line('DELETED', configMap('a', '5'))),
  ]);
  t.same(paths, [
    WATCH_LIST,
    '/api/v1/configmaps?limit=500',
    '/api/v1/configmaps?limit=500&continue=tok',
    watchFrom('4'),
    watchFrom('5'),
  ]);
  t.same(log, ['+a', '+b', '-a']);
});

t.test('Informer: what vanished between two lists is told as deleted', async (t) => {
  const { log } = await runInformer([
    stream(line('ADDED', configMap('a', '1')), end('2')),
    stream(line('ERROR', { kind: 'Status', code: 410, reason: 'Expired' })),
    stream(end('9')),
  ]);
  t.same(log, ['+a', '-a']);
});
