/**
 * KubeTransport over a MessagePort: how workers of the control process reach the API server on the
 * main thread without sockets. `PortTransport` is the worker's side; `serveTransportPort` is the
 * server's, which is given one function from request to response.
 *
 * Invariant: every request ends with exactly one `end` or `fail` from the server, also after `abort`;
 * the client forgets an id on its own `abort`, and late messages for it are dropped. At most
 * PORT_WINDOW_BYTES of a response are unread on the client's side: it returns credit as it reads.
 * Chunks are copied, not transferred: the server shares the bytes of an object among all watchers.
 */
import type { MessagePort } from 'node:worker_threads';
import { errorText } from '../errors.ts';
import { must } from '../assert.ts';
import type { KubeTransport, TransportRequest, TransportResponse } from './client.ts';
import { PORT_WINDOW_BYTES } from './limits.ts';

export type PortMessage =
  | {
      readonly kind: 'request';
      readonly id: number;
      readonly method: string;
      readonly path: string;
      readonly headers: Readonly<Record<string, string>>;
      readonly body?: Uint8Array | undefined;
    }
  | { readonly kind: 'abort'; readonly id: number }
  | { readonly kind: 'credit'; readonly id: number; readonly bytes: number }
  | {
      readonly kind: 'response';
      readonly id: number;
      readonly status: number;
      readonly headers: Readonly<Record<string, string>>;
    }
  | { readonly kind: 'chunk'; readonly id: number; readonly bytes: Uint8Array }
  | { readonly kind: 'end'; readonly id: number }
  | { readonly kind: 'fail'; readonly id: number; readonly message: string };

/** A queue with one reader that waits: the body of one response. */
class ChunkQueue implements AsyncIterable<Uint8Array> {
  readonly #chunks: Uint8Array[] = [];
  readonly #onRead: (bytes: number) => void;
  readonly #onLeave: () => void;
  #ended = false;
  #error: unknown;
  #wake: (() => void) | undefined;

  constructor(onRead: (bytes: number) => void, onLeave: () => void) {
    this.#onRead = onRead;
    this.#onLeave = onLeave;
  }

  push(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#wake?.();
  }

