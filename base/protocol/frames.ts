/**
 * Calls multiplexed over one WebSocket, below any service: each call is a stream of byte messages in
 * both directions with flow control of its own. One binary WebSocket message is one frame:
 *
 *   byte 0      kind: 1 call, 2 message, 3 end, 4 credit
 *   bytes 1-4   stream number, big-endian; the side that connected chooses, counting up
 *   rest        call: JSON {service, method}; message: its bytes; end: empty or JSON {code, message,
 *               details}; credit: number of bytes, 4 bytes big-endian
 *
 * Invariant: a sender begins a message only while less than WINDOW_BYTES of its messages on that stream are
 * unread; a receiver ends a call that breaks it. Nothing is sent while BUFFERED_BYTES_MAX wait in the socket, and
 * a peer that asks on without reading is cut off. Each side ends its own direction once; an `end` with an
 * error ends both. Bounds are in this file because both sides must agree on them.
 */
import type { WebSocket } from 'ws';
import { errorText } from '../errors.ts';

/** Unread bytes of one stream and direction; a message counts as its bytes and MESSAGE_OVERHEAD_BYTES. */
export const WINDOW_BYTES = 1 << 20;
/** Empty messages take memory too. */
const MESSAGE_OVERHEAD_BYTES = 64;
export const MESSAGE_BYTES_MAX = 4 << 20;
export const STREAMS_MAX = 256;
/** Bytes that wait to be written to one WebSocket before the senders of messages wait too. */
export const BUFFERED_BYTES_MAX = 8 << 20;
/** Unread bytes of a stream whose sender keeps the invariant: the window, overrun by one message. */
const UNREAD_BYTES_MAX = WINDOW_BYTES + MESSAGE_BYTES_MAX + MESSAGE_OVERHEAD_BYTES;

export type ProtocolErrorCode =
  | 'CANCELLED'
  | 'FAILED_PRECONDITION'
  | 'INTERNAL'
  | 'INVALID_ARGUMENT'
  | 'NOT_FOUND'
  /** It may have been done, or not. */
  | 'OUTCOME_UNKNOWN'
  | 'PERMISSION_DENIED'
  | 'RESOURCE_EXHAUSTED'
  | 'UNAUTHENTICATED'
  | 'UNAVAILABLE'
  | 'UNIMPLEMENTED';

/** What a call ended with, the same on both sides. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
  readonly code: ProtocolErrorCode;
  /** Facts for programs, e.g. the config field that is wrong. */
  readonly details: Readonly<Record<string, string>>;

  constructor(
    code: ProtocolErrorCode,
    message: string,
    options: { details?: Readonly<Record<string, string>>; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
  }
}

export interface CallTarget {
  readonly service: string;
  readonly method: string;
}

/** One call as either side sees it. */
export interface RawCall {
  readonly target: CallTarget;
  /** Messages of the peer; throws ProtocolError when it ended with one. */
  readonly incoming: AsyncIterable<Uint8Array>;
  /** Resolves when the window allows the next message. */
  send(message: Uint8Array): Promise<void>;
  /** Ends this side's direction; with an error both. */
  end(error?: ProtocolError): void;
  /** Aborts when the call is over for any reason. */
  readonly signal: AbortSignal;
}

const KIND = { call: 1, message: 2, end: 3, credit: 4 } as const;

/** One WebSocket's calls. The acceptor gets `onCall`; the connector opens calls. */
export class FrameConnection {
  readonly #socket: WebSocket;
  readonly #onCall: ((call: RawCall) => void) | undefined;
  readonly #streams = new Map<number, Stream>();
  /** Senders that wait for room in the socket's buffer. */
  readonly #waiting: (() => void)[] = [];
  #nextStream = 1;

