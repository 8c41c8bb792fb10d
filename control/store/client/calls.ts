/**
 * Requests of one client that have no answer yet: numbers them, gathers the frames of one turn into
 * one message, and matches answers. While no link to an engine is up, requests wait; those that were
 * sent over a link that broke are sent again over the next.
 */
import { ByteReader, ByteWriter } from '../codec/bytes.ts';
import { beginFrame, endFrame } from '../codec/frame.ts';
import { REQUESTS_IN_FLIGHT_MAX } from '../limits.ts';
import { StoreError } from '../port.ts';

/** The way to an engine. */
export interface Link {
  /** Hands over one message of request frames; the bytes are the link's from then on. */
  send(message: Uint8Array<ArrayBuffer>): void;
  /** A watch is about to be asked for: events may get a way of their own. */
  watching?(): void;
  /** Ends the engine's side; resolves when nothing more will come. */
  close(): Promise<void>;
}

/** When a client goes on by itself. The simulator brings its own. */
export interface Timers {
  /** Behind the present turn. */
  soon(run: () => void): void;
  later(ms: number, run: () => void): void;
}

export const REAL_TIMERS: Timers = {
  soon: (run) => void setImmediate(run),
  // A link keeps the process; what is only waited for does not.
  later: (ms, run) => void setTimeout(run, ms).unref(),
};

export interface Call {
  /** One of REQUEST. */
  readonly kind: number;
  /** Writes the body, each time that the request is sent. */
  readonly write: (out: ByteWriter) => void;
  /** Takes the answer, from its first byte on. */
  readonly answered: (body: ByteReader) => void;
  /** It was not sent, or will not be answered. */
  readonly failed: (error: unknown) => void;
}

export class Calls {
  readonly #calls = new Map<number, Call>();
  readonly #out = new ByteWriter();
  readonly timers: Timers;
  #link: Link | undefined;
  #nextId = 1;
  #flushDue = false;
  #idle: (() => void) | undefined;

  constructor(timers: Timers) {
    this.timers = timers;
  }

  get isLinked(): boolean {
    return this.#link !== undefined;
  }

  /** A watch is about to be asked for. */
  watching(): void {
    this.#link?.watching?.();
  }

  /** Ids of requests and of watches are of one row. */
  newId(): number {
    return this.#nextId++;
  }

  /** Throws what `write` throws, and UNAVAILABLE when too much is under way. */
  send(call: Call): void {
    if (this.#calls.size >= REQUESTS_IN_FLIGHT_MAX) {
      throw new StoreError('UNAVAILABLE', `${REQUESTS_IN_FLIGHT_MAX} store requests are in flight`);
    }
    const id = this.newId();
    this.post(id, call.kind, call.write);
    this.#calls.set(id, call);
  }

  /**
   * Adds a frame to the message of this turn; without a link it is dropped. Nothing of it stays when
   * `write` throws.
   */
  post(id: number, kind: number, write: (out: ByteWriter) => void): void {
    if (this.#link === undefined) return;
    const start = this.#out.length;
    const lengthAt = beginFrame(this.#out, id, kind);
    try {
      write(this.#out);
    } catch (error) {
      this.#out.truncate(start);
      throw error;
    }
    endFrame(this.#out, lengthAt);
    if (this.#flushDue) return;
    this.#flushDue = true;
    this.timers.soon(() => {
      this.#flushDue = false;
      this.flush();
    });
  }

  flush(): void {
    if (this.#out.length > 0) this.#link?.send(this.#out.take());
  }

  answered(id: number, body: ByteReader): void {
    const call = this.#calls.get(id);
    if (call === undefined) return; // Sent again since, under another id.
    call.answered(body); // One that does not decode leaves it waiting for the next link.
    this.#calls.delete(id);
    if (this.#calls.size === 0) this.#idle?.();
  }

  /** Takes a link into use and sends all that waits, in its old order. */
  connect(link: Link): void {
    this.#link = link;
    const waiting = [...this.#calls.values()];
    this.#calls.clear();
    for (const call of waiting) {
      try {
        this.send(call);
      } catch (error) {
        call.failed(error);
      }
    }
  }

  /** The link broke: what was not answered waits for the next. */
  disconnect(): void {
    this.#link = undefined;
    this.#out.truncate(0);
  }

  /** Resolves when no request is without an answer. */
  async drained(): Promise<void> {
    this.flush();
    if (this.#calls.size === 0) return;
    const idle = Promise.withResolvers<void>();
    this.#idle = idle.resolve;
    await idle.promise;
  }

  async close(): Promise<void> {
    await this.#link?.close();
  }

  /** Nothing will be answered any more. */
  end(reason: StoreError): void {
    this.disconnect();
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    for (const call of calls) call.failed(reason);
    this.#idle?.();
  }
}
