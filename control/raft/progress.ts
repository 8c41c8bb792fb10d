/**
 * What a leader knows of one other member's log, and with it whether an append is due.
 *
 *   probe      one append at a time until the logs are known to match; `nextIndex` may be too high
 *   replicate  appends stream ahead of their answers, bounded in number and bytes
 *   snapshot   the member needs `snapshotIndex` first; no appends meanwhile
 *
 *   probe -> replicate (an append matched) -> probe (rejected, unreachable)
 *   probe, replicate -> snapshot (the log does not reach back) -> probe, replicate
 *
 * Invariant: matchIndex < nextIndex. matchIndex never falls within a term.
 */
import { assert } from '#base/assert.ts';
import { Inflights } from './inflights.ts';
import type { Limits } from './limits.ts';
import type { CommitNews } from './ready.ts';
import type { LogIndex } from './types.ts';

export type ProgressState = 'probe' | 'replicate' | 'snapshot';

export class Progress {
  #state: ProgressState = 'probe';
  #matchIndex: LogIndex = 0;
  #nextIndex: LogIndex;
  /** State snapshot: the index of the one that was sent, or 0. */
  #snapshotIndex: LogIndex = 0;
  /** The highest commit index that the member was told by appends. */
  #toldCommitIndex: LogIndex = 0;
  /** Heard from since the last quorum check. */
  recentActive: boolean;
  /** A probe is under way. */
  #isProbeSent = false;
  /** Everything in flight may be lost: an append is due even though the window is full. */
  #isPoked = false;
  readonly #inflights: Inflights;

  constructor(nextIndex: LogIndex, limits: Limits) {
    this.#nextIndex = nextIndex;
    this.#inflights = new Inflights(limits);
    // Until the first quorum check: it voted just now, or was added and has yet to answer.
    this.recentActive = true;
  }

  get state(): ProgressState {
    return this.#state;
  }

  get matchIndex(): LogIndex {
    return this.#matchIndex;
  }

  get nextIndex(): LogIndex {
    return this.#nextIndex;
  }

  get snapshotIndex(): LogIndex {
    return this.#snapshotIndex;
  }

  get inflightCount(): number {
    return this.#inflights.count;
  }

  get inflightBytes(): number {
    return this.#inflights.bytes;
  }

  get isWindowFull(): boolean {
    return this.#inflights.isFull;
  }

  /** No entries are sent: a probe's answer, room in flight, or a snapshot is awaited. */
  get isPaused(): boolean {
    if (this.#state === 'probe') return this.#isProbeSent;
    return this.#state === 'snapshot' || this.#inflights.isFull;
  }

  /** Whether an append, perhaps an empty one, is due for a log that stands like this. */
  wantsAppend(
    log: { readonly lastIndex: LogIndex; readonly commitIndex: LogIndex },
    news: CommitNews,
  ): boolean {
    if (this.#state === 'snapshot') return false;
    if (this.#state === 'probe') return !this.#isProbeSent;
    if (this.#isPoked) return true;
    if (this.#inflights.isFull) return false;
    if (this.#nextIndex <= log.lastIndex) return true;
    if (news === 'later') return false;
    return log.commitIndex > this.#toldCommitIndex;
  }

  /** An append of `count` entries from nextIndex on left. */
  sent(append: { count: number; bytes: number; commitIndex: LogIndex }): void {
    assert(this.#state !== 'snapshot', 'nothing is appended before a snapshot');
    this.#toldCommitIndex = append.commitIndex;
    this.#isPoked = false;
    if (this.#state === 'probe') {
      this.#isProbeSent = true;
    } else if (append.count > 0) {
      this.#nextIndex += append.count;
      this.#inflights.add(this.#nextIndex - 1, append.bytes);
    }
  }

  /** A snapshot up to `index` left. */
  sentSnapshot(index: LogIndex): void {
    this.#enter('snapshot', index + 1);
    this.#snapshotIndex = index;
    this.#toldCommitIndex = index;
  }

  /**
   * The member holds everything up to `index`, and the log begins at `firstIndex`. False when that is
   * no news.
   */
  accepted(index: LogIndex, firstIndex: LogIndex): boolean {
    // An old answer may still be what a probe asked for.
    const isProbed = this.#state === 'probe' && index === this.#matchIndex;
    if (index <= this.#matchIndex && !isProbed) return false;
    this.#matchIndex = index;
    this.#nextIndex = Math.max(this.#nextIndex, index + 1);
    this.#inflights.freeUpTo(index);
    if (this.#state === 'probe') this.#enter('replicate', index + 1);
    // Also when the member got there by other means, or by another snapshot than the one last sent.
    else if (this.#state === 'snapshot' && index + 1 >= firstIndex) {
      this.#enter('replicate', index + 1);
    }
    return true;
  }

  /**
   * The member refused an append behind `rejectedIndex` and may match at `hintIndex`; false when the
   * refusal is stale.
   */
  rejected(rejectedIndex: LogIndex, hintIndex: LogIndex): boolean {
    if (this.#state === 'replicate') {
      if (rejectedIndex <= this.#matchIndex) return false;
      this.#enter('probe', this.#matchIndex + 1);
      return true;
    }
    // A probe asks for one index; an answer about another one is late. So is any during a snapshot.
    if (this.#state === 'snapshot' || this.#nextIndex - 1 !== rejectedIndex) return false;
    this.#enter('probe', Math.max(Math.min(rejectedIndex, hintIndex + 1), this.#matchIndex + 1));
    return true;
  }

  /** A sign of life without news of the log: what was sent may have been lost. */
  heartbeatAnswered(lastIndex: LogIndex): void {
    this.recentActive = true;
    this.#isProbeSent = false;
    if (this.#state === 'replicate' && this.#matchIndex < lastIndex) this.#isPoked = true;
  }

  /** Messages do not get through: stop streaming ahead of answers. */
  unreachable(): void {
    if (this.#state === 'replicate') this.#enter('probe', this.#matchIndex + 1);
  }

  /** How the transfer of a snapshot ended; the next sign of life starts a probe. */
  snapshotEnded(isInstalled: boolean): void {
    if (this.#state !== 'snapshot') return;
    const from = isInstalled ? Math.max(this.#matchIndex, this.#snapshotIndex) : this.#matchIndex;
    this.#enter('probe', from + 1);
    this.#isProbeSent = true;
  }

  #enter(state: ProgressState, nextIndex: LogIndex): void {
    this.#state = state;
    this.#nextIndex = nextIndex;
    this.#snapshotIndex = 0;
    this.#toldCommitIndex = Math.min(this.#toldCommitIndex, nextIndex - 1);
    this.#isProbeSent = false;
    this.#isPoked = false;
    this.#inflights.clear();
  }
}
