/**
 * The client's side of watches: decodes each event once and hands the same object to every watch
 * that wants it. A watch whose reader does not come has a bounded queue; when it is full the watch
 * is cancelled at the engine and opened again, from the first revision it has not seen, once the
 * reader has emptied the queue. So a slow reader costs a cursor into history.
 */
import type { ByteReader, ByteWriter } from '../codec/bytes.ts';
import { writeCount, writeKeyRange } from '../codec/command.ts';
import { REPLY, REQUEST } from '../codec/frame.ts';
import type { Frame } from '../codec/frame.ts';
import { readError, readEvent } from '../codec/reply.ts';
import { WATCH_QUEUE_BATCHES_MAX } from '../limits.ts';
import type { WatchLimits } from '../limits.ts';
import { StoreError } from '../port.ts';
import type { Watch, WatchBatch, WatchEvent, WatchRequest } from '../port.ts';

export interface WatchPost {
  readonly post: (id: number, kind: number, write: (out: ByteWriter) => void) => void;
  readonly nextId: () => number;
  /** Without a link, what is posted is lost. */
  readonly isLinked: () => boolean;
}

export class ClientWatches {
  readonly #io: WatchPost;
  readonly #limits: WatchLimits;
  readonly #watches = new Map<number, ClientWatch>();
  #bytesTaken = 0;

  constructor(io: WatchPost, limits: WatchLimits) {
    this.#io = io;
    this.#limits = limits;
  }

  open(request: WatchRequest): Watch {
    return new ClientWatch(request, {
      post: this.#io.post,
      isLinked: this.#io.isLinked,
      register: (watch) => {
        const id = this.#io.nextId();
        this.#watches.set(id, watch);
        return id;
      },
      unregister: (id) => this.#watches.delete(id),
    });
  }

  receive(frame: Frame, body: ByteReader): void {
    if (frame.kind === REPLY.events) {
      this.#events(body);
      this.#taken(frame.end - frame.start);
    } else if (frame.kind === REPLY.progress) {
      this.#watches.get(frame.id)?.push({ kind: 'progress', revision: body.varint() });
    } else {
      this.#watches.get(frame.id)?.fail(readError(body));
    }
  }

  end(reason: StoreError): void {
    for (const watch of this.#watches.values()) watch.fail(reason);
    this.#watches.clear();
  }

  #events(body: ByteReader): void {
    const revision = body.varint();
    const events: WatchEvent[] = [];
    for (let count = body.varint(); count > 0; count--) events.push(readEvent(body));
    let plain: WatchEvent[] | undefined;
    for (let count = body.varint(); count > 0; count--) {
      const watch = this.#watches.get(body.varint());
      const wantsPrevious = body.u8() === 1;
      // One watch wanted previous values, this one did not: one stripped copy for all like it.
      if (!wantsPrevious) plain ??= withoutPrevious(events);
      const source = wantsPrevious ? events : (plain ?? events);
      const chosen = chooseEvents(source, body);
      watch?.push({ kind: 'events', revision, events: chosen });
    }
  }

  /** Tells the engine now and then how far this client has come. */
  #taken(bytes: number): void {
    this.#bytesTaken += bytes;
    if (this.#bytesTaken < this.#limits.inflightBytes / 8) return;
    const taken = this.#bytesTaken;
    this.#bytesTaken = 0;
    this.#io.post(0, REQUEST.watchTaken, (out) => out.varint(taken));
  }
}

function chooseEvents(source: readonly WatchEvent[], body: ByteReader): readonly WatchEvent[] {
  const length = body.varint();
  if (length === 0) return source;
  const chosen: WatchEvent[] = [];
  for (let i = 0; i < length; i++) chosen.push(source[body.varint()] as WatchEvent); // Own engine.
  return chosen;
}

function withoutPrevious(events: WatchEvent[]): WatchEvent[] {
  if (events.every((event) => event.prevKv === undefined)) return events;
  return events.map(({ type, kv }) => ({ type, kv }));
}

type Reader = {
  resolve: (result: IteratorResult<WatchBatch>) => void;
  reject: (error: unknown) => void;
};