  end(error?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    if (error !== undefined) this.#chunks.length = 0;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    try {
      for (;;) {
        const chunk = this.#chunks.shift();
        if (chunk !== undefined) {
          this.#onRead(chunk.length);
          yield chunk;
          continue;
        }
        if (this.#error !== undefined) throw this.#error;
        if (this.#ended) return;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
      }
    } finally {
      if (!this.#ended) this.#onLeave();
    }
  }
}

interface Pending {
  readonly resolve: (response: TransportResponse) => void;
  readonly reject: (error: unknown) => void;
  readonly body: ChunkQueue;
  readonly signal: AbortSignal;
  readonly onAbort: () => void;
}

export class PortTransport implements KubeTransport {
  readonly #port: MessagePort;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  #closed: Error | undefined;

  constructor(port: MessagePort) {
    this.#port = port;
    port.on('message', (message: PortMessage) => this.#onMessage(message));
    port.on('close', () => this.#failAll(new Error('port to the API server closed')));
  }

  send(request: TransportRequest, signal: AbortSignal): Promise<TransportResponse> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      if (this.#closed !== undefined) {
        reject(this.#closed);
        return;
      }
      const id = this.#nextId++;
      const onAbort = () => this.#abandon(id, signal.reason);
      const body = new ChunkQueue(
        (bytes) => this.#post({ kind: 'credit', id, bytes }),
        () => this.#abandon(id, new Error('response left unread')),
      );
      this.#pending.set(id, { resolve, reject, body, signal, onAbort });
      signal.addEventListener('abort', onAbort, { once: true });
      this.#post({ kind: 'request', id, ...request });
    });
  }

  close(): Promise<void> {
    this.#failAll(new Error('transport closed'));
    this.#port.close();
    return Promise.resolve();
  }

  #post(message: PortMessage): void {
    if (this.#closed === undefined) this.#port.postMessage(message);
  }

  #onMessage(message: PortMessage): void {
    const pending = this.#pending.get(message.id);
    if (pending === undefined) return; // Aborted meanwhile.
    switch (message.kind) {
      case 'response': {
        const { status, headers } = message;
        pending.resolve({ status, headers, body: pending.body });
        return;
      }
      case 'chunk':
        pending.body.push(message.bytes);
        return;
      case 'end':
        this.#settle(message.id, undefined);
        return;
      case 'fail':
        this.#settle(message.id, new Error(message.message));
        return;
      default: // 'request', 'abort' and 'credit' go the other way.
    }
  }

  #abandon(id: number, reason: unknown): void {
    if (!this.#pending.has(id)) return;
    this.#post({ kind: 'abort', id });
    this.#settle(id, reason);
  }

  #settle(id: number, error: unknown): void {
    const pending = must(this.#pending.get(id), `port request ${id} is not pending`);
    this.#pending.delete(id);
    pending.signal.removeEventListener('abort', pending.onAbort);
    if (error !== undefined) pending.reject(error); // No effect once the response has begun.
    pending.body.end(error);
  }

  #failAll(error: Error): void {
    this.#closed ??= error;
    for (const id of this.#pending.keys()) this.#settle(id, error);
  }
}

export type PortHandler = (
  request: TransportRequest,
  signal: AbortSignal,
) => Promise<TransportResponse>;

interface Serving {
  readonly stop: AbortController;
  /** Bytes that may still be sent; negative after a chunk larger than what was left. */
  creditBytes: number;
  wake: (() => void) | undefined;
}

/**
 * Serves a port until it closes or the result is disposed of. `handler` gets a signal that aborts when
 * the client gives up. A handler that throws fails its request only.
 */
export function serveTransportPort(port: MessagePort, handler: PortHandler): Disposable {
  const serving = new Map<number, Serving>();
  const post = (message: PortMessage) => port.postMessage(message);
  const stopAll = () => {
    for (const one of serving.values()) one.stop.abort(new Error('port closed'));
  };

  const serve = async (message: PortMessage & { kind: 'request' }, state: Serving) => {
    const { id, method, path, headers, body } = message;
    const signal = state.stop.signal;
    try {
      const response = await handler({ method, path, headers, body }, signal);
      post({ kind: 'response', id, status: response.status, headers: response.headers });
      for await (const bytes of response.body) {
        if (signal.aborted) break;
        post({ kind: 'chunk', id, bytes: plainBytes(bytes) });
        state.creditBytes -= bytes.length;
        while (state.creditBytes <= 0 && !signal.aborted) {
          await new Promise<void>((resolve) => {
            state.wake = resolve;
          });
          state.wake = undefined;
        }
      }
      post({ kind: 'end', id });
    } catch (error) {
      post({ kind: 'fail', id, message: errorText(error) }); // The client sees it as a broken request.
    } finally {
      serving.delete(id);
    }
  };

  const onMessage = (message: PortMessage) => {
    if (message.kind === 'request') {
      const state: Serving = {
        stop: new AbortController(),
        creditBytes: PORT_WINDOW_BYTES,
        wake: undefined,
      };
      serving.set(message.id, state);
      state.stop.signal.addEventListener('abort', () => state.wake?.(), { once: true });
      serve(message, state).catch(stopAll); // serve() catches all; this owns its promise.
      return;
    }
    const state = serving.get(message.id);
    if (message.kind === 'abort') state?.stop.abort(new Error('client gave up'));
    if (message.kind === 'credit' && state !== undefined) {
      state.creditBytes += message.bytes;
      if (state.creditBytes > 0) state.wake?.();
    }
  };

  port.on('message', onMessage);
  port.on('close', stopAll);
  return {
    [Symbol.dispose]() {
      port.off('message', onMessage);
      port.off('close', stopAll);
      stopAll();
    },
  };
}

/** A Buffer drags its whole pool (8 KiB and more) through structured clone: send exact bytes. */
function plainBytes(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
}
