/**
 * The store's own loop: takes requests of its clients, runs them through the replicated log and the
 * state machine, answers, and sends watch events. Synchronous and without a thread of its own:
 * `receive` only queues, and `pump` does all due work and says whether there is more. Whoever hosts
 * it (open.ts, worker.ts) calls `pump` once per turn, so that everything that arrived meanwhile
 * forms one batch for the disk.
 */
import { assert } from '#base/assert.ts';
import { ByteReader, ByteWriter } from '../codec/bytes.ts';
import { COMMAND, beginCommand } from '../codec/command.ts';
import { REPLY, REQUEST, beginFrame, endFrame, readFrame } from '../codec/frame.ts';
import { writeError, writeStatus } from '../codec/reply.ts';
import { writeRosterRow } from '../codec/roster.ts';
import { REQUEST_BYTES_PER_PUMP } from '../limits.ts';
import { StoreError } from '../port.ts';
import type { MemberStatus } from '../port.ts';
import { WatchHub } from '../watch/hub.ts';
import type { Consensus } from './consensus.ts';
import { Lessor } from './lessor.ts';
import { needOf } from './need.ts';
import { leaseNotFound } from './refusals.ts';
import { ANSWER_NOT_KNOWN, ANSWER_NOT_TAKEN } from './state-machine.ts';
import type { AppliedEntry, StateMachine } from './state-machine.ts';

export interface EngineOptions {
  readonly state: StateMachine;
  readonly consensus: Consensus;
  readonly electionMs: number;
  readonly monotonicMs: () => number;
}

/** One client: a queue of messages in, a buffer of frames out. */
export class Connection {
  readonly out = new ByteWriter();
  readonly hub: WatchHub;
  readonly inbox: Uint8Array[] = [];
  readonly send: (message: Uint8Array<ArrayBuffer>) => void;

  constructor(hub: (out: ByteWriter) => WatchHub, send: Connection['send']) {
    this.hub = hub(this.out);
    this.send = send;
  }
}

interface Waiting {
  readonly connection: Connection;
  readonly id: number;
  readonly term: number;
}

export class Engine {
  readonly state: StateMachine;
  readonly #consensus: Consensus;
  readonly #lessor: Lessor;
  readonly #monotonicMs: () => number;
  readonly #connections = new Set<Connection>();
  /** Proposals of own clients, by the log index at which they should appear. */
  readonly #waiting = new Map<number, Waiting>();
  readonly #scratch = new ByteWriter(4096);

  constructor(options: EngineOptions) {
    this.state = options.state;
    this.#consensus = options.consensus;
    this.#monotonicMs = options.monotonicMs;
    this.#lessor = new Lessor(options.state.leases, options.electionMs);
  }

  connect(send: (message: Uint8Array<ArrayBuffer>) => void): Connection {
    const connection = new Connection((out) => new WatchHub(this.state.mvcc, out), send);
    this.#connections.add(connection);
    return connection;
  }

  disconnect(connection: Connection): void {
    this.#connections.delete(connection);
  }

