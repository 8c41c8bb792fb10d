/**
 * What only the leader does: takes commands and changes of members into the log, for its own clients
 * and for those of other members; keeps leases; sees to it that the log says who the members are, how much
 * memory they have, what the quota is and which version all of them run, and that learners become voters.
 * Whether it leads it is told by the consensus.
 */
import type { MemberChange } from '#control/raft/raft.ts';
import { ByteReader, ByteWriter, latin1Bytes } from '../codec/bytes.ts';
import { everyone } from '#control/raft/raft.ts';
import { COMMAND, asTxn, beginCommand } from '../codec/command.ts';
import { readCommandHead } from '../codec/read-command.ts';
import { readMemberRequest, writeRosterRow } from '../codec/roster.ts';
import type { MemberRequest } from '../codec/roster.ts';
import { tokenKey } from '../codec/token-key.ts';
import { MEMBERS_MAX, QUOTA_BYTES_DEFAULT } from '../limits.ts';
import { NONE } from '../mvcc/records.ts';
import { StoreError } from '../port.ts';
import { layoutOf } from '../software.ts';
import { VERSION_FACTS } from '../versions.ts';
import type { Consensus, Proposed } from './consensus.ts';
import type { Lease } from './leases.ts';
import { Lessor } from './lessor.ts';
import type { LessorTick } from './lessor.ts';
import { needOf } from './need.ts';
import { ASK } from './peers.ts';
import type { Answer } from './peers.ts';
import { leaseNotFound } from './refusals.ts';
import type { RosterRow } from './roster.ts';
import type { Statements } from './statements.ts';
import type { StateMachine } from './state-machine.ts';

export interface LeaderOptions {
  readonly state: StateMachine;
  readonly consensus: Consensus;
  readonly electionMs: number;
  readonly monotonicMs: () => number;
  /** Draws an id for a new member: positive and below 2^53. */
  readonly newId: () => number;
  /** Absent: by the memory of the voters. */
  readonly quotaBytes: number | undefined;
  readonly statements: Statements;
  /** This member's own row, should it be the first. */
  readonly founder: Omit<RosterRow, 'id'>;
}

export class LeaderWork {
  readonly #options: LeaderOptions;
  readonly #state: StateMachine;
  readonly #consensus: Consensus;
  readonly #lessor: Lessor;
  /** What was proposed in this term, by name: once is enough. */
  readonly #proposed = new Map<string, number>();
  #proposedTerm = 0;

  constructor(options: LeaderOptions) {
    this.#options = options;
    this.#state = options.state;
    this.#consensus = options.consensus;
    this.#lessor = new Lessor(options.state, options.electionMs);
  }

