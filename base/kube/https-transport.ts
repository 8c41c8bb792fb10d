/**
 * KubeTransport over TLS for processes other than control: HTTP/2 when the server offers it, so that
 * all watches share one connection, else HTTP/1.1 with keep-alive. Client certificate files are read
 * again when they changed; requests on the old connection end by themselves.
 *
 * A server that is gone without a FIN is noticed by HTTP/2 pings within PING_INTERVAL_MS +
 * PING_TIMEOUT_MS: every stream then fails and its caller tries again on a new connection.
 */
import { readFileSync, statSync } from 'node:fs';
import * as http2 from 'node:http2';
import * as https from 'node:https';
import type { IncomingMessage } from 'node:http';
import * as tls from 'node:tls';
import { isErrno } from '../errors.ts';
import type { KubeTransport, TransportRequest, TransportResponse } from './client.ts';
import { CONNECT_TIMEOUT_MS, PING_INTERVAL_MS, PING_TIMEOUT_MS } from './limits.ts';

/** A PEM text, or a file that is read again when it changes. */
export type PemSource = { readonly file: string } | { readonly pem: string };

export interface HttpsTransportOptions {
  /** `https://HOST:PORT`. */
  readonly server: string;
  readonly ca: PemSource;
  readonly cert?: PemSource | undefined;
  readonly key?: PemSource | undefined;
  /** Bearer token, asked for before every request. */
  readonly token?: (() => string) | undefined;
}

/** `generation` changes whenever one of the files does. */
class Credentials {
  readonly #sources: readonly (PemSource | undefined)[];
  readonly #options: HttpsTransportOptions;

  constructor(options: HttpsTransportOptions) {
    this.#options = options;
    this.#sources = [options.ca, options.cert, options.key];
  }

  generation(): string {
    return this.#sources
      .map((s) => (s !== undefined && 'file' in s ? fileVersion(s.file) : ''))
      .join();
  }

  read(): { ca: string; cert?: string; key?: string } {
    const { ca, cert, key } = this.#options;
    return {
      ca: readPem(ca),
      ...(cert === undefined ? {} : { cert: readPem(cert) }),
      ...(key === undefined ? {} : { key: readPem(key) }),
    };
  }
}

function readPem(source: PemSource): string {
  return 'pem' in source ? source.pem : readFileSync(source.file, 'utf8');
}

function fileVersion(file: string): string {
  try {
    const { ino, mtimeMs, size } = statSync(file);
    return `${ino}/${mtimeMs}/${size}`;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return 'none'; // Between unlink and rename of a renewal.
    throw error;
  }
}

/** One negotiated way to the server. */
interface Connection {
  readonly generation: string;
  readonly usable: boolean;
  send(
    request: TransportRequest,
    headers: Record<string, string>,
    signal: AbortSignal,
  ): Promise<TransportResponse>;
  /** Lets running requests end; takes no new ones. */
  retire(): void;
  destroy(): void;
}

export class HttpsTransport implements KubeTransport {
  readonly #url: URL;
  readonly #credentials: Credentials;
  readonly #token: (() => string) | undefined;
  #connection: Connection | undefined;
  #connecting: Promise<Connection> | undefined;
  /** Retired connections whose requests still run. */
  readonly #retired = new Set<Connection>();
  #closed = false;

  constructor(options: HttpsTransportOptions) {
    this.#url = new URL(options.server);
    this.#credentials = new Credentials(options);
    this.#token = options.token;
  }

