/**
 * Elections: the pre-vote round that disturbs nobody, the vote itself, and the changes of role. See
 * the Raft thesis 3.4, 3.6.1 (up-to-date logs), 9.6 (pre-vote) and 6.2 (stickiness to a leader).
 */
import { startLeading } from './leader.ts';
import type { VoteRequest, VoteResponse } from './messages.ts';
import { everyone, isVoter } from './members.ts';
import { voteResult } from './quorum.ts';
import { becomeFollower, move, reset, send } from './state.ts';
import type { Polling, RaftState } from './state.ts';

/**
 * Asks whether an election could be won, without a new term; a transfer of leadership goes straight
 * to the election. Nothing happens on a member that leads, may not lead, or cannot write its vote.
 */
export function campaign(state: RaftState, options: { isTransfer: boolean }): void {
  const { role, log } = state;
  if (role.kind === 'leader' || state.lostLog !== undefined || isDiskHung(state)) return;
  // By what is committed or may come to be: who removed itself with its last entry as a leader may
  // be the only one who holds that entry, and is needed to commit it.
  if (!log.mayLead(state.id) || log.isInstalling) return;
  // What it promised before it started is not known yet.
  if (state.voteAboveTerm === Number.POSITIVE_INFINITY) return;
  if (options.isTransfer) {
    becomeCandidate(state, options);
    return;
  }
  reset(state, state.term);
  // A pre-vote binds nobody, so the own one counts at once.
  const polling: Polling = { kind: 'preCandidate', votes: new Map([[state.id, true]]) };
  move(state, polling);
  askForVotes(state, { kind: 'preVote', isTransfer: false });
  decide(state, polling);
}

/** The oldest write has not ended for an election timeout. */
export function isDiskHung(state: RaftState): boolean {
  return state.log.writes.ageTicks(state.ticks) >= state.config.electionTicks;
}

function becomeCandidate(state: RaftState, options: { isTransfer: boolean }): void {
  reset(state, Math.max(state.term, state.voteAboveTerm) + 1);
  state.vote = state.id;
  move(state, { kind: 'candidate', votes: new Map() });
  askForVotes(state, { kind: 'vote', ...options });
}

function askForVotes(
  state: RaftState,
  request: { kind: VoteRequest['kind']; isTransfer: boolean },
): void {
  const { log } = state;
  // A pre-vote asks about the next term and leaves the own one alone.
  const term = request.kind === 'preVote' ? state.term + 1 : state.term;
  for (const to of everyone(log.members)) {
    if (to === state.id || !isVoter(log.members, to)) continue;
    send(state, { ...request, to, term, lastIndex: log.lastIndex, lastTerm: log.lastTerm });
  }
}

/** Acts on the votes counted so far. */
function decide(state: RaftState, polling: Polling): void {
  const { votes } = polling;
  const result = voteResult(state.log.members, (id) => votes.get(id));
  if (result === 'lost') {
    becomeFollower(state, state.term, 0);
  } else if (result === 'won') {
    if (polling.kind === 'preCandidate') becomeCandidate(state, { isTransfer: false });
    // Not before the own term and vote are durable, even where the others' votes suffice: after a
    // crash it could lead the same term a second time and put other entries at the same indexes.
    else if (votes.has(state.id)) startLeading(state);
  }
}

/** A write taken in the current term is durable, this member's vote in it too. */
export function onTermPersisted(state: RaftState): void {
  const { role } = state;
  if (role.kind !== 'candidate' || role.votes.has(state.id)) return;
  role.votes.set(state.id, true);
  decide(state, role);
}

/** Any role: grants or refuses. The term of a real vote is the own one by now. */
export function onVoteRequest(state: RaftState, message: VoteRequest): void {
  const isPre = message.kind === 'preVote';
  const isFree = state.vote === message.from || (state.vote === 0 && state.leader === 0);
  const mayVote = (isFree || (isPre && message.term > state.term)) && isTrusted(state, message);
  // A learner votes when asked: it may be a voter already and not know it yet (etcd PR #10998).
  const isGranted = mayVote && state.log.isUpToDate(message.lastIndex, message.lastTerm);
  if (isGranted && !isPre) {
    state.vote = message.from;
    state.electionElapsed = 0;
  }
  send(state, {
    kind: isPre ? 'preVoteResponse' : 'voteResponse',
    to: message.from,
    // A granted pre-vote answers in the term asked about, or the asker would drop it as stale.
    term: isGranted ? message.term : state.term,
    rejected: !isGranted,
  });
}

/** Whether this member can know that it did not vote in that term already. */
function isTrusted(state: RaftState, message: VoteRequest): boolean {
  return message.term > state.voteAboveTerm;
}

export function onVoteResponse(state: RaftState, message: VoteResponse): void {
  const { role } = state;
  const wanted = role.kind === 'preCandidate' ? 'preVoteResponse' : 'voteResponse';
  if (message.kind !== wanted) return;
  if (role.kind !== 'preCandidate' && role.kind !== 'candidate') return;
  if (!role.votes.has(message.from)) role.votes.set(message.from, !message.rejected);
  decide(state, role);
}
