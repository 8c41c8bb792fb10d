/**
 * Entries that left memory and are in segments still, for a member whose own log is damaged. Read a batch
 * a step, so that who reads does other things meanwhile, and from the segment on in which they begin.
 */
import { isErrno } from '#base/errors.ts';
import type { Entry } from '#control/raft/raft.ts';
import { ByteReader } from '../codec/bytes.ts';
import type { Crc32 } from '../codec/digest.ts';
import type { Disk } from '../disk/disk.ts';
import { StoreError } from '../port.ts';
import { parseSegmentName, segmentName } from './format.ts';
import type { EntryId, SegmentHeader } from './format.ts';
import { RecordFold } from './record.ts';
import { readSegment, readSegmentHeader } from './read-segment.ts';

export interface LogIo {
  readonly disk: Disk;
  readonly crc32: Crc32;
}

/**
 * Yields the bytes of each batch; returns the entries behind `after` up to and including `to`, which is in
 * the log and committed, or undefined when the segments do not reach back so far, or cannot be read.
 */
export function* readEntries(
  io: LogIo,
  after: number,
  to: EntryId,
): Generator<number, readonly Entry[] | undefined> {
  try {
    const entries = yield* readFrom(io, after);
    const wanted = entries.filter(({ index }) => index > after && index <= to.index);
    const isWhole = wanted.length === to.index - after;
    return isWhole && wanted.at(-1)?.term === to.term ? wanted : undefined;
  } catch (error) {
    const isDamaged = error instanceof StoreError && error.code === 'CORRUPT';
    if (isDamaged || isErrno(error, 'ENOENT')) return undefined; // Released meanwhile.
    throw error;
  }
}

/** All of the log that was written since it ended at `after`, or before. */
function* readFrom(io: LogIo, after: number): Generator<number, readonly Entry[]> {
  const headers = readHeaders(io);
  const begin = headers.findLastIndex(({ start }) => start.lastIndex <= after);
  const used = headers.slice(Math.max(0, begin));
  const [first] = used;
  if (begin < 0 || first === undefined) return [];
  const { lastIndex: index, lastTerm: term } = first.start;
  const fold = new RecordFold({ index, term });
  for (const [i, { segment }] of used.entries()) {
    // A later segment may begin with copies of this one's last batches; then the copies count.
    const stop = used[i + 1]?.start.nextBatch ?? Number.POSITIVE_INFINITY;
    const name = segmentName(segment);
    const file = io.disk.open(name);
    try {
      for (const { at, header, body } of readSegment(file, name, io.crc32)) {
        if (header.batch >= stop) break;
        fold.add(new ByteReader(body), header.recordCount, { name, at });
        yield body.length;
      }
    } finally {
      file.close();
    }
  }
  return fold.content().entries;
}

/** Of the segments that count. */
function readHeaders({ disk, crc32 }: LogIo): readonly SegmentHeader[] {
  const numbers = disk.list().map(parseSegmentName);
  const headers = numbers
    .filter((number) => number !== undefined)
    .map((number) => readSegmentHeader(disk, segmentName(number), crc32));
  const fresh = headers.findLastIndex(({ isFresh }) => isFresh);
  return headers.slice(Math.max(0, fresh));
}
