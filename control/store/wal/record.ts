/**
 * Records inside a batch: entries and hard states. Reading them back folds them into the log that
 * they describe: an entry at an index that is there already replaces it and all behind it, as a new
 * leader's entries replace those of an old one.
 *
 *   entry      = u8 1, index, term, data
 *   hard state = u8 2, term, vote, commit index
 */
import { assert } from '#base/assert.ts';
import type { Entry, HardState } from '#control/raft/raft.ts';
import type { ByteReader, ByteWriter } from '../codec/bytes.ts';
import type { BatchHeader } from './format.ts';

const RECORD_ENTRY = 1;
const RECORD_HARD_STATE = 2;

export interface LogContent {
  readonly hardState: HardState | undefined;
  /** Without gaps, from whatever index the oldest kept segment starts with. */
  readonly entries: readonly Entry[];
}

export function writeEntry(out: ByteWriter, entry: Entry): void {
  out.u8(RECORD_ENTRY);
  out.varint(entry.index);
  out.varint(entry.term);
  out.bytes(entry.data);
}

export function writeHardState(out: ByteWriter, hardState: HardState): void {
  out.u8(RECORD_HARD_STATE);
  out.varint(hardState.term);
  out.varint(hardState.vote);
  out.varint(hardState.commitIndex);
}

export class RecordFold {
  #hardState: HardState | undefined;
  readonly #entries: Entry[] = [];

  /** Takes in the records of one verified batch; returns the highest entry index in it, or 0. */
  add(body: ByteReader, batch: BatchHeader): number {
    let lastIndex = 0;
    for (let i = 0; i < batch.recordCount; i++) {
      const type = body.u8();
      if (type === RECORD_ENTRY) {
        lastIndex = this.#entry(body);
      } else {
        assert(type === RECORD_HARD_STATE, `record type ${type} of batch ${batch.batch} is known`);
        const term = body.varint();
        const vote = body.varint();
        this.#hardState = { term, vote, commitIndex: body.varint() };
      }
    }
    return lastIndex;
  }

  content(): LogContent {
    return { hardState: this.#hardState, entries: this.#entries };
  }

  #entry(body: ByteReader): number {
    const index = body.varint();
    const term = body.varint();
    const data = body.bytesView();
    const first = this.#entries[0]?.index ?? index;
    const place = index - first;
    assert(place >= 0 && place <= this.#entries.length, `entry ${index} leaves no gap`);
    this.#entries.length = place;
    this.#entries.push({ index, term, data });
    return index;
  }
}
