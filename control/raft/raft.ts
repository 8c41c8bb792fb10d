/**
 * The Raft core of one member: pure, without clock, disk, network or chance of its own. The host
 * feeds it messages, ticks, proposals and disk acknowledgements, and carries out what `ready`
 * returns, by the contract in ready.ts. This file is the public face and the dispatcher; the rules
 * are in election.ts, leader.ts, responses.ts, follower.ts, reads.ts and transfer.ts.
 *
 * A group of one uses the same paths: it elects itself, and commits when its own disk acknowledged.
 */
import { assert, must } from '#base/assert.ts';
import { admit } from './admit.ts';
import { campaign, onTermPersisted, onVoteRequest, onVoteResponse } from './election.ts';
import { onAppend, onHeartbeat, onSnapshot, onTimeoutNow } from './follower.ts';
import { maybeCommit, propose, proposeChange, proposeLeave } from './leader.ts';
import type { ChangeRefusal, ProposeRefusal } from './leader.ts';
import { isFromLeader } from './messages.ts';
import type { Message } from './messages.ts';
import { isVoter } from './members.ts';
import type { MemberChange, Transition } from './members.ts';
import { isQuorum } from './quorum.ts';
import { onReadRequest, onReadResponse, requestRead } from './reads.ts';
import { hasReady, takeReady } from './ready.ts';
import { isSnapshotLacking } from './replication.ts';
import type { CommitNews, Ready } from './ready.ts';
import { onAppendResponse, onHeartbeatResponse } from './responses.ts';
import { initialState } from './start.ts';
import { becomeFollower } from './state.ts';
import type { LostLog, RaftState } from './state.ts';
import { progressOf, statusOf } from './status.ts';
import type { MemberProgress, RaftStatus } from './status.ts';
import { tick } from './ticks.ts';
import { handOver, transferLeadership } from './transfer.ts';
import type { TransferRefusal } from './transfer.ts';
import type {
  Entry,
  LogIndex,
  MemberId,
  Members,
  RaftConfig,
  Restored,
  SnapshotMeta,
  Term,
} from './types.ts';

export type { ChangeRefusal, ProposeRefusal } from './leader.ts';
export type { Limits } from './limits.ts';
export { NO_MEMBERS, everyone, isJoint, isVoter, membersOf } from './members.ts';
export type { MemberChange, Transition } from './members.ts';
export type { InstallSnapshot, Message } from './messages.ts';
export type { CommitNews, Ready } from './ready.ts';
export type { LostLog } from './state.ts';
export { isQuorum } from './quorum.ts';
export type { MemberProgress, RaftStatus } from './status.ts';
export type { TransferRefusal } from './transfer.ts';
export type {
  Entry,
  HardState,
  LogIndex,
  MemberId,
  Members,
  RaftConfig,
  ReadState,
  Restored,
  SnapshotMeta,
  Term,
} from './types.ts';

const NO_DATA = new Uint8Array(0);

export class Raft {
  readonly #state: RaftState;

  constructor(config: RaftConfig, restored: Restored) {
    this.#state = initialState(config, restored);
  }

