/**
 * The replicated log as the core sees it, in memory from behind the snapshot on:
 *
 *   snapshotIndex <= appliedIndex <= commitIndex <= lastIndex
 *   appliedIndex <= persistedIndex <= takenIndex <= lastIndex
 *
 * takenIndex: given to the host to persist; persistedIndex: durable here. Both move back when a new
 * leader overwrites entries; persisting is acknowledged with the term of the entry, so that a late
 * acknowledgement of an overwritten entry does not count for its successor (append ABA).
 */
import { assert } from '#base/assert.ts';
import type { Entry, LogIndex, SnapshotMeta, Term } from './types.ts';

export class RaftLog {
  #entries: Entry[] = [];
  #snapshotIndex: LogIndex;
  #snapshotTerm: Term;
  commitIndex: LogIndex;
  appliedIndex: LogIndex;
  persistedIndex: LogIndex;
  takenIndex: LogIndex;

  constructor(snapshot: { index: LogIndex; term: Term }, entries: readonly Entry[]) {
    this.#snapshotIndex = snapshot.index;
    this.#snapshotTerm = snapshot.term;
    this.commitIndex = snapshot.index;
    this.appliedIndex = snapshot.index;
    for (const entry of entries) this.#push(entry);
    this.persistedIndex = this.lastIndex;
    this.takenIndex = this.lastIndex;
  }

  get snapshotIndex(): LogIndex {
    return this.#snapshotIndex;
  }

  get firstIndex(): LogIndex {
    return this.#snapshotIndex + 1;
  }

  get lastIndex(): LogIndex {
    return this.#snapshotIndex + this.#entries.length;
  }

  get lastTerm(): Term {
    return this.#entries.at(-1)?.term ?? this.#snapshotTerm;
  }

  /** Term of the entry at `index`, or undefined when it is compacted or beyond the end. */
  term(index: LogIndex): Term | undefined {
    if (index === this.#snapshotIndex) return this.#snapshotTerm;
    return this.#entries[index - this.#snapshotIndex - 1]?.term;
  }

  matches(index: LogIndex, term: Term): boolean {
    return this.term(index) === term;
  }

  /** Whether a log that ends in (index, term) holds at least as much: term first, then length. */
  isUpToDate(lastIndex: LogIndex, lastTerm: Term): boolean {
    return lastTerm > this.lastTerm || (lastTerm === this.lastTerm && lastIndex >= this.lastIndex);
  }

  append(entry: Entry): void {
    this.#push(entry);
  }

  /**
   * Takes in a leader's entries behind `prevIndex`, which matches. Only a real conflict cuts the log:
   * an old append that arrives late must not remove entries that it merely does not mention.
   */
  merge(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (entry.index <= this.#snapshotIndex || this.matches(entry.index, entry.term)) continue;
      if (entry.index <= this.lastIndex) this.#cut(entry.index);
      this.#push(entry);
    }
  }

  /** Entries from `from` up to `to`, at least one, at most `bytesMax`. */
  slice(from: LogIndex, to: LogIndex, bytesMax: number): readonly Entry[] {
    assert(from > this.#snapshotIndex, `entry ${from} is kept`);
    assert(to <= this.lastIndex, `entry ${to} exists`);
    const start = from - this.#snapshotIndex - 1;
    let end = start;
    let bytes = 0;
    for (; end < to - this.#snapshotIndex; end++) {
      bytes += (this.#entries[end] as Entry).data.length; // Below lastIndex.
      if (bytes > bytesMax && end > start) break;
    }
    return this.#entries.slice(start, end);
  }

  /** Bytes of data of the entries from `from` to `to`. */
  bytesBetween(from: LogIndex, to: LogIndex): number {
    let bytes = 0;
    for (let i = from - this.#snapshotIndex - 1; i < to - this.#snapshotIndex; i++) {
      bytes += this.#entries[i]?.data.length ?? 0;
    }
    return bytes;
  }

  /** What the host has not been given to persist yet. */
  untaken(): readonly Entry[] {
    if (this.takenIndex === this.lastIndex) return NO_ENTRIES;
    return this.#entries.slice(this.takenIndex - this.#snapshotIndex);
  }

  commitTo(index: LogIndex): boolean {
    if (index <= this.commitIndex) return false;
    assert(index <= this.lastIndex, `commit index ${index} lies within the log`);
    this.commitIndex = index;
    return true;
  }

  /** Entries up to (index, term) are durable; ignored when they were overwritten since. */
  persistedTo(index: LogIndex, term: Term): boolean {
    if (index <= this.persistedIndex || !this.matches(index, term)) return false;
    this.persistedIndex = index;
    return true;
  }

  appliedTo(index: LogIndex): void {
    assert(index >= this.appliedIndex, 'applied index moves forward');
    assert(index <= this.commitIndex, 'only committed entries are applied');
    this.appliedIndex = index;
  }

  /** Forgets entries up to `index`, which the host has in a snapshot. */
  compactTo(index: LogIndex): void {
    if (index <= this.#snapshotIndex) return;
    assert(index <= this.appliedIndex, 'only applied entries are compacted');
    const term = this.term(index);
    assert(term !== undefined, `entry ${index} is kept`);
    this.#entries = this.#entries.slice(index - this.#snapshotIndex);
    this.#snapshotIndex = index;
    this.#snapshotTerm = term;
  }

  /** Starts over behind a snapshot that came from the leader. */
  restore(snapshot: SnapshotMeta): void {
    assert(snapshot.index > this.commitIndex, 'a snapshot is restored only when ahead');
    this.#entries = [];
    this.#snapshotIndex = snapshot.index;
    this.#snapshotTerm = snapshot.term;
    this.commitIndex = snapshot.index;
    this.appliedIndex = snapshot.index;
    this.persistedIndex = snapshot.index;
    this.takenIndex = snapshot.index;
  }

  #push(entry: Entry): void {
    assert(entry.index === this.lastIndex + 1, `entry ${entry.index} follows ${this.lastIndex}`);
    assert(entry.term >= this.lastTerm, `term of entry ${entry.index} does not fall`);
    this.#entries.push(entry);
  }

  #cut(from: LogIndex): void {
    assert(from > this.commitIndex, `entry ${from} is committed and stays`);
    this.#entries.length = from - this.#snapshotIndex - 1;
    this.takenIndex = Math.min(this.takenIndex, from - 1);
    this.persistedIndex = Math.min(this.persistedIndex, from - 1);
  }
}

const NO_ENTRIES: readonly Entry[] = [];
