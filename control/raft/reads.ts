/**
 * Linearizable reads without a log entry (thesis 6.4). The leader notes its commit index, proves by a
 * round of heartbeats that it still leads, and the read waits until that index is applied.
 *
 * Two rules that implementations got wrong: a new leader knows the true commit index only after it
 * committed in its own term (etcd #7331); and rounds are told apart by a counter of the leader's own
 * making, because a late answer to one round must not confirm a read of the next (etcd #20418).
 */
import { READS_PENDING_MAX } from './limits.ts';
import { broadcastHeartbeat } from './leader.ts';
import { voteResult } from './quorum.ts';
import { send } from './state.ts';
import type { RaftState } from './state.ts';
import type { LogIndex, MemberId, ReadRequest, ReadResponse } from './types.ts';

/** Starts a read of this member's host; false when it cannot be taken now. */
export function requestRead(state: RaftState, context: number): boolean {
  if (state.role === 'leader') return leaderRead(state, state.id, context);
  if (state.leader === 0) return false;
  send(state, { kind: 'read', to: state.leader, context });
  return true;
}

/** A follower's read: a full queue drops it, and its host asks again. */
export function onReadRequest(state: RaftState, message: ReadRequest): void {
  leaderRead(state, message.from, message.context);
}

export function onReadResponse(state: RaftState, message: ReadResponse): void {
  state.readStates.push({ context: message.context, index: message.index });
}

function leaderRead(state: RaftState, from: MemberId, context: number): boolean {
  if (state.reads.length + state.earlyReads.length >= READS_PENDING_MAX) return false;
  if (state.log.term(state.log.commitIndex) !== state.term) {
    state.earlyReads.push({ from, context });
    return true;
  }
  beginRound(state, [{ from, context }]);
  return true;
}

/** Called when the commit index moved: the first time in a term it is the own term's. */
export function releaseEarlyReads(state: RaftState): void {
  if (state.earlyReads.length === 0) return;
  if (state.log.term(state.log.commitIndex) !== state.term) return;
  const early = state.earlyReads;
  state.earlyReads = [];
  beginRound(state, early);
}

function beginRound(state: RaftState, reads: { from: MemberId; context: number }[]): void {
  const index = state.log.commitIndex;
  if (isConfirmed(state, 0)) {
    for (const read of reads) finish(state, { ...read, index });
    return;
  }
  state.readCounter++;
  const counter = state.readCounter;
  for (const read of reads) state.reads.push({ ...read, index, counter });
  broadcastHeartbeat(state);
}

/** Member `from` answered heartbeats up to round `counter`. */
export function confirmReads(state: RaftState, from: MemberId, counter: number): void {
  state.readAcks.set(from, Math.max(counter, state.readAcks.get(from) ?? 0));
  while (state.reads.length > 0) {
    const read = state.reads[0];
    if (read === undefined || !isConfirmed(state, read.counter)) return;
    state.reads.shift();
    finish(state, read);
  }
}

/** A quorum, this member included, answered round `counter`; a sole voter is its own quorum. */
function isConfirmed(state: RaftState, counter: number): boolean {
  const answered = (id: MemberId) =>
    id === state.id || (counter > 0 && (state.readAcks.get(id) ?? 0) >= counter);
  return voteResult(state.members, answered) === 'won';
}

function finish(
  state: RaftState,
  read: { from: MemberId; context: number; index: LogIndex },
): void {
  const { from, context, index } = read;
  if (from === state.id) state.readStates.push({ context, index });
  else send(state, { kind: 'readResponse', to: from, context, index });
}
