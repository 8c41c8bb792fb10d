/**
 * The Raft core of one member: pure, without clock, disk, network or chance of its own. The host
 * feeds it messages, ticks, proposals and disk acknowledgements, and carries out what `ready`
 * returns, in the order that Ready's comment gives. This file is the dispatcher; the roles are in
 * election.ts, leader.ts, follower.ts and reads.ts.
 *
 * A group of one uses the same paths: it elects itself, and commits when its own disk acknowledged.
 */
import { assert } from '#base/assert.ts';
import {
  becomeFollower,
  campaign,
  onOwnVotePersisted,
  onVoteRequest,
  onVoteResponse,
} from './election.ts';
import { onAppend, onHeartbeat, onSnapshot } from './follower.ts';
import {
  broadcastAppend,
  broadcastHeartbeat,
  hasQuorum,
  onAppendResponse,
  onHeartbeatResponse,
  onOwnPersisted,
  onSnapshotFailed,
  onUnreachable,
  propose,
} from './leader.ts';
import { COMMITTED_BYTES_PER_READY_MAX } from './limits.ts';
import { RaftLog } from './log.ts';
import { onReadRequest, onReadResponse, requestRead } from './reads.ts';
import { reset, send } from './state.ts';
import type { RaftState, Role } from './state.ts';
import type {
  Entry,
  HardState,
  LogIndex,
  MemberId,
  Message,
  PersistMark,
  RaftConfig,
  Ready,
  Restored,
  Term,
} from './types.ts';

export type {
  Entry,
  HardState,
  LogIndex,
  MemberId,
  Members,
  Message,
  PersistMark,
  RaftConfig,
  ReadState,
  Ready,
  Restored,
  SnapshotMeta,
  Term,
} from './types.ts';

export interface RaftStatus {
  readonly role: Role;
  readonly leader: MemberId;
  readonly term: Term;
  readonly commitIndex: LogIndex;
  readonly appliedIndex: LogIndex;
  readonly persistedIndex: LogIndex;
  readonly lastIndex: LogIndex;
  readonly firstIndex: LogIndex;
}

export class Raft {
  readonly #state: RaftState;
  /** Last index handed out in `committed`. */
  #committedTaken: LogIndex;

