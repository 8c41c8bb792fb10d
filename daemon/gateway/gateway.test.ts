/** A gateway over TLS on loopback before a backend of its own: calls that end early must not end it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { WebSocket } from 'ws';
import { silentLog } from '#base/log.ts';
import { createCa, issueLeaf, type KeyPair } from '#base/pki/pki.ts';
import { type Chunk, Images, Machine } from '#base/protocol/bareboat.gen.ts';
import { ProtocolError } from '#base/protocol/frames.ts';
import { openConnection, ProtocolClient, ServiceTable } from '#base/protocol/protocol.ts';
import { serveMachineSocket } from '#base/protocol/serve-socket.ts';
import { Gateway } from './gateway.ts';
import { CALLS_MAX, CALLS_RESERVED } from './limits.ts';

const CHUNK = new Uint8Array(256 * 1024);
const times = { nowMs: Date.now(), lifetimeMs: 3_600_000 };
const { signal } = new AbortController();

/** A machine's gateway, with backends of the test's own, and clients of it. */
class Machines {
  readonly dir: string;
  readonly #ca: KeyPair;
  readonly #port: number;

  static async start(t: Test, agent: ServiceTable): Promise<Machines> {
    // Not t.testdir(): paths of sockets end at 107 bytes.
    const dir = mkdtempSync(join(tmpdir(), 'gateway-'));
    const ca = await createCa({ commonName: 'bareboat', ...times });
    const subject = { commonName: 'server' };
    const server = await issueLeaf(ca, { subject, usages: ['server'], ...times });
    writeFileSync(join(dir, 'server.crt'), server.certificate);
    writeFileSync(join(dir, 'server.key'), server.key);
    writeFileSync(join(dir, 'ca.crt'), ca.certificate);
    const backend = await serveMachineSocket(join(dir, 'agent.sock'), agent);
    const gateway = new Gateway({
      listen: { port: 0 },
      pkiDir: dir,
      maintenance: false,
      sockets: {
        supervisor: join(dir, 'none.sock'),
        agent: join(dir, 'agent.sock'),
        control: join(dir, 'none.sock'),
      },
      log: silentLog,
    });
    const machines = new Machines({ dir, ca, port: await gateway.listen() });
    t.teardown(async () => {
      await gateway[Symbol.asyncDispose]();
      backend.close();
      rmSync(dir, { recursive: true });
    });
    return machines;
  }

  constructor(parts: { dir: string; ca: KeyPair; port: number }) {
    this.dir = parts.dir;
    this.#ca = parts.ca;
    this.#port = parts.port;
  }

  async client(
    role: string,
    { lifetimeMs = times.lifetimeMs, address = '127.0.0.1' } = {},
  ): Promise<ProtocolClient> {
    const user = await issueLeaf(this.#ca, {
      subject: { commonName: 'op', organizations: [`bareboat:${role}`] },
      usages: ['client'],
      nowMs: times.nowMs,
      lifetimeMs,
    });
    return this.connect({ cert: user.certificate, key: user.key }, address);
  }

  async connect(
    credentials: { cert?: string; key?: string },
    address = '127.0.0.1',
  ): Promise<ProtocolClient> {
    const socket = new WebSocket(`wss://${address}:${this.#port}/`, {
      ca: this.#ca.certificate,
      ...credentials,
      checkServerIdentity: (() => undefined) as unknown as () => boolean, // As in cli/connect.ts.
    });
    return new ProtocolClient(await openConnection(socket, signal));
  }
}

async function* chunks(count: number): AsyncGenerator<Chunk> {
  for (let i = 0; i < count; i++) yield { data: CHUNK };
}

/** Yields one empty chunk, then nothing until `until`. */
async function* open(until: Promise<void>): AsyncGenerator<Chunk> {
  yield { data: new Uint8Array(0) };
  await until;
}

async function drain(responses: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of responses);
}

t.test('a backend that refuses an import half-way fails the call only', async (t) => {
  const table = new ServiceTable()
    .unary(Images.List, async () => ({ images: [] }))
    .stream(Images.Import, async function* (requests) {
      for await (const _ of requests) throw new ProtocolError('INVALID_ARGUMENT', 'no archive');
      yield { names: [] };
    });
  const machines = await Machines.start(t, table);
  await using client = await machines.client('operator');
  await t.rejects(drain(client.stream(Images.Import, chunks(40), signal)), {
    code: 'INVALID_ARGUMENT',
    message: 'no archive',
  });
  t.match(await client.call(Images.List, {}, signal), { images: [] }, 'the gateway goes on');
  await t.rejects(client.call(Machine.GetVersion, {}, signal), {
    code: 'UNAVAILABLE',
    message: `supervisor does not answer: connect ENOENT ${join(machines.dir, 'none.sock')}`,
  });
  await t.rejects(client.call(Machine.GetConfig, {}, signal), { code: 'PERMISSION_DENIED' });
});