interface WatchIo {
  readonly post: WatchPost['post'];
  readonly isLinked: WatchPost['isLinked'];
  /** Gives the watch an id of its own at the engine; each start takes a new one. */
  readonly register: (watch: ClientWatch) => number;
  readonly unregister: (id: number) => void;
}

class ClientWatch implements Watch {
  readonly #request: WatchRequest;
  readonly #io: WatchIo;
  /** Id at the engine, 0 while cancelled there. Late frames of an old id find nobody. */
  #id = 0;
  /** While cancelled at the engine: where to go on. */
  #resumeRevision = 0;
  #progressOwed = false;
  #queue: WatchBatch[] = [];
  /** First entry of the queue not yet read; the array is cut when it is empty. */
  #read = 0;
  #reader: Reader | undefined;
  #failure: StoreError | undefined;
  #closed = false;

  constructor(request: WatchRequest, io: WatchIo) {
    this.#request = request;
    this.#io = io;
    this.#start(request.startRevision ?? 0);
  }

  requestProgress(): void {
    if (this.#closed || this.#failure !== undefined) return;
    if (this.#id === 0) this.#progressOwed = true;
    else this.#io.post(this.#id, REQUEST.watchProgress, () => {});
  }

  push(batch: WatchBatch): void {
    if (this.#reader !== undefined) {
      this.#reader.resolve({ done: false, value: batch });
      this.#reader = undefined;
      return;
    }
    if (this.#queue.length - this.#read < WATCH_QUEUE_BATCHES_MAX) {
      this.#queue.push(batch);
      return;
    }
    // Progress at R says that all up to R was queued: go on behind it and report it again later.
    this.#resumeRevision = batch.kind === 'events' ? batch.revision : batch.revision + 1;
    this.#progressOwed = batch.kind === 'progress';
    this.#stop();
  }

  /** The watch ended at the engine. What is queued is still read before the error. */
  fail(error: StoreError): void {
    this.#failure = error;
    this.#io.unregister(this.#id);
    this.#id = 0;
    if (this.#reader === undefined) return;
    this.#closed = true;
    this.#reader.reject(error);
    this.#reader = undefined;
  }

  [Symbol.asyncIterator](): AsyncIterator<WatchBatch> {
    return {
      next: () => this.#next(),
      return: () => {
        this[Symbol.dispose]();
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue = [];
    if (this.#id !== 0) this.#stop();
    this.#reader?.resolve({ done: true, value: undefined });
    this.#reader = undefined;
  }

  #start(revision: number): void {
    const id = this.#io.register(this);
    try {
      this.#io.post(id, REQUEST.watch, (out) => {
        writeKeyRange(out, this.#request);
        writeCount(out, revision, 'start revision');
        out.u8(this.#request.prevKv === true ? 1 : 0);
      });
    } catch (error) {
      this.#io.unregister(id);
      throw error;
    }
    this.#id = id;
  }

  #stop(): void {
    this.#io.post(this.#id, REQUEST.unwatch, () => {});
    this.#io.unregister(this.#id);
    this.#id = 0;
  }

  #next(): Promise<IteratorResult<WatchBatch>> {
    const batch = this.#queue[this.#read];
    if (batch !== undefined) {
      this.#read++;
      if (this.#read === this.#queue.length) this.#emptied();
      return Promise.resolve({ done: false, value: batch });
    }
    if (this.#closed) return Promise.resolve({ done: true, value: undefined });
    if (this.#failure !== undefined) {
      this.#closed = true;
      return Promise.reject(this.#failure);
    }
    if (this.#reader !== undefined) {
      return Promise.reject(new StoreError('INVALID_REQUEST', 'a watch has one reader at a time'));
    }
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
    });
  }

  #emptied(): void {
    this.#queue = [];
    this.#read = 0;
    if (this.#id !== 0 || this.#failure !== undefined) return;
    if (!this.#io.isLinked()) {
      this.#failure = new StoreError('UNAVAILABLE', 'link to the store broke');
      return;
    }
    this.#start(this.#resumeRevision);
    if (this.#progressOwed) this.requestProgress();
    this.#progressOwed = false;
  }
}
