/**
 * The port that members and clients of a store connect to: TLS with a certificate asked for, then a
 * WebSocket on one of the paths. Who connects is handed on with the key that it proved. Deadlines bound
 * every step, so that a socket that says nothing is closed.
 */
import { createServer } from 'node:https';
import type { Server } from 'node:https';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';
import { CONNECTIONS_MAX, HANDSHAKE_MS_MAX, SOCKET_MESSAGE_BYTES_MAX } from '../limits.ts';
import { provedBy, tlsOptions } from './tls.ts';
import type { Credentials, Proved } from './tls.ts';

export type Accept = (socket: WebSocket, proved: Proved, path: string) => void;

export class Listener implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: SOCKET_MESSAGE_BYTES_MAX,
  });

  constructor(credentials: Credentials, accept: Accept) {
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
    this.#server.on('upgrade', (request, socket, head) =>
      this.#upgrade({ request, socket, head }, accept),
    );
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
    for (const socket of this.#sockets.clients) socket.terminate();
    this.#sockets.close();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    this.#server.closeAllConnections();
    await promise;
  }

  #upgrade(
    { request, socket, head }: { request: IncomingMessage; socket: Duplex; head: Buffer },
    accept: Accept,
  ): void {
    const raw = socket as Socket; // What an https server upgrades.
    raw.on('error', () => raw.destroy());
    const proved = provedBy(raw, Date.now());
    if (proved === undefined) {
      raw.destroy();
      return;
    }
    raw.setNoDelay(true);
    this.#sockets.handleUpgrade(request, raw, head, (websocket) => {
      websocket.on('error', () => websocket.terminate());
      accept(websocket, proved, request.url ?? '');
    });
  }
}
