/**
 * Reads the log back: every batch that was ever acknowledged, in order, up to a torn tail. Tells a torn
 * tail (cut, reported) from corruption, by the reasoning in format.ts. Corruption makes a hole: the log
 * is read on behind it, in pieces, and join.ts finds out what is missing between them. A log with holes
 * is not gone on with; it is written anew (rewrite.ts) once it is whole again.
 */
import { ByteReader } from '../codec/bytes.ts';
import type { Crc32 } from '../codec/digest.ts';
import type { Disk } from '../disk/disk.ts';
import type { StoreError } from '../port.ts';
import {
  BATCH_HEADER_BYTES,
  BATCH_MAGIC_BYTE,
  LOG_START,
  SEGMENT_HEADER_BYTES,
  corrupt,
  paddedBytes,
  parseBatchHeader,
  parseSegmentName,
} from './format.ts';
import type { BatchHeader, EntryId, Identity, LogPosition, SegmentHeader } from './format.ts';
import { RecordFold } from './record.ts';
import type { LogContent } from './record.ts';
import { loadSegment } from './segment-file.ts';
import type { SegmentFile } from './segment-file.ts';

export interface Batch {
  readonly body: Uint8Array;
  readonly recordCount: number;
  /** The last entry in it. */
  readonly last: EntryId | undefined;
}

export interface ScannedSegment {
  readonly header: SegmentHeader;
  readonly batches: readonly Batch[];
  /** Bytes up to the end of the last batch. */
  readonly usedBytes: number;
  /** Highest entry index in it, 0 when it has none. */
  readonly lastIndex: number;
  /** Where the log stood before the last batch, for who copies that. */
  readonly beforeLast: LogPosition;
}

/** What can be read in a row. */
export interface LogPiece {
  readonly content: LogContent;
  /** The log's last entry where the piece begins; undefined when nothing says. */
  readonly before: EntryId | undefined;
  /** The log's last entry where it ends; undefined when nothing says. */
  readonly end: EntryId | undefined;
}

export interface Recovered {
  /** Of a log without holes. */
  readonly content: LogContent;
  readonly segments: readonly ScannedSegment[];
  readonly end: LogPosition;
  /** Where a torn tail was cut, for the report. */
  readonly torn: { readonly segment: string; readonly at: number } | undefined;
  /** Whose log it is, by what can be read; undefined for an empty directory. */
  readonly identity: Identity | undefined;
  /** What is damaged, though what follows proves that it was durable: StoreErrors CORRUPT, in order. */
  readonly holes: readonly StoreError[];
  /** One, or as many as there are stretches between holes. */
  readonly pieces: readonly LogPiece[];
  /** Highest segment number in use; 0 when there is none. */
  readonly lastSegment: number;
  /** Segments that a log written anew has replaced. */
  readonly obsolete: readonly number[];
}

/** Reads all segments; an empty directory gives no segments and batch number 1. */
export function recoverLog(disk: Disk, crc32: Crc32): Recovered {
  const all = disk
    .list()
    .map(parseSegmentName)
    .filter((number) => number !== undefined)
    .map((number) => loadSegment(disk, number, crc32));
  const fresh = Math.max(
    0,
    all.findLastIndex(({ header }) => header?.isFresh === true),
  );
  const obsolete = all.slice(0, fresh).map(({ number }) => number);
  const files = all.slice(fresh);
  const scan = new Scan(crc32);
  for (const [i, file] of files.entries()) scan.segment(file, files.slice(i + 1));
  const lastSegment = all.at(-1)?.number ?? 0;
  return { ...scan.result(), obsolete, lastSegment };
}

type Check = { readonly seed: number; readonly crc32: Crc32 };

interface Valid {
  readonly at: number;
  readonly header: BatchHeader;
  readonly body: Uint8Array;
}

class Scan {
  readonly #crc32: Crc32;
  #position: LogPosition | undefined;
  #fold: RecordFold | undefined;
  /** Of the piece at hand. */
  #before: EntryId | undefined;
  #end: EntryId | undefined;
  #identity: Identity | undefined;
  #torn: Recovered['torn'];
  /** The last piece is known, though the log ends in damage. */
  #isEnded = false;
  readonly #segments: ScannedSegment[] = [];
  readonly #holes: StoreError[] = [];
  readonly #pieces: LogPiece[] = [];

  constructor(crc32: Crc32) {
    this.#crc32 = crc32;
  }

