/**
 * A process's worth of sockets inside one network namespace, for host tests: a worker thread that
 * setns()es itself once (reference/runtime.md section 1) and then serves and dials on request.
 * Servers answer with their name and the address that they saw the client have.
 */
import dgram from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import net from 'node:net';
import { openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { must } from '#base/assert.ts';
import { type Cidr, parseCidr, parseIp } from '#base/ip.ts';
import { CLONE, setns, unshare } from '#base/linux/syscall.ts';
import { RtNetlink, inNetnsFd } from '#net/netlink/netlink.ts';

const cidr = (text: string): Cidr => must(parseCidr(text), text);

type Request =
  | { kind: 'resolve'; server: string; name: string; type: 'A' | 'SRV' }
  | { kind: 'serveTcp' | 'serveUdp'; port: number; host: string; name: string }
  | {
      kind: 'dialTcp' | 'dialUdp';
      host: string;
      port: number;
      localPort?: number;
      localAddress?: string;
      timeoutMs: number;
    };

/** A network namespace held by an fd of this process; `path` names it for others. */
export interface TestNetns {
  readonly fd: number;
  readonly path: string;
}

/** Makes a new namespace and returns to the calling thread's own. */
export function createNetns(): TestNetns {
  const own = openSync('/proc/thread-self/ns/net', 'r');
  unshare(CLONE.NEWNET);
  const fd = openSync('/proc/thread-self/ns/net', 'r');
  setns(own, CLONE.NEWNET);
  return { fd, path: `/proc/${process.pid}/fd/${fd}` };
}

/** A link from the node (192.0.2.1) to the outside (192.0.2.2), which knows no way to pods. */
export function connectOutside(outside: TestNetns): void {
  using rt = new RtNetlink();
  rt.createLink({
    name: 'uplink',
    kind: 'veth',
    mtu: 1450,
    peer: { name: 'eth0', netnsFd: outside.fd },
  });
  const lo = must(rt.link('lo'), 'lo');
  rt.setLink({ index: lo.index, up: true });
  const { index } = must(rt.link('uplink'), 'uplink');
  rt.setLink({ index, up: true });
  rt.putAddress({ index, address: cidr('192.0.2.1/24') });
  rt.putRoute({ family: 4, gateway: must(parseIp('192.0.2.2'), ''), index });
  inNetnsFd(outside.fd, () => {
    using out = new RtNetlink();
    const eth0 = must(out.link('eth0'), 'eth0');
    out.setLink({ index: eth0.index, up: true });
    out.putAddress({ index: eth0.index, address: cidr('192.0.2.2/24') });
  });
}

export class NetWorker implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #pending = new Map<number, PromiseWithResolvers<string>>();
  #nextId = 1;

  constructor(netns: TestNetns) {
    this.#worker = new Worker(fileURLToPath(import.meta.url), { workerData: { fd: netns.fd } });
    this.#worker.on('message', (reply: { id: number; text?: string; error?: string }) => {
      const pending = must(this.#pending.get(reply.id), 'reply to an unknown request');
      this.#pending.delete(reply.id);
      if (reply.error === undefined) pending.resolve(reply.text ?? '');
      else pending.reject(new Error(reply.error));
    });
  }

  #ask(request: Request): Promise<string> {
    const pending = Promise.withResolvers<string>();
    const id = this.#nextId++;
    this.#pending.set(id, pending);
    this.#worker.postMessage({ id, request });
    return pending.promise;
  }

  async serveTcp(port: number, name: string, host = '0.0.0.0'): Promise<void> {
    await this.#ask({ kind: 'serveTcp', port, name, host });
  }

  async serveUdp(port: number, name: string, host = '0.0.0.0'): Promise<void> {
    await this.#ask({ kind: 'serveUdp', port, name, host });
  }

  /** `NAME CLIENT-ADDRESS`, or an error's code (`ECONNREFUSED`, `TIMEOUT`). */
  dialTcp(
    host: string,
    port: number,
    options: { localAddress?: string; timeoutMs?: number } = {},
  ): Promise<string> {
    return this.#ask({ kind: 'dialTcp', host, port, timeoutMs: 1000, ...options }).catch(codeOf);
  }

  dialUdp(
    host: string,
    port: number,
    options: { localPort?: number; timeoutMs?: number } = {},
  ): Promise<string> {
    return this.#ask({ kind: 'dialUdp', host, port, timeoutMs: 1000, ...options }).catch(codeOf);
  }

  /** Addresses, or `PORT TARGET` of SRV records, sorted; or an error's code. */
  resolve(server: string, name: string, type: 'A' | 'SRV' = 'A'): Promise<string> {
    return this.#ask({ kind: 'resolve', server, name, type }).catch(codeOf);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const servers: unknown[] = [];

function perform(request: Request): Promise<string> {
  switch (request.kind) {
    case 'resolve':
      return resolveName(request);
    case 'serveTcp':
      return new Promise((resolve, reject) => {
        const server = net.createServer((socket) => {
          socket.on('error', () => {});
          socket.end(`${request.name} ${socket.remoteAddress}`);
        });
        server.on('error', reject);
        server.listen(request.port, request.host, () => resolve(''));
        servers.push(server);
      });
    case 'serveUdp':
      return new Promise((resolve, reject) => {
        const socket = dgram.createSocket('udp4');
        socket.on('error', reject);
        socket.on('message', (_message, from) => {
          socket.send(`${request.name} ${from.address}`, from.port, from.address);
        });
        socket.bind(request.port, request.host, () => resolve(''));
        servers.push(socket);
      });
    case 'dialTcp':
      return new Promise((resolve, reject) => {
        const { host, port, localAddress, timeoutMs } = request;
        const socket = net.connect({
          host,
          port,
          ...(localAddress === undefined ? {} : { localAddress }),
        });
        let text = '';
        socket.setTimeout(timeoutMs, () => {
          socket.destroy();
          reject(new Error('TIMEOUT'));
        });
        socket.on('data', (chunk) => (text += chunk.toString()));
        socket.on('error', (error) =>
          reject(new Error('code' in error ? String(error.code) : error.message)),
        );
        socket.on('end', () => resolve(text));
      });
    case 'dialUdp':
      return new Promise((resolve, reject) => {
        const socket = dgram.createSocket('udp4');
        const timer = setTimeout(() => {
          socket.close();
          reject(new Error('TIMEOUT'));
        }, request.timeoutMs);
        const finish = (run: () => void) => {
          clearTimeout(timer);
          socket.close();
          run();
        };
        socket.on('message', (message) => finish(() => resolve(message.toString())));
        socket.on('error', (error) =>
          finish(() => reject(new Error('code' in error ? String(error.code) : error.message))),
        );
        socket.bind(request.localPort ?? 0, () => {
          socket.connect(request.port, request.host, () => socket.send('hello'));
        });
      });
  }
}

async function resolveName(request: Extract<Request, { kind: 'resolve' }>): Promise<string> {
  const resolver = new Resolver({ timeout: 1000, tries: 2 });
  resolver.setServers([request.server]);
  try {
    if (request.type === 'A') return (await resolver.resolve4(request.name)).sort().join(' ');
    const records = await resolver.resolveSrv(request.name);
    return records
      .map(({ port, name }) => `${port} ${name}`)
      .sort()
      .join(' ');
  } catch (error) {
    throw new Error(
      error instanceof Error && 'code' in error ? String(error.code) : String(error),
      {
        cause: error,
      },
    );
  }
}

if (!isMainThread) {
  setns(workerData.fd, CLONE.NEWNET);
  const port = must(parentPort, 'parent port of a worker');
  port.on('message', ({ id, request }: { id: number; request: Request }) => {
    perform(request).then(
      (text) => port.postMessage({ id, text }),
      (error: Error) => port.postMessage({ id, error: error.message }),
    );
  });
}
