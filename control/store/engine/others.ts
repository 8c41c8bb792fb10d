/** What a leader may conclude from the progress of the other members. Pure functions over the core. */
import type { MemberChange, MemberId, Raft } from '#control/raft/raft.ts';
import { PROMOTE_LAG_ENTRIES } from '../limits.ts';
import { StoreError } from '../port.ts';

/** A learner that holds about the whole log and may be made a voter. */
export function caughtUpLearner(raft: Raft): MemberId | undefined {
  const { learners } = raft.members;
  if (learners.length === 0) return undefined;
  const isCaughtUp = ({ id, state, recentActive, matchIndex }: Raft['progress'][number]) =>
    learners.includes(id) &&
    state === 'replicate' &&
    recentActive &&
    matchIndex + PROMOTE_LAG_ENTRIES >= raft.lastIndex;
  return raft.progress.find(isCaughtUp)?.id;
}

/** A change that leaves no quorum of members that answer would be the group's last. */
export function refusalOfChange(
  raft: Raft,
  own: MemberId,
  changes: readonly MemberChange[],
): StoreError | undefined {
  const removed = changes.filter(({ kind }) => kind === 'remove').map(({ id }) => id);
  if (removed.length === 0 || !raft.isLeader) return undefined;
  const { members, progress } = raft;
  const left = members.voters.filter((id) => !removed.includes(id));
  const active = left.filter(
    (id) => id === own || progress.some((other) => other.id === id && other.recentActive),
  );
  if (left.length > 0 && active.length > left.length / 2) return undefined;
  const text = `${active.length} of the ${left.length} voters left answer`;
  return new StoreError('UNAVAILABLE', `members cannot be changed now: ${text}`);
}