  /** Takes in one segment, before `later` ones. */
  segment(file: SegmentFile, later: readonly SegmentFile[]): void {
    const { header, name } = file;
    if (header === undefined) {
      this.#hole(file.error ?? corrupt(name, 0, 'cannot be read'));
      return;
    }
    this.#checkIdentity(header, name);
    this.#enter(header, name);
    // A later segment may begin with copies of this one's last batches; then the copies count.
    const next = later.find((other) => other.header !== undefined)?.header;
    const stop = next?.start.nextBatch ?? Number.POSITIVE_INFINITY;
    const { usedBytes } = this.#batches(file, header, stop);
    const isReadable = usedBytes >= file.unreadableEnd;
    const error = isReadable ? undefined : file.error;
    if (later.length > 0) {
      const isLacking = next !== undefined && this.#next < stop;
      if (isLacking) this.#hole(error ?? corrupt(name, usedBytes, `lacks batch ${this.#next}`));
    } else if (error !== undefined) this.#hole(error);
    else if (!this.#isProved(file, header, usedBytes) && hasContent(file.bytes, usedBytes)) {
      this.#torn = { segment: name, at: usedBytes };
    }
  }

  result(): Omit<Recovered, 'obsolete' | 'lastSegment'> {
    const isWhole = this.#holes.length === 0;
    const start = { index: 0, term: 0 };
    const content = (this.#fold ?? new RecordFold(start)).content();
    if (this.#fold !== undefined) this.#endPiece();
    // Nothing tells how far the last hole reached.
    else if (!isWhole && !this.#isEnded)
      this.#pieces.push({ content, before: undefined, end: undefined });
    return {
      content: isWhole ? content : (this.#pieces[0]?.content ?? new RecordFold(start).content()),
      segments: this.#segments,
      end: this.#position ?? LOG_START,
      torn: isWhole ? this.#torn : undefined,
      identity: this.#identity,
      holes: this.#holes,
      pieces: this.#pieces,
    };
  }

  get #next(): number {
    return this.#position?.nextBatch ?? 0;
  }

  #checkIdentity(header: SegmentHeader, name: string): void {
    const { groupId, memberId, isJoined } = header;
    this.#identity ??= { groupId, memberId, isJoined };
    const first = this.#identity;
    if (groupId === first.groupId && memberId === first.memberId && isJoined === first.isJoined) {
      return;
    }
    throw corrupt(name, 16, 'belongs to another member than the first segment');
  }

  /** Batch numbers and the chain decide; segment numbers may have holes where superseded ones were. */
  #enter({ start }: SegmentHeader, name: string): void {
    const position = this.#position;
    if (position !== undefined && this.#fold !== undefined) {
      const isNext = start.nextBatch === position.nextBatch && start.lastCrc === position.lastCrc;
      const isBehind =
        start.lastIndex === position.lastIndex && start.lastTerm === position.lastTerm;
      if (isNext && isBehind) return;
      const what = isNext
        ? `does not go on behind entry ${position.lastIndex}`
        : `does not go on at batch ${position.nextBatch}`;
      this.#hole(corrupt(name, isNext ? 56 : 40, what));
    }
    this.#position = start;
    this.#begin({ index: start.lastIndex, term: start.lastTerm });
  }

  /** Takes in the batches of one segment below `stop`. */
  #batches(
    { bytes, name }: SegmentFile,
    header: SegmentHeader,
    stop: number,
  ): { readonly usedBytes: number } {
    const check = { seed: header.seed, crc32: this.#crc32 };
    const batches: Batch[] = [];
    let lastIndex = 0;
    let beforeLast = this.#position ?? header.start;
    let at = SEGMENT_HEADER_BYTES;
    while (this.#next < stop) {
      let found = this.#validBatch(bytes, at, check);
      if (found === undefined || !this.#isNext(found.header)) {
        // The batch that should stand here is not valid. A later valid one proves that it once was.
        found = this.#laterBatch(bytes, at + 8, { ...check, stop });
        if (found === undefined) break;
        this.#hole(corrupt(name, at, `has a damaged batch ${this.#next}`));
        this.#resume(found.header);
      }
      const { recordCount } = found.header;
      beforeLast = this.#position ?? beforeLast;
      const last = this.#take(found, { name, at: found.at });
      lastIndex = Math.max(lastIndex, last?.index ?? 0);
      batches.push({ body: found.body, recordCount, last });
      at = found.at + BATCH_HEADER_BYTES + paddedBytes(found.body.length);
    }
    this.#segments.push({ header, batches, usedBytes: at, lastIndex, beforeLast });
    return { usedBytes: at };
  }

  /**
   * The last batch is damaged, and the next one, too; but the header of that one is whole. So it was
   * begun, and the one before durable.
   */
  #isProved({ bytes, name }: SegmentFile, { seed }: SegmentHeader, at: number): boolean {
    const check = { seed, crc32: this.#crc32 };
    const later = laterHeader(bytes, at + 8, { ...check, after: this.#next });
    if (later === undefined) return false;
    const known = this.#position?.lastIndex ?? 0;
    const own = parseBatchHeader(bytes, at, check);
    const end = endOf(own?.batch === this.#next ? own : later, known);
    this.#hole(corrupt(name, at, `has a damaged batch ${this.#next}`));
    this.#pieces.push({ content: new RecordFold(undefined).content(), before: end, end });
    this.#isEnded = true;
    return true;
  }

  #isNext({ batch, previousCrc }: BatchHeader): boolean {
    return batch === this.#next && previousCrc === this.#position?.lastCrc;
  }

  #take({ header, body }: Valid, place: { name: string; at: number }): EntryId | undefined {
    const position = this.#position ?? LOG_START;
    const isFirst = this.#end === undefined;
    const last = this.#fold?.add(new ByteReader(body), header.recordCount, place);
    if (last !== undefined) this.#end = last;
    else if (isFirst) {
      this.#end = endOf(header, position.lastIndex);
      this.#before = this.#end;
    }
    this.#position = {
      nextBatch: header.batch + 1,
      lastCrc: header.bodyCrc,
      lastIndex: this.#end?.index ?? position.lastIndex,
      lastTerm: this.#end?.term ?? position.lastTerm,
    };
    return last;
  }

  #begin(before: EntryId | undefined): void {
    this.#fold = new RecordFold(before);
    this.#before = before;
    this.#end = before;
  }

