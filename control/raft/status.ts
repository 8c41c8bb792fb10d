/** What a host, an operator and a metric may see of a member. Nothing is decided on it in the core. */
import { isDiskHung } from './election.ts';
import type { ProgressState } from './progress.ts';
import type { RaftState, RoleKind } from './state.ts';
import type { LogIndex, MemberId, Term } from './types.ts';

export interface RaftStatus {
  readonly role: RoleKind;
  readonly leader: MemberId;
  readonly term: Term;
  readonly commitIndex: LogIndex;
  readonly appliedIndex: LogIndex;
  readonly persistedIndex: LogIndex;
  readonly lastIndex: LogIndex;
  readonly firstIndex: LogIndex;
  /** Where the configuration in force stands in the log. */
  readonly membersIndex: LogIndex;
  /** Leadership is on its way to this member; 0 when it is not. */
  readonly transferTo: MemberId;
  /** A write has not ended for an election timeout. */
  readonly isDiskHung: boolean;
}

export interface MemberProgress {
  readonly id: MemberId;
  readonly state: ProgressState;
  readonly matchIndex: LogIndex;
  readonly nextIndex: LogIndex;
  /** State snapshot: the one that was sent. The host keeps it, and the log from there on, meanwhile. */
  readonly snapshotIndex: LogIndex;
  readonly recentActive: boolean;
  readonly isPaused: boolean;
  readonly inflightCount: number;
  readonly inflightBytes: number;
}

export function statusOf(state: RaftState): RaftStatus {
  const { role, leader, term, log } = state;
  const { commitIndex, appliedIndex, persistedIndex, lastIndex, firstIndex, membersIndex } = log;
  return {
    role: role.kind,
    leader,
    term,
    commitIndex,
    appliedIndex,
    persistedIndex,
    lastIndex,
    firstIndex,
    membersIndex,
    transferTo: role.kind === 'leader' ? (role.transfer?.to ?? 0) : 0,
    isDiskHung: isDiskHung(state),
  };
}

export function progressOf(state: RaftState): readonly MemberProgress[] {
  const { role } = state;
  if (role.kind !== 'leader') return [];
  return [...role.progress].map(([id, progress]) => ({
    id,
    state: progress.state,
    matchIndex: progress.matchIndex,
    nextIndex: progress.nextIndex,
    snapshotIndex: progress.snapshotIndex,
    recentActive: progress.recentActive,
    isPaused: progress.isPaused,
    inflightCount: progress.inflightCount,
    inflightBytes: progress.inflightBytes,
  }));
}