  /** Does all due work; true = call again soon, though nothing arrives. */
  pump(): boolean {
    let more = false;
    for (const connection of this.#connections) {
      if (this.#takeRequests(connection)) more = true;
    }
    if (this.#consensus.pump((entry) => this.#apply(entry))) more = true;
    if (this.state.mvcc.compactSlice()) more = true;
    for (const connection of this.#connections) {
      if (connection.hub.pump()) more = true;
      if (connection.out.length > 0) connection.send(connection.out.take());
    }
    return more;
  }

  /** Time passes: raft's timers, and leases that run out. */
  tick(): void {
    this.#consensus.tick();
    if (!this.#consensus.isLeader) return;
    const nowMs = this.#monotonicMs();
    this.#lessor.lead(this.#consensus.term, nowMs);
    const { revoke, checkpoint } = this.#lessor.tick(nowMs);
    for (const id of revoke) this.#proposeRevoke(id, nowMs);
    if (checkpoint.length === 0) return;
    this.#proposeOwn((out) => {
      beginCommand(out, COMMAND.leaseCheckpoint);
      out.varint(checkpoint.length);
      for (const row of checkpoint) {
        out.varint(row.id);
        out.varint(row.remainingMs);
      }
    });
  }

  /**
   * Writes the first member, this one, into the log, unless it is there: whoever joins later learns of
   * all members from the log alone.
   */
  found(): void {
    const { memberId } = this.#consensus;
    if (!this.#consensus.isLeader || this.state.members.voters.length > 0) return;
    const out = new ByteWriter(64);
    beginCommand(out, COMMAND.describeMember);
    writeRosterRow(out, { id: memberId, key: '', address: '', isToVote: true });
    this.#consensus.changeMembers([{ kind: 'addVoter', id: memberId }], out.take());
  }

  /** Proposes the configured quota unless the log has it already. */
  configure(quotaBytes: number): void {
    if (!this.#consensus.isLeader || this.state.quotaBytes === quotaBytes) return;
    this.#proposeOwn((out) => {
      beginCommand(out, COMMAND.configure);
      out.varint(quotaBytes);
    });
  }

  close(): void {
    this.#consensus.close();
  }

  /** Ends after a failure: nothing is written any more. */
  abort(): void {
    this.#consensus.abort();
  }

  status(): MemberStatus {
    const { mvcc } = this.state;
    return {
      revision: mvcc.revision,
      compactRevision: mvcc.compactRevision,
      raftTerm: this.#consensus.term,
      raftIndex: this.state.appliedIndex,
      keyCount: mvcc.keyCount,
      liveBytes: mvcc.liveBytes,
      walBytes: this.#consensus.walBytes,
    };
  }

  #proposeRevoke(id: number, nowMs: number): void {
    const proposed = this.#proposeOwn((out) => {
      beginCommand(out, COMMAND.leaseRevoke);
      out.varint(id);
      out.varint(this.#consensus.term);
    });
    if (proposed) this.#lessor.revoking(id, nowMs);
  }

  /** Proposes a command of the store itself, whose answer nobody waits for. */
  #proposeOwn(write: (out: ByteWriter) => void): boolean {
    const out = new ByteWriter(64);
    write(out);
    return !(this.#consensus.propose(out.take(), () => 'relief') instanceof StoreError);
  }

  /** Takes in messages up to a bound of bytes; true = some are left. */
  #takeRequests(connection: Connection): boolean {
    const { inbox } = connection;
    let bytes = 0;
    let taken = 0;
    for (; taken < inbox.length && bytes < REQUEST_BYTES_PER_PUMP; taken++) {
      const message = inbox[taken] as Uint8Array; // Below length.
      const input = new ByteReader(message);
      while (input.remaining > 0) {
        const frame = readFrame(input);
        const body = new ByteReader(message, frame.start, frame.end);
        this.#request(connection, frame.id, frame.kind, body);
      }
      bytes += message.length;
    }
    inbox.splice(0, taken);
    return inbox.length > 0;
  }

  #request(connection: Connection, id: number, kind: number, body: ByteReader): void {
    switch (kind) {
      case REQUEST.propose:
        return this.#propose(connection, id, body.bytes.subarray(body.at, body.end));
      case REQUEST.range:
        return this.#read(connection, id, (out) => this.state.range(body, out));
      case REQUEST.readTxn:
        return this.#read(connection, id, (out) => this.state.readTxn(body, out));
      case REQUEST.leaseKeepAlive:
        return this.#keepAlive(connection, id, body.varint());
      case REQUEST.status:
        return this.#answer(connection, id, (out) => writeStatus(out, this.status()));
      case REQUEST.watch:
        return connection.hub.create(id, body);
      case REQUEST.unwatch:
        return connection.hub.cancel(id);
      case REQUEST.watchProgress:
        return connection.hub.requestProgress(id);
      case REQUEST.watchTaken:
        return connection.hub.taken(body.varint());
      default:
        return assert(false, `request kind ${kind} is known`);
    }
  }

  #propose(connection: Connection, id: number, data: Uint8Array): void {
    const proposed = this.#consensus.propose(data, () => needOf(this.state, data));
    if (proposed instanceof StoreError) {
      this.#frame(connection, id, (out) => {
        out.u8(ANSWER_NOT_TAKEN);
        writeError(out, proposed);
      });
      return;
    }
    this.#waiting.set(proposed.index, { connection, id, term: proposed.term });
  }

  #read(connection: Connection, id: number, write: (out: ByteWriter) => void): void {
    this.#consensus.read((refused) => {
      if (refused !== undefined) this.#refuse(connection, id, refused);
      else this.#frame(connection, id, write);
    });
  }

  /** Answered only behind a quorum round: a deposed leader must not keep a lease alive. */
  #keepAlive(connection: Connection, id: number, leaseId: number): void {
    this.#consensus.read((refused) => {
      if (refused !== undefined) return this.#refuse(connection, id, refused);
      const ttlSeconds = this.#lessor.renew(leaseId, this.#monotonicMs());
      if (ttlSeconds === undefined) return this.#refuse(connection, id, leaseNotFound(leaseId));
      return this.#answer(connection, id, (out) => out.varint(ttlSeconds));
    });
  }

  #apply(entry: AppliedEntry): void {
    const waiting = this.#waiting.get(entry.index);
    if (waiting === undefined) {
      this.state.apply(entry, this.#scratch);
      this.#scratch.truncate(0);
      return;
    }
    this.#waiting.delete(entry.index);
    const { connection, id } = waiting;
    if (waiting.term === entry.term) {
      this.#frame(connection, id, (out) => this.state.apply(entry, out));
      return;
    }
    // Another leader's entry stands at the index: ours is lost, or will come back under another.
    this.state.apply(entry, this.#scratch);
    this.#scratch.truncate(0);
    this.#frame(connection, id, (out) => out.u8(ANSWER_NOT_KNOWN));
  }

  #frame(connection: Connection, id: number, write: (out: ByteWriter) => void): void {
    const lengthAt = beginFrame(connection.out, id, REPLY.answer);
    write(connection.out);
    endFrame(connection.out, lengthAt);
  }

  #answer(connection: Connection, id: number, write: (out: ByteWriter) => void): void {
    this.#frame(connection, id, (out) => this.state.answer(out, () => write(out)));
  }

  #refuse(connection: Connection, id: number, error: StoreError): void {
    this.#answer(connection, id, () => {
      throw error;
    });
  }
}
