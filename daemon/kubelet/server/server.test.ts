/** The channel protocol and the bridge between a WebSocket and a process. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { WebSocket, WebSocketServer } from 'ws';
import type { StreamSession } from '../../runtime/port.ts';
import { nodeSubresource } from './access.ts';
import { chooseProtocol, decodeFrame, encodeFrame, exitStatus } from './channel-protocol.ts';
import { parseLogOptions } from './container-logs.ts';
import { HttpError } from './http-error.ts';
import { bridge } from './stream-bridge.ts';

await t.test('chooseProtocol()', async (t) => {
  for (const [offered, want] of [
    [['v4.channel.k8s.io', 'v5.channel.k8s.io'], 'v5.channel.k8s.io'],
    [['channel.k8s.io'], 'channel.k8s.io'],
    [['base64.channel.k8s.io', 'nonsense'], 'base64.channel.k8s.io'],
    [[], ''],
    [['nonsense'], undefined],
  ] as const) {
    t.equal(chooseProtocol(offered)?.name, want, offered.join());
  }
});

await t.test('frames', async (t) => {
  const plain = chooseProtocol(['v5.channel.k8s.io'])!; // Known.
  const base64 = chooseProtocol(['base64.channel.k8s.io'])!; // Known.
  t.same(encodeFrame(plain, 1, Buffer.from('x')), Buffer.from('\u0001x'));
  t.equal(encodeFrame(base64, 2, Buffer.from('x')), '2eA==');
  t.same(decodeFrame(plain, Buffer.from('\u0000in')), { kind: 'stdin', data: Buffer.from('in') });
  t.same(decodeFrame(base64, Buffer.from('0aW4=')), { kind: 'stdin', data: Buffer.from('in') });
  t.same(decodeFrame(plain, Buffer.from('\u0004{"Width":80,"Height":24}')), {
    kind: 'resize',
    columns: 80,
    rows: 24,
  });
  t.same(decodeFrame(plain, Buffer.from([255, 0])), { kind: 'closeStdin' });
  for (const size of ['-1', '1.5', '65536', '"80"', '1e99']) {
    const frame = Buffer.from(`\u0004{"Width":${size},"Height":24}`);
    t.equal(decodeFrame(plain, frame), undefined, size);
  }
  for (const bad of [[], [255, 1], [4, 0x7b], [4], [9, 1]]) {
    t.equal(decodeFrame(plain, Buffer.from(bad)), undefined, bad.join());
  }
  t.match(exitStatus(3), { status: 'Failure', details: { causes: [{ message: '3' }] } });
  t.match(exitStatus(0), { status: 'Success' });
});

/** Echoes what it reads, and exits with 3 when its input ends. */
function echo(): StreamSession & { sizes: string[] } {
  const chunks: Uint8Array[] = [];
  let wake = Promise.withResolvers<void>();
  const exit = Promise.withResolvers<number>();
  let ended = false;
  return {
    sizes: [],
    async *stdoutOf() {
      for (;;) {
        yield* chunks.splice(0);
        if (ended) return;
        await wake.promise;
        wake = Promise.withResolvers<void>();
      }
    },
    get stdout() {
      return this.stdoutOf();
    },
    stderr: (async function* () {
      yield Buffer.from('warned');
    })(),
    async writeStdin(data: Uint8Array) {
      chunks.push(data);
      wake.resolve();
    },
    closeStdin() {
      ended = true;
      wake.resolve();
      exit.resolve(3);
    },
    resize(columns: number, rows: number) {
      this.sizes.push(`${columns}x${rows}`);
    },
    exited: exit.promise,
    async [Symbol.asyncDispose]() {
      exit.resolve(137);
    },
  } as StreamSession & { sizes: string[]; stdoutOf(): AsyncGenerator<Uint8Array> };
}

await t.test('bridge() carries bytes, sizes, the end of input and the exit status', async (t) => {
  const session = echo();
  const server = createServer();
  const sockets = new WebSocketServer({
    server,
    handleProtocols: (offered) => chooseProtocol(offered)?.name ?? false,
  });
  const bridged = new Promise<void>((resolve, reject) => {
    sockets.on('connection', (socket) => {
      bridge(socket, chooseProtocol([socket.protocol])!, async () => session).then(resolve, reject); // Chosen above.
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // Of a listening TCP server.
  const client = new WebSocket(`ws://127.0.0.1:${port}`, ['v5.channel.k8s.io']);
  const got: string[] = [];
  client.on('message', (message: Buffer) =>
    got.push(`${message[0]} ${message.toString('utf8', 1)}`),
  );
  await once(client, 'open');
  client.send(Buffer.from('\u0004{"Width":100,"Height":30}'));
  client.send(Buffer.from('\u0000hello'));
  client.send(Buffer.from([255, 0]));
  await once(client, 'close');
  await bridged;
  t.ok(got.includes('1 hello'));
  t.ok(got.includes('2 warned'));
  t.match(got.at(-1), /^3 .*NonZeroExitCode.*"message":"3"/);
  t.same(session.sizes, ['100x30']);
  server.close();
});

await t.test('bridge() tells of output that fails, whenever it does', async (t) => {
  const whole = echo();
  const session: StreamSession = {
    ...whole,
    stdout: (async function* () {
      yield Buffer.from('begun');
      throw new Error('EIO: read');
    })(),
    closeStdin() {
      throw new Error('no stdin');
    },
  };
  const server = createServer();
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) => {
    bridge(socket, chooseProtocol([])!, async () => session).then(
      // An offer of none is the default.
      () => undefined,
      (error: unknown) => t.fail(String(error)),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // Of a listening TCP server.
  const client = new WebSocket(`ws://127.0.0.1:${port}`);
  const got: string[] = [];
  client.on('message', (message: Buffer) => got.push(message.toString('utf8', 1)));
  await once(client, 'open');
  client.send(Buffer.from([255, 0]));
  await once(client, 'close');
  t.same(
    got.filter((text) => text !== 'warned'),
    ['begun', 'EIO: read'],
  );
  server.close();
});

await t.test('nodeSubresource() and parseLogOptions()', async (t) => {
  for (const [path, want] of [
    ['/exec/ns/p/c', 'proxy'],
    ['/containerLogs/ns/p/c', 'proxy'],
    ['/pods', 'pods'],
    ['/metrics/resource', 'metrics'],
    ['/stats/summary', 'stats'],
    ['/', 'proxy'],
  ] as const) {
    t.equal(nodeSubresource(path), want, path);
  }
  const of = (query: string) => parseLogOptions(new URLSearchParams(query), 100_000);
  t.match(of('follow=true&tailLines=5&sinceSeconds=10&timestamps=1'), {
    follow: true,
    tailLines: 5,
    sinceMs: 90_000,
    timestamps: true,
    previous: false,
  });
  t.equal(of('sinceTime=1970-01-01T00:00:07Z').sinceMs, 7000);
  for (const bad of ['tailLines=x', 'tailLines=-1', 'limitBytes=1.5']) {
    t.throws(() => of(bad), new HttpError(400, `invalid ${bad.replace('=', ': ')}`), bad);
  }
});
