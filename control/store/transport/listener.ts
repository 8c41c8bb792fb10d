/**
 * The port that members and clients of a store connect to: TLS with a certificate asked for, then a
 * WebSocket on one of the paths. Who connects is handed on with the key that it proved. Deadlines bound
 * every step, so that a socket that says nothing is closed. Who shows a key that nobody knows may ask to be
 * taken in, in few and short words: such sockets are few, and their messages short.
 */
import { createServer } from 'node:https';
import type { Server } from 'node:https';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';
import {
  CONNECTIONS_MAX,
  HANDSHAKE_MS_MAX,
  SOCKET_MESSAGE_BYTES_MAX,
  STRANGERS_MAX,
  STRANGER_MESSAGE_BYTES_MAX,
} from '../limits.ts';
import { Heartbeats } from './heartbeats.ts';
import { provedBy, tlsOptions } from './tls.ts';
import type { Credentials, Proved } from './tls.ts';

export interface ListenerOptions {
  readonly accept: (socket: WebSocket, proved: Proved, path: string) => void;
  /** Whether a member or client has this key. */
  readonly isKnown: (key: string) => boolean;
  /** For tests that cannot wait; absent = SERVER_PING_MS. */
  readonly pingMs?: number | undefined;
}

export class Listener implements AsyncDisposable {
  readonly #server: Server;
  readonly #options: ListenerOptions;
  readonly #known = socketsOf(SOCKET_MESSAGE_BYTES_MAX);
  readonly #heartbeats: Heartbeats;
  readonly #strangers = socketsOf(STRANGER_MESSAGE_BYTES_MAX);

  constructor(credentials: Credentials, listenerOptions: ListenerOptions) {
    this.#options = listenerOptions;
    this.#heartbeats = new Heartbeats(listenerOptions.pingMs);
    const options = { ...tlsOptions(credentials), requestCert: true };
    this.#server = createServer(
      {
        ...options,
        handshakeTimeout: HANDSHAKE_MS_MAX,
        headersTimeout: HANDSHAKE_MS_MAX,
        requestTimeout: HANDSHAKE_MS_MAX,
      },
      (_request, response) => response.writeHead(426).end(),
    );
    this.#server.maxConnections = CONNECTIONS_MAX;
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
    this.#server.on('tlsClientError', () => {}); // Its socket is closed; nothing to clean up.
  }

  /** Resolves to the port. */
  async listen(host: string, port: number): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#server.once('error', reject);
    this.#server.listen(port, host, resolve);
    await promise;
    return (this.#server.address() as AddressInfo).port; // Of a TCP server that listens.
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#heartbeats[Symbol.dispose]();
    for (const sockets of [this.#known, this.#strangers]) {
      for (const socket of sockets.clients) socket.terminate();
      sockets.close();
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    this.#server.closeAllConnections();
    await promise;
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const raw = socket as Socket; // What an https server upgrades.
    raw.on('error', () => raw.destroy());
    const proved = provedBy(raw, Date.now());
    const isKnown = proved !== undefined && this.#options.isKnown(proved.key);
    if (proved === undefined || (!isKnown && this.#strangers.clients.size >= STRANGERS_MAX)) {
      raw.destroy();
      return;
    }
    raw.setNoDelay(true);
    const sockets = isKnown ? this.#known : this.#strangers;
    sockets.handleUpgrade(request, raw, head, (websocket) => {
      websocket.on('error', () => websocket.terminate());
      // Members ask each other (peer-links.ts).
      if (request.url !== '/peer') this.#heartbeats.watch(websocket);
      this.#options.accept(websocket, proved, request.url ?? '');
    });
  }
}

function socketsOf(maxPayload: number): WebSocketServer {
  return new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload });
}
