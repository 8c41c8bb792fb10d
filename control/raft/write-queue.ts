/**
 * Writes that the host was asked for and that do not count as durable yet, oldest first. Their ends
 * are reported in any order and count in order (ready.ts, rules 3 and 5).
 *
 * An index that a write covers is lowered when the log is cut below it while the write is under way:
 * its end then says nothing about the entries that stand there by now, even if they are equal to the
 * first ones again (append ABA, etcd's async_storage_writes_append_aba_race). Terms alone cannot tell
 * those apart: an old entry may come back by a newer leader, behind a write that replaces it.
 */
import { assert } from '#base/assert.ts';
import type { LogIndex, Term } from './types.ts';

export interface Write {
  readonly sequence: number;
  /** Of the member when the write was taken: what the write makes durable with its vote. */
  readonly term: Term;
  /** Tick at which it was taken. */
  readonly atTick: number;
  /** The log up to here is durable with it. */
  index: LogIndex;
  isFinished: boolean;
}

export class WriteQueue {
  /** Bounded by the host, which stops taking Readys when its disk does not keep up. */
  #pending: Write[] = [];
  #lastSequence = 0;

  /** Every write up to here counts as durable. */
  get durableSequence(): number {
    return this.#lastSequence - this.#pending.length;
  }

  /** Numbers a new write. */
  take(write: { index: LogIndex; term: Term; atTick: number }): number {
    this.#lastSequence++;
    this.#pending.push({ ...write, sequence: this.#lastSequence, isFinished: false });
    return this.#lastSequence;
  }

  /** The host finished write `sequence`; returns those that count as durable now, oldest first. */
  finish(sequence: number): readonly Write[] {
    assert(sequence <= this.#lastSequence, `write ${sequence} was taken`);
    const write = this.#pending[sequence - this.durableSequence - 1];
    assert(write !== undefined && !write.isFinished, `write ${sequence} is reported once`);
    write.isFinished = true;
    const firstOpen = this.#pending.findIndex(({ isFinished }) => !isFinished);
    return this.#pending.splice(0, firstOpen === -1 ? this.#pending.length : firstOpen);
  }

  /** The log lost its entries from `from` on. */
  cut(from: LogIndex): void {
    for (const write of this.#pending) write.index = Math.min(write.index, from - 1);
  }

  /** Ticks since the oldest write was taken; 0 when there is none. */
  ageTicks(nowTick: number): number {
    const oldest = this.#pending[0];
    return oldest === undefined ? 0 : nowTick - oldest.atTick;
  }
}
