/** Clients that send faster than the engine takes are held up, not kept in memory. */
import t from 'tap';
import { WebSocket } from 'ws';
import { silentLog } from '#base/log.ts';
import { createCa, issueLeaf } from '#base/pki/pki.ts';
import { CLIENT_PROTOCOL } from '../codec/frame.ts';
import type { Connection } from '../engine/connection.ts';
import type { EngineHost } from '../engine-host.ts';
import { CLIENT_INBOX_BYTES_MAX } from '../limits.ts';
import { Listener } from './listener.ts';
import { ClientSockets } from './serve-client.ts';
import { tlsOptions } from './tls.ts';

const MESSAGE_BYTES = 1024 * 1024;
const MESSAGES = 64;
const HOST = '127.0.0.1';

/** Until `isSo`; the test's time-out ends it. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 10));
}

t.test('a client that sends faster than it is served', { timeout: 60_000 }, async (t) => {
  const nowMs = Date.now();
  const ca = await createCa({ commonName: 'test', nowMs, lifetimeMs: 3_600_000 });
  const leaf = await issueLeaf(ca, {
    subject: { commonName: 'x' },
    usages: ['client', 'server'],
    nowMs,
    lifetimeMs: 3_600_000,
  });
  const credentials = { certificate: leaf.certificate, privateKey: leaf.key };
  const connection: Pick<Connection, 'inbox' | 'emptied'> = { inbox: [], emptied: undefined };
  const engine = { connect: () => connection, disconnect: () => {} };
  const host = { engine, wake: () => {} } as unknown as EngineHost; // As far as sockets see it.
  const checkOf = () => () => {};
  const sockets = new ClientSockets({ host, log: silentLog, checkOf });
  const listener = new Listener(credentials, {
    isKnown: () => true,
    accept: (socket, proved, path) => sockets.accept(socket, proved, path),
  });
  t.teardown(() => listener[Symbol.asyncDispose]());
  const port = await listener.listen(HOST, 0);
  const url = `wss://${HOST}:${port}/client`;
  const socket = new WebSocket(url, [CLIENT_PROTOCOL], tlsOptions(credentials));
  t.teardown(() => socket.terminate());
  await new Promise((resolve) => socket.once('open', resolve));
  for (let i = 0; i < MESSAGES; i++) socket.send(new Uint8Array(MESSAGE_BYTES));
  const held = () => connection.inbox.length * MESSAGE_BYTES;
  await until(() => held() > CLIENT_INBOX_BYTES_MAX);
  await new Promise((resolve) => setTimeout(resolve, 200)); // Time in which more could come.
  t.ok(held() <= CLIENT_INBOX_BYTES_MAX + 4 * MESSAGE_BYTES, `${held()} bytes are held`);
  let taken = 0;
  await until(() => {
    taken += connection.inbox.splice(0).length;
    connection.emptied?.();
    return taken === MESSAGES;
  });
  t.equal(taken, MESSAGES, 'all come in the end');
});
