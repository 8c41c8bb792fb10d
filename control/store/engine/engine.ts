/**
 * The store's own loop: takes requests of its clients, runs them through the replicated log and the
 * state machine, answers, and sends watch events. Synchronous and without a thread of its own:
 * `receive` only queues, and `pump` does all due work and says whether there is more. Whoever hosts
 * it (open.ts, worker.ts) calls `pump` once per turn, so that everything that arrived meanwhile
 * forms one batch for the disk.
 *
 * Every member serves clients. What only the leader can do goes there (leader-calls.ts); the answer to a
 * write comes from this member's own state when it applies the entry, so that a client's later reads and
 * watches here see it.
 */
import { assert } from '#base/assert.ts';
import type { CommitNews } from '#control/raft/raft.ts';
import { ByteReader } from '../codec/bytes.ts';
import type { ByteWriter } from '../codec/bytes.ts';
import { checkAsked } from '../codec/check-request.ts';
import { REQUEST, readFrame } from '../codec/frame.ts';
import { writeStatus } from '../codec/reply.ts';
import { writeGroupMembers } from '../codec/roster.ts';
import {
  HELD_BACK_PUMPS_MAX,
  PEER_INBOX_MAX,
  PEER_MESSAGES_PER_PUMP,
  REQUEST_BYTES_PER_PUMP,
  WATCH_LIMITS,
} from '../limits.ts';
import type { WatchLimits } from '../limits.ts';
import { StoreError } from '../port.ts';
import type { MemberStatus } from '../port.ts';
import { VERSION_MIN } from '../versions.ts';
import type { SpokenVersions } from '../versions.ts';
import type { Backups } from './backups.ts';
import { Acquaintances } from './acquaintances.ts';
import { AskedBefore } from './asked-before.ts';
import { Connection } from './connection.ts';
import type { Consensus, Durable } from './consensus.ts';
import { LeaderCalls } from './leader-calls.ts';
import type { EngineLog } from './engine-log.ts';
import type { Outcome } from './leader-calls.ts';
import { LeaderWork } from './leader-work.ts';
import type { LeaderOptions } from './leader-work.ts';
import { ASK } from './peers.ts';
import type { Ask, LogTail, PeerMessage, Peers } from './peers.ts';
import { PendingWrites, answerValue, lostChange } from './pending-writes.ts';
import { leaderless } from './refusals.ts';
import { SpaceLog, alarmsOf } from './space-log.ts';
import { isSnapshotRequest, serveSnapshot } from './serve-snapshot.ts';
import type { Statements } from './statements.ts';
import type { AppliedEntry, StateMachine } from './state-machine.ts';
import type { TickPlan } from './tick-plan.ts';

export interface EngineOptions extends LeaderOptions {
  readonly peers: Peers;
  readonly log: EngineLog;
  readonly backups: Backups;
  readonly ticks: TickPlan;
}

export class Engine {
  readonly state: StateMachine;
  readonly #consensus: Consensus;
  readonly #peers: Peers;
  readonly #leader: LeaderWork;
  readonly #statements: Statements;
  readonly #spaceLog: SpaceLog;
  readonly #backups: Backups;
  readonly #parts: EngineOptions;
  #ticks = 0;
  /** Turns in a row that took in no requests. */
  #heldBack = 0;
  readonly #calls: LeaderCalls;
  readonly #connections = new Set<Connection>();
  readonly #writes: PendingWrites;
  readonly #askedBefore = new AskedBefore();
  /** When this process started; it leads in later ones only. */
  readonly #firstTerm: number;
  readonly #acquaintances: Acquaintances;
  #peerInbox: { readonly from: number; readonly message: PeerMessage }[] = [];

