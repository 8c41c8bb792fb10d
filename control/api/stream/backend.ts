/**
 * Connections from the API server to what it passes requests on to: kubelets, pods and services.
 * One request each, HTTP/1.1; an upgrade hands both sockets to each other.
 */
import * as http from 'node:http';
import * as https from 'node:https';
import type * as net from 'node:net';
import type { Duplex } from 'node:stream';
import type * as tls from 'node:tls';
import { TOKEN_PROTOCOL } from '../auth/authenticate.ts';
import { type ApiError, serviceUnavailable } from '../errors.ts';
import type { ApiResponse, BodySink, UpgradeRequest } from '../exchange.ts';

export interface Backend {
  readonly host: string;
  readonly port: number;
  /** Absent: plain HTTP. */
  readonly tls?: tls.ConnectionOptions | undefined;
  /** Less than the usual, for tests. */
  readonly dialMsMax?: number | undefined;
  readonly handshakeMsMax?: number | undefined;
}

export interface BackendRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: http.OutgoingHttpHeaders;
  readonly body?: AsyncIterable<Uint8Array> | undefined;
  /** Calls back when nobody waits for the answer any more: the connection then ends. */
  readonly onLeave: (callback: () => void) => void;
}

/** As upstream's transport; an answer may take as long as the client waits for it. */
const DIAL_MS_MAX = 30_000;
const HANDSHAKE_MS_MAX = 10_000;
/** Unread by the client beyond this, the backend is not read either. */
const BUFFER_BYTES_MAX = 1024 * 1024;
/** Of an answer that refuses an upgrade. */
const REFUSAL_BYTES_MAX = 64 * 1024;
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
 * The backend's response, its body still to be read; that of the request goes out at the backend's
 * pace, and may do so after the answer. Throws ApiError 503 when it is not reached.
 */
export function requestBackend(
  backend: Backend,
  request: BackendRequest,
): Promise<http.IncomingMessage> {
  const outgoing = openRequest(backend, request);
  request.onLeave(() => outgoing.destroy());
  const answered = new Promise<http.IncomingMessage>((resolve, reject) => {
    outgoing.once('response', resolve);
    onFailure(outgoing, reject);
  });
  if (request.body === undefined) outgoing.end();
  else {
    sendBody(outgoing, request.body).catch((error: unknown) =>
      outgoing.destroy(error instanceof Error ? error : new Error(String(error))),
    );
  }
  return answered;
}

function openRequest(
  backend: Backend,
  request: { method: string; path: string; headers: http.OutgoingHttpHeaders | readonly string[] },
): http.ClientRequest {
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
  const { dialMsMax = DIAL_MS_MAX, handshakeMsMax = HANDSHAKE_MS_MAX } = backend;
  outgoing.once('socket', (socket) => {
    const at = `${backend.host}:${backend.port}`;
    limit(outgoing, { until: 'connect', ms: dialMsMax, text: `dial tcp ${at}: i/o timeout` });
    if (backend.tls === undefined) return;
    socket.once('connect', () => {
      const text = 'net/http: TLS handshake timeout';
      limit(outgoing, { until: 'secureConnect', ms: handshakeMsMax, text });
    });
  });
  return outgoing;
}

/** Ends the request unless its socket comes so far in time. */
function limit(
  outgoing: http.ClientRequest,
  step: { readonly until: string; readonly ms: number; readonly text: string },
): void {
  const timer = setTimeout(() => outgoing.destroy(new Error(step.text)), step.ms);
  const done = () => clearTimeout(timer);
  outgoing.socket?.once(step.until, done);
  outgoing.once('close', done);
}

/** Stays for all errors: those after the answer are the answer's too, and must not end the process. */
function onFailure(outgoing: http.ClientRequest, reject: (error: ApiError) => void): void {
  const fail = (error: Error) => {
    const made = serviceUnavailable(`error trying to reach service: ${error.message}`);
    reject(Object.assign(made, { cause: error }));
  };
  outgoing.on('error', fail);
  outgoing.on('close', () => fail(new Error('connection closed')));
}

async function sendBody(
  outgoing: http.ClientRequest,
  body: AsyncIterable<Uint8Array>,
): Promise<void> {
  for await (const chunk of body) {
    if (outgoing.destroyed) return;
    if (!outgoing.write(chunk)) await drained(outgoing);
  }
  outgoing.end();
}

function drained(outgoing: http.ClientRequest): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const done = () => {
    outgoing.off('drain', done);
    outgoing.off('close', done);
    resolve();
  };
  outgoing.on('drain', done);
  outgoing.on('close', done);
  if (outgoing.destroyed) done();
  return promise;
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
 * Sends the client's upgrade request to the backend and, once that switches protocols, joins both
 * connections. Any other answer is returned as it stands, and the backend's connection ends with it:
 * this server's credentials opened it, so a client that is not let through never writes to it
 * (CVE-2018-1002105). Throws ApiError 503 when the backend is not reached.
 */
export async function joinUpgrade(
  upgrade: UpgradeRequest,
  backend: Backend,
  path: string,
): Promise<ApiResponse> {
  const { message, socket, head } = upgrade;
  const headers = upgradeHeaders(message.rawHeaders, backend);
  const outgoing = openRequest(backend, { method: 'GET', path, headers });
  socket.once('close', () => outgoing.destroy());
  const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage | undefined>();
  onFailure(outgoing, reject);
  outgoing.once('response', resolve);
  outgoing.once('upgrade', (answer, far: net.Socket, farHead) => {
    upgrade.taken = true;
    far.setTimeout(0);
    far.setNoDelay(true);
    socket.write(switching(answer));
    if (farHead.length > 0) socket.write(farHead);
    if (head.length > 0) far.write(head);
    join(socket, far);
    join(far, socket);
    resolve(undefined);
  });
  outgoing.end();
  const refused = await promise;
  if (refused === undefined) return { status: 101, headers: {}, body: new Uint8Array() };
  const { 'content-length': _length, ...kept } = forwardable(refused.headers);
  const body = Buffer.from(await readText(refused, REFUSAL_BYTES_MAX));
  outgoing.destroy();
  return { status: refused.statusCode ?? 502, headers: kept, body };
}

/** What goes on of an upgrade's headers. Credentials were for this server alone. */
function upgradeHeaders(raw: readonly string[], backend: Backend): string[] {
  const kept = ['Host', `${backend.host}:${backend.port}`];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? '';
    let value = raw[i + 1] ?? '';
    // An upgrade has no body.
    if (/^(host|authorization|cookie|content-length|transfer-encoding)$/i.test(name)) continue;
    if (name.toLowerCase() === 'sec-websocket-protocol') {
      const offered = value.split(/\s*,\s*/).filter((p) => !p.startsWith(TOKEN_PROTOCOL));
      if (offered.length === 0) continue;
      value = offered.join(', ');
    }
    kept.push(name, value);
  }
  return kept;
}

function switching(answer: http.IncomingMessage): string {
  const lines = [`HTTP/1.1 101 ${answer.statusMessage ?? ''}`];
  for (let i = 0; i + 1 < answer.rawHeaders.length; i += 2) {
    lines.push(`${answer.rawHeaders[i]}: ${answer.rawHeaders[i + 1]}`);
  }
  return `${lines.join('\r\n')}\r\n\r\n`;
}

/** Either side's end is the other's, and nothing stays open for a peer that never closes. */
function join(from: Duplex, to: Duplex): void {
  from.pipe(to);
  from.on('error', () => to.destroy());
  from.on('close', () => to.end(() => to.destroy()));
  if (from.destroyed) to.destroy();
}
