/**
 * The HTTPS front end: one TLS listener that speaks HTTP/2 and HTTP/1.1. Client certificates are
 * asked for, never demanded; their subject is read once for each connection. Certificate files are
 * read again when they change, without closing connections.
 *
 * HTTP/2 uses the stream API, which costs about half of the compatibility layer per request.
 */
import { constants as cryptoConstants } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import * as http from 'node:http';
import * as http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import * as tls from 'node:tls';
import { isErrno } from '#base/errors.ts';
import { plainAddress } from '#base/ip.ts';
import type { Log } from '#base/log.ts';
import type { ApiRequest, ApiResponse, Peer } from '../exchange.ts';
import { serveHttp1, serveUpgrade } from './http1.ts';
import { serveStream } from './http2.ts';
import { peerOf } from './peer.ts';

export interface TlsFiles {
  readonly certificate: string;
  readonly key: string;
  /** Issuers of client certificates. */
  readonly clientCa: string;
}

export type HandleRequest = (request: ApiRequest) => Promise<ApiResponse>;

const RELOAD_PERIOD_MS = 5_000;
const HEADERS_TIMEOUT_MS = 30_000;
const CONCURRENT_STREAMS_MAX = 1000;

export class TlsFrontEnd {
  readonly #files: TlsFiles;
  readonly #log: Log;
  readonly #handle: HandleRequest;
  readonly #server: tls.Server;
  readonly #http1: http.Server;
  readonly #sessions = new Set<http2.ServerHttp2Session>();
  readonly #sockets = new Set<tls.TLSSocket>();
  #loaded = '';
  #reload: NodeJS.Timeout | undefined;

  constructor(options: { files: TlsFiles; log: Log; handle: HandleRequest }) {
    this.#files = options.files;
    this.#log = options.log;
    this.#handle = options.handle;
    this.#http1 = http.createServer({ headersTimeout: HEADERS_TIMEOUT_MS, keepAlive: true });
    this.#http1.requestTimeout = 0; // Watches and streams have no end.
    this.#http1.timeout = 0;
    this.#http1.keepAliveTimeout = 90_000;
    this.#http1.on('request', (request, response) => {
      serveHttp1(request, response, this.#peer(request.socket), this.#handle);
    });
    this.#http1.on('upgrade', (request, socket, head) => {
      serveUpgrade({ request, socket, head }, this.#peer(request.socket), this.#handle);
    });
    this.#server = tls.createServer({
      ...this.#secrets(),
      ALPNProtocols: ['h2', 'http/1.1'],
      requestCert: true,
      rejectUnauthorized: false,
      minVersion: 'TLSv1.2',
      // A resumed session would not carry the client's certificate.
      secureOptions: cryptoConstants.SSL_OP_NO_TICKET,
    });
    this.#server.on('secureConnection', (socket) => this.#accept(socket));
    this.#server.on('tlsClientError', (error) => {
      this.#log.debug('TLS handshake failed', { error });
    });
  }

  /** Resolves to the port once it listens. */
  listen(at: { host?: string | undefined; port: number }): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ ...at, backlog: 1024 }, () => {
        this.#server.off('error', reject);
        this.#reload = setInterval(() => this.#reloadIfChanged(), RELOAD_PERIOD_MS);
        this.#reload.unref();
        const address = this.#server.address();
        resolve((address as AddressInfo).port); // Listens on a port, not on a path.
      });
    });
  }

  /** Stops accepting, lets responses under way end within `graceMs`, then cuts. */
  async close(graceMs: number): Promise<void> {
    clearInterval(this.#reload);
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#http1.closeIdleConnections();
    for (const session of this.#sessions) session.close();
    const timer = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, graceMs);
    for (const socket of this.#sockets) {
      if (!this.#isBusy(socket)) socket.end();
    }
    await closed;
    clearTimeout(timer);
  }

  #isBusy(socket: tls.TLSSocket): boolean {
    return socket.writableLength > 0;
  }

  #accept(socket: tls.TLSSocket): void {
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 30_000);
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', (error) => this.#log.debug('connection failed', { error }));
    if (socket.alpnProtocol !== 'h2') {
      this.#http1.emit('connection', socket);
      return;
    }
    const peer = peerOf(socket);
    const session = http2.performServerHandshake(socket, {
      settings: {
        maxConcurrentStreams: CONCURRENT_STREAMS_MAX,
        initialWindowSize: 1024 * 1024,
        enableConnectProtocol: false,
      },
    });
    this.#sessions.add(session);
    session.on('close', () => this.#sessions.delete(session));
    session.on('error', (error) => this.#log.debug('HTTP/2 session failed', { error }));
    const remoteAddress = plainAddress(socket.remoteAddress);
    session.on('stream', (stream, headers) => {
      serveStream({ stream, headers, remoteAddress }, peer, this.#handle);
    });
  }

  #peers = new WeakMap<object, Peer>();

  #peer(socket: object): Peer {
    const known = this.#peers.get(socket);
    if (known !== undefined) return known;
    // Only TLS sockets are handed to the HTTP/1 server.
    const peer = peerOf(socket as tls.TLSSocket);
    this.#peers.set(socket, peer);
    return peer;
  }

  #secrets(): tls.SecureContextOptions {
    this.#loaded = this.#fingerprint();
    return {
      cert: readFileSync(this.#files.certificate),
      key: readFileSync(this.#files.key),
      ca: readFileSync(this.#files.clientCa),
    };
  }

  #fingerprint(): string {
    const { certificate, key, clientCa } = this.#files;
    return [certificate, key, clientCa].map((path) => statSync(path).mtimeMs).join(' ');
  }

  #reloadIfChanged(): void {
    try {
      if (this.#fingerprint() === this.#loaded) return;
      this.#server.setSecureContext(this.#secrets());
      this.#log.info('serving certificate read again');
    } catch (error) {
      if (!isErrno(error)) this.#log.warn('new serving certificate is not usable', { error });
      // A file between unlink and rename: the next round finds it.
    }
  }
}