  /** Does what was asked; `done` runs now or, behind a quorum round, later. */
  do(what: number, body: Uint8Array, done: (answer: Answer) => void): void {
    if (what === ASK.propose) done(this.propose(body));
    else if (what === ASK.keepAlive) this.#keepAlive(new ByteReader(body).varint(), done);
    else if (what === ASK.changeMembers) {
      const request = readMemberRequest(new ByteReader(body));
      const { kind } = request;
      // Who asks gives up when it is told that the group has no such key, or token.
      if (kind === 'rejoin' || kind === 'join') {
        this.#confirmed(done, () => done(this.#changeMembers(request)));
      } else done(this.#changeMembers(request));
    } else done(refused(new StoreError('UNSUPPORTED', `a leader is asked for ${what}`)));
  }

  /** Time passes, and this member leads. */
  tick(): void {
    this.settle();
    const nowMs = this.#options.monotonicMs();
    this.#lessor.lead(this.#consensus.term, nowMs);
    const { revoke, checkpoint } = this.#lessor.tick(nowMs);
    for (const lease of revoke) this.#proposeExpiry(lease, nowMs);
    if (checkpoint.length > 0) this.#proposeCheckpoint(checkpoint);
  }

  /**
   * Proposes what the log lacks: the first member, the version that all run, the quota, the members'
   * memory, a learner's promotion. True when there may be more once this is applied.
   */
  settle(): boolean {
    const { quota, version, members } = this.#state;
    if (members.voters.length === 0) return this.#found();
    this.#promote();
    const wanted = this.#commonVersion();
    if (wanted > version) return this.#proposeOnce(COMMAND.raiseVersion, 0, wanted);
    const setting = this.#options.quotaBytes ?? (version < VERSION_FACTS ? QUOTA_BYTES_DEFAULT : 0);
    let hasProposed = quota.setting !== setting && this.#proposeOnce(COMMAND.configure, 0, setting);
    if (version < VERSION_FACTS) return hasProposed;
    for (const id of everyone(members)) {
      const bytes = this.#options.statements.of(id, this.#consensus.term)?.memoryBytes;
      if (bytes === undefined || quota.memoryOf(id) === bytes) continue;
      if (this.#proposeOnce(COMMAND.memberMemory, id, bytes)) hasProposed = true;
    }
    return hasProposed;
  }

  /**
   * The highest version that every member runs and stays with; 0 = not all have said so. Who is being added
   * counts from the entry that does it, before that is applied: a group raised behind it has no place for one
   * that runs the version before.
   */
  #commonVersion(): number {
    const { statements } = this.#options;
    const ids = [...everyone(this.#state.members), ...everyone(this.#consensus.members)];
    const versions = ids.map((id) => {
      const stated = statements.of(id, this.#consensus.term);
      return stated?.isConfirmed === true ? stated.version : 0;
    });
    return Math.min(...versions);
  }

  #promote(): void {
    const id = this.#consensus.caughtUpLearner();
    if (id === undefined || this.#state.roster.get(id)?.isToVote !== true) return;
    this.#consensus.changeMembers([{ kind: 'addVoter', id }], NO_DATA);
  }

  /** Takes a command into the log. */
  propose(data: Uint8Array): Answer {
    const command = this.#inVersion(data);
    const proposed = this.#consensus.propose(command, () => needOf(this.#state, command));
    if (!(proposed instanceof StoreError)) this.#noteRevocation(command);
    return answerOf(proposed);
  }

  /** From here on nobody renews the lease. */
  #noteRevocation(command: Uint8Array): void {
    if (command[1] !== COMMAND.leaseRevoke) return;
    const input = new ByteReader(command);
    readCommandHead(input, this.#state.software);
    const lease = this.#state.leases.get(input.varint());
    const nowMs = this.#options.monotonicMs();
    this.#lessor.lead(this.#consensus.term, nowMs);
    if (lease !== undefined) this.#lessor.revoking(lease, nowMs);
  }

  /** As a group of this version knows it. */
  #inVersion(data: Uint8Array): Uint8Array {
    const { software, version } = this.#state;
    const kind = data[1] ?? 0;
    const layout = layoutOf(software, kind, version);
    if (layout === data[0]) return data;
    // What raises a group comes before it knows such a kind.
    if (layout === undefined) return kind === COMMAND.reliefTxn ? asTxn(data) : data;
    const command = data.slice();
    command[0] = layout;
    return command;
  }

  /** Renewed only behind a quorum round: a deposed leader must not keep a lease alive. */
  #keepAlive(leaseId: number, done: (answer: Answer) => void): void {
    this.#confirmed(done, () => {
      const nowMs = this.#options.monotonicMs();
      this.#lessor.lead(this.#consensus.term, nowMs);
      const lease = this.#lessor.renew(leaseId, nowMs);
      if (lease === undefined) return done(refused(leaseNotFound(leaseId)));
      const { ttlSeconds, remainingMs } = lease;
      if (remainingMs >= ttlSeconds * 1000) return done({ result: 'value', value: ttlSeconds });
      // The next leader goes by the log: it has to know before the client does.
      const whole = [{ id: leaseId, remainingMs: ttlSeconds * 1000 }];
      return done(answerOf(this.#proposeCheckpoint(whole), ttlSeconds));
    });
  }

  /** Runs `work` when a quorum has said that this member leads, and all is applied that was committed. */
  #confirmed(done: (answer: Answer) => void, work: () => void): void {
    const { term } = this.#consensus;
    this.#consensus.read((error) => {
      if (error !== undefined) return done(refused(error));
      if (this.#consensus.isLeader && this.#consensus.term === term) return work();
      return done({ result: 'notLeader' });
    });
  }

