/**
 * Answers members whose log has a hole (peers.ts, EntryRequest) from this member's log: from memory, and
 * for what has left it from its segments, a slice a turn, so that the log may be long. Answers are bounded;
 * what was read from segments is kept for the next question, which comes at once.
 *
 *   asked -> answered, or waits -> read on in slices -> answered; another reading begins when one has ended
 */
import type { Entry, Raft } from '#control/raft/raft.ts';
import {
  ENTRIES_READ_BYTES_PER_SLICE,
  ENTRY_RESPONSE_BYTES_MAX,
  ENTRY_SOURCE_TICKS,
} from '../limits.ts';
import { readEntries } from '../wal/read-entries.ts';
import type { LogIo } from '../wal/read-entries.ts';
import { RECORD_OVERHEAD_BYTES } from '../wal/record.ts';
import type { EntryRequest, EntryResponse, Peers } from './peers.ts';

type Answer = Pick<EntryResponse, 'refusal' | 'prevTerm' | 'entries'>;

export class EntrySource {
  readonly #io: LogIo;
  readonly #raft: Raft;
  readonly #send: Peers['send'];
  /** From segments; they end where memory began when they were read. */
  #read: readonly Entry[] = [];
  #ticks = 0;
  /** The reading under way, and for whom. */
  #reading: { readonly from: number; readonly steps: ReturnType<typeof readEntries> } | undefined;
  /** The newest question of each member that is not answered: as many as there are members. */
  readonly #waiting = new Map<number, EntryRequest>();

  constructor(io: LogIo, of: { readonly raft: Raft; readonly send: Peers['send'] }) {
    this.#io = io;
    this.#raft = of.raft;
    this.#send = of.send;
  }

  tick(): void {
    if (++this.#ticks > ENTRY_SOURCE_TICKS) this.#read = [];
  }

  /** Answers, now or when enough was read. */
  asked(from: number, request: EntryRequest): void {
    this.#waiting.set(from, request);
    if (this.#reading === undefined) this.#answerAll();
  }

  /** Reads on; true = more to do at once. */
  pump(): boolean {
    const reading = this.#reading;
    if (reading === undefined) return false;
    for (let bytes = 0; bytes < ENTRIES_READ_BYTES_PER_SLICE; ) {
      const step = reading.steps.next();
      if (step.done === true) {
        this.#reading = undefined;
        this.#ticks = 0;
        this.#read = step.value ?? [];
        if (step.value === undefined) this.#answer(reading.from, refused('released'));
        this.#answerAll();
        break;
      }
      bytes += step.value;
    }
    return this.#reading !== undefined;
  }

  close(): void {
    this.#reading?.steps.return(undefined);
    this.#reading = undefined;
  }

  #answerAll(): void {
    for (const [from, { after, to }] of this.#waiting) {
      const found = this.#find(after, to);
      if (found === 'unread') {
        this.#begin(from, after);
        if (this.#reading !== undefined) return;
      } else this.#answer(from, found);
    }
  }

  #answer(from: number, answer: Answer): void {
    const request = this.#waiting.get(from);
    if (request === undefined) return;
    this.#waiting.delete(from);
    const { after, to } = request;
    this.#send(from, { kind: 'entryResponse', after, to, ...answer });
  }

  #find(after: number, to: EntryRequest['to']): Answer | 'unread' {
    const raft = this.#raft;
    if (to.index > raft.lastIndex) return refused('lacking');
    const first = raft.firstIndex - 1;
    const isKept = after > first || (after === first && raft.termOf(first) !== undefined);
    if (!isKept && !this.#hasRead(after)) return 'unread';
    const older = isKept ? [] : this.#read;
    this.#ticks = 0;
    const at = (index: number) => older[index - (older[0]?.index ?? 0)] ?? raft.entry(index);
    const termAt = (index: number) => at(index)?.term ?? raft.termOf(index);
    const toTerm = termAt(to.index);
    // Memory may have been left by more since it was read.
    if (toTerm === undefined) return isKept ? refused('released') : 'unread';
    if (toTerm !== to.term) return refused('lacking');
    const prevTerm = after === 0 ? 0 : termAt(after);
    if (prevTerm === undefined) return refused('released');
    const entries: Entry[] = [];
    let bytes = 0;
    for (let index = after + 1; index <= to.index && bytes < ENTRY_RESPONSE_BYTES_MAX; index++) {
      const entry = at(index);
      if (entry === undefined) break;
      entries.push(entry);
      bytes += entry.data.length + RECORD_OVERHEAD_BYTES;
    }
    if (entries.length === 0 && to.index > after) return refused('released');
    return { refusal: 'none', prevTerm, entries };
  }

  /** The entry at `after`, whose term is asked for, and the one behind it. */
  #hasRead(after: number): boolean {
    const [oldest, newest] = [this.#read[0], this.#read.at(-1)];
    if (oldest === undefined || newest === undefined) return false;
    return oldest.index <= Math.max(1, after) && newest.index > after;
  }

  /** Begins to read up to where memory begins now, unless that is not known. */
  #begin(from: number, after: number): void {
    const index = this.#raft.firstIndex - 1;
    const term = this.#raft.termOf(index);
    if (term === undefined) return this.#answer(from, refused('released'));
    const steps = readEntries(this.#io, Math.max(1, after) - 1, { index, term });
    this.#reading = { from, steps };
  }
}

function refused(refusal: Answer['refusal']): Answer {
  return { refusal, prevTerm: 0, entries: [] };
}
