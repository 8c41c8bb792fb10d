/**
 * The replicated log as the core sees it, in memory from behind the snapshot on:
 *
 *   snapshotIndex <= appliedIndex <= commitIndex <= lastIndex
 *   persistedIndex <= takenIndex <= lastIndex
 *   appliedIndex <= handedIndex <= min(commitIndex, persistedIndex)
 *
 * takenIndex: given to the host to persist; persistedIndex: durable here; handedIndex: given to the
 * host to apply. The first two move back when a new leader overwrites entries. While a snapshot from
 * the leader is being made durable, persistedIndex is 0, whatever has been applied by it.
 */
import { assert, must } from '#base/assert.ts';
import { ENTRY_OVERHEAD_BYTES } from './limits.ts';
import { MemberHistory } from './member-history.ts';
import type { Entry, LogIndex, MemberId, Members, SnapshotMeta, Term } from './types.ts';
import { WriteQueue } from './write-queue.ts';

export class RaftLog {
  #entries: Entry[] = [];
  /** Of the entries in memory. */
  #bytes = 0;
  #snapshotIndex: LogIndex;
  #snapshotTerm: Term;
  #history: MemberHistory;
  #commitIndex: LogIndex;
  #appliedIndex: LogIndex;
  #handedIndex: LogIndex;
  #persistedIndex: LogIndex;
  #takenIndex: LogIndex;
  readonly writes = new WriteQueue();

