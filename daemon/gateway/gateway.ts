/**
 * The machine API's front door: TLS 1.3 with client certificates of the machine CA, WebSockets, calls that
 * are checked, written down and forwarded to the process of this node that serves them. Messages are passed
 * on as they are, with backpressure in both directions; an end or a cancellation on either side ends both.
 */
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { createServer, type Server } from 'node:https';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { createSecureContext } from 'node:tls';
import { WebSocket, WebSocketServer } from 'ws';
import { assert } from '#base/assert.ts';
import { plainAddress } from '#base/ip.ts';
import type { Log } from '#base/log.ts';
import {
  FrameConnection,
  MESSAGE_BYTES_MAX,
  ProtocolError,
  type RawCall,
} from '#base/protocol/frames.ts';
import { openConnection, toProtocolError } from '#base/protocol/protocol.ts';
import { authorize, type Backend, type Caller, roleOf } from './access.ts';
import {
  CALLS_MAX,
  CALLS_RESERVED,
  CONNECTIONS_MAX,
  DRAIN_MS,
  HANDSHAKE_TIMEOUT_MS,
  IDLE_PING_MS,
} from './limits.ts';

export interface GatewayOptions {
  /** Without a host: on every address, IPv6 too where the kernel has it. */
  readonly listen: { readonly host?: string | undefined; readonly port: number };
  /** server.crt, server.key and, outside maintenance, ca.crt. */
  readonly pkiDir: string;
  readonly maintenance: boolean;
  /** Unix sockets of the node's processes. */
  readonly sockets: Readonly<Record<Backend, string>>;
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
      // `#upgrade` refuses in words what TLS would refuse by hanging up.
      rejectUnauthorized: false,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    });
    this.#server.maxConnections = CONNECTIONS_MAX;
    this.#server.on('request', (_request, response) => {
      response.writeHead(426, { 'content-type': 'text/plain' });
      response.end('the machine API speaks WebSocket: use the bareboat command\n');
    });
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
    this.#sockets = new WebSocketServer({
      noServer: true,
      perMessageDeflate: false,
      maxPayload: MESSAGE_BYTES_MAX + 64,
    });
  }

  /** Resolves to the port when it listens. */
  async listen(): Promise<number> {
    const { listen } = this.#options;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ ...listen }, resolve);
    });
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : listen.port;
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

  /** Makes a WebSocket of a connection, unless its client is not known here. */
  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const tls = request.socket as TLSSocket; // The server speaks TLS only.
    socket.on('error', (error) =>
      this.#options.log.info('connection failed', { peer: plainAddress(tls.remoteAddress), error }),
    );
    const refusal = this.#options.maintenance ? undefined : refusalOf(tls);
    if (refusal !== undefined) {
      this.#options.log.info('connection refused', {
        peer: plainAddress(tls.remoteAddress),
        refusal,
      });
      socket.end(
        `HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: ${refusal.length}\r\n\r\n${refusal}`,
      );
      return;
    }
    const caller = this.#callerOf(tls);
    this.#sockets.handleUpgrade(request, socket, head, (webSocket) =>
      this.#accept(webSocket, caller),
    );
  }

  #accept(socket: WebSocket, caller: Caller): void {
    socket.on('error', (error) =>
      this.#options.log.info('connection failed', { caller: caller.name, error }),
    );
    keepAlive(socket);
    new FrameConnection(socket, (call) => {
      const served = this.#serve(call, caller).finally(() => this.#calls.delete(served));
      this.#calls.add(served);
    });
  }

  /** Of a socket whose certificate was verified, or of anybody in maintenance. */
  #callerOf(socket: TLSSocket): Caller {
    const { maintenance } = this.#options;
    if (maintenance) return { name: 'maintenance', role: undefined, maintenance };
    assert(socket.authorized, 'the client certificate was verified');
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
      const backend = authorize(caller, call.target);
      this.#requireRoom(caller);
      await this.#forward(call, backend);
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

  /** Called before the call is counted. */
  #requireRoom({ role }: Caller): void {
    const max = role === 'admin' ? CALLS_MAX : CALLS_MAX - CALLS_RESERVED;
    if (this.#calls.size < max) return;
    throw new ProtocolError('RESOURCE_EXHAUSTED', `${this.#calls.size} calls are under way here`);
  }

  /** One connection for each call: cheap on a unix socket, and nothing to mend when a process restarts. */
  async #forward(call: RawCall, backend: Backend): Promise<void> {
    const url = `ws+unix:${this.#options.sockets[backend]}:/`;
    const socket = new WebSocket(url, { perMessageDeflate: false });
    let connection: FrameConnection;
    try {
      connection = await openConnection(socket, this.#stop.signal);
    } catch (error) {
      const { message } = toProtocolError(error);
      throw new ProtocolError('UNAVAILABLE', `${backend} does not answer: ${message}`);
    }
    try {
      const inner = named(connection.open(call.target), (error) =>
        socket.readyState === socket.OPEN
          ? error
          : new ProtocolError('UNAVAILABLE', `${backend} ended during the call`, { cause: error }),
      );
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

/** Why the machine CA does not stand for the client of `socket`, in ASCII; undefined when it does. */
function refusalOf(socket: TLSSocket): string | undefined {
  if (socket.authorized) return undefined;
  // node:tls keeps the code of the failure there, though it is declared an Error.
  const code = String(socket.authorizationError);
  if (socket.getPeerX509Certificate() === undefined) return 'a client certificate is needed';
  if (code === 'CERT_HAS_EXPIRED') return 'the client certificate has expired';
  if (code === 'CERT_NOT_YET_VALID') return 'the client certificate is not valid yet';
  return `the client certificate is not of this machine's CA (${code})`;
}

/** `call` with each failure of its messages replaced by what `explain` makes of it. */
function named(call: RawCall, explain: (error: unknown) => unknown): RawCall {
  return {
    target: call.target,
    signal: call.signal,
    incoming: {
      async *[Symbol.asyncIterator]() {
        try {
          yield* call.incoming;
        } catch (error) {
          throw explain(error);
        }
      },
    },
    send: (message) =>
      call.send(message).catch((error: unknown) => {
        throw explain(error);
      }),
    end: (error) => call.end(error),
  };
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
