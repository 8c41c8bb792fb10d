/**
 * Answers members whose log has a hole (peers.ts, EntryRequest) from this member's log: from memory, and
 * for what has left it from its segments. Answers are bounded; what was read from segments is kept for
 * the next question, which comes at once.
 */
import type { Entry, Raft } from '#control/raft/raft.ts';
import type { Crc32 } from '../codec/digest.ts';
import type { Disk } from '../disk/disk.ts';
import { ENTRY_RESPONSE_BYTES_MAX, ENTRY_SOURCE_TICKS } from '../limits.ts';
import { readEntries } from '../wal/read-entries.ts';
import { RECORD_OVERHEAD_BYTES } from '../wal/record.ts';
import type { EntryRequest, EntryResponse } from './peers.ts';

type Answer = Pick<EntryResponse, 'refusal' | 'prevTerm' | 'entries'>;

export class EntrySource {
  readonly #io: { readonly disk: Disk; readonly crc32: Crc32 };
  readonly #raft: Raft;
  /** From segments; they end where memory began when they were read. */
  #read: readonly Entry[] = [];
  #ticks = 0;

  constructor(io: { readonly disk: Disk; readonly crc32: Crc32 }, raft: Raft) {
    this.#io = io;
    this.#raft = raft;
  }

  tick(): void {
    if (++this.#ticks > ENTRY_SOURCE_TICKS) this.#read = [];
  }

  answer({ after, to }: EntryRequest): EntryResponse {
    return { kind: 'entryResponse', after, to, ...this.#find(after, to) };
  }

  #find(after: number, to: EntryRequest['to']): Answer {
    const raft = this.#raft;
    if (to.index > raft.lastIndex) return refused('lacking');
    const first = raft.firstIndex - 1;
    const isKept = after > first || (after === first && raft.termOf(first) !== undefined);
    // One more in front, for its term.
    const older = isKept ? [] : this.#older(after, first);
    if (older === undefined) return refused('released');
    const at = (index: number) => older[index - (older[0]?.index ?? 0)] ?? raft.entry(index);
    const termAt = (index: number) => at(index)?.term ?? raft.termOf(index);
    const toTerm = termAt(to.index);
    if (toTerm === undefined) return refused('released');
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

  /** From the entry at `after` on, up to `first`; undefined when it is not kept. */
  #older(after: number, first: number): readonly Entry[] | undefined {
    this.#ticks = 0;
    const begin = Math.max(1, after);
    const known = this.#read;
    if (
      known.length > 0 &&
      (known[0]?.index ?? 0) <= begin &&
      (known.at(-1)?.index ?? 0) >= first
    ) {
      return known;
    }
    const term = this.#raft.termOf(first);
    if (term === undefined) return undefined;
    const read = readEntries(this.#io, begin - 1, { index: first, term });
    this.#read = read ?? [];
    return read;
  }
}

function refused(refusal: Answer['refusal']): Answer {
  return { refusal, prevTerm: 0, entries: [] };
}
