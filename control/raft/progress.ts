/**
 * What a leader knows of one other member's log.
 *
 *   probe      one append at a time until the logs are known to match; `next` may be too high
 *   replicate  appends stream ahead of their answers, bounded in number and bytes
 *   snapshot   the member needs `snapshotIndex` first; no appends meanwhile
 *
 * Invariant: match < next. matchIndex never falls within a term.
 */
import { INFLIGHT_APPENDS_MAX, INFLIGHT_BYTES_MAX } from './limits.ts';
import type { LogIndex } from './types.ts';

export type ProgressState = 'probe' | 'replicate' | 'snapshot';

interface Inflight {
  readonly lastIndex: LogIndex;
  readonly bytes: number;
}

export class Progress {
  matchIndex: LogIndex = 0;
  nextIndex: LogIndex;
  state: ProgressState = 'probe';
  snapshotIndex: LogIndex = 0;
  /** Heard from since the last quorum check. */
  recentActive = false;
  /** A probe is under way; cleared by any answer and by each heartbeat answer. */
  probeSent = false;
  #inflights: Inflight[] = [];
  #inflightBytes = 0;

  constructor(nextIndex: LogIndex) {
    this.nextIndex = nextIndex;
  }

  becomeProbe(): void {
    const behindSnapshot = this.state === 'snapshot' ? this.snapshotIndex + 1 : 0;
    this.#reset('probe');
    this.nextIndex = Math.max(this.matchIndex + 1, behindSnapshot);
  }

  becomeReplicate(): void {
    this.#reset('replicate');
    this.nextIndex = this.matchIndex + 1;
  }

  becomeSnapshot(index: LogIndex): void {
    this.#reset('snapshot');
    this.snapshotIndex = index;
  }

  /** An append up to `lastIndex` left. */
  sent(lastIndex: LogIndex, bytes: number): void {
    if (this.state === 'probe') {
      this.probeSent = true;
      return;
    }
    this.nextIndex = lastIndex + 1;
    this.#inflights.push({ lastIndex, bytes });
    this.#inflightBytes += bytes;
  }

  /** The member holds everything up to `index`; false when that is no news. */
  accepted(index: LogIndex): boolean {
    while (this.#inflights.length > 0 && (this.#inflights[0]?.lastIndex ?? 0) <= index) {
      this.#inflightBytes -= this.#inflights.shift()?.bytes ?? 0;
    }
    this.nextIndex = Math.max(this.nextIndex, index + 1);
    this.probeSent = false;
    if (index <= this.matchIndex) return false;
    this.matchIndex = index;
    return true;
  }

  /**
   * The member refused an append behind `rejectedIndex` and may match at `hintIndex`; false when the
   * refusal is stale.
   */
  rejected(rejectedIndex: LogIndex, hintIndex: LogIndex): boolean {
    if (this.state === 'replicate') {
      if (rejectedIndex <= this.matchIndex) return false;
      this.nextIndex = this.matchIndex + 1;
      return true;
    }
    // A probe asks for one index; an answer about another one is late.
    if (this.nextIndex - 1 !== rejectedIndex) return false;
    this.nextIndex = Math.max(Math.min(rejectedIndex, hintIndex + 1), this.matchIndex + 1);
    this.probeSent = false;
    return true;
  }

  /** Appends wait: for a probe's answer, for room in flight, or for a snapshot. */
  get isPaused(): boolean {
    if (this.state === 'probe') return this.probeSent;
    if (this.state === 'snapshot') return true;
    return this.inflightFull;
  }

  get inflightFull(): boolean {
    return (
      this.#inflights.length >= INFLIGHT_APPENDS_MAX || this.#inflightBytes >= INFLIGHT_BYTES_MAX
    );
  }

  /** When everything in flight was lost, one more append must go out or nothing ever would. */
  freeOne(): void {
    const first = this.#inflights.shift();
    this.#inflightBytes -= first?.bytes ?? 0;
  }

  #reset(state: ProgressState): void {
    this.state = state;
    this.probeSent = false;
    this.snapshotIndex = 0;
    this.#inflights = [];
    this.#inflightBytes = 0;
  }
}
