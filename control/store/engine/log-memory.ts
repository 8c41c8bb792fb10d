/**
 * Which applied entries stay in memory: those that members who lag still need, up to a bound of bytes, and
 * a few behind the applied index. The disk has the others.
 */
import type { MemberId, Raft } from '#control/raft/raft.ts';
import { LOG_CATCH_UP_BYTES_MAX, LOG_MEMORY_BYTES_MAX, PROMOTE_LAG_ENTRIES } from '../limits.ts';
import { hasOthers } from './start-terms.ts';

export class LogMemory {
  readonly #raft: Raft;
  readonly #memberId: MemberId;
  readonly #tailEntries: number;
  readonly #catchUp = new CatchUp();

  constructor(raft: Raft, parts: { readonly memberId: MemberId; readonly tailEntries: number }) {
    this.#raft = raft;
    this.#memberId = parts.memberId;
    this.#tailEntries = parts.tailEntries;
  }

  tick(): void {
    this.#catchUp.observe(this.#raft);
  }

  /** Old entries leave memory when nobody needs them. */
  trim(): void {
    const raft = this.#raft;
    const tailEntries = this.#tailEntries;
    let index = raft.appliedIndex - tailEntries;
    if (index - raft.firstIndex <= tailEntries) return;
    if (hasOthers(raft.members, this.#memberId)) {
      index = Math.min(index, neededIndex(raft, this.#catchUp));
    }
    if (index - raft.firstIndex > tailEntries) raft.compact(index);
  }
}

/**
 * Members that fetch a snapshot, and then what came behind it: the log is kept for them for longer, or
 * they would need another snapshot as soon as they have the first.
 */
class CatchUp {
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
function neededIndex(raft: Raft, catchUp: CatchUp): number {
  const bytesMax = catchUp.isAny ? LOG_CATCH_UP_BYTES_MAX : LOG_MEMORY_BYTES_MAX;
  if (raft.logBytes > bytesMax) return raft.appliedIndex;
  let needed = raft.offeredIndex;
  for (const { state, snapshotIndex, matchIndex, recentActive } of raft.progress) {
    if (state === 'snapshot') needed = Math.min(needed, snapshotIndex);
    else if (recentActive) needed = Math.min(needed, matchIndex);
  }
  return needed;
}
