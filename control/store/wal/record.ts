/**
 * Records inside a batch: entries, hard states and restarts. Reading them back folds them into the log
 * that they describe: an entry at an index that is there already replaces it and all behind it, as a
 * new leader's entries replace those of an old one. A restart replaces the whole log: what stood before
 * is in the snapshot of that entry, whose file is durable before the record is written.
 *
 *   entry        = u8 1, index, term, data
 *   hard state   = u8 2, term, vote, commit index
 *   member entry = u8 3, index, term, data, members (codec/members.ts): who the group is from here on
 *   restart      = u8 4, index, term
 */
import type { Entry, HardState } from '#control/raft/raft.ts';
import type { ByteReader, ByteWriter } from '../codec/bytes.ts';
import { readMembers, writeMembers } from '../codec/members.ts';
import { MEMBERS_MAX } from '../limits.ts';
import { StoreError } from '../port.ts';
import { corrupt } from './format.ts';
import type { EntryId } from './format.ts';

const RECORD_ENTRY = 1;
const RECORD_HARD_STATE = 2;
const RECORD_MEMBER_ENTRY = 3;
const RECORD_RESTART = 4;

/** Bytes of a record beside an entry's data, at most. */
export const RECORD_OVERHEAD_BYTES = 32;

/** Bytes of an encoded configuration, at most: everybody stands in two lists. */
export const MEMBERS_BYTES_MAX = 2 * 8 * MEMBERS_MAX + 16;

export interface LogContent {
  readonly hardState: HardState | undefined;
  /** Without gaps, from whatever index the oldest kept segment starts with. */
  readonly entries: readonly Entry[];
  /** The last entry of the log, kept or not; index 0 when there never was one. */
  readonly last: EntryId;
  /** The log begins anew behind this entry of a snapshot, by the last record of that kind. */
  readonly restart: EntryId | undefined;
}

export function writeEntry(out: ByteWriter, entry: Entry): void {
  out.u8(entry.members === undefined ? RECORD_ENTRY : RECORD_MEMBER_ENTRY);
  out.varint(entry.index);
  out.varint(entry.term);
  out.bytes(entry.data);
  if (entry.members !== undefined) writeMembers(out, entry.members);
}

export function writeRestart(out: ByteWriter, restart: EntryId): void {
  out.u8(RECORD_RESTART);
  out.varint(restart.index);
  out.varint(restart.term);
}

export function writeHardState(out: ByteWriter, hardState: HardState): void {
  out.u8(RECORD_HARD_STATE);
  out.varint(hardState.term);
  out.varint(hardState.vote);
  out.varint(hardState.commitIndex);
}

/** Where a batch stands, for messages. */
export interface BatchPlace {
  readonly name: string;
  readonly at: number;
}

export class RecordFold {
  #hardState: HardState | undefined;
  readonly #entries: Entry[] = [];
  #last: EntryId | undefined;
  #restart: EntryId | undefined;

  /** `last` is the entry before the first batch; undefined where a hole in the log hides it. */
  constructor(last: EntryId | undefined) {
    this.#last = last;
  }

  /**
   * Takes in the records of one verified batch; returns the last entry in it, or the restart. Throws StoreError
   * CORRUPT or, for a record of a later version, UNSUPPORTED.
   */
  add(body: ByteReader, recordCount: number, place: BatchPlace): EntryId | undefined {
    const { name, at } = place;
    let last: EntryId | undefined;
    try {
      for (let i = 0; i < recordCount; i++) {
        const type = body.u8();
        if (type === RECORD_ENTRY) last = this.#entry(body, place, false);
        else if (type === RECORD_MEMBER_ENTRY) last = this.#entry(body, place, true);
        else if (type === RECORD_RESTART) last = this.#begin(body);
        else if (type === RECORD_HARD_STATE) this.#hardState = readHardState(body);
        else
          throw new StoreError('UNSUPPORTED', `log segment ${name} has a record of type ${type}`);
      }
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw corrupt(name, at, 'has a batch with a record that ends early', error);
    }
    if (body.remaining > 0) throw corrupt(name, at, 'has a batch that is longer than its records');
    return last;
  }

  content(): LogContent {
    const entries = this.#entries;
    const last = this.#last ?? { index: 0, term: 0 };
    return { hardState: this.#hardState, entries, last, restart: this.#restart };
  }

  #begin(body: ByteReader): EntryId {
    const index = body.varint();
    this.#restart = { index, term: body.varint() };
    this.#entries.length = 0;
    this.#last = this.#restart;
    return this.#restart;
  }

  #entry(body: ByteReader, { name, at }: BatchPlace, hasMembers: boolean): EntryId {
    const index = body.varint();
    const term = body.varint();
    const data = body.bytesView();
    // Before the first one here: it replaced an entry whose segment is gone since, with a checkpoint
    // that holds both.
    const place = Math.max(0, index - (this.#entries[0]?.index ?? index));
    const isBehind = index > (this.#restart?.index ?? 0);
    const before = this.#last?.index ?? index - 1;
    if (!isBehind || index > before + 1) {
      const text = `has a batch with entry ${index} behind entry ${before}`;
      throw corrupt(name, at, text);
    }
    this.#entries.length = place;
    const entry = hasMembers
      ? { index, term, data, members: readMembers(body) }
      : { index, term, data };
    this.#entries.push(entry);
    this.#last = entry;
    return entry;
  }
}

function readHardState(body: ByteReader): HardState {
  const term = body.varint();
  const vote = body.varint();
  return { term, vote, commitIndex: body.varint() };
}
