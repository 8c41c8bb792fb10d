/** Majorities, of one set of voters or of two at once (joint consensus). Pure functions. */
import type { LogIndex, MemberId, Members } from './types.ts';

export type VoteResult = 'won' | 'lost' | 'pending';

/** Who decides: both halves, the second one empty outside a joint change. */
type Voters = Pick<Members, 'voters' | 'votersOutgoing'>;

/** Members that make a majority of `count`. */
export function majority(count: number): number {
  return Math.floor(count / 2) + 1;
}

/**
 * The highest index that a majority of both halves holds. Without any voter everything is held: an
 * empty half agrees with all, and Number.MAX_SAFE_INTEGER stands for that.
 */
export function committedIndex(members: Voters, matchOf: (id: MemberId) => LogIndex): LogIndex {
  return Math.min(
    majorityIndex(members.voters, matchOf),
    majorityIndex(members.votersOutgoing, matchOf),
  );
}

/** Sorting a copy leaves no order to be kept elsewhere. */
function majorityIndex(voters: readonly MemberId[], matchOf: (id: MemberId) => LogIndex): LogIndex {
  if (voters.length === 0) return Number.MAX_SAFE_INTEGER;
  if (voters.length === 1) return matchOf(voters[0] as MemberId); // Length checked.
  const matches = voters.map(matchOf).sort((a, b) => b - a);
  return matches[majority(voters.length) - 1] as LogIndex; // Within length.
}

/** Won when both halves granted, lost when one cannot any more. */
export function voteResult(
  members: Voters,
  voteOf: (id: MemberId) => boolean | undefined,
): VoteResult {
  const incoming = majorityVote(members.voters, voteOf);
  const outgoing = majorityVote(members.votersOutgoing, voteOf);
  if (incoming === 'lost' || outgoing === 'lost') return 'lost';
  return incoming === 'won' && outgoing === 'won' ? 'won' : 'pending';
}

/** Whether those who are `in` are a majority of both halves. */
export function isQuorum(members: Voters, isIn: (id: MemberId) => boolean): boolean {
  return voteResult(members, isIn) === 'won';
}

function majorityVote(
  voters: readonly MemberId[],
  voteOf: (id: MemberId) => boolean | undefined,
): VoteResult {
  if (voters.length === 0) return 'won';
  let granted = 0;
  let missing = 0;
  for (const id of voters) {
    const vote = voteOf(id);
    if (vote === true) granted++;
    else if (vote === undefined) missing++;
  }
  if (granted >= majority(voters.length)) return 'won';
  return granted + missing >= majority(voters.length) ? 'pending' : 'lost';
}
