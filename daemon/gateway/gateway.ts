/**
 * The machine API's front door: TLS 1.3 with client certificates of the machine CA, WebSockets, calls that
 * are checked, written down and forwarded to the process of this node that serves them. Messages are passed
 * on as they are, with backpressure in both directions; an end or a cancellation on either side ends both.
 */
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { createSecureContext } from 'node:tls';
import { WebSocket, WebSocketServer } from 'ws';
import { errorText } from '#base/errors.ts';
import type { Log } from '#base/log.ts';
import {
  FrameConnection,
  MESSAGE_BYTES_MAX,
  ProtocolError,
  type RawCall,
} from '#base/protocol/frames.ts';
import { openConnection, toProtocolError } from '#base/protocol/protocol.ts';
import { authorize, type Caller, roleOf } from './access.ts';
import { CONNECTIONS_MAX, DRAIN_MS, HANDSHAKE_TIMEOUT_MS, IDLE_PING_MS } from './limits.ts';

export interface GatewayOptions {
  readonly listen: { readonly host: string; readonly port: number };
  /** server.crt, server.key and, outside maintenance, ca.crt. */
  readonly pkiDir: string;
  readonly maintenance: boolean;
  /** Unix sockets of the node's processes. */
  readonly sockets: { readonly supervisor: string; readonly agent: string };
  readonly log: Log;
}

export class Gateway implements AsyncDisposable {
  readonly #options: GatewayOptions;
  readonly #server: Server;
  readonly #sockets: WebSocketServer;
  readonly #stop = new AbortController();
  readonly #calls = new Set<Promise<void>>();

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.#server = createServer({
      ...readTls(options),
      minVersion: 'TLSv1.3',
      requestCert: !options.maintenance,
      rejectUnauthorized: !options.maintenance,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    });
    this.#server.maxConnections = CONNECTIONS_MAX;
    this.#server.on('request', (_request, response) => {
      response.writeHead(426, { 'content-type': 'text/plain' });
      response.end('the machine API speaks WebSocket: use the bareboat command\n');
    });
    this.#sockets = new WebSocketServer({
      server: this.#server,
      perMessageDeflate: false,
      maxPayload: MESSAGE_BYTES_MAX + 64,
    });
    this.#sockets.on('connection', (socket, request) => {
      const caller = this.#callerOf(request.socket as TLSSocket); // The server speaks TLS only.
      socket.on('error', (error) =>
        options.log.info('connection failed', { caller: caller.name, error }),
      );
      keepAlive(socket);
      new FrameConnection(socket, (call) => {
        const served = this.#serve(call, caller).finally(() => this.#calls.delete(served));
        this.#calls.add(served);
      });
    });
  }

  /** Resolves to the port when it listens. */
  async listen(): Promise<number> {
    const { host, port } = this.#options.listen;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, resolve);
    });
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : port;
  }

  /** Takes the certificates in pkiDir for connections from now on. */
  reload(): void {
    this.#server.setSecureContext(readTls(this.#options));
  }

  /** Takes no more connections, lets short calls end, then closes. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    // A new configuration restarts this process while its answer is still on the way.
    await Promise.race([Promise.allSettled(this.#calls), sleep(DRAIN_MS)]);
    this.#stop.abort(new Error('gateway stops'));
    for (const client of this.#sockets.clients) client.terminate();
    await closed;
  }

  #callerOf(socket: TLSSocket): Caller {
    const { maintenance } = this.#options;
    if (maintenance) return { name: 'maintenance', role: undefined, maintenance };
    const { subject } = socket.getPeerCertificate();
    // node:tls gives a string, or a list where the subject has several.
    const list = (value: string | string[] | undefined) => [value ?? []].flat();
    const [name = 'unknown'] = list(subject?.CN);
    return { name, role: roleOf(list(subject?.O)), maintenance };
  }

  async #serve(call: RawCall, caller: Caller): Promise<void> {
    const startedAt = performance.now();
    const method = `${call.target.service}.${call.target.method}`;
    let outcome = 'OK';
    try {
      await this.#forward(call, authorize(caller, call.target));
    } catch (error) {
      const failure = toProtocolError(error);
      outcome = failure.code;
      call.end(failure);
    }
    this.#options.log.info('call', {
      caller: caller.name,
      role: caller.role,
      method,
      outcome,
      ms: Math.round(performance.now() - startedAt),
    });
  }

  /** One connection for each call: cheap on a unix socket, and nothing to mend when a process restarts. */
  async #forward(call: RawCall, backend: 'supervisor' | 'agent'): Promise<void> {
    const url = `ws+unix:${this.#options.sockets[backend]}:/`;
    const socket = new WebSocket(url, { perMessageDeflate: false });
    let connection: FrameConnection;
    try {
      connection = await openConnection(socket, this.#stop.signal);
    } catch (error) {
      throw new ProtocolError('UNAVAILABLE', `${backend} does not answer: ${errorText(error)}`);
    }
    try {
      const inner = connection.open(call.target);
      // Together: when both directions fail, neither failure may go unheard.
      await Promise.all([pipe(call, inner), pipe(inner, call)]);
    } finally {
      connection.close();
    }
  }
}

/** Passes messages on until `from` ends; its error, or the receiver's, ends the other side too. */
async function pipe(from: RawCall, to: RawCall): Promise<void> {
  try {
    for await (const message of from.incoming) await to.send(message);
    to.end();
  } catch (error) {
    const failure = toProtocolError(error);
    to.end(failure);
    from.end(failure);
    if (failure.code !== 'CANCELLED') throw failure;
  }
}

/** Notices peers that went away without a word. */
function keepAlive(socket: WebSocket): void {
  let alive = true;
  socket.on('pong', () => {
    alive = true;
  });
  const timer = setInterval(() => {
    if (!alive) {
      socket.terminate();
      return;
    }
    alive = false;
    socket.ping();
  }, IDLE_PING_MS);
  socket.once('close', () => clearInterval(timer));
}

function readTls(options: GatewayOptions): { cert: Buffer; key: Buffer; ca?: Buffer } {
  const read = (name: string) => readFileSync(join(options.pkiDir, name));
  const tls = {
    cert: read('server.crt'),
    key: read('server.key'),
    ...(!options.maintenance && { ca: read('ca.crt') }),
  };
  createSecureContext(tls); // Throws when certificate and key do not fit: then the old ones stay.
  return tls;
}
