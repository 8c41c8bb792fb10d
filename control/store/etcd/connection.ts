/**
 * A checked connection to one etcd member: two HTTP/2 connections, one for requests and one for
 * watches, so that a burst of events does not hold up requests (etcd #15402). It is never revived:
 * once it fails it is retired, and the next one reads the certificate files anew and asks for the
 * version again.
 */
import { readFileSync } from 'node:fs';
import { Client, Metadata, connectivityState, credentials } from '@grpc/grpc-js';
import type { ChannelCredentials, ClientDuplexStream, ClientOptions } from '@grpc/grpc-js';
import { must } from '#base/assert.ts';
import type { Clock } from '#base/clock.ts';
import { StoreError } from '../port.ts';
import { Maintenance } from './etcd.gen.ts';
import {
  CONNECT_MS_MAX,
  KEEPALIVE_ANSWER_MS_MAX,
  KEEPALIVE_MS,
  RECEIVE_BYTES_MAX,
} from './limits.ts';
import { codecOf } from './rpc.ts';
import type { Input, Method } from './rpc.ts';

/** Paths of PEM files. They are read for each connection, so a renewed certificate is taken up. */
export interface EtcdTls {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/** The first release whose progress notifications can be trusted by Kubernetes (reference: rule 13). */
const VERSION_MIN = [3, 5, 13] as const;

const OPTIONS: ClientOptions = {
  'grpc.max_receive_message_length': RECEIVE_BYTES_MAX,
  'grpc.max_send_message_length': -1, // etcd refuses what is too large, in its own words.
  'grpc.keepalive_time_ms': KEEPALIVE_MS,
  'grpc.keepalive_timeout_ms': KEEPALIVE_ANSWER_MS_MAX,
  'grpc.use_local_subchannel_pool': 1, // Else both clients would share one connection.
  'grpc.enable_retries': 0, // What is tried again is decided in cluster.ts.
  'grpc.enable_http_proxy': 0,
  'grpc.enable_channelz': 0,
  'grpc.service_config_disable_resolution': 1,
};

export type Stream<Req, Res> = ClientDuplexStream<Input<Req>, Res>;

export class EtcdConnection {
  readonly endpoint: string;
  readonly clusterId: string;
  readonly #requests: Client;
  readonly #streams: Client;
  readonly #open: Set<{ cancel(): void }>;

  private constructor(endpoint: string, clusterId: string, clients: Clients) {
    this.endpoint = endpoint;
    this.clusterId = clusterId;
    this.#requests = clients.requests;
    this.#streams = clients.streams;
    this.#open = clients.open;
  }

  /**
   * Connects and checks the member. Throws StoreError UNSUPPORTED when it is older than 3.5.13 or a
   * learner, and the gRPC error or the file's when it cannot be reached.
   */
  static async open(
    endpoint: string,
    tls: EtcdTls,
    io: { readonly clock: Clock; readonly signal: AbortSignal },
  ): Promise<EtcdConnection> {
    const clients = makeClients(endpoint, tls);
    try {
      using deadline = io.clock.deadline(CONNECT_MS_MAX, io.signal);
      const answer = await request(clients, Maintenance.Status, {}, deadline.signal);
      checkVersion(endpoint, answer.version);
      if (answer.isLearner) throw unsupported(`etcd at ${endpoint} is a learner`);
      const header = must(answer.header, 'a status has a header');
      return new EtcdConnection(endpoint, header.clusterId.toString(), clients);
    } catch (error) {
      closeClients(clients);
      throw error;
    }
  }

  /** False once the connection was lost, which an idle client learns from nothing else. */
  get isReady(): boolean {
    return this.#requests.getChannel().getConnectivityState(false) === connectivityState.READY;
  }

