/**
 * Clients on sockets. A client has one for its requests and their answers and, once it watches, a second
 * one for events, so that a burst of those does not hold up answers (etcd #15402). The second is found to
 * be of the first by a token that the client made up; requests come over the first alone, in their order.
 *
 *   /client[/TOKEN]   requests and answers; /member[/TOKEN] those of a member that is not of the group now
 *   /events/TOKEN     events of the client with that token
 */
import type { WebSocket } from 'ws';
import type { Log } from '#base/log.ts';
import type { EngineHost } from '../engine-host.ts';
import { CLIENT_PROTOCOL } from '../codec/frame.ts';
import type { Connection } from '../engine/connection.ts';
import { CLIENT_BUFFERED_BYTES_MAX, CLIENT_INBOX_BYTES_MAX, OUTSIDER_MS_MAX } from '../limits.ts';
import { StoreError } from '../port.ts';
import { CLOSE, bytesOf } from './peer-links.ts';
import { sendInPieces } from './pieces.ts';
import type { Proved } from './tls.ts';

export interface ClientSocketsOptions {
  readonly host: EngineHost;
  readonly log: Log;
  /** Undefined when this key opens nothing of the kind. */
  readonly checkOf: (kind: ClientKind, key: string) => Check | undefined;
}

/** A client, or a member that is not of the group now. */
export type ClientKind = 'client' | 'member';

/** Throws RangeError or StoreError for what is no request. */
type Check = (message: Uint8Array) => void;

interface Client {
  readonly key: string;
  readonly socket: WebSocket;
  readonly connection: Connection;
}

const PATH = /^\/(client|member|events)(?:\/([0-9a-f]{32}))?$/;

export class ClientSockets {
  readonly #options: ClientSocketsOptions;
  readonly #sockets = new Set<WebSocket>();
  readonly #byToken = new Map<string, Client>();

  constructor(options: ClientSocketsOptions) {
    this.#options = options;
  }

  /** Serves the socket, or closes it when its key opens nothing on this path. */
  accept(socket: WebSocket, { key }: Proved, path: string): void {
    if (socket.protocol !== CLIENT_PROTOCOL) {
      socket.close(CLOSE.version, `a client speaks ${CLIENT_PROTOCOL} here`);
      return;
    }
    const [, kind, token] = PATH.exec(path) ?? [];
    if (kind === 'events') {
      this.#serveEvents(socket, key, token ?? '');
      return;
    }
    const isKind = kind === 'client' || kind === 'member';
    const check = isKind ? this.#options.checkOf(kind, key) : undefined;
    if (check === undefined) socket.close(CLOSE.foreignKey, 'no key of a client');
    else this.#serve(socket, { key, token, check });
    if (kind !== 'member') return;
    // Anybody may come this way, and is not to keep others from it.
    const deadline = setTimeout(() => socket.terminate(), OUTSIDER_MS_MAX);
    socket.on('close', () => clearTimeout(deadline));
  }

  /** Sends all clients away. */
  close(code: number, reason: string): void {
    for (const socket of this.#sockets) socket.close(code, reason);
  }

  #serve(
    socket: WebSocket,
    {
      key,
      token,
      check,
    }: { readonly key: string; readonly token: string | undefined; readonly check: Check },
  ): void {
    const { host, log } = this.#options;
    const connection = host.engine.connect((message) => this.#send(socket, message));
    this.#sockets.add(socket);
    if (token !== undefined) this.#byToken.set(token, { key, socket, connection });
    let waitingBytes = 0;
    connection.emptied = () => {
      waitingBytes = 0;
      socket.resume();
    };
    socket.on('message', (data) => {
      try {
        const message = bytesOf(data);
        check(message);
        connection.inbox.push(message);
        waitingBytes += message.length;
        if (waitingBytes > CLIENT_INBOX_BYTES_MAX) socket.pause();
        host.wake();
      } catch (error) {
        if (!(error instanceof RangeError) && !(error instanceof StoreError)) throw error;
        log.warn('client sent what is no request', { error });
        socket.close(CLOSE.malformed, error.message.slice(0, 100));
      }
    });
    socket.on('close', () => {
      this.#sockets.delete(socket);
      if (token !== undefined && this.#byToken.get(token)?.socket === socket) {
        this.#byToken.delete(token);
      }
      host.engine.disconnect(connection);
    });
  }

  /** Its end is the client's: events that it did not get are nowhere else. */
  #serveEvents(socket: WebSocket, key: string, token: string): void {
    const client = this.#byToken.get(token);
    if (client?.key !== key || client.connection.sendEvents !== undefined) {
      socket.close(CLOSE.foreignKey, 'no client with this token');
      return;
    }
    client.connection.sendEvents = (message) => this.#send(socket, message);
    socket.on('message', () => socket.close(CLOSE.malformed, 'events go one way'));
    socket.on('close', () => client.socket.terminate());
    client.socket.on('close', () => socket.terminate());
  }

  #send(socket: WebSocket, message: Uint8Array): void {
    if (socket.bufferedAmount <= CLIENT_BUFFERED_BYTES_MAX) {
      sendInPieces(socket, message);
      return;
    }
    this.#options.log.warn('client does not take its answers');
    socket.terminate();
  }
}
