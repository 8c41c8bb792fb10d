/** Ports for servers of tests. */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { isErrno } from '#base/errors.ts';

/**
 * Below those that the kernel takes for outgoing connections (ip_local_port_range), and for tests that
 * listen on port 0: until it is used, a port could become one of them.
 */
const PORT_MIN = 12_000;
const PORT_MAX = 29_999;

/** Ports of loopback that nobody listens on now. */
export async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = [];
  while (servers.length < count) {
    const server = await listenSomewhere();
    if (server !== undefined) servers.push(server);
  }
  const ports = servers.map((server) => (server.address() as AddressInfo).port); // TCP servers.
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}

/** Undefined when the port is taken. */
async function listenSomewhere(): Promise<Server | undefined> {
  const server = createServer().listen(randomInt(PORT_MIN, PORT_MAX + 1), '127.0.0.1');
  try {
    await once(server, 'listening');
    return server;
  } catch (error) {
    if (!isErrno(error, 'EADDRINUSE')) throw error;
    return undefined;
  }
}

/** One such port. */
export async function freePort(): Promise<number> {
  const [port = 0] = await freePorts(1);
  return port;
}
