/**
 * What a log with holes is, put together: the entries that are known, and the gaps between them. Pure.
 *
 * A gap is told by two entries: the last one known before it, and the one in which the log ended behind
 * it. By the log matching property of Raft, whoever holds the latter entry has the same log up to it, so
 * it alone says which entries are the right ones, though nobody here knows their terms. The entry before
 * the gap may be wrong: what the hole swallowed may have replaced it.
 */
import type { Entry, HardState } from '#control/raft/raft.ts';
import type { EntryId } from './format.ts';
import type { LogPiece } from './recover.ts';

export interface Gap {
  /** Known to be in the log, unless the gap replaced it. */
  readonly after: EntryId;
  /** The last entry that is missing. */
  readonly to: EntryId;
}

export class LogJoin {
  /** In a checkpoint, so committed: nothing before it is of interest. */
  readonly base: EntryId;
  readonly #entries = new Map<number, Entry>();
  #gaps: Gap[] = [];
  #last: EntryId;
  #isEndKnown = true;
  #hardState: HardState | undefined;
  #isVoteKnown = true;

  /** `base`: index 0 when there is no checkpoint. */
  constructor(base: EntryId, pieces: readonly LogPiece[]) {
    this.base = base;
    this.#last = base;
    for (const piece of pieces) this.#take(piece);
  }

  get gaps(): readonly Gap[] {
    return this.#gaps;
  }

  /**
   * The one to fill next: the last. Its end is in the log; the end of an earlier one may have been
   * replaced in a later one.
   */
  get open(): Gap | undefined {
    return this.#gaps.at(-1);
  }

  /** The log's last entry. */
  get last(): EntryId {
    return this.#last;
  }

  /** False: the damage reaches behind the last entry that can be read, nobody knows how far. */
  get isEndKnown(): boolean {
    return this.#isEndKnown;
  }

  /** False: the last hole may have swallowed a hard state, so nobody here knows what it promised. */
  get isVoteKnown(): boolean {
    return this.#isVoteKnown;
  }

  /** Its vote in this term was given, to whomever; and in those before. None was given in a later one. */
  votedBy(term: number, memberId: number): void {
    const known = this.hardState;
    // By its own vote it gives none to another.
    this.#hardState = { ...known, term: Math.max(term, known.term), vote: memberId };
    this.#isVoteKnown = true;
  }

  /** The newest one that can be read, in a term that reaches the last entry's. */
  get hardState(): HardState {
    const known = this.#hardState ?? { term: 0, vote: 0, commitIndex: this.base.index };
    const commitIndex = Math.max(known.commitIndex, this.base.index);
    const { term } = this.#last;
    return known.term >= term ? { ...known, commitIndex } : { term, vote: 0, commitIndex };
  }

  /** Those that are known, in order. */
  get entries(): readonly Entry[] {
    return [...this.#entries.values()].sort((a, b) => a.index - b.index);
  }

  /**
   * Entries behind `after` in a log that holds `to`, up to about so many bytes; undefined where they are not
   * all known here. What is behind a hole, or before it, is known as well as ever: that it holds `to` says
   * which log it is of.
   */
  stretch(
    after: number,
    to: EntryId,
    bytesMax: number,
  ): { readonly prevTerm: number; readonly entries: readonly Entry[] } | undefined {
    if (this.#entries.get(to.index)?.term !== to.term) return undefined;
    const prevTerm = this.#termAt(after);
    if (prevTerm === undefined) return undefined;
    const isHidden = this.#gaps.some((gap) => gap.to.index > after && gap.to.index <= to.index);
    if (isHidden) return undefined;
    const entries: Entry[] = [];
    let bytes = 0;
    for (let index = after + 1; index <= to.index && bytes < bytesMax; index++) {
      const entry = this.#entries.get(index);
      if (entry === undefined) return undefined;
      entries.push(entry);
      bytes += entry.data.length;
    }
    return { prevTerm, entries };
  }

  #termAt(index: number): number | undefined {
    if (index === this.base.index) return this.base.term;
    const known = this.#entries.get(index) ?? this.#gaps.find(({ to }) => to.index === index)?.to;
    return known?.term;
  }

  /**
   * For the open gap: entries behind `gap.after`, from a log that holds `gap.to` and has `prevTerm` at `gap.after`. False:
   * that is another entry than the one here, and the gap begins at the base now.
   */
  fill(gap: Gap, prevTerm: number, entries: readonly Entry[]): boolean {
    if (gap !== this.open) return true;
    if (prevTerm !== gap.after.term) {
      // What is known below may be wrong as far down as it is not committed.
      for (const index of this.#entries.keys()) {
        if (index <= gap.to.index) this.#entries.delete(index);
      }
      this.#gaps = [{ after: this.base, to: gap.to }];
      return false;
    }
    for (const entry of entries) this.#entries.set(entry.index, entry);
    const last = entries.at(-1) ?? gap.after;
    this.#gaps.pop();
    if (last.index < gap.to.index) this.#gaps.push({ after: idOf(last), to: gap.to });
    return true;
  }

  #take({ content, before, end }: LogPiece): void {
    const { restart, entries, hardState } = content;
    this.#isVoteKnown = hardState !== undefined;
    if (hardState !== undefined) this.#hardState = hardState;
    const start = restart ?? before;
    if (start !== undefined) this.#endsIn(start);
    let isSure = start !== undefined;
    for (const entry of entries) {
      this.#append(entry, isSure);
      isSure = true;
    }
    this.#isEndKnown = end !== undefined;
  }

  /** The next entry, behind what is known (`isSure`) or behind a hole. */
  #append(entry: Entry, isSure: boolean): void {
    const { index, term } = entry;
    if (index <= this.base.index) {
      this.#startOver();
      return;
    }
    if (index === this.#last.index + 1 && (isSure || term === this.#last.term)) {
      this.#entries.set(index, entry);
      this.#last = { index, term };
      return;
    }
    const isHidden = this.#cut(index);
    const after = this.#lastKnown();
    const isNext = after.index === index - 1;
    // Entries of one leader follow each other; others do where nothing is hidden between them.
    const isBehind = !isHidden && isNext && (isSure || after.term === term);
    if (!isBehind) this.#gaps.push({ after, to: { index, term } });
    this.#entries.set(index, entry);
    this.#last = { index, term };
  }

  /** The log ended in this entry at some time. */
  #endsIn({ index, term }: EntryId): void {
    if (index <= this.base.index) {
      this.#startOver();
      return;
    }
    if (this.#entries.get(index)?.term === term) this.#cut(index + 1);
    else {
      this.#cut(index);
      this.#gaps.push({ after: this.#lastKnown(), to: { index, term } });
    }
    this.#last = { index, term };
  }

  #startOver(): void {
    this.#entries.clear();
    this.#gaps = [];
    this.#last = this.base;
  }

  /** Forgets the log from `index` on; true: a gap reached there. */
  #cut(index: number): boolean {
    for (const known of this.#entries.keys()) if (known >= index) this.#entries.delete(known);
    const kept = this.#gaps.filter(({ to }) => to.index < index);
    const isReached = kept.length < this.#gaps.length;
    this.#gaps = kept;
    return isReached;
  }

  /** The last entry that is known to have been in the log, here or in a gap. */
  #lastKnown(): EntryId {
    let best = this.#gaps.at(-1)?.to ?? this.base;
    for (const entry of this.#entries.values()) if (entry.index > best.index) best = idOf(entry);
    return best;
  }
}

function idOf({ index, term }: EntryId): EntryId {
  return { index, term };
}
