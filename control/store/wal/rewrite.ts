/**
 * Writes the whole log anew, in one segment that makes all before it meaningless: after a repair. It has
 * its name only when all of it is durable, so a crash leaves either the old segments or this one.
 */
import type { Entry, HardState } from '#control/raft/raft.ts';
import { ByteWriter } from '../codec/bytes.ts';
import { isNoSpace } from '../disk/disk.ts';
import { SEGMENT_FILE_BYTES_MAX } from '../limits.ts';
import { StoreError } from '../port.ts';
import { BATCH_HEADER_BYTES } from './format.ts';
import type { EntryId, Identity } from './format.ts';
import {
  MEMBERS_BYTES_MAX,
  RECORD_OVERHEAD_BYTES,
  writeEntry,
  writeHardState,
  writeRestart,
} from './record.ts';
import { SegmentWriter } from './segment-writer.ts';
import type { SegmentIo } from './segment-writer.ts';

const BATCH_BYTES = 1024 * 1024;

export interface WholeLog {
  readonly identity: Identity;
  /** Of the segment to write: above all others. */
  readonly segment: number;
  readonly seed: number;
  /** In a checkpoint; the entries follow it. */
  readonly base: EntryId;
  /** That checkpoint has its name only when the log is there. */
  readonly isRestart?: boolean;
  readonly hardState: HardState;
  readonly entries: readonly Entry[];
}

/** Throws StoreError TOO_LARGE for a log beyond one segment, or what the disk throws. */
export function rewriteLog(io: SegmentIo, log: WholeLog): void {
  const { identity, segment: number, seed, base, hardState, entries } = log;
  const bytes = entries.reduce((sum, { data, members }) => {
    return sum + data.length + RECORD_OVERHEAD_BYTES + (members ? MEMBERS_BYTES_MAX : 0);
  }, 0);
  if (bytes > SEGMENT_FILE_BYTES_MAX * 0.9) {
    throw new StoreError('TOO_LARGE', `log of ${bytes} bytes does not fit into one segment`);
  }
  let position = { nextBatch: 1, lastCrc: 0, lastIndex: base.index, lastTerm: base.term };
  const header = { ...identity, segment: number, isFresh: true, start: position, seed };
  const segment = new SegmentWriter(io, header);
  try {
    const out = new ByteWriter(64 * 1024);
    const begin = () => {
      out.truncate(0);
      out.zeros(BATCH_HEADER_BYTES);
    };
    begin();
    if (log.isRestart === true) writeRestart(out, base);
    writeHardState(out, hardState);
    let recordCount = log.isRestart === true ? 2 : 1;
    let last: EntryId | undefined;
    const end = () => {
      position = segment.append(out, { recordCount, last }, position);
      begin();
      recordCount = 0;
      last = undefined;
    };
    for (const entry of entries) {
      writeEntry(out, entry);
      recordCount++;
      last = entry;
      if (out.length >= BATCH_BYTES) end();
    }
    if (recordCount > 0) end();
    // Proves that the one before was durable.
    end();
    segment.publish();
  } catch (error) {
    if (isNoSpace(error)) segment.abandon();
    throw error;
  }
  segment.finish();
}
