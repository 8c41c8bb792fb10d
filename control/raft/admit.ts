/** The gate that every message passes: terms are compared here, and only here. */
import { isFromLeader } from './messages.ts';
import type { Message } from './messages.ts';
import { becomeFollower, send } from './state.ts';
import type { RaftState } from './state.ts';

/** Brings the own term up to the message's; false when the message is not to be handled. */
export function admit(state: RaftState, message: Message): boolean {
  if (message.term < state.term) {
    answerStale(state, message);
    return false;
  }
  if (message.term === state.term) return true;
  const isVote = message.kind === 'vote' || message.kind === 'preVote';
  if (isVote && !message.isTransfer && hearsLeader(state)) return false;
  // Pre-votes, asked for and granted, speak of a term to come.
  if (message.kind === 'preVote') return true;
  if (message.kind === 'preVoteResponse' && !message.rejected) return true;
  becomeFollower(state, message.term, isFromLeader(message) ? message.from : 0);
  return true;
}

/**
 * Stickiness: who hears a leader does not help to unseat it. Without this a member that was cut off,
 * or removed, would disturb the group at its every return.
 */
function hearsLeader(state: RaftState): boolean {
  return state.leader !== 0 && state.electionElapsed < state.config.electionTicks;
}

/** A message of an older term is dropped, unless its sender would be stuck without an answer. */
function answerStale(state: RaftState, message: Message): void {
  const to = message.from;
  if (message.kind === 'append' || message.kind === 'heartbeat' || message.kind === 'snapshot') {
    // A deposed leader must learn of the new term, though nobody may ask for votes in it. A refusal
    // of nothing: should the receiver lead this term by now, it learns nothing false from it.
    const nothing = { index: 0, rejected: true, hintIndex: 0, hintTerm: 0 };
    send(state, { kind: 'appendResponse', to, ...nothing });
  } else if (message.kind === 'preVote') {
    send(state, { kind: 'preVoteResponse', to, rejected: true });
  }
}
