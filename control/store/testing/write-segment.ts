/** Log segments made by hand, for tests of what the log itself would never write. */
import { crc32 } from 'node:zlib';
import type { Entry } from '#control/raft/raft.ts';
import { ByteWriter } from '../codec/bytes.ts';
import type { Disk } from '../disk/disk.ts';
import { BATCH_HEADER_BYTES, LOG_START } from '../wal/format.ts';
import type { LogPosition, SegmentHeader } from '../wal/format.ts';
import { writeEntry } from '../wal/record.ts';
import { SegmentWriter } from '../wal/segment-writer.ts';

export interface SegmentPlan {
  readonly header?: Partial<SegmentHeader>;
  /** Entries of each batch. */
  readonly batches: readonly (readonly Entry[])[];
  /** What batch number `place` says of itself, in place of where the log stands. */
  readonly say?: (position: LogPosition, place: number) => LogPosition;
  /** Zeros that were written ahead stay behind the last batch. */
  readonly isUnfinished?: boolean;
}

/** Returns where the log stands behind it. */
export function writeSegment(disk: Disk, plan: SegmentPlan): LogPosition {
  const { header, batches, say = (position) => position, isUnfinished = false } = plan;
  const full: SegmentHeader = {
    groupId: 5,
    memberId: 7,
    isJoined: false,
    segment: 1,
    isFresh: false,
    start: LOG_START,
    seed: 7919,
    ...header,
  };
  const segment = new SegmentWriter({ disk, crc32, preallocateBytes: 512 }, full);
  let position = full.start;
  for (const [place, entries] of batches.entries()) {
    const out = new ByteWriter();
    out.zeros(BATCH_HEADER_BYTES);
    for (const entry of entries) writeEntry(out, entry);
    const content = { recordCount: entries.length, last: entries.at(-1) };
    position = segment.append(out, content, say(position, place));
  }
  segment.publish();
  if (isUnfinished) segment.close();
  else segment.finish();
  return position;
}