  /** Rejects with the gRPC ServiceError, or with the signal's reason. */
  request<Req, Res>(
    method: Method<Req, Res>,
    message: Input<Req>,
    signal: AbortSignal,
  ): Promise<Res> {
    return request({ requests: this.#requests, open: this.#open }, method, message, signal);
  }

  /** Of a method of streams: sends one message, resolves to the first answer, ends the stream. */
  async ask<Req, Res>(
    method: Method<Req, Res>,
    message: Input<Req>,
    signal: AbortSignal,
  ): Promise<Res> {
    signal.throwIfAborted();
    const stream = this.stream(method);
    const onAbort = () => stream.cancel();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await new Promise<Res>((resolve, reject) => {
        stream.once('data', resolve);
        stream.on('error', (error) => reject(signal.aborted ? signal.reason : error));
        stream.once('end', () => reject(new Error(`${method.path} ended without an answer`)));
        stream.write(message);
      });
    } finally {
      signal.removeEventListener('abort', onAbort);
      stream.cancel();
    }
  }

  /** The caller listens to `error` and cancels the stream when it is done with it. */
  stream<Req, Res>(method: Method<Req, Res>): Stream<Req, Res> {
    const { serialize, deserialize } = codecOf(method);
    return this.#streams.makeBidiStreamRequest(
      method.path,
      serialize,
      deserialize,
      withLeader(),
      {},
    );
  }

  /** No new calls; those under way may end. */
  retire(): void {
    this.#requests.close();
    this.#streams.close();
  }

  /** Ends calls under way too. */
  close(): void {
    closeClients({ requests: this.#requests, streams: this.#streams, open: this.#open });
  }
}

interface Clients {
  readonly requests: Client;
  readonly streams: Client;
  /** Requests under way. */
  readonly open: Set<{ cancel(): void }>;
}

function makeClients(endpoint: string, tls: EtcdTls): Clients {
  const { protocol, hostname, port } = new URL(endpoint);
  const target = `dns:${hostname}:${port || (protocol === 'http:' ? 80 : 443)}`;
  const make = () => new Client(target, credentialsOf(protocol, tls), OPTIONS);
  return { requests: make(), streams: make(), open: new Set() };
}

function credentialsOf(protocol: string, tls: EtcdTls): ChannelCredentials {
  if (protocol === 'http:') return credentials.createInsecure();
  const read = (path: string | undefined) => (path === undefined ? null : readFileSync(path));
  return credentials.createSsl(read(tls.ca), read(tls.key), read(tls.cert));
}

function closeClients(clients: Clients): void {
  for (const call of clients.open) call.cancel();
  clients.requests.close();
  clients.streams.close();
}

function request<Req, Res>(
  clients: Pick<Clients, 'requests' | 'open'>,
  method: Method<Req, Res>,
  message: Input<Req>,
  signal: AbortSignal,
): Promise<Res> {
  if (signal.aborted) return Promise.reject(signal.reason);
  const { serialize, deserialize } = codecOf(method);
  return new Promise((resolve, reject) => {
    const onAbort = () => call.cancel();
    const call = clients.requests.makeUnaryRequest(
      method.path,
      serialize,
      deserialize,
      message,
      withLeader(),
      {},
      (error, answer) => {
        signal.removeEventListener('abort', onAbort);
        clients.open.delete(call);
        if (error === null) resolve(must(answer, 'a call without error has an answer'));
        else reject(signal.aborted ? signal.reason : error);
      },
    );
    clients.open.add(call);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}

/** A member that has no leader refuses at once, instead of letting the call wait. */
function withLeader(): Metadata {
  const metadata = new Metadata();
  metadata.set('hasleader', 'true');
  return metadata;
}

function checkVersion(endpoint: string, version: string): void {
  const numbers = /^(\d+)\.(\d+)\.(\d+)/.exec(version)?.slice(1).map(Number) ?? [];
  const at = VERSION_MIN.findIndex((least, index) => numbers[index] !== least);
  if (at < 0 || (numbers[at] ?? 0) > (VERSION_MIN[at] ?? 0)) return;
  throw unsupported(`etcd ${version} at ${endpoint} is older than ${VERSION_MIN.join('.')}`);
}

function unsupported(text: string): StoreError {
  return new StoreError('UNSUPPORTED', text);
}
