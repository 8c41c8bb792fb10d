/**
 * The Store that callers hold: encodes requests, gathers those of one turn into one message, and
 * matches answers to promises. It speaks to an engine over a Link and does not know whether that
 * engine runs on this thread or on another.
 */
import { ByteReader, ByteWriter } from './codec/bytes.ts';
import {
  COMMAND,
  beginCommand,
  encodeRange,
  encodeTxn,
  isReadOnly,
  writeCount,
  writeLeaseId,
} from './codec/command.ts';
import { checkTtl } from './codec/check.ts';
import { REPLY, REQUEST, beginFrame, endFrame, readFrame } from './codec/frame.ts';
import {
  readError,
  readLeaseId,
  readRangeResponse,
  readStatus,
  readTxnResponse,
} from './codec/reply.ts';
import { ANSWER_ERROR } from './engine/state-machine.ts';
import { REQUESTS_IN_FLIGHT_MAX } from './limits.ts';
import { StoreError } from './port.ts';
import type {
  GrantedLease,
  LeaseId,
  MemberStatus,
  OwnStore,
  RangeRequest,
  RangeResponse,
  StoreStatus,
  TxnRequest,
  TxnResponse,
  Watch,
  WatchRequest,
} from './port.ts';
import { ClientWatches } from './watch/client-watches.ts';

/** The way to an engine. */
export interface Link {
  /** Hands over one message of request frames; the bytes are the link's from then on. */
  send(message: Uint8Array<ArrayBuffer>): void;
  /** Ends the engine's side; resolves when nothing more will come. */
  close(): Promise<void>;
}

interface Call {
  readonly decode: (input: ByteReader) => unknown;
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
  /** True when giving up on an answer leaves open whether the write happened. */
  readonly writes: boolean;
  /** The calls under the same signal, this one's id among them. */
  readonly waits: Set<number>;
}

export class StoreClient implements OwnStore {
  readonly #link: Link;
  readonly #calls = new Map<number, Call>();
  readonly #waits = new WeakMap<AbortSignal, Set<number>>();
  readonly #out = new ByteWriter();
  readonly #watches: ClientWatches;
  /** Aborted at the end: a signal of the caller's may live longer and must not keep the client. */
  readonly #listening = new AbortController();
  #nextId = 1;
  #flushDue = false;
  #ended: StoreError | undefined;