  constructor(socket: WebSocket, onCall?: (call: RawCall) => void) {
    this.#socket = socket;
    this.#onCall = onCall;
    socket.binaryType = 'nodebuffer';
    socket.on('message', (data, isBinary) => {
      if (isBinary)
        this.#onFrame(data as Buffer); // binaryType above.
      else socket.close(1003);
    });
    socket.on('ping', () => this.#requireReader());
    socket.on('close', () => this.#fail(new ProtocolError('UNAVAILABLE', 'connection closed')));
    socket.on('error', (error) => this.#fail(new ProtocolError('UNAVAILABLE', errorText(error))));
  }

  /** Opens a call. Throws UNAVAILABLE when the connection is gone or has too many. */
  open(target: CallTarget): RawCall {
    if (this.#socket.readyState !== this.#socket.OPEN) {
      throw new ProtocolError('UNAVAILABLE', 'connection is not open');
    }
    if (this.#streams.size >= STREAMS_MAX) {
      throw new ProtocolError('RESOURCE_EXHAUSTED', `${STREAMS_MAX} calls are open`);
    }
    const id = this.#nextStream++;
    const stream = this.#add(id, target, true);
    this.#write(KIND.call, id, Buffer.from(JSON.stringify(target)));
    return stream;
  }

  close(): void {
    this.#socket.close();
  }

  #add(id: number, target: CallTarget, opened: boolean): Stream {
    const stream = new Stream(
      { target, opened },
      {
        room: () => this.#room(),
        message: (bytes) => this.#write(KIND.message, id, bytes),
        end: (error) => {
          const { code, message, details } = error ?? {};
          const body = error === undefined ? '' : JSON.stringify({ code, message, details });
          this.#write(KIND.end, id, Buffer.from(body));
        },
        credit: (bytes) => {
          const body = Buffer.alloc(4);
          body.writeUInt32BE(bytes);
          this.#write(KIND.credit, id, body);
        },
        over: () => this.#streams.delete(id),
      },
    );
    this.#streams.set(id, stream);
    return stream;
  }

  #write(kind: number, id: number, body: Uint8Array): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return; // `close` ends every stream.
    const head = Buffer.alloc(5);
    head[0] = kind;
    head.writeUInt32BE(id, 1);
    this.#socket.send(Buffer.concat([head, body]), { binary: true }, () => this.#onWritten());
  }

  /** Undefined when there is room in the socket's buffer; else a promise that there may be. */
  #room(): Promise<void> | undefined {
    if (this.#socket.bufferedAmount < BUFFERED_BYTES_MAX) return undefined;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #onWritten(): void {
    if (this.#socket.bufferedAmount >= BUFFERED_BYTES_MAX) return;
    for (const wake of this.#waiting.splice(0)) wake(); // Each looks again before it sends.
  }

  /** Answers to a peer that reads none of them must not pile up: messages alone never come to this. */
  #requireReader(): void {
    if (this.#socket.bufferedAmount > 2 * BUFFERED_BYTES_MAX) this.#socket.terminate();
  }

  #onFrame(frame: Buffer): void {
    this.#requireReader();
    if (frame.length < 5) {
      this.#socket.close(1002);
      return;
    }
    const id = frame.readUInt32BE(1);
    const body = frame.subarray(5);
    const stream = this.#streams.get(id);
    switch (frame[0]) {
      case KIND.call:
        this.#accept(id, body);
        return;
      case KIND.message:
        stream?.receive(body);
        return;
      case KIND.end:
        stream?.receiveEnd(parseEnd(body));
        return;
      case KIND.credit:
        if (body.length === 4) stream?.receiveCredit(body.readUInt32BE(0));
        return;
      default:
        this.#socket.close(1002);
    }
  }

  #accept(id: number, body: Buffer): void {
    if (this.#onCall === undefined || this.#streams.has(id)) {
      this.#socket.close(1002);
      return;
    }
    const target = parseTarget(body);
    if (target === undefined) {
      this.#socket.close(1002);
      return;
    }
    const stream = this.#add(id, target, false);
    if (this.#streams.size > STREAMS_MAX) {
      stream.end(new ProtocolError('RESOURCE_EXHAUSTED', `${STREAMS_MAX} calls are open`));
      return;
    }
    this.#onCall(stream);
  }

  #fail(error: ProtocolError): void {
    for (const stream of this.#streams.values()) stream.receiveEnd(error);
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

interface StreamPort {
  room(): Promise<void> | undefined;
  message(bytes: Uint8Array): void;
  end(error: ProtocolError | undefined): void;
  credit(bytes: number): void;
  over(): void;
}

class Stream implements RawCall {
  readonly target: CallTarget;
  /** This side opened the call: when the answer is complete, there is nothing left to send. */
  readonly #opened: boolean;
  readonly #port: StreamPort;
  readonly #abort = new AbortController();
  readonly #received: Uint8Array[] = [];
  #sendWindow = WINDOW_BYTES;
  /** Bytes read since credit was given last. */
  #unreturned = 0;
  /** Bytes received for which no credit was given; at most UNREAD_BYTES_MAX. */
  #owed = 0;
  #sentEnd = false;
  #gotEnd = false;
  #error: ProtocolError | undefined;
  #wakeReader: (() => void) | undefined;
  readonly #wakeSenders: (() => void)[] = [];

  constructor(call: { target: CallTarget; opened: boolean }, port: StreamPort) {
    this.target = call.target;
    this.#opened = call.opened;
    this.#port = port;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  async send(message: Uint8Array): Promise<void> {
    if (message.length > MESSAGE_BYTES_MAX) {
      throw new ProtocolError('RESOURCE_EXHAUSTED', `message of ${message.length} bytes`);
    }
    while (!this.#over()) {
      const wait =
        this.#sendWindow > 0
          ? this.#port.room()
          : new Promise<void>((resolve) => this.#wakeSenders.push(resolve));
      if (wait === undefined) break;
      await wait;
    }
    if (this.#error !== undefined) throw this.#error;
    if (this.#sentEnd) throw new ProtocolError('CANCELLED', 'call has ended');
    this.#sendWindow -= message.length + MESSAGE_OVERHEAD_BYTES;
    this.#port.message(message);
  }

  end(error?: ProtocolError): void {
    // After this side's plain end an error still tells the peer to stop.
    if (this.#sentEnd && (error === undefined || this.#gotEnd)) return;
    this.#sentEnd = true;
    this.#port.end(error);
    if (error !== undefined) {
      this.#error ??= error;
      this.#gotEnd = true;
    }
    this.#settle();
  }

  get incoming(): AsyncIterable<Uint8Array> {
    return { [Symbol.asyncIterator]: () => this.#read() };
  }

  async *#read(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const message = this.#received.shift();
      if (message !== undefined) {
        this.#unreturned += message.length + MESSAGE_OVERHEAD_BYTES;
        if (this.#unreturned >= WINDOW_BYTES / 4) {
          this.#port.credit(this.#unreturned);
          this.#owed -= this.#unreturned;
          this.#unreturned = 0;
        }
        yield message;
      } else if (this.#error !== undefined) throw this.#error;
      else if (this.#gotEnd) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wakeReader = resolve;
        });
      }
    }
  }

  receive(bytes: Uint8Array): void {
    if (this.#gotEnd) return;
    this.#owed += bytes.length + MESSAGE_OVERHEAD_BYTES;
    if (this.#owed > UNREAD_BYTES_MAX) {
      const text = `more than ${WINDOW_BYTES} bytes were sent ahead`;
      this.end(new ProtocolError('RESOURCE_EXHAUSTED', text));
      return;
    }
    this.#received.push(bytes);
    this.#wakeReader?.();
  }

  receiveEnd(error: ProtocolError | undefined): void {
    this.#gotEnd = true;
    if (error !== undefined) {
      this.#error ??= error;
      this.#sentEnd = true;
    } else if (this.#opened) this.end();
    this.#settle();
  }

  receiveCredit(bytes: number): void {
    this.#sendWindow += bytes;
    this.#wake();
  }

  #over(): boolean {
    return this.#sentEnd || this.#error !== undefined;
  }

  #wake(): void {
    for (const wake of this.#wakeSenders.splice(0)) wake();
    this.#wakeReader?.();
  }

  #settle(): void {
    if (this.#sentEnd && this.#gotEnd) {
      this.#port.over();
      this.#abort.abort(this.#error ?? new ProtocolError('CANCELLED', 'call has ended'));
    }
    this.#wake();
  }
}

function parseTarget(body: Buffer): CallTarget | undefined {
  const value = parseJson(body);
  if (typeof value?.['service'] !== 'string' || typeof value['method'] !== 'string')
    return undefined;
  return { service: value['service'], method: value['method'] };
}

function parseEnd(body: Buffer): ProtocolError | undefined {
  if (body.length === 0) return undefined;
  const value = parseJson(body);
  const code = (value?.['code'] ?? 'INTERNAL') as ProtocolErrorCode; // Shown, and compared by equality.
  const details = (value?.['details'] ?? {}) as Record<string, string>; // Shown only.
  const message = typeof value?.['message'] === 'string' ? value['message'] : 'malformed end';
  return new ProtocolError(code, message, { details });
}

function parseJson(body: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'));
    return typeof value === 'object' && value !== null
      ? (value as Record<string, unknown>)
      : undefined; // Checked by callers.
  } catch {
    return undefined; // Not JSON: the caller closes the connection.
  }
}
