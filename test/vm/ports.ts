/**
 * Ports of 127.0.0.1 for machines. They lie outside of the range that the kernel gives to connections going
 * out: a port is kept between runs, and any program's connection may hold one of that range meanwhile.
 */
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';

const FIRST = 10_000;
const LAST = 65_535;
const TRIES_MAX = 100;

/** First and last port of connections going out (ip(7), ip_local_port_range). */
export function ephemeralPorts(): [first: number, last: number] {
  const text = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8');
  const [first = 0, last = 0] = text.trim().split(/\s+/).map(Number);
  return [first, last];
}

/** A port that nobody listens on now. Throws when none is found among TRIES_MAX. */
export async function freePort(): Promise<number> {
  const [first, last] = ephemeralPorts();
  for (let i = 0; i < TRIES_MAX; i++) {
    const port = randomInt(FIRST, LAST + 1);
    if ((port < first || port > last) && (await isFree(port))) return port;
  }
  throw new Error(`no free port found: ${FIRST} to ${LAST} without ${first} to ${last}`);
}

/** Whether a program could listen on `port` of 127.0.0.1 now. */
export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