  constructor(link: Link) {
    this.#link = link;
    this.#watches = new ClientWatches({
      post: (id, kind, write) => this.#post(id, kind, write),
      nextId: () => this.#nextId++,
    });
  }

  range(request: RangeRequest, signal: AbortSignal): Promise<RangeResponse> {
    const write = (out: ByteWriter) => encodeRange(out, request);
    return this.#call(signal, { kind: REQUEST.range, write, decode: readRangeResponse });
  }

  txn(request: TxnRequest, signal: AbortSignal): Promise<TxnResponse> {
    const kind = isReadOnly(request) ? REQUEST.readTxn : REQUEST.propose;
    const write = (out: ByteWriter) => encodeTxn(out, request);
    return this.#call(signal, { kind, write, decode: readTxnResponse });
  }

  watch(request: WatchRequest): Watch {
    if (this.#ended !== undefined) throw this.#ended;
    return this.#watches.open(request);
  }

  compact(revision: number, signal: AbortSignal): Promise<void> {
    return this.#command(signal, COMMAND.compact, {
      write: (out) => writeCount(out, revision, 'revision'),
      decode: () => undefined,
    });
  }

  leaseGrant(ttlSeconds: number, signal: AbortSignal): Promise<GrantedLease> {
    return this.#command(signal, COMMAND.leaseGrant, {
      write: (out) => {
        checkTtl(ttlSeconds);
        out.varint(ttlSeconds);
      },
      decode: (input) => ({ leaseId: readLeaseId(input), ttlSeconds: input.varint() }),
    });
  }

  leaseRevoke(leaseId: LeaseId, signal: AbortSignal): Promise<void> {
    return this.#command(signal, COMMAND.leaseRevoke, {
      write: (out) => {
        writeLeaseId(out, leaseId);
        out.varint(0);
      },
      decode: () => undefined,
    });
  }

  leaseKeepAlive(leaseId: LeaseId, signal: AbortSignal): Promise<number> {
    const write = (out: ByteWriter) => writeLeaseId(out, leaseId);
    const decode = (input: ByteReader) => input.varint();
    return this.#call(signal, { kind: REQUEST.leaseKeepAlive, write, decode });
  }

  status(signal: AbortSignal): Promise<StoreStatus> {
    return this.memberStatus(signal);
  }

  memberStatus(signal: AbortSignal): Promise<MemberStatus> {
    return this.#call(signal, { kind: REQUEST.status, write: () => {}, decode: readStatus });
  }

  async close(): Promise<void> {
    if (this.#ended !== undefined) return;
    this.#flush();
    // The link delivers the answers of what was sent before it closes.
    await this.#link.close();
    this.end(new StoreError('CLOSED', 'store is closed'));
  }

  /** Takes in one message of the engine. */
  receive(message: Uint8Array): void {
    const input = new ByteReader(message);
    while (input.remaining > 0) {
      const frame = readFrame(input);
      const body = new ByteReader(message, frame.start, frame.end);
      if (frame.kind === REPLY.answer) this.#answered(frame.id, body);
      else this.#watches.receive(frame, body);
    }
  }

  /** The engine is gone: fails what waits and whatever comes. */
  end(reason: StoreError): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    const unknown = new StoreError('OUTCOME_UNKNOWN', 'store ended during a write', {
      cause: reason,
    });
    for (const call of this.#calls.values()) call.reject(call.writes ? unknown : reason);
    this.#calls.clear();
    this.#listening.abort();
    this.#watches.end(reason);
  }

  #command<T>(
    signal: AbortSignal,
    command: number,
    body: { write: (out: ByteWriter) => void; decode: (input: ByteReader) => T },
  ): Promise<T> {
    const write = (out: ByteWriter) => {
      beginCommand(out, command);
      body.write(out);
    };
    return this.#call(signal, { kind: REQUEST.propose, write, decode: body.decode });
  }

  #call<T>(
    signal: AbortSignal,
    request: {
      kind: number;
      write: (out: ByteWriter) => void;
      decode: (input: ByteReader) => T;
    },
  ): Promise<T> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    if (this.#calls.size >= REQUESTS_IN_FLIGHT_MAX) {
      const text = `${REQUESTS_IN_FLIGHT_MAX} store requests are in flight`;
      return Promise.reject(new StoreError('UNAVAILABLE', text));
    }
    const id = this.#nextId++;
    return new Promise<T>((resolve, reject) => {
      this.#post(id, request.kind, request.write);
      const writes = request.kind === REQUEST.propose;
      const waits = this.#waitsOf(signal);
      waits.add(id);
      this.#calls.set(id, { decode: request.decode, resolve, reject, writes, waits });
    });
  }

  /**
   * The calls that wait under `signal`: one listener per signal, not per call. The store goes on
   * with a request whose caller gave up; only the wait for its answer ends.
   */
  #waitsOf(signal: AbortSignal): Set<number> {
    const known = this.#waits.get(signal);
    if (known !== undefined) return known;
    const waits = new Set<number>();
    this.#waits.set(signal, waits);
    const onAbort = () => {
      for (const id of waits) {
        this.#calls.get(id)?.reject(signal.reason);
        this.#calls.delete(id);
      }
      waits.clear();
    };
    signal.addEventListener('abort', onAbort, { once: true, signal: this.#listening.signal });
    return waits;
  }

  /** Adds a frame to the message of this turn. Nothing of it stays when `write` throws. */
  #post(id: number, kind: number, write: (out: ByteWriter) => void): void {
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
    setImmediate(() => this.#flush());
  }

  #flush(): void {
    this.#flushDue = false;
    if (this.#ended !== undefined || this.#out.length === 0) return;
    this.#link.send(this.#out.take());
  }

  #answered(id: number, body: ByteReader): void {
    const call = this.#calls.get(id);
    if (call === undefined) return; // The caller gave up.
    this.#calls.delete(id);
    call.waits.delete(id);
    if (body.u8() === ANSWER_ERROR) {
      call.reject(readError(body));
      return;
    }
    call.resolve(call.decode(body) as never); // Each call decodes its own type.
  }
}