t.test('without a host, the gateway answers on IPv4 and IPv6', async (t) => {
  const table = new ServiceTable().unary(Images.List, async () => ({ images: [] }));
  const machines = await Machines.start(t, table);
  const hasIpv6 = existsSync('/proc/net/if_inet6');
  if (!hasIpv6) t.comment('skipped in part: no IPv6 here');
  for (const address of ['127.0.0.1', ...(hasIpv6 ? ['[::1]'] : [])]) {
    await using client = await machines.client('reader', { address });
    t.match(await client.call(Images.List, {}, signal), { images: [] }, address);
  }
});

t.test('a backend that dies during a call is named', async (t) => {
  const machines = await Machines.start(t, new ServiceTable());
  const path = join(machines.dir, 'agent.sock');
  rmSync(path);
  // The agent in a process of its own, which ends at the first call as SIGKILL would end it.
  const script = `
    const { WebSocketServer } = await import('ws');
    const http = (await import('node:http')).createServer();
    new WebSocketServer({ server: http }).on('connection', (s) =>
      s.on('message', () => process.kill(process.pid, 'SIGKILL')));
    http.listen(process.argv[1], () => console.log('ready'));`;
  const agent = spawn(process.execPath, ['--input-type=module', '-e', script, path], {
    cwd: import.meta.dirname,
  });
  await once(agent.stdout, 'data');
  await using client = await machines.client('admin');
  const dies = { code: 'UNAVAILABLE', message: 'agent ended during the call' };
  await t.rejects(drain(client.stream(Images.Import, chunks(40), signal)), dies);
  await t.rejects(client.call(Images.List, {}, signal), {
    code: 'UNAVAILABLE',
    message: /^agent does not answer/,
  });
});

t.test('calls are bounded in all, and some are kept for administrators', async (t) => {
  const end = Promise.withResolvers<void>();
  let running = 0;
  let started = Promise.withResolvers<void>();
  let expected = CALLS_MAX - CALLS_RESERVED;
  const table = new ServiceTable()
    .unary(Images.List, async () => ({ images: [] }))
    .stream(Images.Import, async function* (requests) {
      for await (const _ of requests) {
        running++;
        if (running === expected) started.resolve();
      }
      yield { names: [] };
    });
  const machines = await Machines.start(t, table);
  await using operator = await machines.client('operator');
  await using admin = await machines.client('admin');
  const calls = [];
  for (let i = 0; i < expected; i++)
    calls.push(drain(operator.stream(Images.Import, open(end.promise), signal)));
  await started.promise;
  const refusal = { code: 'RESOURCE_EXHAUSTED', message: `${expected} calls are under way here` };
  await t.rejects(operator.call(Images.List, {}, signal), refusal);
  t.match(await admin.call(Images.List, {}, signal), { images: [] }, 'an administrator gets in');
  started = Promise.withResolvers<void>();
  expected = CALLS_MAX;
  for (let i = 0; i < CALLS_RESERVED; i++)
    calls.push(drain(admin.stream(Images.Import, open(end.promise), signal)));
  await started.promise;
  await t.rejects(admin.call(Images.List, {}, signal), {
    message: `${CALLS_MAX} calls are under way here`,
  });
  end.resolve();
  await Promise.all(calls);
  t.match(await operator.call(Images.List, {}, signal), { images: [] }, 'room again');
});

t.test('clients without a good certificate are told why', async (t) => {
  const table = new ServiceTable().unary(Images.List, async () => ({ images: [] }));
  const machines = await Machines.start(t, table);
  await t.rejects(machines.connect({}), {
    code: 'UNAUTHENTICATED',
    message: 'a client certificate is needed',
  });
  await t.rejects(machines.client('admin', { lifetimeMs: -1000 }), {
    code: 'UNAUTHENTICATED',
    message: 'the client certificate has expired',
  });
  await using nobody = await machines.client('guest');
  await t.rejects(nobody.call(Images.List, {}, signal), {
    code: 'PERMISSION_DENIED',
    message: 'certificate of op carries no bareboat role',
  });
});
