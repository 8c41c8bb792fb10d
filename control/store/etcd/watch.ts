/**
 * A watch over etcd: one stream for each, so that a progress notification, which etcd gives per
 * stream, is about this watch alone, and a slow reader holds up nobody else. A stream that breaks is
 * opened again behind the last revision that was taken in; the reader sees nothing of it.
 *
 * A reader that does not come stops the stream (flow control), then etcd keeps only a cursor.
 * Fragments of a response are put together by revision: a revision is complete when a later one
 * begins, or the last fragment came.
 */
import { status } from '@grpc/grpc-js';
import type { ServiceError } from '@grpc/grpc-js';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { WATCH_QUEUE_BATCHES_MAX } from '../limits.ts';
import { StoreError } from '../port.ts';
import type { Watch, WatchBatch, WatchEvent, WatchRequest } from '../port.ts';
import type { EtcdCluster } from './cluster.ts';
import type { Stream } from './connection.ts';
import { Watch as WatchService } from './etcd.gen.ts';
import type * as etcd from './etcd.gen.ts';
import {
  PROGRESS_RETRY_MS,
  WATCH_QUEUE_BYTES_MAX,
  WATCH_RETRY_MS_MAX,
  WATCH_RETRY_MS_MIN,
} from './limits.ts';
import { fromEvent, revisionOf, toWatch } from './wire.ts';
import type { KeySpace } from './wire.ts';

export interface EtcdWatchIo {
  readonly cluster: EtcdCluster;
  readonly space: KeySpace;
  readonly clock: Clock;
  readonly log: Log;
  /** The revision of the whole cluster, read by quorum. */
  readonly presentRevision: (signal: AbortSignal) => Promise<number>;
  /** Runs a task of the watch under the store's ownership. */
  readonly spawn: (name: string, run: (signal: AbortSignal) => Promise<void>) => void;
  /** The watch ended, by its reader or by a failure. */
  readonly onEnd: (watch: EtcdWatch) => void;
}

type WatchStream = Stream<etcd.WatchRequest, etcd.WatchResponse>;

type Reader = {
  resolve: (result: IteratorResult<WatchBatch>) => void;
  reject: (error: unknown) => void;
};

interface Queued {
  readonly batch: WatchBatch;
  readonly bytes: number;
}

export class EtcdWatch implements Watch {
  /** Resolves when etcd has the watch, or never will: later writes are seen. */
  readonly started: Promise<void>;
  readonly #io: EtcdWatchIo;
  readonly #request: WatchRequest;
  readonly #stop = new AbortController();
  readonly #setStarted: () => void;
  /** First revision not yet taken in; 0 until a watch from now on learns its start. */
  #next: number;
  #stream: WatchStream | undefined;
  #isCreated = false;
  #retryMs = WATCH_RETRY_MS_MIN;
  /** Events of the last revision of a response that goes on in another fragment. */
  #partial: WatchEvent[] = [];
  #isProgressOwed = false;
  #isAsking = false;
  #queue: Queued[] = [];
  #queueBytes = 0;
  #reader: Reader | undefined;
  #failure: StoreError | undefined;
  #isClosed = false;