  constructor(config: RaftConfig, restored: Restored) {
    const base = restored.snapshot ?? { index: 0, term: 0 };
    const log = new RaftLog(base, restored.entries);
    log.commitTo(Math.min(Math.max(restored.hardState.commitIndex, base.index), log.lastIndex));
    log.appliedTo(Math.max(restored.appliedIndex, base.index));
    this.#committedTaken = log.appliedIndex;
    this.#state = initialState(config, restored, log);
    reset(this.#state, restored.hardState.term);
  }

  get status(): RaftStatus {
    const { role, leader, term, log } = this.#state;
    const { commitIndex, appliedIndex, persistedIndex, lastIndex, firstIndex } = log;
    return {
      role,
      leader,
      term,
      commitIndex,
      appliedIndex,
      persistedIndex,
      lastIndex,
      firstIndex,
    };
  }

  get isLeader(): boolean {
    return this.#state.role === 'leader';
  }

  get term(): Term {
    return this.#state.term;
  }

  get lastIndex(): LogIndex {
    return this.#state.log.lastIndex;
  }

  /** Time passes by one tick. */
  tick(): void {
    const state = this.#state;
    state.electionElapsed++;
    if (state.role !== 'leader') {
      if (state.electionElapsed >= state.electionTimeout) this.campaign();
      return;
    }
    if (state.electionElapsed >= state.config.electionTicks) {
      state.electionElapsed = 0;
      // A leader that nobody hears must stop saying so: its reads and leases would be stale.
      if (!hasQuorum(state)) {
        becomeFollower(state, state.term, 0);
        return;
      }
    }
    state.heartbeatElapsed++;
    if (state.heartbeatElapsed < state.config.heartbeatTicks) return;
    state.heartbeatElapsed = 0;
    broadcastHeartbeat(state);
  }

  /** Starts an election now, as when the election timeout passed. */
  campaign(): void {
    campaign(this.#state);
  }

  /** Appends a command to the log of a leader; undefined elsewhere or when too much waits. */
  propose(data: Uint8Array): Entry | undefined {
    if (this.#state.role !== 'leader') return undefined;
    return propose(this.#state, data);
  }

  /** Asks for a linearizable read; its `context` comes back in a ReadState, or never. */
  read(context: number): boolean {
    return requestRead(this.#state, context);
  }

  /** Takes in a message of another member. */
  step(message: Message): void {
    assert(message.to === this.#state.id, 'a message is for this member');
    if (!this.#admit(message)) return;
    this.#dispatch(message);
  }

  /** What the Ready with this mark asked to persist is durable. */
  persisted(mark: PersistMark): void {
    const state = this.#state;
    // A mark of an older term may speak of entries that were overwritten and written again.
    if (mark.inTerm !== state.term) return;
    onOwnVotePersisted(state);
    if (state.log.persistedTo(mark.index, mark.term) && state.role === 'leader') {
      onOwnPersisted(state);
    }
  }

  /** Messages to member `id` do not get through. */
  unreachable(id: MemberId): void {
    onUnreachable(this.#state, id);
  }

  /** A snapshot sent to member `id` was not installed. */
  snapshotFailed(id: MemberId): void {
    onSnapshotFailed(this.#state, id);
  }

  /** Entries up to `index` are applied. */
  applied(index: LogIndex): void {
    this.#state.log.appliedTo(index);
  }

  /** The host keeps a snapshot that holds everything up to `index`; the log drops that part. */
  compact(index: LogIndex): void {
    this.#state.log.compactTo(index);
  }

  get hasReady(): boolean {
    const { log, messages, messagesAfterPersist, readStates, snapshot } = this.#state;
    return (
      log.takenIndex < log.lastIndex ||
      messages.length > 0 ||
      messagesAfterPersist.length > 0 ||
      readStates.length > 0 ||
      snapshot !== undefined ||
      this.#committedTaken < Math.min(log.commitIndex, log.persistedIndex) ||
      this.#hardStateChanged()
    );
  }

  /** Takes out the work that is due. */
  ready(): Ready {
    const state = this.#state;
    if (state.role === 'leader') broadcastAppend(state);
    const { log } = state;
    const entries = log.untaken();
    const changed = this.#hardStateChanged();
    const hardState = changed || entries.length > 0 ? this.#hardState() : undefined;
    log.takenIndex = log.lastIndex;
    if (hardState !== undefined) state.takenHardState = hardState;
    const ready: Ready = {
      messages: state.messages,
      snapshot: state.snapshot,
      hardState,
      entries,
      mustSync: changed || entries.length > 0 || state.snapshot !== undefined,
      mark: { index: log.lastIndex, term: log.lastTerm, inTerm: state.term },
      messagesAfterPersist: state.messagesAfterPersist,
      committed: this.#takeCommitted(),
      readStates: state.readStates,
    };
    state.messages = [];
    state.messagesAfterPersist = [];
    state.readStates = [];
    state.snapshot = undefined;
    return ready;
  }

  #takeCommitted(): readonly Entry[] {
    const { log } = this.#state;
    // A snapshot may have been restored past what was handed out.
    this.#committedTaken = Math.max(this.#committedTaken, log.appliedIndex);
    const to = Math.min(log.commitIndex, log.persistedIndex);
    if (this.#committedTaken >= to) return [];
    const committed = log.slice(this.#committedTaken + 1, to, COMMITTED_BYTES_PER_READY_MAX);
    this.#committedTaken += committed.length;
    return committed;
  }

  /** Term and vote are promises and are written at once; the commit index rides along. */
  #hardStateChanged(): boolean {
    const { term, vote, takenHardState } = this.#state;
    return term !== takenHardState.term || vote !== takenHardState.vote;
  }

  #hardState(): HardState {
    const { term, vote, log } = this.#state;
    return { term, vote, commitIndex: log.commitIndex };
  }

  /** Brings the own term up to the message's; false when the message is not to be handled. */
  #admit(message: Message): boolean {
    const state = this.#state;
    if (message.term === state.term) return true;
    if (message.term < state.term) {
      this.#answerStale(message);
      return false;
    }
    const isVote = message.kind === 'vote' || message.kind === 'preVote';
    // Stickiness: who hears a leader does not help to unseat it. Without this a member that was cut
    // off, or removed, would disturb the group at its every return.
    const hearsLeader = state.leader !== 0 && state.electionElapsed < state.config.electionTicks;
    if (isVote && hearsLeader) return false;
    if (message.kind === 'preVote') return true;
    if (message.kind === 'preVoteResponse' && !message.rejected) return true;
    const leads =
      message.kind === 'append' || message.kind === 'heartbeat' || message.kind === 'snapshot';
    becomeFollower(state, message.term, leads ? message.from : 0);
    return true;
  }

  /** A message of an older term is dropped, unless its sender would be stuck without an answer. */
  #answerStale(message: Message): void {
    const state = this.#state;
    const to = message.from;
    if (message.kind === 'append' || message.kind === 'heartbeat') {
      // A deposed leader must learn of the new term, though nobody may ask for votes in it.
      send(state, {
        kind: 'appendResponse',
        to,
        index: 0,
        rejected: false,
        hintIndex: 0,
        hintTerm: 0,
      });
    } else if (message.kind === 'preVote') {
      send(state, { kind: 'preVoteResponse', to, rejected: true });
    }
  }

  #dispatch(message: Message): void {
    const state = this.#state;
    switch (message.kind) {
      case 'vote':
      case 'preVote':
        return onVoteRequest(state, message);
      case 'voteResponse':
      case 'preVoteResponse':
        return onVoteResponse(state, message);
      case 'append':
        this.#followLeader(message.from);
        return onAppend(state, message);
      case 'heartbeat':
        this.#followLeader(message.from);
        return onHeartbeat(state, message);
      case 'snapshot':
        this.#followLeader(message.from);
        return onSnapshot(state, message);
      case 'appendResponse':
        return state.role === 'leader' ? onAppendResponse(state, message) : undefined;
      case 'heartbeatResponse':
        return state.role === 'leader' ? onHeartbeatResponse(state, message) : undefined;
      case 'read':
        return state.role === 'leader' ? onReadRequest(state, message) : undefined;
      case 'readResponse':
        return onReadResponse(state, message);
      default:
        return message satisfies never;
    }
  }

  /** A message of the current term's leader: candidates give up, timers start over. */
  #followLeader(leader: MemberId): void {
    const state = this.#state;
    assert(state.role !== 'leader', `member ${leader} does not lead this member's own term`);
    if (state.role === 'follower' && state.leader === leader) state.electionElapsed = 0;
    else becomeFollower(state, state.term, leader);
  }
}

function initialState(config: RaftConfig, restored: Restored, log: RaftLog): RaftState {
  const { hardState, snapshot } = restored;
  return {
    config,
    id: config.id,
    members: snapshot?.members ?? config.members,
    log,
    term: hardState.term,
    vote: hardState.vote,
    role: 'follower',
    leader: 0,
    electionElapsed: 0,
    heartbeatElapsed: 0,
    electionTimeout: config.electionTicks,
    votes: new Map(),
    progress: new Map(),
    uncommittedBytes: 0,
    readCounter: 0,
    reads: [],
    earlyReads: [],
    readAcks: new Map(),
    messages: [],
    messagesAfterPersist: [],
    readStates: [],
    snapshot: undefined,
    takenHardState: hardState,
  };
}
