import { once } from 'node:events';
import { createServer } from 'node:http';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { WebSocketServer } from 'ws';
import { type Chunk, Images, type LogChunk, Machine } from './bareboat.gen.ts';
import { ProtocolError } from './frames.ts';
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

async function* one<T>(value: T): AsyncGenerator<T> {
  yield value;
}
