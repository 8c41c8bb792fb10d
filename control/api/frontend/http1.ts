/** HTTP/1.1 requests, and upgrades to WebSocket, as exchanges of the pipeline. */
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { plainAddress } from '#base/ip.ts';
import {
  type ApiRequest,
  type ApiResponse,
  type BodySink,
  isStream,
  type Peer,
  type UpgradeRequest,
} from '../exchange.ts';
import { readAll } from './body.ts';
import type { HandleRequest } from './tls-server.ts';

/** `answer` closes when the client leaves. */
function toRequest(
  request: IncomingMessage,
  answer: ServerResponse | Duplex,
  peer: Peer,
): ApiRequest {
  let body: Promise<Uint8Array> | undefined;
  return {
    method: request.method ?? 'GET',
    path: request.url ?? '/',
    headers: request.headers,
    peer,
    remoteAddress: plainAddress(request.socket.remoteAddress),
    readBody: (arrived) => {
      body ??= readAll(request.iterator({ destroyOnReturn: false }), arrived);
      return body;
    },
    // Who stops reading early still answers: the connection stays.
    streamBody: () => request.iterator({ destroyOnReturn: false }),
    onLeave: (callback) => {
      if (answer.destroyed) callback();
      else answer.once('close', callback);
    },
  };
}

export function serveHttp1(
  request: IncomingMessage,
  response: ServerResponse,
  peer: Peer,
  handle: HandleRequest,
): void {
  const isHead = request.method === 'HEAD';
  response.on('error', () => response.destroy()); // The peer went away; there is nobody to tell.
  handle(toRequest(request, response, peer))
    .then((answer) => {
      writeHttp1(response, answer, isHead);
      if (request.complete) return;
      // A body that came too late is not waited for.
      if (answer.status === 504) response.once('finish', () => request.destroy());
      // A body that nobody read would stall the next request on this connection.
      else request.resume();
    })
    .catch(() => response.destroy()); // handle() answers every failure itself.
}

function writeHttp1(response: ServerResponse, answer: ApiResponse, isHead: boolean): void {
  if (response.destroyed) {
    if (isStream(answer.body)) answer.body.start(closedSink);
    return;
  }
  const { status, headers, body } = answer;
  if (isStream(body)) {
    response.writeHead(status, headers);
    response.flushHeaders();
    body.start(new Http1Sink(response));
    return;
  }
  const pieces = body instanceof Uint8Array ? [body] : body;
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  response.writeHead(status, { ...headers, 'content-length': length });
  if (isHead) {
    response.end();
    return;
  }
  if (pieces.length === 1) response.end(pieces[0]);
  else response.end(Buffer.concat(pieces, length));
}

class Http1Sink implements BodySink {
  readonly #response: ServerResponse;

  constructor(response: ServerResponse) {
    this.#response = response;
  }

  get bufferedBytes(): number {
    return this.#response.writableLength;
  }

  write(chunk: Uint8Array): void {
    if (!this.#response.destroyed) this.#response.write(chunk);
  }

  end(): void {
    this.#response.end();
  }

  destroy(): void {
    this.#response.destroy();
  }

  onDrain(callback: () => void): void {
    this.#response.on('drain', callback);
  }

  onClose(callback: () => void): void {
    if (this.#response.destroyed) callback();
    else this.#response.once('close', callback);
  }
}

/** For a stream whose client is already gone: started and closed at once, so that it cleans up. */
export const closedSink: BodySink = {
  write() {},
  bufferedBytes: 0,
  end() {},
  destroy() {},
  onDrain() {},
  onClose: (callback) => queueMicrotask(callback),
};

export function serveUpgrade(
  parts: { request: IncomingMessage; socket: Duplex; head: Buffer },
  peer: Peer,
  handle: HandleRequest,
): void {
  const { request, socket, head } = parts;
  socket.on('error', () => socket.destroy());
  const upgrade: UpgradeRequest = { message: request, socket, head, taken: false };
  handle({ ...toRequest(request, socket, peer), upgrade })
    .then((answer) => {
      if (upgrade.taken) return;
      refuseUpgrade(socket, answer);
    })
    .catch(() => socket.destroy()); // handle() answers every failure itself.
}

/** Writes a plain response where an upgrade was asked for, and closes. */
function refuseUpgrade(socket: Duplex, answer: ApiResponse): void {
  const { status, headers, body } = answer;
  if (isStream(body)) {
    body.start(closedSink);
    socket.destroy();
    return;
  }
  const bytes = body instanceof Uint8Array ? body : Buffer.concat(body);
  const lines = Object.entries(headers).flatMap(([key, value]) =>
    (Array.isArray(value) ? value : [value]).map((one) => `${key}: ${one}`),
  );
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    ...lines,
    `content-length: ${bytes.length}`,
    'connection: close',
    '',
    '',
  ];
  socket.write(head.join('\r\n'));
  socket.end(bytes);
}