  #changeMembers(request: MemberRequest): Answer {
    if (request.kind === 'move') {
      const error = this.#consensus.transferLeadership(request.id);
      return error === undefined ? { result: 'value', value: request.id } : refused(error);
    }
    if (request.kind === 'describe') return answerOf(this.#describe([], request.row));
    if (request.kind === 'remove') {
      return answerOf(this.#consensus.changeMembers([request], NO_DATA));
    }
    if (request.kind === 'rejoin') return this.#rejoin(request);
    if (request.kind === 'join' && !this.#isToken(request.token)) {
      return refused(new StoreError('INVALID_REQUEST', 'join token is unknown, or has expired'));
    }
    const { key, address, isToVote } = request;
    if (this.#state.roster.all().length >= MEMBERS_MAX) {
      return refused(new StoreError('INVALID_REQUEST', `the group has ${MEMBERS_MAX} members`));
    }
    const known = this.#state.roster.all().find((row) => key !== '' && row.key === key);
    // Asked again by who was not told of its id: it is a member already.
    if (known !== undefined) return { result: 'value', value: known.id };
    const id = this.#options.newId();
    const row = { id, key, address, isToVote };
    return answerOf(this.#describe([{ kind: 'addLearner', id }], row), id);
  }

  /**
   * A member's key under another id: the old one goes and the new one comes as a learner in one change,
   * which leaves a quorum of others or is refused. What the old id promised, nobody counts on any more.
   */
  #rejoin({ formerId, key, address }: Extract<MemberRequest, { kind: 'rejoin' }>): Answer {
    const known = this.#state.roster.all().find((row) => key !== '' && row.key === key);
    if (known === undefined) {
      return refused(new StoreError('INVALID_REQUEST', 'no member of the group has this key'));
    }
    const { isVoter, isActive, matchIndex } = this.#consensus.member(known.id);
    // Asked again by who was not told of its new id. One under which something was promised is nobody
    // else's: who asks then has a directory of the time before.
    const isNew = formerId !== known.id && !isVoter && matchIndex === 0;
    if (isNew) return { result: 'value', value: known.id };
    if (isActive) {
      const text = `member ${known.id} with this key takes part in the group`;
      return refused(new StoreError('UNAVAILABLE', text));
    }
    const id = this.#options.newId();
    const row = { ...known, id, isToVote: known.isToVote || isVoter };
    const changes = [
      { kind: 'remove', id: known.id } as const,
      { kind: 'addLearner', id } as const,
    ];
    const described = address === '' ? row : { ...row, address };
    return answerOf(this.#describe(changes, described), id);
  }

  #isToken(token: string): boolean {
    return token !== '' && this.#state.mvcc.current(latin1Bytes(tokenKey(token))) !== NONE;
  }

  #describe(changes: readonly MemberChange[], row: RosterRow): Proposed | StoreError {
    const out = new ByteWriter(64);
    beginCommand(out, COMMAND.describeMember);
    writeRosterRow(out, row);
    const data = this.#inVersion(out.take());
    if (changes.length > 0) return this.#consensus.changeMembers(changes, data);
    return this.#consensus.propose(data, () => 'relief');
  }

  /** Whoever joins later learns of all members from the log alone. */
  #found(): boolean {
    const id = this.#consensus.memberId;
    const row = { ...this.#options.founder, id };
    return !(this.#describe([{ kind: 'addVoter', id }], row) instanceof StoreError);
  }

  #proposeExpiry(lease: Lease, nowMs: number): void {
    const hasGenerations = this.#state.version >= VERSION_FACTS;
    const isProposed = this.#proposeOwn((out) => {
      beginCommand(out, hasGenerations ? COMMAND.leaseExpire : COMMAND.leaseRevoke);
      out.varint(lease.id);
      out.varint(this.#consensus.term);
      if (hasGenerations) out.varint(lease.generation);
    });
    if (isProposed) this.#lessor.revoking(lease, nowMs);
  }

  /** Proposes `value` for what it is of (0 = the group), unless this leader did so; true = now. */
  #proposeOnce(kind: number, of: number, value: number): boolean {
    const { term } = this.#consensus;
    if (term !== this.#proposedTerm) this.#proposed.clear();
    this.#proposedTerm = term;
    const name = `${kind} ${of}`;
    if (this.#proposed.get(name) === value) return false;
    const isProposed = this.#proposeOwn((out) => {
      beginCommand(out, kind);
      if (kind === COMMAND.memberMemory) out.varint(of);
      out.varint(value);
    });
    if (isProposed) this.#proposed.set(name, value);
    return isProposed;
  }

  #proposeCheckpoint(rows: LessorTick['checkpoint']): Proposed | StoreError {
    return this.#proposeCommand((out) => {
      beginCommand(out, COMMAND.leaseCheckpoint);
      out.varint(rows.length);
      for (const { id, remainingMs } of rows) {
        out.varint(id);
        out.varint(remainingMs);
      }
    });
  }

  /** Proposes a command of the store itself; false when it was not taken. */
  #proposeOwn(write: (out: ByteWriter) => void): boolean {
    return !(this.#proposeCommand(write) instanceof StoreError);
  }

  #proposeCommand(write: (out: ByteWriter) => void): Proposed | StoreError {
    const out = new ByteWriter(64);
    write(out);
    return this.#consensus.propose(this.#inVersion(out.take()), () => 'relief');
  }
}

const NO_DATA = new Uint8Array(0);

function answerOf(proposed: Proposed | StoreError, value = 0): Answer {
  if (proposed instanceof StoreError) return refused(proposed);
  return { result: 'taken', index: proposed.index, term: proposed.term, value };
}

function refused(error: StoreError): Answer {
  return { result: 'refused', error };
}
