/**
 * The MessagePort front end: requests of workers of this process (base/kube/port-transport.ts),
 * whose identity is that of the port.
 */
import type { MessagePort } from 'node:worker_threads';
import { serveTransportPort } from '#base/kube/port-transport.ts';
import { assert } from '#base/assert.ts';
import type { ApiRequest, BodySink, StreamBody } from '../exchange.ts';
import { isStream } from '../exchange.ts';
import type { UserInfo } from '../resource.ts';
import type { HandleRequest } from './tls-server.ts';

const EMPTY = new Uint8Array();

/** Serves requests from `port` as `user` until it closes or the result is disposed of. */
export function servePort(port: MessagePort, user: UserInfo, handle: HandleRequest): Disposable {
  return serveTransportPort(port, async (message, signal) => {
    const body = message.body ?? EMPTY;
    const request: ApiRequest = {
      method: message.method,
      path: message.path,
      headers: lowerCase(message.headers),
      peer: { kind: 'channel', user },
      remoteAddress: '',
      readBody: () => Promise.resolve(body),
      async *streamBody() {
        yield body;
      },
      onLeave: (callback) => {
        if (signal.aborted) callback();
        else signal.addEventListener('abort', callback, { once: true });
      },
    };
    const answer = await handle(request);
    const headers = Object.fromEntries(
      Object.entries(answer.headers).map(([k, v]) => [k, Array.isArray(v) ? v.join(', ') : v]),
    );
    const pieces = isStream(answer.body)
      ? readStream(answer.body, signal)
      : iterate(answer.body instanceof Uint8Array ? [answer.body] : answer.body);
    return { status: answer.status, headers, body: pieces };
  });
}

function lowerCase(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([k, v]) => [k.toLowerCase(), v]));
}

async function* iterate(pieces: readonly Uint8Array[]): AsyncIterable<Uint8Array> {
  if (pieces.length === 1 && pieces[0] !== undefined) yield pieces[0];
  else yield Buffer.concat(pieces);
}

/** A pushing body as chunks to pull, with what is not pulled yet counted as buffered. */
async function* readStream(body: StreamBody, signal: AbortSignal): AsyncIterable<Uint8Array> {
  const sink = new QueueSink();
  const onAbort = () => sink.destroy();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    body.start(sink);
    yield* sink.chunks();
  } finally {
    signal.removeEventListener('abort', onAbort);
    sink.close();
  }
}

class QueueSink implements BodySink {
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #ended = false;
  #closed = false;
  #wake: (() => void) | undefined;
  readonly #onDrain: (() => void)[] = [];
  readonly #onClose: (() => void)[] = [];

  get bufferedBytes(): number {
    return this.#bytes;
  }

  write(chunk: Uint8Array): void {
    if (this.#closed) return;
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  destroy(): void {
    this.#chunks = [];
    this.end();
  }

  onDrain(callback: () => void): void {
    this.#onDrain.push(callback);
  }

  onClose(callback: () => void): void {
    if (this.#closed) callback();
    else this.#onClose.push(callback);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const callback of this.#onClose) callback();
  }

  async *chunks(): AsyncIterable<Uint8Array> {
    for (;;) {
      const chunks = this.#chunks;
      this.#chunks = [];
      this.#bytes = 0;
      for (const chunk of chunks) yield chunk;
      if (this.#chunks.length > 0) continue;
      if (this.#ended) return;
      for (const callback of this.#onDrain) callback();
      if (this.#chunks.length > 0 || this.#ended) continue;
      assert(this.#wake === undefined, 'two readers of one response');
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }
}
