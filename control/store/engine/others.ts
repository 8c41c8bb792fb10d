/** What a leader may conclude from the progress of the other members. Pure functions over the core. */
import type { MemberChange, MemberId, Raft } from '#control/raft/raft.ts';
import { LOG_CATCH_UP_BYTES_MAX, LOG_MEMORY_BYTES_MAX, PROMOTE_LAG_ENTRIES } from '../limits.ts';
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

/**
 * Members that fetch a snapshot, and then what came behind it: the log is kept for them for longer, or
 * they would need another snapshot as soon as they have the first.
 */
export class CatchUp {
  readonly #ids = new Set<MemberId>();

  get isAny(): boolean {
    return this.#ids.size > 0;
  }

  observe(raft: Raft): void {
    const known = new Set(raft.progress.map(({ id }) => id));
    for (const id of this.#ids) if (!known.has(id)) this.#ids.delete(id);
    for (const { id, state, recentActive, matchIndex } of raft.progress) {
      if (state === 'snapshot' && recentActive) this.#ids.add(id);
      else if (!recentActive || matchIndex + PROMOTE_LAG_ENTRIES >= raft.lastIndex) {
        this.#ids.delete(id);
      }
    }
  }
}

/** Whoever lags needs the log behind this, or a snapshot that the log reaches. */
export function neededIndex(raft: Raft, catchUp: CatchUp): number {
  const bytesMax = catchUp.isAny ? LOG_CATCH_UP_BYTES_MAX : LOG_MEMORY_BYTES_MAX;
  if (raft.logBytes > bytesMax) return raft.appliedIndex;
  let needed = raft.offeredIndex;
  for (const { state, snapshotIndex, matchIndex, recentActive } of raft.progress) {
    if (state === 'snapshot') needed = Math.min(needed, snapshotIndex);
    else if (recentActive) needed = Math.min(needed, matchIndex);
  }
  return needed;
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
