/**
 * Hosts the Raft core: carries out its Ready in the order that it asks for (control/raft/ready.ts),
 * with the write-ahead log as its disk and the other members behind the Peers port. Everything proposed
 * since the last `pump` is one batch and one sync; it is on its way to the others meanwhile. A failed
 * write or sync is thrown out of `pump` and ends the process: what is on disk is unknown then, and only
 * a restart finds out.
 */
import { isVoter } from '#control/raft/raft.ts';
import type { Entry, MemberChange, Members, Message, Raft, Ready } from '#control/raft/raft.ts';
import type { Checkpoints } from '../checkpoint/checkpoints.ts';
import { checkpointName } from '../checkpoint/format.ts';
import type { Scrubber } from '../checkpoint/scrub.ts';
import type { Crc32 } from '../codec/digest.ts';
import type { Disk } from '../disk/disk.ts';
import { StoreError } from '../port.ts';
import { MEMBERS_BYTES_MAX, RECORD_OVERHEAD_BYTES } from '../wal/record.ts';
import type { Wal } from '../wal/wal.ts';
import { AwaitedCommits } from './awaited-commits.ts';
import type { BulkRate } from './bulk-rate.ts';
import type { Consensus, ConsensusWork, Durable, MemberStanding, Proposed } from './consensus.ts';
import type { DiskRoom, Need } from './disk-room.ts';
import type { EngineLog } from './engine-log.ts';
import { EntrySource } from './entry-source.ts';
import { Expulsion } from './expulsion.ts';
import type { HashRounds } from './hash-rounds.ts';
import { LogMemory } from './log-memory.ts';
import { LogWrites } from './log-writes.ts';
import { MutualChecks } from './mutual-checks.ts';
import { caughtUpLearner, refusalOfChange } from './others.ts';
import type { LogTail, PeerMessage, Peers } from './peers.ts';
import { PendingReads } from './pending-reads.ts';
import type { Confirmed } from './pending-reads.ts';
import type { Received, SnapshotReceiver } from './snapshot-receiver.ts';
import type { SnapshotSender } from './snapshot-sender.ts';
import { hasOthers } from './start-terms.ts';
import type { StateMachine } from './state-machine.ts';

export interface ConsensusParts {
  readonly raft: Raft;
  readonly wal: Wal;
  readonly state: StateMachine;
  readonly disk: Disk;
  readonly crc32: Crc32;
  readonly log: EngineLog;
  readonly checkpoints: Checkpoints;
  readonly hashes: HashRounds;
  readonly room: DiskRoom;
  readonly peers: Peers;
  readonly sender: SnapshotSender;
  readonly receiver: SnapshotReceiver;
  /** `joint`: also where one voter changes. */
  readonly transition: 'auto' | 'joint';
  readonly bulk: BulkRate;
  readonly scrubber: Scrubber;
  /** Applied entries that stay in memory behind the applied index. */
  readonly tailEntries: number;
}

export class RaftConsensus implements Consensus {
  readonly #parts: ConsensusParts;
  readonly #raft: Raft;
  readonly #reads: PendingReads;
  readonly #checks: MutualChecks;
  readonly #entries: EntrySource;
  readonly #expulsion: Expulsion;
  readonly #memory: LogMemory;
  readonly #writes: LogWrites;
  /** Proposed and not yet taken from the core: the disk has room for so many. */
  #proposedBytes = 0;
  #durableTerm: number;
  #notedLeader = 0;
  readonly #awaited = new AwaitedCommits();
  /** Its content is here; the core is about to decide whether it is wanted. */
  #received: Received | undefined;

  constructor(parts: ConsensusParts) {
    this.#parts = parts;
    this.#raft = parts.raft;
    this.#durableTerm = parts.raft.term;
    this.#reads = new PendingReads((context) => this.#raft.read(context));
    const { identity } = parts.wal;
    const { lastIndex } = parts.raft;
    this.#expulsion = new Expulsion({ ...parts, identity, lastIndex });
    this.#writes = new LogWrites(parts.wal, (ready) => this.#persisted(ready));
    const { peers } = parts;
    const { memberId } = this;
    this.#memory = new LogMemory(parts.raft, { memberId, tailEntries: parts.tailEntries });
    const send: Peers['send'] = (to, message) => peers.send(to, message);
    this.#entries = new EntrySource(parts, { raft: parts.raft, send });
    this.#checks = new MutualChecks({ ...parts, memberId, expulsion: this.#expulsion, send });
  }

