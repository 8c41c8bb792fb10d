/**
 * A Store over the network: the client that ships, linked to one member at a time. When the link breaks
 * another member is tried; what had no answer is sent again there, and writes are executed once all the
 * same (client/write-session.ts).
 */
import { WebSocket } from 'ws';
import type { Link } from '../client/calls.ts';
import { StoreClient } from '../client/client.ts';
import {
  DIAL_RETRY_MS_MAX,
  DIAL_RETRY_MS_MIN,
  HANDSHAKE_MS_MAX,
  REPLY_BYTES_MAX,
} from '../limits.ts';
import type { OwnStore } from '../port.ts';
import { bytesOf } from './peer-links.ts';
import { provedBy, tlsOptions } from './tls.ts';
import type { Credentials } from './tls.ts';

export interface RemoteStoreOptions {
  /** host:port of members; tried in turn. */
  readonly addresses: readonly string[];
  readonly credentials: Credentials;
  /** Whom to believe to be a member. */
  readonly memberKeys: readonly string[];
  /** What it is: a client, or a member that is not of the group now; a client by default. */
  readonly path?: '/client' | '/member';
}

/** Resolves when a member is reached; requests wait whenever none is. */
export async function connectStore(
  options: RemoteStoreOptions,
  signal: AbortSignal,
): Promise<OwnStore> {
  const dialler = new Dialler(options);
  const onAbort = () => dialler.stop(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await dialler.first;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

class RemoteStore extends StoreClient {
  readonly #stop: () => void;

  constructor(link: Link, stop: () => void) {
    super(link);
    this.#stop = stop;
  }

  override async close(): Promise<void> {
    await super.close();
    this.#stop();
  }
}

class Dialler {
  readonly #options: RemoteStoreOptions;
  readonly #first = Promise.withResolvers<StoreClient>();
  #client: StoreClient | undefined;
  #next = 0;
  #failures = 0;
  #isStopped = false;
  #socket: WebSocket | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: RemoteStoreOptions) {
    this.#options = options;
    this.#dial();
  }

  get first(): Promise<StoreClient> {
    return this.#first.promise;
  }

  stop(reason: unknown): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    this.#socket?.terminate();
    this.#first.reject(reason);
  }

  #dial(): void {
    const { addresses, credentials, memberKeys, path = '/client' } = this.#options;
    const address = addresses[this.#next++ % addresses.length] ?? '';
    const socket = new WebSocket(`wss://${address}${path}`, {
      ...tlsOptions(credentials),
      perMessageDeflate: false,
      handshakeTimeout: HANDSHAKE_MS_MAX,
      maxPayload: REPLY_BYTES_MAX,
    });
    this.#socket = socket;
    let isTrusted = false;
    let isOpen = false;
    socket.on('upgrade', (response) => {
      response.socket.setNoDelay(true);
      const key = provedBy(response.socket, Date.now())?.key;
      isTrusted = key !== undefined && memberKeys.includes(key);
    });
    socket.on('open', () => {
      if (!isTrusted) {
        socket.terminate();
        return;
      }
      isOpen = true;
      this.#failures = 0;
      this.#linked(socket);
    });
    socket.on('message', (data) => {
      if (isOpen) this.#client?.receive(bytesOf(data));
    });
    socket.on('error', () => socket.terminate());
    socket.on('close', () => {
      if (isOpen) this.#client?.disconnected();
      this.#retry();
    });
  }

  #linked(socket: WebSocket): void {
    const link: Link = {
      send: (message) => socket.send(message),
      close: () => Promise.resolve(),
    };
    if (this.#client === undefined) {
      this.#client = new RemoteStore(link, () => this.stop(undefined));
      this.#first.resolve(this.#client);
    } else this.#client.connected(link);
  }

  #retry(): void {
    if (this.#isStopped) return;
    const waitMs = Math.min(DIAL_RETRY_MS_MAX, DIAL_RETRY_MS_MIN * 2 ** this.#failures++);
    this.#timer = setTimeout(() => this.#dial(), waitMs);
  }
}
