import { once } from 'node:events';
import { createServer } from 'node:http';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { WebSocket, WebSocketServer } from 'ws';
import { type Chunk, Images, type LogChunk, Machine } from './bareboat.gen.ts';
import { BUFFERED_BYTES_MAX, FrameConnection, ProtocolError, type RawCall } from './frames.ts';
import { connectUnix, type ProtocolClient, ServiceTable } from './protocol.ts';

const signal = AbortSignal.timeout(20_000);

async function serve(
  t: Pick<typeof import('tap').t, 'teardown'>,
  table: ServiceTable,
): Promise<ProtocolClient> {
  const path = join(mkdtempSync(join(tmpdir(), 'bb-')), 'x.sock');
  const http = createServer();
  const sockets = new WebSocketServer({ server: http, perMessageDeflate: false });
  table.serveSockets(sockets);
  http.listen(path);
  await once(http, 'listening');
  const client = await connectUnix(path, signal);
  t.teardown(async () => {
    await client[Symbol.asyncDispose]();
    sockets.close();
    http.close();
  });
  return client;
}

async function* chunks(count: number, bytes: number): AsyncGenerator<Chunk> {
  for (let index = 0; index < count; index++) yield { data: Buffer.alloc(bytes, index) };
}

t.test('call() carries a request and its response', async (t) => {
  const table = new ServiceTable().unary(Machine.GetVersion, async () => ({
    version: '1.2.3',
    node: 'v26',
  }));
  const client = await serve(t, table);
  const version = await client.call(Machine.GetVersion, {}, signal);
  t.match(version, { version: '1.2.3', node: 'v26', kernel: '' });
});

t.test('a stream of requests larger than the window arrives whole', async (t) => {
  let bytes = 0;
  const table = new ServiceTable().stream(Images.Import, async function* (requests) {
    for await (const { data } of requests) bytes += data.length;
    yield { names: [`${bytes}`] };
  });
  const client = await serve(t, table);
  for await (const { names } of client.stream(Images.Import, chunks(40, 256 * 1024), signal)) {
    t.same(names, [String(40 * 256 * 1024)]);
  }
});

t.test('a stream of responses waits for a slow reader', async (t) => {
  let produced = 0;
  const table = new ServiceTable().stream(Machine.ReadLog, async function* () {
    for (; produced < 100; produced++) yield { data: Buffer.alloc(100_000) } satisfies LogChunk;
  });
  const client = await serve(t, table);
  let read = 0;
  for await (const _ of client.stream(Machine.ReadLog, one({ service: 'x' }), signal)) {
    read++;
    if (read === 1) {
      await new Promise((resolve) => setImmediate(resolve));
      t.ok(produced < 30, `${produced} of 100 chunks were made ahead`);
    }
  }
  t.equal(read, 100);
});

t.test('errors keep code, message and details', async (t) => {
  const table = new ServiceTable().unary(Machine.ApplyConfig, async () => {
    throw new ProtocolError('INVALID_ARGUMENT', 'unknown key nam', { details: { field: 'nam' } });
  });
  const client = await serve(t, table);
  await t.rejects(client.call(Machine.ApplyConfig, { yaml: '' }, signal), {
    code: 'INVALID_ARGUMENT',
    message: 'unknown key nam',
    details: { field: 'nam' },
  });
  await t.rejects(client.call(Machine.Reboot, {}, signal), { code: 'UNIMPLEMENTED' });
});

t.test('a call whose server stops reading ends with the answer', async (t) => {
  const table = new ServiceTable().stream(Images.Import, async function* () {
    yield { names: ['early'] };
  });
  const client = await serve(t, table);
  for await (const { names } of client.stream(Images.Import, chunks(100, 256 * 1024), signal)) {
    t.same(names, ['early']);
  }
});

t.test('cancelling tells the server', async (t) => {
  const seen = Promise.withResolvers<void>();
  const table = new ServiceTable().stream(Machine.ReadLog, async function* (_, context) {
    context.signal.addEventListener('abort', () => seen.resolve());
    yield { data: Buffer.from('x') };
    await seen.promise;
  });
  const client = await serve(t, table);
  const stop = new AbortController();
  const reading = async () => {
    for await (const _ of client.stream(Machine.ReadLog, one({ service: 'x' }), stop.signal)) {
      stop.abort(new Error('enough'));
    }
  };
  await t.rejects(reading(), { message: 'enough' });
  await seen.promise;
});