  get memberId(): number {
    return this.#parts.wal.identity.memberId;
  }

  get groupId(): number {
    return this.#parts.wal.identity.groupId;
  }

  get term(): number {
    return this.#raft.term;
  }

  get vote(): number {
    return this.#raft.vote;
  }

  get tail(): LogTail {
    const { lastIndex, lastTerm } = this.#raft;
    return { lastIndex, lastTerm };
  }

  get durable(): Durable {
    return { ...this.#raft.durableTail, term: this.#durableTerm };
  }

  get isLeader(): boolean {
    return this.#raft.isLeader;
  }

  get leader(): number {
    return this.#raft.leader;
  }

  get isDiskFull(): boolean {
    return this.#parts.room.isFull;
  }

  get commitIndex(): number {
    return this.#raft.commitIndex;
  }

  get walBytes(): number {
    return this.#parts.wal.bytesUsed;
  }

  tick(): void {
    this.#checks.tick();
    this.#raft.tick();
  }

  round(): void {
    this.#parts.room.tick();
    this.#parts.sender.tick();
    this.#parts.checkpoints.tick();
    this.#parts.receiver.tick();
    this.#reads.tick();
    this.#entries.tick();
    if (this.#raft.lacksSnapshot) this.#parts.checkpoints.want();
    this.#retainTransfers();
    this.#memory.tick();
    this.#parts.bulk.tick();
    this.#parts.scrubber.tick();
    this.#checks.round();
  }

  get isDisputed(): boolean {
    return this.#checks.isDisputed;
  }

  propose(data: Uint8Array, need: () => Need): Proposed | StoreError {
    if (!this.#raft.isLeader) return new StoreError('UNAVAILABLE', 'this member does not lead');
    if (this.isDisputed) {
      return new StoreError('CORRUPT', "states of the members differ, and none is a quorum's");
    }
    const bytes = this.#proposedBytes + data.length + RECORD_OVERHEAD_BYTES;
    if (!this.#parts.room.admit(this.#writes.waitingBytes + bytes, need)) {
      return new StoreError('NO_SPACE', 'disk of the store is full');
    }
    const entry = this.#raft.propose(data);
    if (typeof entry === 'string') {
      const why = entry === 'transferring' ? 'leadership is handed over' : 'too many writes wait';
      return new StoreError('UNAVAILABLE', why);
    }
    this.#proposedBytes = bytes;
    return entry;
  }

  changeMembers(changes: readonly MemberChange[], data: Uint8Array): Proposed | StoreError {
    const refusal = refusalOfChange(this.#raft, this.memberId, changes);
    if (refusal !== undefined) return refusal;
    // Who asks again for a member to be added is found by the state, once it holds the first answer.
    if (this.#raft.appliedIndex < this.#raft.status.membersIndex) {
      return new StoreError('UNAVAILABLE', 'members cannot be changed now: the last change is new');
    }
    const { transition } = this.#parts;
    const entry = this.#raft.proposeChange(changes, { data, transition });
    if (typeof entry !== 'string') {
      this.#proposedBytes += data.length + MEMBERS_BYTES_MAX + RECORD_OVERHEAD_BYTES;
      return entry;
    }
    return new StoreError('UNAVAILABLE', `members cannot be changed now: ${entry}`);
  }

  transferLeadership(to: number): StoreError | undefined {
    const refusal = this.#raft.transferLeadership(to);
    if (refusal === undefined) return undefined;
    return new StoreError('INVALID_REQUEST', `leadership cannot go to member ${to}: ${refusal}`);
  }

  resign(): void {
    if (hasOthers(this.#raft.members, this.memberId)) this.#raft.resign();
  }

  member(id: number): MemberStanding {
    const progress = this.#raft.progress.find((other) => other.id === id);
    return {
      isVoter: isVoter(this.#raft.members, id),
      isActive: id === this.memberId || progress?.recentActive === true,
      matchIndex: progress?.matchIndex ?? 0,
    };
  }

  expel(reason: string): never {
    return this.#expulsion.expel(reason);
  }

  get members(): Members {
    return this.#raft.members;
  }

  get isSoleVoter(): boolean {
    return this.#raft.isSoleVoter;
  }

  leadAlone(): void {
    if (!this.#raft.isSoleVoter || this.#raft.isLeader) return;
    this.#raft.voteAbove(0);
    this.#raft.campaign();
  }

  caughtUpLearner(): number | undefined {
    return caughtUpLearner(this.#raft);
  }

  read(confirmed: Confirmed): void {
    this.#reads.add(confirmed);
  }

  entry(index: number): Entry | undefined {
    return this.#raft.entry(index);
  }

  receive(from: number, message: PeerMessage): void {
    const { sender, receiver } = this.#parts;
    switch (message.kind) {
      case 'snapshotOffer':
        if (message.snapshot.index > this.#raft.appliedIndex) receiver.offered(from, message);
        else this.#step(from, { ...message, kind: 'snapshot' });
        return;
      case 'chunkRequest':
        return sender.requested(from, message);
      case 'chunk':
        return receiver.received(message);
      case 'snapshotFailed':
        return sender.gaveUp(from, message.index);
      case 'termRequest':
      case 'membersNews':
      case 'termResponse':
      case 'stateHash':
      case 'stateHashAnswer':
      case 'fence':
        return this.#checks.receive(from, message);
      case 'entryRequest':
        return this.#entries.asked(from, message);
      case 'checkpointRequest':
        return sender.asked(from, message.index, this.#raft.term);
      case 'entryResponse':
        return; // Of a repair that is over.
      case 'ask':
      case 'answer':
      case 'statement':
      case 'rosterRequest':
      case 'rosterNews':
        return; // The engine's own.
      case 'append':
        if (this.#hasRoomFor(message.entries)) this.#step(from, message);
        return;
      case 'preVote':
        this.#checks.met(from);
        return this.#step(from, message);
      default:
        return this.#step(from, message);
    }
  }

  greeted(from: number, tail: LogTail): void {
    this.#checks.greeted(from, tail);
  }

  unreachable(id: number): void {
    this.#raft.unreachable(id);
  }

  proposedForOther(): void {
    this.#awaited.proposed(this.#raft.lastIndex);
  }

  get hasNews(): boolean {
    return this.#raft.isLeader && this.#raft.hasReady;
  }

  pump(work: ConsensusWork): boolean {
    this.#reads.flush();
    this.#writes.pump();
    this.#work(work);
    const received = this.#parts.receiver.pump();
    if (typeof received === 'object') {
      this.#deliver(received);
      this.#work(work);
      this.#received = undefined; // Wanted or not.
    }
    const isSending = this.#parts.sender.pump();
    const isReading = this.#entries.pump();
    const isWriting = this.#parts.checkpoints.pump();
    return this.isBehind || isWriting || isSending || isReading || received !== false;
  }

  /** A checkpoint of this index counts. */
  checkpointed(index: number): void {
    if (index >= this.#raft.firstIndex - 1) this.#raft.offerSnapshot(index);
  }

  close(): void {
    this.#end();
    this.#writes.settle();
    this.#parts.wal.close();
  }

  abort(): void {
    this.#end();
    this.#parts.wal.abort();
  }

  #end(): void {
    this.#entries.close();
    this.#parts.sender.close();
    this.#parts.receiver.close();
    this.#parts.scrubber.close();
  }

  get isBehind(): boolean {
    return this.#raft.hasCommitted;
  }

  /** All that is due, of committed entries what one Ready holds. */
  #work(work: ConsensusWork): void {
    for (;;) {
      const { commitIndex } = this.#raft;
      const news = this.#awaited.isAny(commitIndex) ? 'now' : work.news;
      if (!this.#raft.isReady(news)) break;
      if (news === 'now') this.#awaited.told(commitIndex);
      const ready = this.#raft.ready(news);
      this.#carryOut(ready, work);
      if (ready.committed.length > 0 && this.isBehind) break;
    }
    this.#noteLeader();
    this.#checks.checkLog();
  }

  /** For whoever reads what happened. */
  #noteLeader(): void {
    const { leader, term } = this.#raft;
    if (leader === this.#notedLeader) return;
    this.#notedLeader = leader;
    if (!hasOthers(this.#raft.members, this.memberId)) return;
    this.#parts.log.info(leader === 0 ? 'no member leads' : 'a member leads', { leader, term });
  }

  #carryOut(ready: Ready, work: ConsensusWork): void {
    this.#send(ready.messages);
    const isWriting = ready.entries.length > 0 || ready.hardState !== undefined;
    // Others wait for a follower's promise; a leader's clients wait for what was committed.
    const isApplyingFirst = isWriting && ready.messagesAfterPersist.length === 0;
    if (isApplyingFirst && ready.snapshot === undefined && ready.committed.length > 0) {
      this.#apply(ready, work);
      work.answer();
      this.#persist(ready);
    } else {
      this.#persist(ready);
      this.#apply(ready, work);
    }
    for (const { context, index } of ready.readStates) this.#reads.answered(context, index);
    this.#reads.applied(this.#raft.appliedIndex);
  }

  #persist(ready: Ready): void {
    const bytes = this.#proposedBytes;
    this.#proposedBytes = 0;
    if (ready.snapshot === undefined) {
      this.#writes.add(ready, bytes);
      this.#writes.pump();
    } else {
      this.#writes.settle();
      this.#install(ready);
      this.#persisted(ready);
    }
  }

  #persisted(ready: Ready): void {
    if (ready.hardState !== undefined) this.#durableTerm = ready.hardState.term;
    this.#raft.persisted(ready.sequence);
    this.#send(ready.messagesAfterPersist);
  }

  #apply({ committed }: Ready, { apply }: ConsensusWork): void {
    for (const entry of committed) {
      apply(entry);
      this.#parts.checkpoints.applied();
    }
    const last = committed.at(-1);
    if (last === undefined) return;
    this.#raft.applied(last.index);
    this.#memory.trim();
    this.#checks.applied();
  }

  #send(messages: readonly Message[]): void {
    for (const message of messages) {
      if (message.kind === 'snapshot') this.#parts.sender.begin(message);
      else this.#parts.peers.send(message.to, message);
    }
  }

  #step(from: number, message: { readonly kind: Message['kind']; readonly term: number }): void {
    // A message without its envelope is one of the core's own.
    this.#raft.step({ ...message, from, to: this.memberId } as Message);
  }

  #deliver(received: Received): void {
    this.#received = received;
    const { from, term, snapshot } = received;
    this.#raft.step({ kind: 'snapshot', from, to: this.memberId, term, snapshot });
  }

  /**
   * The restart in the log is what counts: before it the file is of no meaning, behind it recovery gives
   * the file its name, should this process not come to that.
   */
  #install({ entries, hardState, snapshot }: Ready): void {
    const received = this.#received;
    if (snapshot === undefined || received?.snapshot.index !== snapshot.index) {
      throw new StoreError('CORRUPT', `snapshot ${snapshot?.index} is to be installed unreceived`);
    }
    this.#received = undefined;
    const { wal, disk, checkpoints, state, receiver } = this.#parts;
    wal.write(entries, hardState, { index: snapshot.index, term: snapshot.term });
    disk.rename(received.name, checkpointName(snapshot.index));
    disk.syncDirectory();
    checkpoints.installed(snapshot.index);
    receiver.clear();
    state.install(received.state);
    this.#parts.log.info('snapshot installed', { index: snapshot.index });
  }

  /**
   * Entries that the leader took are written while there is room, ballast included; on a disk that is
   * full to the brim they are lost as on the way, and come again.
   */
  #hasRoomFor(entries: readonly Entry[]): boolean {
    let bytes = this.#proposedBytes;
    for (const { data, members } of entries) {
      bytes += data.length + RECORD_OVERHEAD_BYTES;
      if (members !== undefined) bytes += MEMBERS_BYTES_MAX;
    }
    const all = this.#writes.waitingBytes + bytes;
    if (entries.length > 0 && !this.#parts.room.admit(all, () => 'relief')) return false;
    this.#proposedBytes = bytes;
    return true;
  }

  /** Transfers go on for members that the core still waits for. */
  #retainTransfers(): void {
    const waiting = new Map<number, number>();
    for (const { id, state, snapshotIndex } of this.#raft.progress) {
      if (state === 'snapshot') waiting.set(id, snapshotIndex);
    }
    this.#parts.sender.retain(waiting);
  }
}
