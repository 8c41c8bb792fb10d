/**
 * Writes the whole log anew, in segments that make all before them meaningless: after a repair. The first
 * gets its name when all of them are durable; before that the others lie under names that say which first
 * one they wait for. So a crash leaves either the old segments or, once `finishRewrite` ran, these:
 *
 *   others under waiting names -> first published (counts from here) -> others under their own
 *   a start finds waiting names: the first one is there = they get their own, else they go
 */
import type { Entry, HardState } from '#control/raft/raft.ts';
import { ByteWriter } from '../codec/bytes.ts';
import type { Disk } from '../disk/disk.ts';
import { SEGMENT_BYTES } from '../limits.ts';
import { BATCH_HEADER_BYTES, segmentName } from './format.ts';
import type { EntryId, Identity, LogPosition } from './format.ts';
import { writeEntry, writeHardState, writeRestart } from './record.ts';
import { SegmentWriter } from './segment-writer.ts';
import type { SegmentIo } from './segment-writer.ts';

const BATCH_BYTES = 1024 * 1024;

export interface WholeLog {
  readonly identity: Identity;
  /** Of the first segment to write: above all others. */
  readonly segment: number;
  readonly seed: number;
  /** In a checkpoint; the entries follow it. */
  readonly base: EntryId;
  /** That checkpoint has its name only when the log is there. */
  readonly isRestart?: boolean;
  readonly hardState: HardState;
  readonly entries: readonly Entry[];
}

/** Throws what the disk throws; on ENOSPC the log is what it was. */
export function rewriteLog(io: SegmentIo, log: WholeLog, segmentBytes = SEGMENT_BYTES): void {
  finishRewrite(io.disk);
  const { base, entries } = log;
  let position = { nextBatch: 1, lastCrc: 0, lastIndex: base.index, lastTerm: base.term };
  let next = 0;
  const write = (number: number): SegmentWriter => {
    const isFresh = number === log.segment;
    const seed = (log.seed + number - log.segment) % 2 ** 32;
    const header = { ...log.identity, segment: number, isFresh, start: position, seed };
    const segment = new SegmentWriter(io, header);
    try {
      ({ next, position } = fill(segment, log, { next, position, segmentBytes }));
      return segment;
    } catch (error) {
      segment.abandon();
      throw error;
    }
  };
  const first = write(log.segment);
  try {
    for (let number = log.segment + 1; next < entries.length; number++) {
      const segment = write(number);
      segment.publish(waitingName(number, log.segment));
      segment.finish();
    }
  } catch (error) {
    first.abandon();
    finishRewrite(io.disk);
    throw error;
  }
  first.publish();
  first.finish();
  finishRewrite(io.disk);
}

interface Progress {
  /** Of the entries: the first that is not written. */
  readonly next: number;
  readonly position: LogPosition;
}

/** Writes entries until the segment is full. */
function fill(
  segment: SegmentWriter,
  log: WholeLog,
  of: Progress & { readonly segmentBytes: number },
): Progress {
  const { entries, isRestart, base, hardState } = log;
  let { next, position } = of;
  const out = new ByteWriter(64 * 1024);
  let recordCount = 0;
  let last: EntryId | undefined;
  const end = () => {
    position = segment.append(out, { recordCount, last }, position);
    begin();
  };
  const begin = () => {
    out.truncate(0);
    out.zeros(BATCH_HEADER_BYTES);
    recordCount = 0;
    last = undefined;
  };
  begin();
  if (isRestart === true && next === 0 && segment.number === log.segment) {
    writeRestart(out, base);
    recordCount++;
  }
  // In each: those before it may be released.
  writeHardState(out, hardState);
  recordCount++;
  for (; next < entries.length && segment.bytesUsed < of.segmentBytes; next++) {
    const entry = entries[next] as Entry; // Below length.
    writeEntry(out, entry);
    recordCount++;
    last = entry;
    if (out.length >= Math.min(BATCH_BYTES, of.segmentBytes)) end();
  }
  if (recordCount > 0) end();
  // Proves that the one before was durable.
  if (next === entries.length) end();
  return { next, position };
}

/** Ends, one way or the other, a rewriting that was broken off. Before the log is read. */
export function finishRewrite(disk: Disk): void {
  const names = disk.list();
  const waiting = names.map(parseWaitingName).filter((name) => name !== undefined);
  for (const { number, first } of waiting) {
    const name = waitingName(number, first);
    if (names.includes(segmentName(first))) disk.rename(name, segmentName(number));
    else disk.remove(name);
  }
  if (waiting.length > 0) disk.syncDirectory();
}

function waitingName(number: number, first: number): string {
  return `${segmentName(number)}.behind-${first.toString(16)}`;
}

function parseWaitingName(name: string): { number: number; first: number } | undefined {
  const match = /^wal-([0-9a-f]{16})\.log\.behind-([0-9a-f]+)$/.exec(name);
  const [, number, first] = match ?? [];
  if (number === undefined || first === undefined) return undefined;
  return { number: Number.parseInt(number, 16), first: Number.parseInt(first, 16) };
}
