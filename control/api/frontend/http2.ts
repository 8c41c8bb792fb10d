/** HTTP/2 streams as exchanges of the pipeline. */
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import {
  type ApiRequest,
  type ApiResponse,
  type BodySink,
  type Headers,
  isStream,
  type Peer,
} from '../exchange.ts';
import { readAll } from './body.ts';
import { closedSink } from './http1.ts';
import type { HandleRequest } from './tls-server.ts';

const EMPTY = new Uint8Array();

export function serveStream(
  parts: { stream: ServerHttp2Stream; headers: IncomingHttpHeaders; remoteAddress: string },
  peer: Peer,
  handle: HandleRequest,
): void {
  const { stream, headers, remoteAddress } = parts;
  const method = headers[':method'] ?? 'GET';
  let body: Promise<Uint8Array> | undefined;
  const request: ApiRequest = {
    method,
    path: headers[':path'] ?? '/',
    headers: headers as Headers, // Pseudo-headers among them do no harm.
    peer,
    remoteAddress,
    readBody: (arrived) => {
      body ??= stream.endAfterHeaders
        ? Promise.resolve(EMPTY)
        : readAll(stream.iterator({ destroyOnReturn: false }), arrived);
      return body;
    },
    streamBody: () => stream.iterator({ destroyOnReturn: false }),
    onLeave: (callback) => {
      if (stream.destroyed) callback();
      else stream.once('close', callback);
    },
  };
  stream.on('error', () => stream.close(constants.NGHTTP2_CANCEL)); // The peer reset it.
  handle(request)
    .then((answer) => {
      writeStream(stream, answer, method === 'HEAD');
      if (body === undefined) stream.resume();
      // A body that came too late is not waited for.
      if (answer.status === 504) stream.once('finish', () => stream.close());
    })
    .catch(() => stream.close(constants.NGHTTP2_INTERNAL_ERROR)); // handle() answers failures.
}

function writeStream(stream: ServerHttp2Stream, answer: ApiResponse, isHead: boolean): void {
  const { status, headers, body } = answer;
  if (stream.destroyed || stream.closed) {
    if (isStream(body)) body.start(closedSink);
    return;
  }
  if (isStream(body)) {
    stream.respond({ ':status': status, ...headers });
    body.start(new Http2Sink(stream));
    return;
  }
  const pieces = body instanceof Uint8Array ? [body] : body;
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const responseHeaders = { ':status': status, ...headers, 'content-length': length };
  if (isHead || length === 0) {
    stream.respond(responseHeaders, { endStream: true });
    return;
  }
  stream.respond(responseHeaders);
  stream.end(pieces.length === 1 ? pieces[0] : Buffer.concat(pieces, length));
}

class Http2Sink implements BodySink {
  readonly #stream: ServerHttp2Stream;

  constructor(stream: ServerHttp2Stream) {
    this.#stream = stream;
  }

  get bufferedBytes(): number {
    return this.#stream.writableLength;
  }

  write(chunk: Uint8Array): void {
    if (!this.#stream.destroyed && !this.#stream.closed) this.#stream.write(chunk);
  }

  end(): void {
    this.#stream.end();
  }

  destroy(): void {
    this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }

  onDrain(callback: () => void): void {
    this.#stream.on('drain', callback);
  }

  onClose(callback: () => void): void {
    if (this.#stream.destroyed) callback();
    else this.#stream.once('close', callback);
  }
}