  constructor(snapshot: SnapshotMeta, entries: readonly Entry[]) {
    this.#snapshotIndex = snapshot.index;
    this.#snapshotTerm = snapshot.term;
    this.#history = new MemberHistory(snapshot.index, snapshot.members);
    this.#commitIndex = snapshot.index;
    this.#appliedIndex = snapshot.index;
    this.#handedIndex = snapshot.index;
    for (const entry of entries) this.append(entry);
    this.#persistedIndex = this.lastIndex;
    this.#takenIndex = this.lastIndex;
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

  get bytes(): number {
    return this.#bytes;
  }

  get lastTerm(): Term {
    return this.#entries.at(-1)?.term ?? this.#snapshotTerm;
  }

  get commitIndex(): LogIndex {
    return this.#commitIndex;
  }

  get appliedIndex(): LogIndex {
    return this.#appliedIndex;
  }

  get persistedIndex(): LogIndex {
    return this.#persistedIndex;
  }

  get takenIndex(): LogIndex {
    return this.#takenIndex;
  }

  /** A snapshot replaced the log and is not durable yet. */
  get isInstalling(): boolean {
    return this.#persistedIndex < this.#snapshotIndex;
  }

  /** The configuration in force: the last one in the log. */
  get members(): Members {
    return this.#history.members;
  }

  /** Where it stands. */
  get membersIndex(): LogIndex {
    return this.#history.index;
  }

  /** Whether `id` may be needed to lead: by what is committed, or by what may come to be. */
  mayLead(id: MemberId): boolean {
    return this.#history.isVoterSince(this.#commitIndex, id);
  }

  /** Who receives the log: members, and those removed until that is committed. */
  recipients(): ReadonlySet<MemberId> {
    return this.#history.everyoneSince(this.#commitIndex);
  }

  /** Term of the entry at `index`, or undefined when it is compacted or beyond the end. */
  term(index: LogIndex): Term | undefined {
    if (index === this.#snapshotIndex) return this.#snapshotTerm;
    return this.entry(index)?.term;
  }

  entry(index: LogIndex): Entry | undefined {
    return this.#entries[index - this.#snapshotIndex - 1];
  }

  matches(index: LogIndex, term: Term): boolean {
    return this.term(index) === term;
  }

  /** Whether the entry of this term at `index` is certainly not in the log; term 0 = of any. */
  isWithout(index: LogIndex, term: Term): boolean {
    if (index > this.lastIndex) return true;
    const own = this.term(index);
    return term !== 0 && own !== undefined && own !== term;
  }

  /** What a snapshot up to `index` is called; undefined when the log does not know. */
  describe(index: LogIndex): SnapshotMeta | undefined {
    const term = this.term(index);
    if (term === undefined || index > this.#commitIndex) return undefined;
    return { index, term, members: this.#history.at(index) };
  }

  /** Whether a log that ends in (index, term) holds at least as much: term first, then length. */
  isUpToDate(lastIndex: LogIndex, lastTerm: Term): boolean {
    return lastTerm > this.lastTerm || (lastTerm === this.lastTerm && lastIndex >= this.lastIndex);
  }

  /**
   * The last entry up to `from` whose term is not above `term`: where two logs may agree at the
   * latest, if the other has `term` at `from`. Skips whole terms, from either side.
   */
  lastIndexUpToTerm(from: LogIndex, term: Term): LogIndex {
    let index = Math.min(from, this.lastIndex);
    for (; index > this.#snapshotIndex; index--) {
      if (must(this.term(index), `entry ${index} is kept`) <= term) break;
    }
    return index;
  }

  append(entry: Entry): void {
    assert(entry.index === this.lastIndex + 1, `entry ${entry.index} follows ${this.lastIndex}`);
    assert(entry.term >= this.lastTerm, `term of entry ${entry.index} does not fall`);
    this.#entries.push(entry);
    this.#bytes += bytesOf(entry);
    if (entry.members !== undefined) this.#history.push(entry.index, entry.members);
  }

  /**
   * Takes in a leader's entries behind `prevIndex`, which matches. Only a real conflict cuts the log:
   * an old append that arrives late must not remove entries that it merely does not mention.
   */
  merge(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (this.matches(entry.index, entry.term)) continue;
      if (entry.index <= this.lastIndex) this.#cut(entry.index);
      this.append(entry);
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
      bytes += bytesOf(this.#entries[end] as Entry); // Below lastIndex.
      if (bytes > bytesMax && end > start) break;
    }
    return this.#entries.slice(start, end);
  }

  /** Bytes of the entries behind `after` up to `to`. */
  bytesBetween(after: LogIndex, to: LogIndex): number {
    let bytes = 0;
    for (let index = after + 1; index <= to; index++) {
      bytes += bytesOf(must(this.entry(index), `entry ${index} is kept`));
    }
    return bytes;
  }

  /** What the host has not been given to persist yet; it has been afterwards. */
  takeUnwritten(): readonly Entry[] {
    const entries = this.#entries.slice(this.#takenIndex - this.#snapshotIndex);
    this.#takenIndex = this.lastIndex;
    return entries;
  }

  commitTo(index: LogIndex): void {
    assert(index <= this.lastIndex, `commit index ${index} lies within the log`);
    this.#commitIndex = Math.max(this.#commitIndex, index);
  }

  persistedTo(index: LogIndex): void {
    this.#persistedIndex = Math.max(this.#persistedIndex, index);
  }

  get hasUnhandedCommitted(): boolean {
    return this.#handedIndex < Math.min(this.#commitIndex, this.#persistedIndex);
  }

  /** The next committed entries to apply, at least one if there is one, at most `bytesMax`. */
  handCommitted(bytesMax: number): readonly Entry[] {
    if (!this.hasUnhandedCommitted) return NO_ENTRIES;
    const to = Math.min(this.#commitIndex, this.#persistedIndex);
    const committed = this.slice(this.#handedIndex + 1, to, bytesMax);
    this.#handedIndex += committed.length;
    return committed;
  }

  /** Late news of entries that a snapshot brought meanwhile is no news. */
  appliedTo(index: LogIndex): void {
    assert(index <= this.#handedIndex, `entry ${index} was handed out to be applied`);
    this.#appliedIndex = Math.max(this.#appliedIndex, index);
  }

  /** At start: the state machine holds everything up to `index` already. */
  resumeAt(index: LogIndex): void {
    assert(index <= this.#commitIndex, `applied index ${index} is committed`);
    this.#appliedIndex = Math.max(this.#appliedIndex, index);
    this.#handedIndex = this.#appliedIndex;
  }

  /** Forgets entries up to `index`, which are applied. */
  compactTo(index: LogIndex): void {
    if (index <= this.#snapshotIndex) return;
    assert(index <= this.#appliedIndex, 'only applied entries are compacted');
    const term = must(this.term(index), `entry ${index} is kept`);
    this.#bytes -= this.bytesBetween(this.#snapshotIndex, index);
    this.#entries = this.#entries.slice(index - this.#snapshotIndex);
    this.#snapshotIndex = index;
    this.#snapshotTerm = term;
    this.#history.compactTo(index);
  }

  /** Starts over behind a snapshot that came from the leader. */
  restore(snapshot: SnapshotMeta): void {
    const { index } = snapshot;
    assert(index > this.#commitIndex, 'a snapshot is restored only when ahead');
    this.writes.cut(1);
    this.#entries = [];
    this.#bytes = 0;
    this.#history = new MemberHistory(index, snapshot.members);
    this.#snapshotIndex = index;
    this.#snapshotTerm = snapshot.term;
    this.#commitIndex = index;
    this.#appliedIndex = index;
    this.#handedIndex = index;
    this.#takenIndex = index;
    this.#persistedIndex = 0;
  }

  #cut(from: LogIndex): void {
    assert(from > this.#commitIndex, `entry ${from} is committed and stays`);
    this.#bytes -= this.bytesBetween(from - 1, this.lastIndex);
    this.#entries.length = from - this.#snapshotIndex - 1;
    this.#takenIndex = Math.min(this.#takenIndex, from - 1);
    this.#persistedIndex = Math.min(this.#persistedIndex, from - 1);
    this.#history.cut(from);
    this.writes.cut(from);
  }
}

/** What an entry counts against the limits. */
export function bytesOf(entry: Entry): number {
  return entry.data.length + ENTRY_OVERHEAD_BYTES;
}

const NO_ENTRIES: readonly Entry[] = [];