  constructor(request: WatchRequest, io: EtcdWatchIo) {
    this.#io = io;
    this.#request = request;
    this.#next = request.startRevision ?? 0;
    toWatch(io.space, request, this.#next); // Throws INVALID_REQUEST here and not in the task.
    const started = Promise.withResolvers<void>();
    this.started = started.promise;
    this.#setStarted = started.resolve;
    io.spawn('watch etcd', (signal) => this.#run(AbortSignal.any([signal, this.#stop.signal])));
  }

  requestProgress(): void {
    if (this.#isClosed || this.#failure !== undefined) return;
    this.#isProgressOwed = true;
    if (this.#isAsking) return;
    this.#isAsking = true;
    this.#io.spawn('ask etcd for progress', (signal) =>
      this.#askProgress(AbortSignal.any([signal, this.#stop.signal])),
    );
  }

  /** The watch ends with an error, behind what is queued. */
  fail(error: StoreError): void {
    if (this.#failure !== undefined || this.#isClosed) return;
    this.#failure = error;
    this.#end();
    if (this.#reader === undefined) return;
    this.#isClosed = true;
    this.#reader.reject(error);
    this.#reader = undefined;
  }

  [Symbol.asyncIterator](): AsyncIterator<WatchBatch> {
    return {
      next: () => this.#read(),
      return: () => {
        this[Symbol.dispose]();
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }

  [Symbol.dispose](): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#queue = [];
    this.#end();
    this.#reader?.resolve({ done: true, value: undefined });
    this.#reader = undefined;
  }

  /** Keeps a stream open until the watch ends. */
  async #run(signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) {
        try {
          await this.#follow(signal);
        } catch (error) {
          if (signal.aborted) return;
          if (this.#io.cluster.ended !== undefined) return this.fail(this.#io.cluster.ended);
          this.#io.log.warn('a watch of etcd broke, it is opened again', { error });
        }
        if (signal.aborted) return;
        await this.#io.clock.sleep(this.#retryMs, signal);
        this.#retryMs = Math.min(this.#retryMs * 2, WATCH_RETRY_MS_MAX);
      }
    } catch (error) {
      if (!signal.aborted) throw error; // Ended while it slept.
    } finally {
      this.#setStarted();
    }
  }

  /** One stream, from its opening until it ends or breaks. */
  async #follow(signal: AbortSignal): Promise<void> {
    const connection = await this.#io.cluster.connected(signal);
    const stream = connection.stream(WatchService.Watch);
    this.#stream = stream;
    const onAbort = () => stream.cancel();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      await new Promise<void>((resolve, reject) => {
        stream.on('error', (error: ServiceError) => {
          // A stream that this side cancelled broke for no reason of the connection's.
          if (error.code !== status.CANCELLED) this.#io.cluster.drop(connection);
          reject(error);
        });
        stream.on('end', resolve);
        stream.on('data', (response: etcd.WatchResponse) => {
          try {
            this.#receive(response);
          } catch (error) {
            reject(error);
          }
        });
        if (this.#isFull) stream.pause();
        stream.write(toWatch(this.#io.space, this.#request, this.#next));
      });
    } finally {
      signal.removeEventListener('abort', onAbort);
      stream.cancel();
      this.#stream = undefined;
      this.#isCreated = false;
      this.#partial = [];
    }
  }

  #receive(response: etcd.WatchResponse): void {
    if (response.canceled) {
      const compactRevision = response.compactRevision.toNumber();
      if (compactRevision === 0) throw new Error(`etcd ended a watch: ${response.cancelReason}`);
      const text = `revision ${this.#next} is compacted, compact revision is ${compactRevision}`;
      this.fail(new StoreError('COMPACTED', text, { compactRevision }));
    } else if (response.created) {
      if (this.#next === 0) this.#next = revisionOf(response) + 1;
      this.#isCreated = true;
      this.#retryMs = WATCH_RETRY_MS_MIN;
      this.#setStarted();
    } else if (response.events.length === 0) {
      // Id -1 answers a request of ours; the others come by themselves now and then.
      this.#progressed(revisionOf(response), response.watchId.toNumber() === -1);
    } else {
      this.#events(response);
    }
  }

  #progressed(revision: number, isAnswer: boolean): void {
    if (revision < this.#next - 1) return; // A watch from the future hears nothing (etcd #20221).
    this.#next = revision + 1;
    if (!isAnswer || !this.#isProgressOwed) return;
    this.#isProgressOwed = false;
    this.#push({ kind: 'progress', revision }, 0);
  }

  #events(response: etcd.WatchResponse): void {
    let batch = this.#partial;
    for (const message of response.events) {
      const event = fromEvent(this.#io.space, message);
      const revision = batch[0]?.kv.modRevision;
      if (revision !== undefined && revision !== event.kv.modRevision) {
        this.#take(batch);
        batch = [];
      }
      batch.push(event);
    }
    this.#partial = response.fragment ? batch : [];
    if (!response.fragment) this.#take(batch);
  }

  #take(events: readonly WatchEvent[]): void {
    const revision = events[0]?.kv.modRevision ?? 0; // Never empty.
    // Opening again at `next` must not bring what was taken in before it.
    if (revision < this.#next) return;
    this.#next = revision + 1;
    this.#push({ kind: 'events', revision, events }, bytesOf(events));
  }

  #push(batch: WatchBatch, bytes: number): void {
    if (this.#reader !== undefined) {
      this.#reader.resolve({ done: false, value: batch });
      this.#reader = undefined;
      return;
    }
    this.#queue.push({ batch, bytes });
    this.#queueBytes += bytes;
    if (this.#isFull) this.#stream?.pause();
  }

  get #isFull(): boolean {
    const { length } = this.#queue;
    return length >= WATCH_QUEUE_BATCHES_MAX || this.#queueBytes >= WATCH_QUEUE_BYTES_MAX;
  }

  #read(): Promise<IteratorResult<WatchBatch>> {
    const queued = this.#queue.shift();
    if (queued !== undefined) {
      this.#queueBytes -= queued.bytes;
      if (this.#queue.length === 0) this.#stream?.resume();
      return Promise.resolve({ done: false, value: queued.batch });
    }
    if (this.#isClosed) return Promise.resolve({ done: true, value: undefined });
    if (this.#failure !== undefined) {
      this.#isClosed = true;
      return Promise.reject(this.#failure);
    }
    if (this.#reader !== undefined) {
      return Promise.reject(new StoreError('INVALID_REQUEST', 'a watch has one reader at a time'));
    }
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
    });
  }

  /**
   * etcd answers only when the watch has caught up, and forgets the question otherwise. 3.6 does not
   * answer either while nothing was written since the watch's start: then the present revision tells.
   */
  async #askProgress(signal: AbortSignal): Promise<void> {
    try {
      while (this.#isProgressOwed) {
        if (this.#isCreated) this.#stream?.write({ progressRequest: {} });
        await this.#io.clock.sleep(PROGRESS_RETRY_MS, signal);
        if (this.#isProgressOwed && this.#isCreated) await this.#compareRevision(signal);
      }
    } catch (error) {
      if (!signal.aborted) throw error; // Ended while it slept.
    } finally {
      this.#isAsking = false;
    }
  }

  async #compareRevision(signal: AbortSignal): Promise<void> {
    try {
      const revision = await this.#io.presentRevision(signal);
      if (revision === this.#next - 1) this.#progressed(revision, true);
    } catch (error) {
      if (!(error instanceof StoreError) || signal.aborted) throw error;
      // Asked again.
    }
  }

  #end(): void {
    this.#isProgressOwed = false;
    this.#stop.abort(new StoreError('CLOSED', 'watch is closed'));
    this.#setStarted();
    this.#io.onEnd(this);
  }
}

function bytesOf(events: readonly WatchEvent[]): number {
  let bytes = 0;
  for (const { kv, prevKv } of events) {
    bytes += kv.key.length + kv.value.length + (prevKv?.value.length ?? 0);
  }
  return bytes;
}
