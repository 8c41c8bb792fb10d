/**
 * Linearizable reads on their way: those of one turn share one question to the leader. A question that
 * gets no answer is asked again, since messages and leaders get lost; a read that waits too long is
 * refused, so that reads without a quorum end in bounded time.
 */
import { READ_RETRY_TICKS, REQUEST_TICKS_MAX } from '../limits.ts';
import { StoreError } from '../port.ts';

export type Confirmed = (refused: StoreError | undefined) => void;

interface Read {
  readonly askedAt: number;
  readonly confirmed: Confirmed;
}

interface Question {
  readonly sentAt: number;
  readonly reads: readonly Read[];
}

export class PendingReads {
  readonly #ask: (context: number) => boolean;
  /** Not in a question yet. */
  #waiting: Read[] = [];
  /** By context; oldest first. */
  readonly #questions = new Map<number, Question>();
  /** Confirmed, but the index is not applied yet. */
  #unapplied: { index: number; reads: readonly Read[] }[] = [];
  #nextContext = 1;
  #ticks = 0;

  /** `ask` starts a question; false when nobody can be asked now. */
  constructor(ask: (context: number) => boolean) {
    this.#ask = ask;
  }

  add(confirmed: Confirmed): void {
    this.#waiting.push({ askedAt: this.#ticks, confirmed });
  }

  /** Asks for all that wait. */
  flush(): void {
    if (this.#waiting.length === 0) return;
    const context = this.#nextContext++;
    if (!this.#ask(context)) return;
    this.#questions.set(context, { sentAt: this.#ticks, reads: this.#waiting });
    this.#waiting = [];
  }

  /** The question is answered: its reads see everything up to `index`. */
  answered(context: number, index: number): void {
    const question = this.#questions.get(context);
    if (question === undefined) return; // Asked again meanwhile.
    this.#questions.delete(context);
    this.#unapplied.push({ index, reads: question.reads });
  }

  /** Confirms what the applied state may answer. */
  applied(index: number): void {
    if (this.#unapplied.length === 0) return;
    const due = this.#unapplied.filter((answer) => answer.index <= index);
    this.#unapplied = this.#unapplied.filter((answer) => answer.index > index);
    for (const { reads } of due) for (const { confirmed } of reads) confirmed(undefined);
  }

  tick(): void {
    this.#ticks++;
    for (const [context, { sentAt, reads }] of this.#questions) {
      if (this.#ticks - sentAt < READ_RETRY_TICKS) break;
      this.#questions.delete(context);
      this.#waiting = [...reads, ...this.#waiting];
    }
    const late: Read[] = [];
    const keep = (reads: readonly Read[]) =>
      reads.filter((read) => this.#ticks - read.askedAt < REQUEST_TICKS_MAX || !late.push(read));
    this.#waiting = keep(this.#waiting);
    // What is confirmed waits for entries, which a member that was removed will never get.
    this.#unapplied = this.#unapplied
      .map(({ index, reads }) => ({ index, reads: keep(reads) }))
      .filter(({ reads }) => reads.length > 0);
    const error = new StoreError('UNAVAILABLE', 'no leader can confirm the read');
    for (const { confirmed } of late) confirmed(error);
  }
}
