import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { silentLog } from '#base/log.ts';
import { writePkiFiles } from '#base/pki/node-certificates.ts';
import { createCa, fingerprint, issueLeaf, type KeyPair } from '#base/pki/pki.ts';
import { Images, Machine } from '#base/protocol/bareboat.gen.ts';
import { ProtocolError } from '#base/protocol/frames.ts';
import { ServiceTable } from '#base/protocol/protocol.ts';
import { serveMachineSocket } from '#base/protocol/serve-socket.ts';
import { WebSocket } from 'ws';
import { openConnection, ProtocolClient } from '#base/protocol/protocol.ts';
import { Gateway } from '#daemon/gateway/gateway.ts';

const nowMs = Date.now();
const lifetimeMs = 3600 * 1000;
const signal = AbortSignal.timeout(20_000);
const dir = mkdtempSync(join(tmpdir(), 'gateway-'));
const sockets = {
  supervisor: join(dir, 's.sock'),
  agent: join(dir, 'a.sock'),
  control: join(dir, 'c.sock'),
};

async function server(ca: KeyPair, pkiDir: string, withCa: boolean): Promise<string> {
  const leaf = await issueLeaf(ca, {
    subject: { commonName: 'n1' },
    ips: ['127.0.0.1'],
    usages: ['server'],
    nowMs,
    lifetimeMs,
  });
  const files = new Map([
    ['server.crt', leaf.certificate],
    ['server.key', leaf.key],
  ]);
  if (withCa) files.set('ca.crt', ca.certificate);
  writePkiFiles(pkiDir, files);
  return fingerprint(leaf.certificate);
}

async function client(port: number, ca: KeyPair, user: KeyPair): Promise<ProtocolClient> {
  const socket = new WebSocket(`wss://127.0.0.1:${port}/`, {
    ca: ca.certificate,
    cert: user.certificate,
    key: user.key,
  });
  return new ProtocolClient(await openConnection(socket, signal));
}

const user = (ca: KeyPair, role: string) =>
  issueLeaf(ca, {
    subject: { commonName: 'ann', organizations: [`bareboat:${role}`] },
    usages: ['client'],
    nowMs,
    lifetimeMs,
  });

t.test('calls reach the process that serves them, as far as the role goes', async (t) => {
  const ca = await createCa({ commonName: 'machines', nowMs, lifetimeMs });
  const pkiDir = join(dir, 'pki');
  await server(ca, pkiDir, true);
  let imported = 0;
  const supervisor = await serveMachineSocket(
    sockets.supervisor,
    new ServiceTable()
      .unary(Machine.GetVersion, async () => ({ version: '9' }))
      .unary(Machine.ApplyConfig, async () => {
        throw new ProtocolError('INVALID_ARGUMENT', 'nope', { details: { field: 'node.name' } });
      }),
  );
  const agent = await serveMachineSocket(
    sockets.agent,
    new ServiceTable().stream(Images.Import, async function* (requests) {
      for await (const { data } of requests) imported += data.length;
      yield { names: ['x'] };
    }),
  );
  const gateway = new Gateway({
    listen: { host: '127.0.0.1', port: 0 },
    pkiDir,
    maintenance: false,
    sockets,
    log: silentLog,
  });
  const port = await gateway.listen();
  t.teardown(async () => {
    await gateway[Symbol.asyncDispose]();
    supervisor.close();
    agent.close();
  });
  await using admin = await client(port, ca, await user(ca, 'admin'));
  t.match(await admin.call(Machine.GetVersion, {}, signal), { version: '9' });
  await t.rejects(admin.call(Machine.ApplyConfig, { yaml: '' }, signal), {
    code: 'INVALID_ARGUMENT',
    details: { field: 'node.name' },
  });
  await t.rejects(admin.call(Machine.Bootstrap, {}, signal), { code: 'UNIMPLEMENTED' });
  const chunks = async function* () {
    for (let count = 0; count < 30; count++) yield { data: Buffer.alloc(256 * 1024) };
  };
  for await (const { names } of admin.stream(Images.Import, chunks(), signal)) t.same(names, ['x']);
  t.equal(imported, 30 * 256 * 1024);

  await using reader = await client(port, ca, await user(ca, 'reader'));
  t.match(await reader.call(Machine.GetVersion, {}, signal), { version: '9' });
  await t.rejects(reader.call(Machine.Reboot, {}, signal), {
    code: 'PERMISSION_DENIED',
    message: /needs role operator/,
  });

  const strangers = await createCa({ commonName: 'machines', nowMs, lifetimeMs });
  const foreign = await client(port, ca, await user(strangers, 'admin')).then(
    async (c) =>
      c.call(Machine.GetVersion, {}, signal).then(
        () => 'served',
        () => 'refused',
      ),
    () => 'refused',
  );
  t.equal(foreign, 'refused', 'a certificate of another CA');
});

t.test('a process that is away is named', async (t) => {
  const ca = await createCa({ commonName: 'machines', nowMs, lifetimeMs });
  const pkiDir = join(dir, 'pki2');
  await server(ca, pkiDir, true);
  const none = join(dir, 'none');
  const away = { supervisor: none, agent: none, control: none };
  const gateway = new Gateway({
    listen: { host: '127.0.0.1', port: 0 },
    pkiDir,
    maintenance: false,
    sockets: away,
    log: silentLog,
  });
  const port = await gateway.listen();
  t.teardown(() => gateway[Symbol.asyncDispose]());
  await using admin = await client(port, ca, await user(ca, 'admin'));
  await t.rejects(admin.call(Machine.GetVersion, {}, signal), {
    code: 'UNAVAILABLE',
    message: /supervisor does not answer/,
  });
});

t.test(
  'the command line talks to a machine in maintenance only when the fingerprint is right',
  async (t) => {
    const { connectInsecure } = await import('#cli/connect.ts');
    const ca = await createCa({ commonName: 'maintenance', nowMs, lifetimeMs });
    const pkiDir = join(dir, 'pki3');
    const shown = await server(ca, pkiDir, false);
    const supervisor = await serveMachineSocket(
      join(dir, 's3.sock'),
      new ServiceTable().unary(Machine.GetVersion, async () => ({ version: '9' })),
    );
    const gateway = new Gateway({
      listen: { host: '127.0.0.1', port: 0 },
      pkiDir,
      maintenance: true,
      sockets: { ...sockets, supervisor: join(dir, 's3.sock') },
      log: silentLog,
    });
    const port = await gateway.listen();
    t.teardown(async () => {
      await gateway[Symbol.asyncDispose]();
      supervisor.close();
    });
    await using known = await connectInsecure(`127.0.0.1:${port}`, shown);
    t.match(await known.call(Machine.GetVersion, {}, signal), { version: '9' });
    await t.rejects(known.call(Machine.GetKubeconfig, {}, signal), { code: 'FAILED_PRECONDITION' });
    const wrong = shown.replace(/^../, shown.startsWith('00') ? '11' : '00');
    await t.rejects(connectInsecure(`127.0.0.1:${port}`, wrong), {
      code: 'UNAUTHENTICATED',
      message: /expected/,
    });
  },
);
