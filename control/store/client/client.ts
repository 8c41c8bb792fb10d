/**
 * The Store that callers hold: encodes requests and decodes answers. It speaks to an engine over a
 * Link and does not know whether that engine runs on this thread or on another, nor whether it is
 * always the same one. Requests: calls.ts; how writes are executed once: write-session.ts.
 */
import { ByteReader, ByteWriter } from '../codec/bytes.ts';
import { checkTtl, checkWatch } from '../codec/check.ts';
import {
  COMMAND,
  beginCommand,
  encodeRange,
  encodeTxn,
  isReadOnly,
  writeCount,
  writeLeaseId,
} from '../codec/command.ts';
import type { Origin } from '../codec/command.ts';
import { REPLY, REQUEST, readFrame } from '../codec/frame.ts';
import {
  readError,
  readLeaseId,
  readRangeResponse,
  readSnapshotInfo,
  readStatus,
  readTxnResponse,
} from '../codec/reply.ts';
import { readGroupMembers, writeMemberRequest } from '../codec/roster.ts';
import type { MemberRequest } from '../codec/roster.ts';
import { ANSWER_ERROR } from '../engine/state-machine.ts';
import { StoreError } from '../port.ts';
import type {
  AddedMember,
  FormerMember,
  GrantedLease,
  GroupMembers,
  LeaseId,
  MemberStatus,
  NewMember,
  OwnStore,
  RangeRequest,
  RangeResponse,
  StoreSnapshot,
  StoreStatus,
  TxnRequest,
  TxnResponse,
  Watch,
  WatchRequest,
} from '../port.ts';
import { WATCH_LIMITS } from '../limits.ts';
import { ClientWatches } from '../watch/client-watches.ts';
import { ClientSnapshot } from './client-snapshot.ts';
import { Calls, REAL_TIMERS } from './calls.ts';
import type { Link } from './calls.ts';
import { WriteSession } from './write-session.ts';

/** Stops a caller's wait; the store goes on with the request. */
type GiveUp = (reason: unknown) => void;

export class StoreClient implements OwnStore {
  readonly #calls: Calls;
  readonly #writes: WriteSession;
  readonly #waits = new WeakMap<AbortSignal, Set<GiveUp>>();
  readonly #watches: ClientWatches;
  /** Aborted at the end: a signal of the caller's may live longer and must not keep the client. */
  readonly #listening = new AbortController();
  #ended: StoreError | undefined;