/** A server of frames whose peer is the test itself, byte by byte. */
async function rawPeer(
  t: Pick<typeof import('tap').t, 'teardown'>,
  onCall: (call: RawCall) => void,
): Promise<{ peer: WebSocket; server: WebSocket }> {
  const path = join(mkdtempSync(join(tmpdir(), 'bb-')), 'x.sock');
  const http = createServer();
  const sockets = new WebSocketServer({ server: http, perMessageDeflate: false });
  http.listen(path);
  await once(http, 'listening');
  const peer = new WebSocket(`ws+unix:${path}:/`, { perMessageDeflate: false });
  const [server] = (await once(sockets, 'connection')) as [WebSocket]; // As ws documents it.
  new FrameConnection(server, onCall);
  if (peer.readyState !== peer.OPEN) await once(peer, 'open');
  t.teardown(() => {
    peer.terminate();
    sockets.close();
    http.close();
  });
  return { peer, server };
}

const CALL = 1;
const MESSAGE = 2;
const CREDIT = 4;

function frame(kind: number, stream: number, body: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head[0] = kind;
  head.writeUInt32BE(stream, 1);
  return Buffer.concat([head, body]);
}

const TARGET = Buffer.from('{"service":"Images","method":"Import"}');

for (const [name, bytes] of [
  ['large', 1 << 20],
  ['empty', 0],
] as const) {
  t.test(`a peer that sends ${name} messages ahead of its window loses the call`, async (t) => {
    const { peer } = await rawPeer(t, () => {}); // Reads nothing.
    peer.send(frame(CALL, 1, TARGET));
    const answer = once(peer, 'message');
    const message = frame(MESSAGE, 1, Buffer.alloc(bytes));
    for (let sent = 0; sent < 100_000 && peer.readyState === peer.OPEN; sent++) {
      peer.send(message);
      if (sent % 1000 === 0 || bytes > 0) await new Promise((resolve) => setImmediate(resolve));
      if (sent * bytes > 20 << 20) break;
    }
    const [end] = (await answer) as [Buffer]; // binaryType is nodebuffer.
    t.match(end.subarray(5).toString(), /RESOURCE_EXHAUSTED.*sent ahead/);
  });
}

t.test('messages wait while a peer does not read its socket', async (t) => {
  let sent = 0;
  const { peer, server } = await rawPeer(t, (call) => {
    const send = async () => {
      for (; sent < 100; sent++) await call.send(Buffer.alloc(1 << 20));
    };
    send().catch(() => {}); // The test ends before it has all.
  });
  peer.pause();
  for (let stream = 1; stream <= 50; stream++) {
    peer.send(frame(CALL, stream, TARGET));
    const credit = Buffer.alloc(4);
    credit.writeUInt32BE(100 << 20);
    peer.send(frame(CREDIT, stream, credit));
  }
  while (server.bufferedAmount < BUFFERED_BYTES_MAX) await sleep(5);
  await sleep(50);
  t.ok(
    server.bufferedAmount < BUFFERED_BYTES_MAX + (2 << 20),
    `${server.bufferedAmount} bytes wait in the socket`,
  );
  peer.resume();
  const deadline = Date.now() + 15_000;
  while (sent < 100 && Date.now() < deadline) await sleep(5);
  t.ok(sent >= 100, 'they go on when it reads again');
});

t.test('a peer that asks on without reading answers is cut off', async (t) => {
  const { peer, server } = await rawPeer(t, (call) => {
    call.end(new ProtocolError('UNIMPLEMENTED', 'x'.repeat(100_000)));
  });
  peer.pause();
  const closed = once(server, 'close');
  for (let stream = 1; stream <= 2000 && server.readyState === server.OPEN; stream++) {
    peer.send(frame(CALL, stream, TARGET));
    if (stream % 100 === 0) await sleep(1);
  }
  await closed;
  t.pass('closed');
});

async function* one<T>(value: T): AsyncGenerator<T> {
  yield value;
}
