/**
 * Calls to an etcd cluster: one connection to one member at a time, the next member when it fails.
 * A read is repeated at other members. A write is repeated only when etcd says that it was not
 * begun; otherwise its outcome is unknown, and said to be.
 *
 * Revisions must never go back, and the cluster must stay the same one: a cluster that was restored
 * from a backup would make every cache above wrong. Then the store fails for good (`onFailure`).
 */
import type { ServiceError } from '@grpc/grpc-js';
import type { Clock } from '#base/clock.ts';
import { errorText } from '#base/errors.ts';
import type { Log } from '#base/log.ts';
import { REQUESTS_IN_FLIGHT_MAX } from '../limits.ts';
import { StoreError } from '../port.ts';
import { EtcdConnection } from './connection.ts';
import type { EtcdTls } from './connection.ts';
import { explainFailure, isAnswerTooLarge, unanswered } from './errors.ts';
import type { ResponseHeader } from './etcd.gen.ts';
import { REQUEST_MS_MAX } from './limits.ts';
import type { Input, Method } from './rpc.ts';

export interface EtcdClusterOptions {
  /** `https://host:2379` or `http://host:2379`; at least one. */
  readonly endpoints: readonly string[];
  readonly tls: EtcdTls;
}

export interface EtcdIo {
  readonly clock: Clock;
  readonly log: Log;
  /** The store cannot go on; the process should end and start from what the cluster holds. */
  readonly onFailure: (error: StoreError) => void;
}

/** `stale`: a read that may be answered from a member's own state. */
export type CallKind = 'read' | 'stale' | 'write';

interface WithHeader {
  readonly header: ResponseHeader | null;
}

export class EtcdCluster {
  readonly #options: EtcdClusterOptions;
  readonly #io: EtcdIo;
  readonly #closing = new AbortController();
  #connection: EtcdConnection | undefined;
  #connecting: Promise<EtcdConnection> | undefined;
  /** Endpoint to try first. */
  #next = 0;
  #clusterId: string | undefined;
  /** Highest revision of a linearizable answer: no later question may be answered below it. */
  #seenRevision = 0;
  #inFlight = 0;
  #ended: StoreError | undefined;

  constructor(options: EtcdClusterOptions, io: EtcdIo) {
    this.#options = options;
    this.#io = io;
  }

  /** Why the store ended, once it did. */
  get ended(): StoreError | undefined {
    return this.#ended;
  }

