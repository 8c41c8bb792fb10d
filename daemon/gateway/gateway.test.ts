/** A gateway over TLS on loopback before a backend of its own: calls that end early must not end it. */
import t from 'tap';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WebSocket } from 'ws';
import { silentLog } from '#base/log.ts';
import { createCa, issueLeaf } from '#base/pki/pki.ts';
import { Images, Machine } from '#base/protocol/bareboat.gen.ts';
import { ProtocolError } from '#base/protocol/frames.ts';
import { openConnection, ProtocolClient, ServiceTable } from '#base/protocol/protocol.ts';
import { serveMachineSocket } from '#base/protocol/serve-socket.ts';
import { Gateway } from './gateway.ts';

const CHUNK = new Uint8Array(256 * 1024);

t.test('a backend that refuses an import half-way fails the call only', async (t) => {
  // Not t.testdir(): paths of sockets end at 107 bytes.
  const dir = mkdtempSync(join(tmpdir(), 'gateway-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  const times = { nowMs: Date.now(), lifetimeMs: 3_600_000 };
  const ca = await createCa({ commonName: 'bareboat', ...times });
  const server = await issueLeaf(ca, {
    subject: { commonName: 'server' },
    usages: ['server'],
    ...times,
  });
  const user = await issueLeaf(ca, {
    subject: { commonName: 'op', organizations: ['bareboat:operator'] },
    usages: ['client'],
    ...times,
  });
  writeFileSync(join(dir, 'server.crt'), server.certificate);
  writeFileSync(join(dir, 'server.key'), server.key);
  writeFileSync(join(dir, 'ca.crt'), ca.certificate);
  const table = new ServiceTable()
    .unary(Images.List, async () => ({ images: [] }))
    .stream(Images.Import, async function* (requests) {
      for await (const _ of requests) throw new ProtocolError('INVALID_ARGUMENT', 'no archive');
      yield { names: [] };
    });
  const agent = join(dir, 'agent.sock');
  const backend = await serveMachineSocket(agent, table);
  t.teardown(() => backend.close());
  await using gateway = new Gateway({
    listen: { host: '127.0.0.1', port: 0 },
    pkiDir: dir,
    maintenance: false,
    sockets: { supervisor: join(dir, 'none.sock'), agent },
    log: silentLog,
  });
  const port = await gateway.listen();
  const socket = new WebSocket(`wss://127.0.0.1:${port}/`, {
    ca: ca.certificate,
    cert: user.certificate,
    key: user.key,
    checkServerIdentity: (() => undefined) as unknown as () => boolean, // As in cli/connect.ts.
  });
  const { signal } = new AbortController();
  await using client = new ProtocolClient(await openConnection(socket, signal));
  async function* chunks() {
    for (let i = 0; i < 40; i++) yield { data: CHUNK };
  }
  const importing = async () => {
    for await (const _ of client.stream(Images.Import, chunks(), signal));
  };
  await t.rejects(importing(), { code: 'INVALID_ARGUMENT', message: 'no archive' });
  t.match(await client.call(Images.List, {}, signal), { images: [] }, 'the gateway goes on');
  await t.rejects(client.call(Machine.GetVersion, {}, signal), { code: 'UNAVAILABLE' });
  await t.rejects(client.call(Machine.GetConfig, {}, signal), { code: 'PERMISSION_DENIED' });
});
