/**
 * Elections: the pre-vote round that disturbs nobody, the vote itself, and the changes of role. See
 * the Raft thesis 3.4, 3.6.1 (up-to-date logs), 9.6 (pre-vote) and 6.2 (stickiness to a leader).
 */
import { assert } from '#base/assert.ts';
import { startLeading } from './leader.ts';
import { isVoter, voteResult } from './quorum.ts';
import { others, reset, send } from './state.ts';
import type { RaftState } from './state.ts';
import type { MemberId, Term, VoteRequest, VoteResponse } from './types.ts';

export function becomeFollower(state: RaftState, term: Term, leader: MemberId): void {
  assert(term >= state.term, 'terms never fall');
  reset(state, term);
  state.role = 'follower';
  state.leader = leader;
}

/** Asks whether an election could be won, without a new term. */
export function campaign(state: RaftState): void {
  if (state.role === 'leader' || !isVoter(state.members, state.id)) return;
  reset(state, state.term);
  state.role = 'preCandidate';
  poll(state);
}

function becomeCandidate(state: RaftState): void {
  reset(state, state.term + 1);
  state.role = 'candidate';
  state.vote = state.id;
  poll(state);
}

function poll(state: RaftState): void {
  const pre = state.role === 'preCandidate';
  // A real vote for oneself counts when it is durable (`onOwnVotePersisted`): a candidate that won
  // with it and crashed could vote again in the same term, for another. A pre-vote binds nobody.
  if (pre) state.votes.set(state.id, true);
  if (pre && decide(state)) return;
  for (const to of others(state)) {
    if (!isVoter(state.members, to)) continue;
    send(state, {
      kind: pre ? 'preVote' : 'vote',
      to,
      // A pre-vote asks about the next term and leaves the own one alone.
      term: pre ? state.term + 1 : state.term,
      lastIndex: state.log.lastIndex,
      lastTerm: state.log.lastTerm,
    });
  }
}

/** Acts on the votes counted so far; true when the poll is over. */
function decide(state: RaftState): boolean {
  const result = voteResult(state.members, (id) => state.votes.get(id));
  if (result === 'pending') return false;
  if (result === 'lost') becomeFollower(state, state.term, 0);
  else if (state.role === 'preCandidate') becomeCandidate(state);
  else startLeading(state);
  return true;
}

/** The hard state of the current term is durable, this member's vote in it too. */
export function onOwnVotePersisted(state: RaftState): void {
  if (state.role !== 'candidate' || state.votes.has(state.id)) return;
  state.votes.set(state.id, true);
  decide(state);
}

/** Any role: grants or refuses. The term of a real vote is the own one by now. */
export function onVoteRequest(state: RaftState, message: VoteRequest): void {
  const pre = message.kind === 'preVote';
  const free = state.vote === message.from || (state.vote === 0 && state.leader === 0);
  const mayVote = free || (pre && message.term > state.term);
  // A learner votes when asked: it may be a voter already and not know it yet (etcd PR #10998).
  const granted = mayVote && state.log.isUpToDate(message.lastIndex, message.lastTerm);
  if (granted && !pre) {
    state.vote = message.from;
    state.electionElapsed = 0;
  }
  send(state, {
    kind: pre ? 'preVoteResponse' : 'voteResponse',
    to: message.from,
    // A granted pre-vote answers in the term asked about, or the asker would drop it as stale.
    term: granted ? message.term : state.term,
    rejected: !granted,
  });
}

export function onVoteResponse(state: RaftState, message: VoteResponse): void {
  const wanted = state.role === 'preCandidate' ? 'preVoteResponse' : 'voteResponse';
  if (message.kind !== wanted) return;
  if (state.role !== 'preCandidate' && state.role !== 'candidate') return;
  if (!state.votes.has(message.from)) state.votes.set(message.from, !message.rejected);
  decide(state);
}
