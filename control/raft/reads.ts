/**
 * Linearizable reads without a log entry (thesis 6.4). The leader notes its commit index, proves by a
 * round of heartbeats that it still leads, and the read waits until that index is applied. All reads
 * that come before a Ready share one round.
 *
 * Rules that implementations got wrong: a new leader knows the true commit index only after it
 * committed in its own term (etcd #7331); rounds are told apart by the leader's counter (read-rounds.ts);
 * an answer counts only while the leader that was asked still leads (etcd PR #21375); queues are bounded
 * (etcd PR #12762); a quorum is a majority, the leader included where it votes (openraft d60f1e85).
 */
import type { HeartbeatResponse, ReadRequest, ReadResponse } from './messages.ts';
import { committedIndex } from './quorum.ts';
import type { Read } from './read-rounds.ts';
import { broadcastHeartbeat } from './replication.ts';
import { send } from './state.ts';
import type { Leading, RaftState } from './state.ts';
import type { LogIndex } from './types.ts';

/** Starts a read of this member's host; false when it cannot be taken now. */
export function requestRead(state: RaftState, context: number): boolean {
  const { role, leader, forwardedReads, limits } = state;
  if (role.kind === 'leader') return role.reads.add({ from: state.id, id: context });
  if (leader === 0) return false;
  const readId = state.nextReadId++;
  forwardedReads.set(readId, context);
  if (forwardedReads.size > limits.readsPendingMax) dropOldest(forwardedReads);
  send(state, { kind: 'read', to: leader, readId });
  return true;
}

/** The oldest has probably lost its answer; its host gives up on it and asks again. */
function dropOldest(reads: Map<number, number>): void {
  for (const readId of reads.keys()) {
    reads.delete(readId);
    return;
  }
}

/** A follower's read: a full queue drops it, and its host asks again. */
export function onReadRequest(leading: Leading, message: ReadRequest): void {
  leading.reads.add({ from: message.from, id: message.readId });
}

export function onReadResponse(state: RaftState, message: ReadResponse): void {
  const { readId, index } = message;
  const context = state.forwardedReads.get(readId);
  if (context === undefined) return; // Answered before, or asked of a former leader or a former life.
  state.forwardedReads.delete(readId);
  state.output.readStates.push({ context, index });
}

export function isReadRoundDue(state: RaftState): boolean {
  const { role } = state;
  return role.kind === 'leader' && role.reads.hasWaiting && hasCommittedInTerm(state);
}

/** Whether a leader knows the true commit index. */
export function hasCommittedInTerm(state: RaftState): boolean {
  return state.log.term(state.log.commitIndex) === state.term;
}

export function startReadRound(state: RaftState, leading: Leading): void {
  if (!isReadRoundDue(state)) return;
  leading.reads.begin(state.log.commitIndex);
  finishConfirmed(state, leading);
  if (leading.reads.count > 0) broadcastHeartbeat(state, leading);
}

export function onReadsAnswered(
  state: RaftState,
  leading: Leading,
  message: HeartbeatResponse,
): void {
  leading.reads.answer(message.from, message.readCounter);
  finishConfirmed(state, leading);
}

/** A round is confirmed as an entry is committed: when a majority of both halves answered it. */
function finishConfirmed(state: RaftState, leading: Leading): void {
  const { reads } = leading;
  if (reads.count === 0) return;
  const counter = committedIndex(state.log.members, (id) =>
    id === state.id ? reads.counter : reads.answeredBy(id),
  );
  for (const read of reads.takeUpTo(counter)) finish(state, read, read.index);
}

function finish(state: RaftState, read: Read, index: LogIndex): void {
  if (read.from === state.id) state.output.readStates.push({ context: read.id, index });
  else send(state, { kind: 'readResponse', to: read.from, readId: read.id, index });
}