  constructor(options: EngineOptions) {
    this.state = options.state;
    this.#consensus = options.consensus;
    this.#peers = options.peers;
    this.#leader = new LeaderWork(options);
    this.#statements = options.statements;
    this.#spaceLog = new SpaceLog(options.log);
    this.#backups = options.backups;
    this.#parts = options;
    this.#firstTerm = options.consensus.term;
    this.#writes = new PendingWrites(options.state, options.consensus);
    const { state, peers } = options;
    const { memberId } = options.consensus;
    this.#acquaintances = new Acquaintances({ state, peers, memberId });
    this.#calls = new LeaderCalls({
      memberId: options.consensus.memberId,
      firstId: options.newId(),
      send: (to, message) => options.peers.send(to, message),
    });
  }

  connect(
    send: (message: Uint8Array<ArrayBuffer>) => void,
    limits: WatchLimits = WATCH_LIMITS,
  ): Connection {
    const connection = new Connection(this.state, send, limits);
    this.#connections.add(connection);
    return connection;
  }

  disconnect(connection: Connection): void {
    this.#connections.delete(connection);
    this.#backups.leave(connection);
  }

  /** Another member says something; `pump` takes it in. */
  receive(from: number, message: PeerMessage): void {
    if (this.#peerInbox.length < PEER_INBOX_MAX) this.#peerInbox.push({ from, message });
  }

  /** Another member, which just connected, said where its log ends. */
  greeted(from: number, tail: LogTail): void {
    this.#consensus.greeted(from, tail);
  }

  /** Somebody of the group connected whom this member does not know, or not by this key. */
  metStranger(): void {
    this.#acquaintances.metStranger();
  }

  /** The connection to another member broke, or cannot be made. */
  unreachable(member: number): void {
    this.#consensus.unreachable(member);
    this.#calls.lost(member);
  }

  /**
   * Does all due work; true = call again soon, though nothing arrives. Where news of commits may come
   * later and `hasNews` says that there are some, it is to be called again with 'now' before long.
   */
  pump(news: CommitNews = 'now'): boolean {
    let more = this.#takePeers();
    this.#calls.leads(this.#consensus.leader, this.#consensus.term);
    if (this.#holdsBack()) more = true;
    else {
      for (const connection of this.#connections) {
        if (this.#takeRequests(connection)) more = true;
      }
    }
    const { mvcc } = this.state;
    const isMore = this.#consensus.pump({
      apply: (entry) => this.#writes.apply(entry),
      answer: () => this.#answer(),
      news,
    });
    if (isMore) more = true;
    if (this.state.mvcc !== mvcc) this.#writes.installed();
    this.#calls.leads(this.#consensus.leader, this.#consensus.term);
    this.#backups.pump();
    this.#tellPeers();
    if (this.state.mvcc.compactSlice()) more = true;
    return this.#answer() || more;
  }

  /** Other members have not been told of the last commits. */
  get hasNews(): boolean {
    return this.#consensus.hasNews;
  }

  /** Time passes: raft's timers, requests that wait too long, and leases that run out. */
  tick(): void {
    this.#consensus.tick();
    this.#calls.leads(this.#consensus.leader, this.#consensus.term);
    if (++this.#ticks % this.#parts.ticks.ticksPerRound === 0) this.#round();
  }

  #round(): void {
    this.#consensus.round();
    this.#calls.tick();
    this.#writes.tick();
    this.#backups.tick();
    this.#statements.tick(this.#consensus.leader);
    this.#acquaintances.round();
    if (this.#consensus.isLeader) this.#leader.tick();
    this.#spaceLog.look(this.state);
    this.#endBlindWatches();
  }

  /** A group of one that just started: puts into the log what it lacks. */
  settle(): void {
    while (this.#consensus.isLeader && this.#leader.settle()) this.pump();
  }

  /** The operating system that this member runs on was found good: it will not go back. */
  confirmVersion(): void {
    this.#statements.confirm();
  }

  /** This member is about to end: should it lead, another is asked to, with the next `pump`. */
  resign(): void {
    this.#consensus.resign();
  }

  /** Leaves a note that this member cannot go on as who it is, and throws Outcast. */
  expel(reason: string): never {
    return this.#consensus.expel(reason);
  }

  /** Its log names nobody else who votes. */
  get isSoleVoter(): boolean {
    return this.#consensus.isSoleVoter;
  }

  /** A sole voter that held back (`EngineSettings.isPatient`) leads from now on. */
  leadAlone(): void {
    this.#consensus.leadAlone();
  }

  close(): void {
    this.#backups.end();
    this.#consensus.close();
  }

  /** Ends after a failure: nothing is written any more. */
  abort(): void {
    this.#backups.end();
    this.#consensus.abort();
  }

  /** Between two calls of `tick`. */
  get tickMs(): number {
    return this.#parts.ticks.tickMs;
  }

  get memberId(): number {
    return this.#consensus.memberId;
  }

  get groupId(): number {
    return this.#consensus.groupId;
  }

  get term(): number {
    return this.#consensus.term;
  }

  /** For whom it voted in its term; 0 = for nobody. */
  get vote(): number {
    return this.#consensus.vote;
  }

  /** Where the log ends. */
  get tail(): LogTail {
    return this.#consensus.tail;
  }

  get durable(): Durable {
    return this.#consensus.durable;
  }

  get versions(): SpokenVersions {
    const { runsAs, version } = this.state;
    return { version: runsAs, versionMin: VERSION_MIN, groupVersion: version };
  }

  /** Everything up to here is committed, as far as this member knows. */
  get commitIndex(): number {
    return this.#consensus.commitIndex;
  }

  /** The entry at `index`, while it is in memory. */
  entry(index: number): AppliedEntry | undefined {
    return this.#consensus.entry(index);
  }

  /** Cut off, or removed: clients are better served elsewhere. */
  get isLeaderless(): boolean {
    return this.#calls.isLeaderless;
  }

  get isLeader(): boolean {
    return this.#consensus.isLeader;
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
      quotaBytes: this.state.quota.bytes,
      walBytes: this.#consensus.walBytes,
      memberId: this.#consensus.memberId,
      leaderId: this.#consensus.leader,
      version: this.state.version,
      alarms: alarmsOf(this.state, this.#consensus),
    };
  }

  /** Sends answers and events; true = there are more events to send. */
  #answer(): boolean {
    let more = false;
    for (const connection of this.#connections) if (connection.flush()) more = true;
    return more;
  }

  #takePeers(): boolean {
    const inbox = this.#peerInbox.splice(0, PEER_MESSAGES_PER_PUMP);
    for (const { from, message } of inbox) {
      if (message.kind === 'ask') this.#asked(from, message);
      else if (message.kind === 'answer') this.#calls.answered(from, message.id, message);
      else if (message.kind === 'statement') {
        this.#statements.heard(from, this.#consensus.term, message);
      } else if (message.kind === 'rosterRequest') this.#acquaintances.asked(from);
      else if (message.kind === 'rosterNews') this.#acquaintances.told(message);
      else this.#consensus.receive(from, message);
    }
    return this.#peerInbox.length > 0;
  }

  /** For a client of another member. */
  #asked(from: number, { id, term, what, body }: Ask): void {
    // To a process before this one: it may have been answered, and what that said holds.
    if (term <= this.#firstTerm) return;
    if (!this.#consensus.isLeader) {
      // What it took in as a leader may yet be committed: it was not "not done".
      if (this.#askedBefore.has(from, id)) return;
      this.#peers.send(from, { kind: 'answer', id, result: 'notLeader' });
      return;
    }
    const error = wrongAsked(what, body);
    if (error !== undefined) {
      this.#peers.send(from, { kind: 'answer', id, result: 'refused', error });
      return;
    }
    if (this.#askedBefore.check(from, id)) return;
    this.#leader.do(what, body, (answer) => {
      if (answer.result === 'taken') this.#consensus.proposedForOther();
      this.#peers.send(from, { kind: 'answer', id, ...answer });
    });
  }

  /** For an own client: here if this member leads, else by the leader. */
  #ask(what: number, body: Uint8Array, done: (outcome: Outcome) => void): void {
    const here = () => this.#leader.do(what, body, done);
    if (this.#consensus.isLeader) return here();
    return this.#calls.ask(what, body, (outcome) => {
      if (outcome.result === 'here') here();
      else done(outcome);
    });
  }

  /**
   * While the last batch is applied in several turns, requests gather for the next one: a batch for each of
   * those turns would mean more writes to the disk. Not for long: a slow member may always be behind.
   */
  #holdsBack(): boolean {
    this.#heldBack = this.#consensus.isBehind ? this.#heldBack + 1 : 0;
    if (this.#heldBack <= HELD_BACK_PUMPS_MAX) return this.#heldBack > 0;
    this.#heldBack = 0;
    return false;
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
    if (inbox.length > 0) return true;
    if (taken > 0) connection.emptied?.();
    return false;
  }

  #request(connection: Connection, id: number, kind: number, body: ByteReader): void {
    switch (kind) {
      case REQUEST.propose:
        return this.#propose(connection, id, restOf(body));
      case REQUEST.range:
        return this.#read(connection, id, (out) => this.state.range(body, out));
      case REQUEST.readTxn:
        return this.#read(connection, id, (out) => this.state.readTxn(body, out));
      case REQUEST.leaseKeepAlive:
        return this.#askValue(ASK.keepAlive, { connection, id, body });
      case REQUEST.changeMembers:
        return this.#askValue(ASK.changeMembers, { connection, id, body });
      case REQUEST.members:
        return this.#members(connection, id);
      case REQUEST.status:
        return connection.answer(id, (out) => writeStatus(out, this.status()));
      case REQUEST.watch:
        return connection.hub.create(id, body);
      case REQUEST.unwatch:
        return connection.hub.cancel(id);
      case REQUEST.watchProgress:
        return connection.hub.requestProgress(id);
      case REQUEST.watchTaken:
        return connection.hub.taken(body.varint());
      default:
        assert(isSnapshotRequest(kind), `request kind ${kind} is known`);
        return serveSnapshot(this.#parts, connection, { id, kind, body });
    }
  }

  #propose(connection: Connection, id: number, data: Uint8Array): void {
    const of = { connection, id, value: undefined };
    if (this.#consensus.isLeader) return this.#writes.proposed(of, this.#leader.propose(data));
    return this.#ask(ASK.propose, data, (outcome) => this.#writes.proposed(of, outcome));
  }

  /** What is answered by a number, at once or when an entry of the leader's is applied here. */
  #askValue(what: number, of: { connection: Connection; id: number; body: ByteReader }): void {
    const { connection, id, body } = of;
    this.#ask(what, restOf(body), (outcome) =>
      outcome.result === 'taken'
        ? this.#writes.proposed({ connection, id, value: outcome.value }, outcome)
        : this.#answerValue(connection, id, outcome),
    );
  }

  #answerValue(connection: Connection, id: number, outcome: Outcome): void {
    const { groupId } = this.#consensus;
    if (outcome.result === 'value') {
      answerValue(connection, id, { value: outcome.value, groupId });
    } else if (outcome.result === 'refused') connection.refuse(id, outcome.error);
    else connection.refuse(id, lostChange());
  }

  #members(connection: Connection, id: number): void {
    const { groupId } = this.#consensus;
    this.#read(connection, id, (out) =>
      this.state.answer(out, () => {
        const { members, roster } = this.state;
        const { leader } = this.#consensus;
        writeGroupMembers(out, { groupId, leader, members, rows: roster.all() });
      }),
    );
  }

  #read(connection: Connection, id: number, write: (out: ByteWriter) => void): void {
    // Held, it would be asked anew each time that its client is sent away, and never end.
    if (this.isLeaderless) return connection.refuse(id, leaderless());
    this.#consensus.read((refused) => {
      if (refused !== undefined) connection.refuse(id, refused);
      else connection.frame(id, write);
    });
  }

  /** A watch on a member that hears of no leader would miss what happens, and not know. */
  #endBlindWatches(): void {
    if (!this.isLeaderless) return;
    for (const { hub } of this.#connections) hub.endAll(leaderless());
  }

  #tellPeers(): void {
    const ids = this.#acquaintances.update();
    if (ids !== undefined) this.#askedBefore.retain(ids);
  }
}

/** The refusal of what is no request: in the log it would stop every member. */
function wrongAsked(what: number, body: Uint8Array): StoreError | undefined {
  try {
    checkAsked(what, body);
    return undefined;
  } catch (error) {
    if (error instanceof StoreError) return error;
    if (!(error instanceof RangeError)) throw error;
    return new StoreError('INVALID_REQUEST', `no request: ${error.message}`, { cause: error });
  }
}

function restOf(body: ByteReader): Uint8Array {
  return body.bytes.subarray(body.at, body.end);
}