  /** Goes on behind a hole, at a batch further back in the same segment. */
  #resume({ batch, previousCrc }: BatchHeader): void {
    const { lastIndex, lastTerm } = this.#position ?? LOG_START;
    this.#position = { nextBatch: batch, lastCrc: previousCrc, lastIndex, lastTerm };
    this.#begin(undefined);
  }

  #hole(error: StoreError): void {
    this.#holes.push(error);
    this.#endPiece();
  }

  #endPiece(): void {
    if (this.#fold === undefined) return;
    const content = this.#fold.content();
    this.#pieces.push({ content, before: this.#before, end: this.#end });
    this.#fold = undefined;
  }

  #validBatch(bytes: Uint8Array, at: number, check: Check): Valid | undefined {
    const header = parseBatchHeader(bytes, at, check);
    if (header === undefined) return undefined;
    const bodyAt = at + BATCH_HEADER_BYTES;
    if (bodyAt + header.bodyBytes > bytes.length) return undefined;
    const body = bytes.subarray(bodyAt, bodyAt + header.bodyBytes);
    if (check.crc32(body, header.previousCrc) !== header.bodyCrc) return undefined;
    return { at, header, body };
  }

  /** The next batch behind the one that is damaged; one that is damaged itself is passed over. */
  #laterBatch(
    bytes: Uint8Array,
    from: number,
    check: Check & { readonly stop: number },
  ): Valid | undefined {
    for (let at = from; at + BATCH_HEADER_BYTES <= bytes.length; at += 8) {
      if (bytes[at] !== BATCH_MAGIC_BYTE) continue;
      const found = this.#validBatch(bytes, at, check);
      if (found === undefined) continue;
      const { batch } = found.header;
      if (batch > this.#next && batch < check.stop) return found;
    }
    return undefined;
  }
}

/** What a batch without entries says of the log's end; `known` is an index not far before it. */
function endOf(header: BatchHeader, known: number): EntryId | undefined {
  const { lastIndexLow, lastTermLow } = header;
  if (lastIndexLow === 0 && lastTermLow === 0) return undefined;
  // A hole is shorter than 2^31 entries, either way.
  const ahead = (lastIndexLow - (known % 2 ** 32) + 2 ** 32) % 2 ** 32;
  const index = known + (ahead < 2 ** 31 ? ahead : ahead - 2 ** 32);
  return { index, term: lastTermLow };
}

function laterHeader(
  bytes: Uint8Array,
  from: number,
  check: Check & { readonly after: number },
): BatchHeader | undefined {
  for (let at = from; at + BATCH_HEADER_BYTES <= bytes.length; at += 8) {
    if (bytes[at] !== BATCH_MAGIC_BYTE) continue;
    const header = parseBatchHeader(bytes, at, check);
    if (header !== undefined && header.batch > check.after) return header;
  }
  return undefined;
}

function hasContent(bytes: Uint8Array, from: number): boolean {
  for (let at = from; at < bytes.length; at++) if (bytes[at] !== 0) return true;
  return false;
}
