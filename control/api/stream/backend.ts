/**
 * Connections from the API server to what it passes requests on to: kubelets, pods and services.
 * One request each, HTTP/1.1; an upgrade hands both sockets to each other.
 */
import * as http from 'node:http';
import * as https from 'node:https';
import * as net from 'node:net';
import type { Duplex } from 'node:stream';
import * as tls from 'node:tls';
import { serviceUnavailable } from '../errors.ts';
import type { ApiResponse, BodySink, UpgradeRequest } from '../exchange.ts';

export interface Backend {
  readonly host: string;
  readonly port: number;
  /** Absent: plain HTTP. */
  readonly tls?: tls.ConnectionOptions | undefined;
}

export interface BackendRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: http.OutgoingHttpHeaders;
  readonly body?: AsyncIterable<Uint8Array> | undefined;
}

const CONNECT_TIMEOUT_MS = 30_000;
/** Unread by the client beyond this, the backend is not read either. */
const BUFFER_BYTES_MAX = 1024 * 1024;
/** Headers that belong to one connection (RFC 9110 section 7.6.1), and pseudo-headers. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  'proxy-connection',
  'host',
]);

/** Headers that may go on to the next hop. */
export function forwardable(
  headers: Readonly<Record<string, string | string[] | number | undefined>>,
): Record<string, string | string[]> {
  const kept: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || name.startsWith(':') || HOP_BY_HOP.has(name)) continue;
    kept[name] = typeof value === 'number' ? String(value) : value;
  }
  return kept;
}

/**
 * The backend's response, its body still to be read. Throws ApiError 503 when it is not reached.
 */
export async function requestBackend(
  backend: Backend,
  request: BackendRequest,
): Promise<http.IncomingMessage> {
  const options: https.RequestOptions = {
    host: backend.host,
    port: backend.port,
    method: request.method,
    path: request.path,
    headers: request.headers,
    agent: false,
    ...backend.tls,
  };
  const outgoing = backend.tls === undefined ? http.request(options) : https.request(options);
  const answered = new Promise<http.IncomingMessage>((resolve, reject) => {
    outgoing.once('response', resolve);
    outgoing.once('error', (error) => {
      const made = serviceUnavailable(`error trying to reach service: ${error.message}`);
      reject(Object.assign(made, { cause: error }));
    });
  });
  outgoing.setTimeout(CONNECT_TIMEOUT_MS, () => {
    if (outgoing.socket?.connecting === true) outgoing.destroy(new Error('connection timed out'));
  });
  try {
    if (request.body !== undefined) {
      for await (const chunk of request.body) outgoing.write(chunk);
    }
    outgoing.end();
  } catch (error) {
    outgoing.destroy(error instanceof Error ? error : new Error(String(error)));
  }
  return answered;
}

/** The backend's body as ours, at the pace of the slower side. */
export function streamOn(message: http.IncomingMessage, response: Omit<ApiResponse, 'body'>) {
  return { ...response, body: { start: (sink: BodySink) => pump(message, sink) } };
}

function pump(message: http.IncomingMessage, sink: BodySink): void {
  message.on('data', (chunk: Buffer) => {
    sink.write(chunk);
    if (sink.bufferedBytes > BUFFER_BYTES_MAX) message.pause();
  });
  sink.onDrain(() => message.resume());
  message.on('end', () => sink.end());
  message.on('error', () => sink.destroy());
  message.on('aborted', () => sink.destroy());
  sink.onClose(() => message.destroy());
}

/** At most `bytesMax` of a response's text, for error messages. */
export async function readText(message: http.IncomingMessage, bytesMax: number): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const chunk of message) {
    parts.push(chunk);
    length += chunk.length;
    if (length >= bytesMax) break;
  }
  return Buffer.concat(parts).subarray(0, bytesMax).toString();
}

/**
 * Sends the client's upgrade request to the backend and joins both connections: the backend's
 * answer, whatever it is, reaches the client as it stands. Throws ApiError 503 when it is not
 * reached.
 */
export async function joinUpgrade(
  upgrade: UpgradeRequest,
  backend: Backend,
  path: string,
): Promise<void> {
  const far = await connect(backend);
  const { message, socket, head } = upgrade;
  const lines = [`GET ${path} HTTP/1.1`, `Host: ${backend.host}:${backend.port}`];
  for (let i = 0; i + 1 < message.rawHeaders.length; i += 2) {
    const name = message.rawHeaders[i] ?? '';
    // Credentials were for this server alone.
    if (/^(host|authorization|cookie)$/i.test(name)) continue;
    lines.push(`${name}: ${message.rawHeaders[i + 1] ?? ''}`);
  }
  upgrade.taken = true;
  far.write(`${lines.join('\r\n')}\r\n\r\n`);
  if (head.length > 0) far.write(head);
  join(socket, far);
  join(far, socket);
}

function join(from: Duplex, to: Duplex): void {
  from.pipe(to);
  from.on('error', () => to.destroy());
  from.on('close', () => to.end());
}

function connect(backend: Backend): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const { host, port } = backend;
    const socket =
      backend.tls === undefined
        ? net.connect({ host, port })
        : tls.connect({ host, port, ...backend.tls });
    const fail = (error: Error) => {
      socket.destroy();
      const made = serviceUnavailable(`error dialing backend: ${error.message}`);
      reject(Object.assign(made, { cause: error }));
    };
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => fail(new Error('connection timed out')));
    socket.once('error', fail);
    socket.once(backend.tls === undefined ? 'connect' : 'secureConnect', () => {
      socket.off('error', fail);
      socket.setTimeout(0);
      socket.setNoDelay(true);
      resolve(socket);
    });
  });
}