  async send(request: TransportRequest, signal: AbortSignal): Promise<TransportResponse> {
    signal.throwIfAborted();
    const headers: Record<string, string> = { ...request.headers };
    if (this.#token !== undefined) headers['authorization'] = `Bearer ${this.#token()}`;
    const connection = await this.#connect();
    signal.throwIfAborted();
    return connection.send(request, headers, signal);
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#connection?.destroy();
    for (const connection of this.#retired) connection.destroy();
    this.#connection = undefined;
    return Promise.resolve();
  }

  async #connect(): Promise<Connection> {
    if (this.#closed) throw new Error('transport closed');
    const current = this.#connection;
    const generation = this.#credentials.generation();
    if (current?.usable && current.generation === generation) return current;
    if (current !== undefined) {
      this.#connection = undefined;
      if (current.usable) {
        for (const old of this.#retired) if (!old.usable) this.#retired.delete(old);
        this.#retired.add(current);
      }
      current.retire();
    }
    this.#connecting ??= this.#open(generation).finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  async #open(generation: string): Promise<Connection> {
    const pems = this.#credentials.read();
    const port = this.#url.port === '' ? 443 : Number(this.#url.port);
    const host = this.#url.hostname.replace(/^\[|\]$/g, '');
    const servername = /^[\d.]+$|:/.test(host) ? undefined : host; // No SNI for addresses.
    const options: tls.ConnectionOptions = {
      host,
      port,
      ...pems,
      ...(servername === undefined ? {} : { servername }),
    };
    const socket = await connectTls({ ...options, ALPNProtocols: ['h2', 'http/1.1'] });
    const connection =
      socket.alpnProtocol === 'h2'
        ? new Http2Connection(this.#url, socket, generation)
        : new Http1Connection(this.#url, options, generation);
    if (connection instanceof Http1Connection) socket.destroy();
    if (this.#closed) connection.destroy();
    this.#connection = connection;
    return connection;
  }
}

function connectTls(options: tls.ConnectionOptions): Promise<tls.TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect(options);
    const timer = setTimeout(
      () => socket.destroy(new Error('TLS connection timed out')),
      CONNECT_TIMEOUT_MS,
    );
    const onError = (error: Error) => {
      clearTimeout(timer);
      reject(error);
    };
    socket.setNoDelay(true);
    socket.once('error', onError);
    socket.once('secureConnect', () => {
      clearTimeout(timer);
      socket.off('error', onError);
      resolve(socket);
    });
  });
}

/** The response of a stream: headers without HTTP/2's pseudo-headers, each as one string. */
function plainHeaders(headers: object): Record<string, string> {
  const plain: Record<string, string> = {};
  for (const [key, value] of Object.entries(headers)) {
    if (key.startsWith(':') || value === undefined) continue;
    plain[key] = Array.isArray(value) ? value.join(', ') : String(value);
  }
  return plain;
}

class Http2Connection implements Connection {
  readonly generation: string;
  readonly #session: http2.ClientHttp2Session;
  readonly #origin: string;
  readonly #pinger: NodeJS.Timeout;
  #retired = false;

  constructor(url: URL, socket: tls.TLSSocket, generation: string) {
    this.generation = generation;
    this.#origin = url.host;
    this.#session = http2.connect(url.origin, {
      createConnection: () => socket,
      settings: { enablePush: false, initialWindowSize: 4 * 1024 * 1024 },
    });
    this.#session.setLocalWindowSize(16 * 1024 * 1024);
    this.#pinger = setInterval(() => this.#ping(), PING_INTERVAL_MS);
    this.#pinger.unref();
    this.#session.on('error', () => this.#session.destroy()); // Every stream reports it to its caller.
    this.#session.on('goaway', () => this.retire());
    this.#session.on('close', () => clearInterval(this.#pinger));
  }

  get usable(): boolean {
    return !this.#retired && !this.#session.closed && !this.#session.destroyed;
  }

  send(
    request: TransportRequest,
    headers: Record<string, string>,
    signal: AbortSignal,
  ): Promise<TransportResponse> {
    return new Promise((resolve, reject) => {
      const stream = this.#session.request(
        {
          ':method': request.method,
          ':path': request.path,
          ':authority': this.#origin,
          ...headers,
          ...(request.body === undefined ? {} : { 'content-length': request.body.length }),
        },
        { endStream: request.body === undefined },
      );
      const onAbort = () => {
        reject(signal.reason);
        stream.close(http2.constants.NGHTTP2_CANCEL);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      stream.once('close', () => {
        signal.removeEventListener('abort', onAbort);
        reject(new Error(`${request.method} ${request.path}: connection lost`)); // Unless answered.
      });
      stream.on('error', reject);
      stream.once('response', (answer) => {
        const { ':status': status, ...rest } = answer;
        resolve({
          status: Number(status ?? 0),
          headers: plainHeaders(rest),
          body: readBody(stream, () => stream.rstCode === 0 && !stream.aborted, signal),
        });
      });
      if (request.body !== undefined) stream.end(request.body);
    });
  }

  retire(): void {
    this.#retired = true;
    if (!this.#session.closed) this.#session.close();
  }

  destroy(): void {
    this.#retired = true;
    clearInterval(this.#pinger);
    this.#session.destroy();
  }

  #ping(): void {
    if (this.#session.closed && this.#session.destroyed) return;
    const timer = setTimeout(
      () => this.#session.destroy(new Error('server does not answer pings')),
      PING_TIMEOUT_MS,
    );
    timer.unref();
    try {
      this.#session.ping(() => clearTimeout(timer));
    } catch {
      clearTimeout(timer); // The session ended between the check and the call.
    }
  }
}

class Http1Connection implements Connection {
  readonly generation: string;
  readonly #agent: https.Agent;
  readonly #url: URL;
  #retired = false;

  constructor(url: URL, options: tls.ConnectionOptions, generation: string) {
    this.generation = generation;
    this.#url = url;
    const { ca, cert, key, servername } = options;
    this.#agent = new https.Agent({
      ca,
      cert,
      key,
      ...(servername === undefined ? {} : { servername }),
      keepAlive: true,
      keepAliveMsecs: PING_INTERVAL_MS,
    });
  }

  get usable(): boolean {
    return !this.#retired;
  }

  send(
    request: TransportRequest,
    headers: Record<string, string>,
    signal: AbortSignal,
  ): Promise<TransportResponse> {
    return new Promise((resolve, reject) => {
      const outgoing = https.request(
        {
          agent: this.#agent,
          host: this.#url.hostname.replace(/^\[|\]$/g, ''),
          port: this.#url.port === '' ? 443 : Number(this.#url.port),
          method: request.method,
          path: request.path,
          headers:
            request.body === undefined
              ? headers
              : { ...headers, 'content-length': request.body.length },
        },
        (answer: IncomingMessage) => {
          resolve({
            status: answer.statusCode ?? 0,
            headers: plainHeaders(answer.headers),
            body: readBody(answer, () => answer.complete, signal),
          });
        },
      );
      const onAbort = () => {
        reject(signal.reason);
        outgoing.destroy(toError(signal.reason));
      };
      signal.addEventListener('abort', onAbort, { once: true });
      outgoing.once('close', () => signal.removeEventListener('abort', onAbort));
      outgoing.on('error', reject);
      outgoing.end(request.body);
    });
  }

  retire(): void {
    this.#retired = true;
    this.#agent.destroy();
  }

  destroy(): void {
    this.retire();
  }
}

/** The chunks of a stream; fails when it ended before the message did, or the caller gave up. */
async function* readBody(
  stream: AsyncIterable<Uint8Array>,
  isComplete: () => boolean,
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  try {
    for await (const chunk of stream) yield chunk;
  } catch (error) {
    signal.throwIfAborted();
    throw new Error('response broke off', { cause: error });
  }
  signal.throwIfAborted();
  if (!isComplete()) throw new Error('response broke off');
}

function toError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