  get status(): RaftStatus {
    return statusOf(this.#state);
  }

  /** A leader's view of the other members; empty elsewhere. */
  get progress(): readonly MemberProgress[] {
    return progressOf(this.#state);
  }

  get isLeader(): boolean {
    return this.#state.role.kind === 'leader';
  }

  get term(): Term {
    return this.#state.term;
  }

  /** For whom it voted in its term; 0 = for nobody. */
  get vote(): MemberId {
    return this.#state.vote;
  }

  get lastIndex(): LogIndex {
    return this.#state.log.lastIndex;
  }

  /** Of the last entry. */
  get lastTerm(): Term {
    return this.#state.log.lastTerm;
  }

  /** Where the durable part of the log ends; its term is 0 where the log has forgotten it. */
  get durableTail(): { readonly lastIndex: LogIndex; readonly lastTerm: Term } {
    const { log } = this.#state;
    const lastIndex = log.persistedIndex;
    return { lastIndex, lastTerm: log.term(lastIndex) ?? 0 };
  }

  /** In force: the last configuration in the log, committed or not. */
  get members(): Members {
    return this.#state.log.members;
  }

  /** Where that stands in the log. */
  get membersIndex(): LogIndex {
    return this.#state.log.membersIndex;
  }

  /**
   * Set when this member's disk was found to be older than its promises. It answers nobody any more;
   * the host has to replace it by a new member.
   */
  get lostLog(): LostLog | undefined {
    return this.#state.lostLog;
  }

  /** Who leads the current term, as far as is known; 0 otherwise. */
  get leader(): MemberId {
    return this.#state.leader;
  }

  /** It needs nobody's vote. */
  get isSoleVoter(): boolean {
    const { log, id } = this.#state;
    return isVoter(log.members, id) && isQuorum(log.members, (other) => other === id);
  }

  get commitIndex(): LogIndex {
    return this.#state.log.commitIndex;
  }

  /** Everything up to here is applied. */
  get appliedIndex(): LogIndex {
    return this.#state.log.appliedIndex;
  }

  /** The log in memory begins here. */
  get firstIndex(): LogIndex {
    return this.#state.log.firstIndex;
  }

  /** Of the log in memory. */
  get logBytes(): number {
    return this.#state.log.bytes;
  }

  /** The newest snapshot that was offered, 0 without one. */
  get offeredIndex(): LogIndex {
    return this.#state.offered?.index ?? 0;
  }

  /** A leader's: a member needs a snapshot, and the newest one offered is too old for the log. */
  get lacksSnapshot(): boolean {
    const { role } = this.#state;
    return role.kind === 'leader' && isSnapshotLacking(this.#state, role);
  }

  /** The entry at `index`, while it is in memory. */
  entry(index: LogIndex): Entry | undefined {
    return this.#state.log.entry(index);
  }

  /** Whether the entry of this term at `index` is certainly not in the log; term 0 = of any. */
  isWithout(index: LogIndex, term: Term): boolean {
    return this.#state.log.isWithout(index, term);
  }

  /** Of the entry at `index`, while it or what is behind it is in memory. */
  termOf(index: LogIndex): Term | undefined {
    return this.#state.log.term(index);
  }

  /** Time passes by one tick. */
  tick(): void {
    if (this.#state.lostLog === undefined) tick(this.#state);
  }

  /**
   * A quorum of others was asked: none of them has heard of a term above `term`. From now on this member
   * votes, in higher ones (see `Restored.voteAboveTerm`).
   */
  voteAbove(term: Term): void {
    this.#state.voteAboveTerm = term;
  }

  /** Starts an election now, as when the election timeout passed. */
  campaign(): void {
    campaign(this.#state, { isTransfer: false });
  }

  /** Appends a command to a leader's log. */
  propose(data: Uint8Array): Entry | ProposeRefusal {
    return propose(this.#state, data);
  }

  /** Appends a change of members to a leader's log; in force at once. `data` is the host's own. */
  proposeChange(
    changes: readonly MemberChange[],
    options?: { transition?: Transition; data?: Uint8Array },
  ): Entry | ChangeRefusal {
    const { transition = 'auto', data = NO_DATA } = options ?? {};
    return proposeChange(this.#state, changes, { transition, data });
  }

  /** Ends a joint change that does not end by itself. */
  proposeLeave(data = NO_DATA): Entry | ChangeRefusal {
    return proposeLeave(this.#state, data);
  }

  /** Hands leadership to the voter `to`; undefined when that has begun. */
  transferLeadership(to: MemberId): TransferRefusal | undefined {
    return transferLeadership(this.#state, to);
  }

  /** A leader that is about to end: asks the voter that holds most to take over, and follows. */
  resign(): void {
    const { role } = this.#state;
    if (role.kind === 'leader') handOver(this.#state, role);
  }

  /**
   * The host has reason to think that the leader is gone: this follower no longer protects it, but
   * stays in its term and follows it again when it hears from it.
   */
  forgetLeader(): void {
    if (this.#state.role.kind === 'follower') this.#state.leader = 0;
  }

  /** Asks for a linearizable read; its `context` comes back in a ReadState, or never. */
  read(context: number): boolean {
    return requestRead(this.#state, context);
  }

  /** Takes in a message of another member; a snapshot, when its content has arrived. */
  step(message: Message): void {
    const state = this.#state;
    assert(message.to === state.id, `a message for ${message.to} is not for member ${state.id}`);
    if (state.lostLog !== undefined || !admit(state, message)) return;
    if (isFromLeader(message)) this.#follow(message.from);
    this.#dispatch(message);
  }

  /**
   * The write of the Ready with this number is durable. Returns the number up to which all count as
   * durable: messages that wait for those may leave.
   */
  persisted(sequence: number): number {
    const state = this.#state;
    const { log } = state;
    for (const write of log.writes.finish(sequence)) {
      log.persistedTo(write.index);
      if (write.term === state.term) onTermPersisted(state);
    }
    if (state.role.kind === 'leader') maybeCommit(state, state.role);
    return log.writes.durableSequence;
  }

  /**
   * Messages to member `id` do not get through. Where it leads, that counts as the shortest silence that
   * an election waits for: the kernel resets the connections of a process that was killed. Nobody who
   * still hears that leader helps to unseat it, and its next message starts the timers over.
   */
  unreachable(id: MemberId): void {
    const state = this.#state;
    const { role, config } = state;
    if (role.kind === 'leader') role.progress.get(id)?.unreachable();
    else if (state.leader === id) {
      state.electionElapsed = Math.max(state.electionElapsed, config.electionTicks);
    }
  }

  /** The transfer of a snapshot to member `id` ended, well or not. */
  snapshotEnded(id: MemberId, outcome: 'installed' | 'failed'): void {
    const { role } = this.#state;
    if (role.kind === 'leader') role.progress.get(id)?.snapshotEnded(outcome === 'installed');
  }

  /** Entries up to `index` are applied. */
  applied(index: LogIndex): void {
    this.#state.log.appliedTo(index);
  }

  /** What a snapshot of the state up to `index` is to be called; undefined outside the kept log. */
  describe(index: LogIndex): SnapshotMeta | undefined {
    return this.#state.log.describe(index);
  }

  /**
   * The host holds a snapshot up to `index` and can send it. Members that need more than the log still
   * holds wait for one that reaches the log. False for one that says nothing about members, as when it
   * is older than this member's own joining.
   */
  offerSnapshot(index: LogIndex): boolean {
    const snapshot = must(this.#state.log.describe(index), `entry ${index} is kept and committed`);
    if (snapshot.members.voters.length === 0) return false;
    if (index > (this.#state.offered?.index ?? 0)) this.#state.offered = snapshot;
    return true;
  }

  /**
   * Drops the log up to `index`, which is applied. Where other members exist, not beyond the newest
   * snapshot offered: who needs what was dropped could not be served until the next one.
   */
  compact(index: LogIndex): void {
    this.#state.log.compactTo(index);
  }

  /** Committed entries wait to be handed out by the next Ready. */
  get hasCommitted(): boolean {
    return this.#state.log.hasUnhandedCommitted;
  }

  get hasReady(): boolean {
    return hasReady(this.#state, 'now');
  }

  /** Whether work is due when news of commits may wait for the next entries. */
  isReady(news: CommitNews): boolean {
    return hasReady(this.#state, news);
  }

  /**
   * Takes out the work that is due. A busy leader's host lets news of commits wait, which halves its
   * messages; a host that does so must ask for them before long, since members apply, and show to their
   * watches, only what they know to be committed.
   */
  ready(news: CommitNews = 'now'): Ready {
    return takeReady(this.#state, news);
  }

  /** A message of the current term's leader: candidates give up, timers start over. */
  #follow(leader: MemberId): void {
    const state = this.#state;
    const { role } = state;
    assert(role.kind !== 'leader', `member ${leader} does not lead this member's own term`);
    if (role.kind === 'follower' && state.leader === leader) state.electionElapsed = 0;
    else becomeFollower(state, state.term, leader);
  }

  #dispatch(message: Message): void {
    const state = this.#state;
    const { role } = state;
    switch (message.kind) {
      case 'vote':
      case 'preVote':
        return onVoteRequest(state, message);
      case 'voteResponse':
      case 'preVoteResponse':
        return onVoteResponse(state, message);
      case 'append':
        return onAppend(state, message);
      case 'heartbeat':
        return onHeartbeat(state, message);
      case 'snapshot':
        return onSnapshot(state, message);
      case 'timeoutNow':
        return onTimeoutNow(state);
      case 'appendResponse':
        return role.kind === 'leader' ? onAppendResponse(state, role, message) : undefined;
      case 'heartbeatResponse':
        return role.kind === 'leader' ? onHeartbeatResponse(state, role, message) : undefined;
      case 'read':
        return role.kind === 'leader' ? onReadRequest(role, message) : undefined;
      case 'readResponse':
        return onReadResponse(state, message);
      default:
        return message satisfies never;
    }
  }
}
