/**
 * The leader: appends proposals and member changes, and commits by counting. An entry of an earlier
 * term is committed only through one of the own term (paper figure 8); so the first act of a term is
 * an empty entry. Answers of the others are taken in by responses.ts.
 *
 * Member changes (thesis 4.1, 4.3): one at a time, each committed before the next; in force as soon as
 * appended; and only after the leader committed in its own term, or two leaders could change the same
 * configuration apart from each other (Ongaro, raft-dev 2015).
 */
import { assert } from '#base/assert.ts';
import { bytesOf } from './log.ts';
import { isJoint, isVoter, planChange, planLeave } from './members.ts';
import type { MemberChange, PlanRefusal, Transition } from './members.ts';
import { Progress } from './progress.ts';
import { committedIndex } from './quorum.ts';
import { ReadRounds } from './read-rounds.ts';
import { hasCommittedInTerm } from './reads.ts';
import { flush } from './replication.ts';
import { move, reset } from './state.ts';
import type { Leading, RaftState } from './state.ts';
import { handOver } from './transfer.ts';
import type { Entry, MemberId, Members } from './types.ts';

export type ProposeRefusal = 'notLeader' | 'transferring' | 'uncommittedFull';
export type ChangeRefusal = ProposeRefusal | PlanRefusal | 'changePending' | 'termUncommitted';

const NO_DATA = new Uint8Array(0);

export function startLeading(state: RaftState): void {
  reset(state, state.term);
  const { log, limits } = state;
  const leading: Leading = {
    kind: 'leader',
    progress: new Map(),
    reads: new ReadRounds(limits.readsPendingMax),
    heartbeatElapsed: 0,
    uncommittedBytes: log.bytesBetween(log.commitIndex, log.lastIndex),
    transfer: undefined,
    settledIndex: 0,
  };
  move(state, leading);
  state.leader = state.id;
  syncProgress(state, leading);
  appendOwn(state, leading, { data: NO_DATA });
}

/** Appends a command. One always passes, whatever its size, or a large one could never be made. */
export function propose(state: RaftState, data: Uint8Array): Entry | ProposeRefusal {
  const { role } = state;
  if (role.kind !== 'leader') return 'notLeader';
  return refusalOf(state, role, data) ?? appendOwn(state, role, { data });
}

/** Appends the configuration after `changes`; `data` is the host's own and is not looked at. */
export function proposeChange(
  state: RaftState,
  changes: readonly MemberChange[],
  options: { transition: Transition; data: Uint8Array },
): Entry | ChangeRefusal {
  return proposeMembers(state, options.data, (members) =>
    planChange(members, changes, options.transition),
  );
}

/** Appends the end of a joint change. */
export function proposeLeave(state: RaftState, data: Uint8Array): Entry | ChangeRefusal {
  return proposeMembers(state, data, planLeave);
}

function proposeMembers(
  state: RaftState,
  data: Uint8Array,
  plan: (members: Members) => Members | PlanRefusal,
): Entry | ChangeRefusal {
  const { role, log } = state;
  if (role.kind !== 'leader') return 'notLeader';
  if (log.membersIndex > log.commitIndex) return 'changePending';
  if (!hasCommittedInTerm(state)) return 'termUncommitted';
  const refusal = refusalOf(state, role, data);
  if (refusal !== undefined) return refusal;
  const members = plan(log.members);
  if (typeof members === 'string') return members;
  const entry = appendOwn(state, role, { data, members });
  syncProgress(state, role);
  // Fewer voters may mean that more is committed.
  maybeCommit(state, role);
  return entry;
}

function refusalOf(
  state: RaftState,
  leading: Leading,
  data: Uint8Array,
): ProposeRefusal | undefined {
  // The successor has the whole log or will in a moment; what comes now would hold it up.
  if (leading.transfer !== undefined) return 'transferring';
  const { uncommittedBytes } = leading;
  const isFull = uncommittedBytes + data.length > state.limits.uncommittedBytesMax;
  return isFull && uncommittedBytes > 0 ? 'uncommittedFull' : undefined;
}

function appendOwn(
  state: RaftState,
  leading: Leading,
  content: Pick<Entry, 'data' | 'members'>,
): Entry {
  const entry = { index: state.log.lastIndex + 1, term: state.term, ...content };
  state.log.append(entry);
  leading.uncommittedBytes += bytesOf(entry);
  return entry;
}

/** Makes a Progress for whoever is new, and ends those of members whose removal is committed. */
function syncProgress(state: RaftState, leading: Leading): void {
  const { log, limits } = state;
  const recipients = log.recipients();
  for (const id of recipients) {
    if (id === state.id || leading.progress.has(id)) continue;
    leading.progress.set(id, new Progress(log.lastIndex + 1, limits));
  }
  for (const id of leading.progress.keys()) {
    if (!recipients.has(id)) leading.progress.delete(id);
  }
}

/** Commits what a majority, of both halves in a joint change, holds durably; acts on what follows. */
export function maybeCommit(state: RaftState, leading: Leading): void {
  const { log } = state;
  const matchOf = (id: MemberId) =>
    id === state.id ? log.persistedIndex : (leading.progress.get(id)?.matchIndex ?? 0);
  const index = committedIndex(log.members, matchOf);
  if (index <= log.commitIndex || log.term(index) !== state.term) return;
  leading.uncommittedBytes -= log.bytesBetween(log.commitIndex, index);
  assert(leading.uncommittedBytes >= 0, 'uncommitted bytes are those of entries');
  log.commitTo(index);
  settleMembers(state, leading);
}

/** After a commit, or a transfer that failed: what a committed configuration asks of its leader. */
export function settleMembers(state: RaftState, leading: Leading): void {
  const { log } = state;
  if (leading.settledIndex === log.membersIndex || log.membersIndex > log.commitIndex) return;
  if (!hasCommittedInTerm(state)) return;
  if (isJoint(log.members)) {
    // Refused while leadership is transferred: then the successor does it, or this leader afterwards.
    if (log.members.autoLeave) proposeLeave(state, NO_DATA);
    return;
  }
  leading.settledIndex = log.membersIndex;
  // Whoever was removed hears of it once, and stops asking for votes.
  flush(state, leading, 'now');
  syncProgress(state, leading);
  if (!isVoter(log.members, state.id)) handOver(state, leading);
}