  constructor(link: Link, timers = REAL_TIMERS, limits = WATCH_LIMITS) {
    this.#calls = new Calls(timers);
    this.#writes = new WriteSession(this.#calls);
    this.#watches = new ClientWatches(
      {
        post: (id, kind, write) => this.#calls.post(id, kind, write),
        nextId: () => this.#calls.newId(),
        isLinked: () => this.#calls.isLinked,
      },
      limits,
    );
    this.#calls.connect(link);
  }

  range(request: RangeRequest, signal: AbortSignal): Promise<RangeResponse> {
    const write = (out: ByteWriter) => encodeRange(out, request);
    return this.#read(signal, { kind: REQUEST.range, write, decode: readRangeResponse });
  }

  txn(request: TxnRequest, signal: AbortSignal): Promise<TxnResponse> {
    const write = (out: ByteWriter, origin?: Origin) => encodeTxn(out, request, origin);
    const decode = readTxnResponse;
    if (!isReadOnly(request)) return this.#write(signal, { write, decode });
    return this.#read(signal, { kind: REQUEST.readTxn, write: (out) => write(out), decode });
  }

  watch(request: WatchRequest): Watch {
    if (this.#ended !== undefined) throw this.#ended;
    if (!this.#calls.isLinked) throw new StoreError('UNAVAILABLE', 'no link to the store is up');
    checkWatch(request);
    this.#calls.watching();
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
    return this.#read(signal, { kind: REQUEST.leaseKeepAlive, write, decode });
  }

  status(signal: AbortSignal): Promise<StoreStatus> {
    return this.memberStatus(signal);
  }

  memberStatus(signal: AbortSignal): Promise<MemberStatus> {
    return this.#read(signal, { kind: REQUEST.status, write: () => {}, decode: readStatus });
  }

  members(signal: AbortSignal): Promise<GroupMembers> {
    const kind = REQUEST.members;
    return this.#read(signal, { kind, write: () => {}, decode: readGroupMembers });
  }

  addMember(member: NewMember, signal: AbortSignal): Promise<AddedMember> {
    return this.#changeMembers({ kind: 'add', ...member }, signal);
  }

  async updateMember(member: NewMember & { id: number }, signal: AbortSignal): Promise<void> {
    await this.#changeMembers({ kind: 'describe', row: member }, signal);
  }

  async removeMember(id: number, signal: AbortSignal): Promise<void> {
    await this.#changeMembers({ kind: 'remove', id }, signal);
  }

  rejoin(member: FormerMember, signal: AbortSignal): Promise<AddedMember> {
    return this.#changeMembers({ kind: 'rejoin', ...member }, signal);
  }

  join(member: NewMember & { token: string }, signal: AbortSignal): Promise<AddedMember> {
    return this.#changeMembers({ kind: 'join', ...member }, signal);
  }

  async moveLeader(id: number, signal: AbortSignal): Promise<void> {
    await this.#changeMembers({ kind: 'move', id }, signal);
  }

  async snapshot(signal: AbortSignal): Promise<StoreSnapshot> {
    const ask = <T>(kind: number, decode: (input: ByteReader) => T, ...numbers: number[]) => {
      const write = (out: ByteWriter) => {
        for (const number of numbers) out.varint(number);
      };
      return (later: AbortSignal) => this.#read(later, { kind, write, decode });
    };
    const { handle, ...info } = await ask(REQUEST.snapshotOpen, readSnapshotInfo)(signal);
    return new ClientSnapshot(info, {
      read: (at, length, later) =>
        ask(REQUEST.snapshotRead, (input) => input.bytesView(), handle, at, length)(later),
      close: (later) => ask(REQUEST.snapshotClose, () => undefined, handle)(later),
    });
  }

  #changeMembers(request: MemberRequest, signal: AbortSignal): Promise<AddedMember> {
    const write = (out: ByteWriter) => writeMemberRequest(out, request);
    const decode = (input: ByteReader) => {
      const memberId = input.varint();
      return { memberId, groupId: input.varint() };
    };
    return this.#read(signal, { kind: REQUEST.changeMembers, write, decode });
  }

  /** What was asked before is answered first. */
  async close(): Promise<void> {
    if (this.#ended !== undefined) return;
    this.#ended = new StoreError('CLOSED', 'store is closed');
    if (this.#calls.isLinked) {
      await this.#calls.drained();
      await this.#calls.close();
    }
    this.#end(this.#ended);
  }

  /** Takes in one message of the engine. */
  receive(message: Uint8Array): void {
    const input = new ByteReader(message);
    while (input.remaining > 0) {
      const frame = readFrame(input);
      const body = new ByteReader(message, frame.start, frame.end);
      if (frame.kind === REPLY.answer) this.#calls.answered(frame.id, body);
      else this.#watches.receive(frame, body);
    }
  }

  /**
   * The link broke. Requests wait for another; watches end with UNAVAILABLE, since their callers know
   * from which revision to go on.
   */
  disconnected(): void {
    this.#calls.disconnect();
    this.#watches.end(new StoreError('UNAVAILABLE', 'link to the store broke'));
    // Whoever closes takes no other link: what it waits for does not come.
    if (this.#ended !== undefined) this.#end(this.#ended);
  }

  /** A new link is up: what has no answer yet is sent again, and writes are executed once all the same. */
  connected(link: Link): void {
    if (this.#ended === undefined) this.#calls.connect(link);
  }

  /** The engine is gone for good: fails what waits and whatever comes. */
  end(reason: StoreError): void {
    this.#ended ??= reason;
    this.#end(reason);
  }

  #end(reason: StoreError): void {
    this.#writes.end(reason);
    this.#calls.end(reason);
    this.#listening.abort();
    this.#watches.end(reason);
  }

  #command<T>(
    signal: AbortSignal,
    kind: number,
    body: { write: (out: ByteWriter) => void; decode: (input: ByteReader) => T },
  ): Promise<T> {
    const write = (out: ByteWriter, origin: Origin) => {
      beginCommand(out, kind, origin);
      body.write(out);
    };
    return this.#write(signal, { write, decode: body.decode });
  }

  #write<T>(
    signal: AbortSignal,
    command: {
      write: (out: ByteWriter, origin: Origin) => void;
      decode: (input: ByteReader) => T;
    },
  ): Promise<T> {
    return this.#wait<T>(signal, (resolve, reject) =>
      this.#writes.send({
        write: command.write,
        done: (body) => resolve(command.decode(body)),
        failed: reject,
      }),
    );
  }

  #read<T>(
    signal: AbortSignal,
    request: { kind: number; write: (out: ByteWriter) => void; decode: (input: ByteReader) => T },
  ): Promise<T> {
    return this.#wait<T>(signal, (resolve, reject) =>
      this.#calls.send({
        kind: request.kind,
        write: request.write,
        answered: (body) => {
          if (body.u8() === ANSWER_ERROR) reject(readError(body));
          else resolve(request.decode(body));
        },
        failed: reject,
      }),
    );
  }

  /** A promise of what `start` begins, which `signal` ends early. */
  #wait<T>(
    signal: AbortSignal,
    start: (resolve: (value: T) => void, reject: GiveUp) => void,
  ): Promise<T> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    return new Promise<T>((resolve, reject) => {
      const waits = this.#waitsOf(signal);
      waits.add(reject);
      const fail = (reason: unknown) => {
        waits.delete(reject);
        reject(reason);
      };
      const succeed = (value: T) => {
        waits.delete(reject);
        resolve(value);
      };
      try {
        start(succeed, fail);
      } catch (error) {
        fail(error);
      }
    });
  }

  /** The callers that wait under `signal`: one listener per signal, not per call. */
  #waitsOf(signal: AbortSignal): Set<GiveUp> {
    const known = this.#waits.get(signal);
    if (known !== undefined) return known;
    const waits = new Set<GiveUp>();
    this.#waits.set(signal, waits);
    const onAbort = () => {
      for (const giveUp of waits) giveUp(signal.reason);
      waits.clear();
    };
    signal.addEventListener('abort', onAbort, { once: true, signal: this.#listening.signal });
    return waits;
  }
}
