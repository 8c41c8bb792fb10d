/**
 * The sockets of the cluster DNS: UDP and TCP on one address. A datagram that does not fit is
 * answered truncated, and the client comes again by TCP (RFC 7766). Owner: dns.ts.
 */
import { type RemoteInfo, type Socket as UdpSocket, createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type Server, type Socket, createServer } from 'node:net';
import type { Log } from '#base/log.ts';
import { TCP_CONNECTIONS_MAX, TCP_IDLE_MS, TCP_UNSENT_BYTES_MAX } from './limits.ts';
import { framed } from './upstream.ts';

/** Undefined: no answer is owed (what came is no query). `bytesMax` bounds the answer. */
export type Answerer = (
  query: Uint8Array,
  transport: 'udp' | 'tcp',
) => Promise<Uint8Array | undefined>;

export interface Listen {
  readonly address: string;
  readonly port: number;
}

export class DnsSockets implements AsyncDisposable {
  readonly #answer: Answerer;
  readonly #log: Log;
  readonly #udp: UdpSocket;
  readonly #tcp: Server;
  readonly #connections = new Set<Socket>();

  constructor(answer: Answerer, log: Log, listen: Listen) {
    this.#answer = answer;
    this.#log = log;
    this.#udp = createSocket(listen.address.includes(':') ? 'udp6' : 'udp4');
    this.#tcp = createServer((socket) => this.#serve(socket));
    this.#tcp.maxConnections = TCP_CONNECTIONS_MAX;
  }

  /** Resolves when both are bound; rejects with the errno error of the first that is not. */
  async listen({ address, port }: Listen): Promise<void> {
    this.#udp.bind({ address, port, exclusive: true });
    await once(this.#udp, 'listening');
    const bound = this.#udp.address().port; // The same for TCP when 0 was asked for.
    this.#tcp.listen({ host: address, port: bound, exclusive: true });
    await once(this.#tcp, 'listening');
    this.#udp.on('error', (error) => this.#log.warn('UDP socket', { error }));
    this.#tcp.on('error', (error) => this.#log.warn('TCP socket', { error }));
    this.#udp.on('message', (query, from) => this.#serveDatagram(query, from));
  }

  get port(): number {
    return this.#udp.address().port;
  }

  #serveDatagram(query: Buffer, from: RemoteInfo): void {
    this.#answer(new Uint8Array(query), 'udp').then(
      (answer) => {
        if (answer === undefined) return;
        this.#udp.send(answer, from.port, from.address, () => {}); // A client may be gone.
      },
      (error: unknown) => this.#log.error('query failed', { error }),
    );
  }

  #serve(socket: Socket): void {
    this.#connections.add(socket);
    socket.on('close', () => this.#connections.delete(socket));
    socket.on('error', () => socket.destroy()); // A client may be gone.
    socket.setTimeout(TCP_IDLE_MS, () => socket.destroy());
    let received = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      while (received.length >= 2 && received.length >= received.readUInt16BE(0) + 2) {
        const length = received.readUInt16BE(0);
        const query = new Uint8Array(received.subarray(2, length + 2));
        received = received.subarray(length + 2);
        this.#answer(query, 'tcp').then(
          (answer) => {
            if (answer !== undefined && socket.writable) socket.write(framed(answer));
            // Asks on and reads nothing: its answers must not pile up here.
            if (socket.writableLength > TCP_UNSENT_BYTES_MAX) socket.destroy();
          },
          (error: unknown) => this.#log.error('query failed', { error }),
        );
      }
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#connections) socket.destroy();
    if (this.#tcp.listening) {
      this.#tcp.close();
      await once(this.#tcp, 'close');
    }
    const closed = once(this.#udp, 'close');
    this.#udp.close();
    await closed;
  }
}
