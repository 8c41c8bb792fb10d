/**
 * What the engine asks of the replicated log: propose commands, learn what is committed, know when a
 * read is linearizable. Implemented by raft-consensus.ts.
 */
import type { CommitNews, MemberChange, Members } from '#control/raft/raft.ts';
import type { StoreError } from '../port.ts';
import type { Need } from './disk-room.ts';
import type { LogTail, PeerMessage } from './peers.ts';
import type { AppliedEntry } from './state-machine.ts';

export interface Proposed {
  readonly index: number;
  readonly term: number;
}

export interface MemberStanding {
  readonly isVoter: boolean;
  /** Heard from lately. */
  readonly isActive: boolean;
  /** How much of the log it acknowledged. */
  readonly matchIndex: number;
}

export interface ConsensusWork {
  readonly apply: (entry: AppliedEntry) => void;
  /** Runs before a wait for the disk, which holds up nobody whose answer is known. */
  readonly answer: () => void;
  readonly news: CommitNews;
}

/** What a crash leaves, whatever is being written. */
export interface Durable extends LogTail {
  readonly term: number;
}

export interface Consensus {
  /**
   * Where the command will stand in the log if nothing intervenes, or why it was not taken. `need` is
   * asked on a full disk.
   */
  propose(data: Uint8Array, need: () => Need): Proposed | StoreError;
  /** The same for a change of members, which is in force as soon as it is in the log. */
  changeMembers(changes: readonly MemberChange[], data: Uint8Array): Proposed | StoreError;
  /** Hands leadership to a voter; undefined when that has begun. */
  transferLeadership(to: number): StoreError | undefined;
  /** This member is about to end: another is asked to lead. */
  resign(): void;
  /** What a leader knows of another member. */
  member(id: number): MemberStanding;
  /** A learner that holds about the whole log and may be made a voter. */
  caughtUpLearner(): number | undefined;
  /** Asks for a linearizable read; `confirmed` runs when the applied state may answer it. */
  read(confirmed: (refused: StoreError | undefined) => void): void;
  /**
   * Does the due work: persists what is new, hands committed entries to `apply` in order, confirms
   * reads. Cheap when there is none. True = there is more to do soon.
   */
  pump(work: ConsensusWork): boolean;
  /** The last entry was proposed for another member, which waits to hear of its commit. */
  proposedForOther(): void;
  /** Members have not been told of the last commits. */
  readonly hasNews: boolean;
  /** The entry at `index`, while it is in memory. */
  entry(index: number): AppliedEntry | undefined;
  /** Takes in what another member says. */
  receive(from: number, message: PeerMessage): void;
  /** A member said where its log ends: it must hold what it acknowledged. */
  greeted(from: number, tail: LogTail): void;
  /** Messages to this member do not get through. */
  unreachable(member: number): void;
  /** Committed entries were left for the next turn. */
  readonly isBehind: boolean;
  /** Time passes for the core. */
  tick(): void;
  /** Time passes for the rest, in longer steps (tick-plan.ts). */
  round(): void;
  /** Ends the log in order. */
  close(): void;
  /** Ends it after a failure, when nothing may be written any more. */
  abort(): void;
  /** Leaves a note that this member cannot go on as who it is, and throws what says so. */
  expel(reason: string): never;
  /** A sole voter that held back: nobody else knows of a larger group. */
  leadAlone(): void;
  /** By the newest entry that names them, be it committed or not. */
  readonly members: Members;
  readonly isSoleVoter: boolean;
  readonly groupId: number;
  readonly memberId: number;
  readonly term: number;
  /** For whom it voted in its term; 0 = for nobody. */
  readonly vote: number;
  /** 0 = not known. */
  readonly leader: number;
  readonly tail: LogTail;
  readonly durable: Durable;
  readonly commitIndex: number;
  readonly walBytes: number;
  /** The voters' states differ and no quorum agrees on one: no writes are taken. */
  readonly isDisputed: boolean;
  /** Only what does not grow is taken, for want of space on this member's disk. */
  readonly isDiskFull: boolean;
  /** True while this member leads and may decide lease expiry. */
  readonly isLeader: boolean;
}