  /**
   * Looks at every endpoint. Throws UNSUPPORTED when one of those that answer cannot be used, and
   * UNAVAILABLE when none answers.
   */
  async open(signal: AbortSignal): Promise<void> {
    const { endpoints } = this.#options;
    const looks = await Promise.allSettled(
      endpoints.map((endpoint) => this.#look(endpoint, signal)),
    );
    const found = looks.flatMap((look) => (look.status === 'fulfilled' ? [look.value] : []));
    const failures = looks.flatMap((look) => (look.status === 'rejected' ? [look.reason] : []));
    const [first, ...others] = found;
    for (const other of others) other.close();
    const refusal = failures.find((error) => isUnsupported(error));
    if (first === undefined || refusal !== undefined) {
      first?.close();
      signal.throwIfAborted();
      throw refusal ?? unreachable(failures);
    }
    this.#next = endpoints.indexOf(first.endpoint);
    this.#connection = first;
  }

  /** One request, one answer. Throws StoreError, or the signal's reason. */
  call<Req, Res extends WithHeader>(
    method: Method<Req, Res>,
    message: Input<Req>,
    options: { readonly kind: CallKind; readonly signal: AbortSignal },
  ): Promise<Res> {
    return this.run((connection, signal) => connection.request(method, message, signal), options);
  }

  /** As `call`, for whatever `send` does on a connection until its signal aborts. */
  async run<Res extends WithHeader>(
    send: (connection: EtcdConnection, signal: AbortSignal) => Promise<Res>,
    options: { readonly kind: CallKind; readonly signal: AbortSignal },
  ): Promise<Res> {
    const { kind, signal } = options;
    signal.throwIfAborted();
    if (this.#ended !== undefined) throw this.#ended;
    if (this.#inFlight >= REQUESTS_IN_FLIGHT_MAX) {
      throw new StoreError('UNAVAILABLE', `${REQUESTS_IN_FLIGHT_MAX} store requests are in flight`);
    }
    this.#inFlight++;
    try {
      using deadline = this.#io.clock.deadline(REQUEST_MS_MAX, signal);
      return await this.#attempt(send, { kind, signal, deadline: deadline.signal });
    } finally {
      this.#inFlight--;
    }
  }

  /** The current connection, or a new one. Throws UNAVAILABLE, UNSUPPORTED or CLOSED. */
  async connected(signal: AbortSignal): Promise<EtcdConnection> {
    if (this.#ended !== undefined) throw this.#ended;
    if (this.#connection !== undefined && !this.#connection.isReady) this.drop(this.#connection);
    if (this.#connection !== undefined) return this.#connection;
    this.#connecting ??= this.#connect().finally(() => (this.#connecting = undefined));
    return raceAbort(this.#connecting, signal);
  }

  /** The connection failed: the next call makes another, to the next endpoint. */
  drop(connection: EtcdConnection): void {
    if (this.#connection !== connection) return;
    connection.retire();
    this.#connection = undefined;
    this.#next = (this.#next + 1) % this.#options.endpoints.length;
  }

  end(reason: StoreError): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    this.#closing.abort(reason);
    this.#connection?.close();
  }

  async #attempt<Res extends WithHeader>(
    send: (connection: EtcdConnection, signal: AbortSignal) => Promise<Res>,
    options: { kind: CallKind; signal: AbortSignal; deadline: AbortSignal },
  ): Promise<Res> {
    const { kind, signal, deadline } = options;
    for (let attempt = 1; ; attempt++) {
      const connection = await this.#connectedBy(deadline, signal);
      const seenBefore = this.#seenRevision;
      try {
        const answer = await send(connection, deadline);
        if (kind !== 'stale') this.#saw(seenBefore, answer);
        return answer;
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof StoreError || isAnswerTooLarge(error)) throw error;
        const writes = kind === 'write';
        if (deadline.aborted) {
          this.drop(connection);
          throw unanswered(errorText(error), writes, error);
        }
        if (this.#ended !== undefined)
          throw writes ? unanswered('closed', true, error) : this.#ended;
        const failure = explainFailure(error as ServiceError, writes); // All else is gRPC's.
        if (failure.isConnectionBad) this.drop(connection);
        const isLast = attempt > this.#options.endpoints.length;
        if (isLast || !failure.isForOtherMember) throw failure.error;
      }
    }
  }

  /** Nothing was sent yet, so running out of time here is no doubt about a write. */
  async #connectedBy(deadline: AbortSignal, signal: AbortSignal): Promise<EtcdConnection> {
    try {
      return await this.connected(deadline);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof StoreError) throw error;
      throw new StoreError('UNAVAILABLE', 'no connection to etcd in time', { cause: error });
    }
  }

  #saw(seenBefore: number, answer: WithHeader): void {
    const revision = answer.header?.revision.toNumber() ?? 0;
    if (revision < seenBefore) {
      const text = `etcd went back from revision ${seenBefore} to ${revision}: restored from a backup?`;
      throw this.fail(new StoreError('CORRUPT', text));
    }
    this.#seenRevision = Math.max(this.#seenRevision, revision);
  }

  /** Ends the store for good and tells its owner. Returns `error`. */
  fail(error: StoreError): StoreError {
    if (this.#ended === undefined) {
      this.end(error);
      this.#io.onFailure(error);
    }
    return error;
  }

  async #connect(): Promise<EtcdConnection> {
    const { endpoints } = this.#options;
    const failures: unknown[] = [];
    for (let i = 0; i < endpoints.length; i++) {
      const endpoint = endpoints[this.#next] ?? ''; // In bounds.
      try {
        const connection = await this.#look(endpoint, this.#closing.signal);
        this.#connection = connection;
        this.#io.log.info('connected to etcd', { endpoint });
        return connection;
      } catch (error) {
        if (this.#ended !== undefined) throw this.#ended;
        this.#io.log.warn('cannot use an etcd endpoint', { endpoint, error });
        failures.push(error);
        this.#next = (this.#next + 1) % endpoints.length;
      }
    }
    const foreign = failures.find((error) => error instanceof ForeignCluster);
    if (foreign instanceof ForeignCluster) throw this.fail(foreign);
    throw unreachable(failures);
  }

  async #look(endpoint: string, signal: AbortSignal): Promise<EtcdConnection> {
    const { tls } = this.#options;
    const connection = await EtcdConnection.open(endpoint, tls, { clock: this.#io.clock, signal });
    this.#clusterId ??= connection.clusterId;
    if (connection.clusterId === this.#clusterId) return connection;
    connection.close();
    throw new ForeignCluster(endpoint, connection.clusterId, this.#clusterId);
  }
}

/** An endpoint belongs to another cluster than the others, or than before. */
class ForeignCluster extends StoreError {
  constructor(endpoint: string, found: string, wanted: string) {
    super('UNSUPPORTED', `etcd at ${endpoint} belongs to cluster ${found}, not ${wanted}`);
  }
}

function isUnsupported(error: unknown): boolean {
  return error instanceof StoreError && error.code === 'UNSUPPORTED';
}

function unreachable(failures: readonly unknown[]): StoreError {
  const text = failures.map(errorText).join('; ');
  return new StoreError('UNAVAILABLE', `no etcd endpoint can be used: ${text}`);
}

/** The promise's result, unless the signal aborts first; the promise itself goes on. */
export function raceAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.finally(() => signal.removeEventListener('abort', onAbort)).then(resolve, reject);
  });
}
