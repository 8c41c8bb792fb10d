/** Serves methods of the machine API on a unix socket of this node; its file mode decides who connects. */
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { dirname } from 'node:path';
import { WebSocketServer } from 'ws';
import { MESSAGE_BYTES_MAX } from './frames.ts';
import type { ServiceTable } from './protocol.ts';

/** Listens on `path` (0660), replacing the socket of an earlier process. */
export async function serveMachineSocket(path: string, table: ServiceTable): Promise<Server> {
  mkdirSync(dirname(path), { recursive: true });
  rmSync(path, { force: true });
  const server = createServer();
  table.serveSockets(
    new WebSocketServer({ server, perMessageDeflate: false, maxPayload: MESSAGE_BYTES_MAX + 64 }),
  );
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  chmodSync(path, 0o660);
  return server;
}
