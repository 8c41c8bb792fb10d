/**
 * A leader's reads: waiting for a round of heartbeats to begin, or for one to be answered. Rounds are
 * told apart by a counter of the leader's own making, so that a late answer to one round never
 * confirms a read of the next (etcd #20418). Pure bookkeeping; reads.ts decides.
 */
import type { LogIndex, MemberId } from './types.ts';

export interface Read {
  readonly from: MemberId;
  /** The host's context for an own read, the follower's read id otherwise. */
  readonly id: number;
}

export interface PendingRead extends Read {
  readonly index: LogIndex;
  readonly counter: number;
}

export class ReadRounds {
  readonly #pendingMax: number;
  #waiting: Read[] = [];
  #pending: PendingRead[] = [];
  #counter = 0;
  /** Highest counter that each member answered. */
  readonly #answered = new Map<MemberId, number>();

  constructor(pendingMax: number) {
    this.#pendingMax = pendingMax;
  }

  /** The newest round; heartbeats carry it, so that lost ones are made up for by the next. */
  get counter(): number {
    return this.#counter;
  }

  get count(): number {
    return this.#waiting.length + this.#pending.length;
  }

  get hasWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** False when too many wait already. */
  add(read: Read): boolean {
    if (this.count >= this.#pendingMax) return false;
    this.#waiting.push(read);
    return true;
  }

  /** All waiting reads go into one new round and are answered at `index`. */
  begin(index: LogIndex): void {
    this.#counter++;
    for (const read of this.#waiting) {
      this.#pending.push({ ...read, index, counter: this.#counter });
    }
    this.#waiting = [];
  }

  answer(from: MemberId, counter: number): void {
    if (counter > this.#counter) return; // No member of ours answers what was not asked.
    this.#answered.set(from, Math.max(counter, this.#answered.get(from) ?? 0));
  }

  answeredBy(id: MemberId): number {
    return this.#answered.get(id) ?? 0;
  }

  /** Takes out the reads of rounds up to `counter`, in order. */
  takeUpTo(counter: number): readonly PendingRead[] {
    let count = 0;
    while ((this.#pending[count]?.counter ?? Number.POSITIVE_INFINITY) <= counter) count++;
    return this.#pending.splice(0, count);
  }
}
