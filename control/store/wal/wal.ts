/**
 * The write-ahead log of one member: batches of entries and hard states, each durable before `write`
 * returns. Layout and reasoning: format.ts; reading back: recover.ts.
 *
 * Files are filled with zeros ahead of the writes, a step at a time: fdatasync of a file that keeps
 * its size is nearly twice as fast, and a full disk shows before an entry is taken (`reserve`), not
 * in the middle of one. A failed sync is final: the kernel marks the pages clean, a second sync would
 * lie. The process ends, and the next start copies the last batch into a new segment before it
 * answers anybody, because what it reads may never have reached the disk (rule 4).
 */
import { isErrno } from '#base/errors.ts';
import { ByteWriter } from '../codec/bytes.ts';
import type { Entry, HardState } from '#control/raft/raft.ts';
import type { Disk, DiskFile } from '../disk/disk.ts';
import { PREALLOCATE_BYTES, SEGMENT_BYTES } from '../limits.ts';
import {
  BATCH_HEADER_BYTES,
  SEGMENT_HEADER_BYTES,
  formatSegmentHeader,
  paddedBytes,
  sealBatch,
  segmentName,
} from './format.ts';
import type { Crc32 } from './format.ts';
import { recoverLog } from './recover.ts';
import type { Batch, Recovered, ScannedSegment } from './recover.ts';
import { writeEntry, writeHardState } from './record.ts';

export interface WalOptions {
  readonly disk: Disk;
  readonly crc32: Crc32;
  /** Draws an id for a new group or member: positive and below 2^53. */
  readonly newId: () => number;
  /** In [0, 2^32): makes each segment's checksums its own. */
  readonly seed: () => number;
}

interface Segment {
  readonly number: number;
  readonly bytesUsed: number;
  readonly lastIndex: number;
}

export class Wal {
  readonly #options: WalOptions;
  readonly groupId: number;
  readonly memberId: number;
  /** Segments before the current one, oldest first. */
  #older: Segment[];
  #file: DiskFile;
  #number: number;
  #seed = 0;
  #offset = SEGMENT_HEADER_BYTES;
  #allocated = 0;
  #lastIndex = 0;
  #nextBatch: number;
  #previousCrc: number;
  #hardState: HardState | undefined;
  readonly #out = new ByteWriter(64 * 1024);

  /** Opens the log and makes its tail durable. Throws StoreError CORRUPT. */
  static open(options: WalOptions): { wal: Wal; recovered: Recovered } {
    const { disk, crc32 } = options;
    for (const name of disk.list()) if (name.endsWith('.tmp')) disk.remove(name);
    const recovered = recoverLog(disk, crc32);
    return { wal: new Wal(options, recovered), recovered };
  }

  private constructor(options: WalOptions, recovered: Recovered) {
    this.#options = options;
    const identity = recovered.segments.at(-1)?.header;
    this.groupId = identity?.groupId ?? options.newId();
    this.memberId = identity?.memberId ?? options.newId();
    this.#hardState = recovered.content.hardState;
    const tail = chooseTail(recovered);
    this.#nextBatch = tail.firstBatch;
    this.#previousCrc = tail.previousCrc;
    this.#number = (recovered.segments.at(-1)?.header.segment ?? 0) + 1;
    this.#older = tail.older.map(({ header, usedBytes, lastIndex }) => ({
      number: header.segment,
      bytesUsed: usedBytes,
      lastIndex,
    }));
    this.#file = this.#createSegment(() => this.#copy(tail, recovered));
    if (tail.superseded.length === 0) return;
    for (const { header } of tail.superseded) options.disk.remove(segmentName(header.segment));
    options.disk.syncDirectory();
  }

  /** Bytes of all segments in use. */
  get bytesUsed(): number {
    return this.#older.reduce((sum, segment) => sum + segment.bytesUsed, this.#offset);
  }

  get segmentCount(): number {
    return this.#older.length + 1;
  }

  /**
   * Makes sure that `bytes` of further records can be written without needing space; false when the
   * disk is full.
   */
  reserve(bytes: number): boolean {
    const wanted = this.#offset + BATCH_HEADER_BYTES + bytes + RESERVE_SLACK_BYTES;
    if (wanted <= this.#allocated) return true;
    try {
      this.#allocate(wanted);
      return true;
    } catch (error) {
      if (!isErrno(error, 'ENOSPC', 'EDQUOT')) throw error;
      return false;
    }
  }

  /** Writes one batch and syncs it. An error leaves the log unusable: the process must end. */
  write(entries: readonly Entry[], hardState: HardState | undefined): void {
    if (this.#offset >= SEGMENT_BYTES) this.#rotate();
    const out = this.#beginBatch();
    if (hardState !== undefined) {
      this.#hardState = hardState;
      writeHardState(out, hardState);
    }
    for (const entry of entries) writeEntry(out, entry);
    const last = entries.at(-1);
    if (last !== undefined) this.#lastIndex = last.index;
    this.#writeBatch(entries.length + (hardState === undefined ? 0 : 1));
    this.#file.sync();
  }

  /** Removes segments that hold only entries up to `index`; a checkpoint has those. */
  release(index: number): void {
    let removed = false;
    while (true) {
      const oldest = this.#older[0];
      if (oldest === undefined || oldest.lastIndex > index) break;
      this.#older.shift();
      this.#options.disk.remove(segmentName(oldest.number));
      removed = true;
    }
    if (removed) this.#options.disk.syncDirectory();
  }

  close(): void {
    this.#file.close();
  }

  #beginBatch(): ByteWriter {
    this.#out.truncate(0);
    this.#out.zeros(BATCH_HEADER_BYTES);
    return this.#out;
  }

  #writeBatch(recordCount: number): void {
    const out = this.#out;
    const bodyBytes = out.length - BATCH_HEADER_BYTES;
    out.zeros(paddedBytes(bodyBytes) - bodyBytes);
    const batch = out.view();
    const crc = sealBatch(
      batch,
      {
        batch: this.#nextBatch,
        bodyBytes,
        recordCount,
        previousCrc: this.#previousCrc,
        seed: this.#seed,
      },
      this.#options.crc32,
    );
    if (this.#offset + batch.length > this.#allocated) this.#allocate(this.#offset + batch.length);
    this.#file.write(batch, this.#offset);
    this.#offset += batch.length;
    this.#previousCrc = crc;
    this.#nextBatch++;
  }

  /** Fills the file with zeros up to the next step behind `end`. */
  #allocate(end: number): void {
    const target = Math.ceil(end / PREALLOCATE_BYTES) * PREALLOCATE_BYTES;
    while (this.#allocated < target) {
      const count = Math.min(ZEROS.length, target - this.#allocated);
      this.#file.write(ZEROS.subarray(0, count), this.#allocated);
      this.#allocated += count;
    }
  }

  /** Goes on in a new segment, which starts with the hard state: the old one may be released. */
  #rotate(): void {
    this.#file.truncate(this.#offset);
    this.#file.sync();
    this.#file.close();
    this.#older.push({
      number: this.#number,
      bytesUsed: this.#offset,
      lastIndex: this.#lastIndex,
    });
    this.#number++;
    this.#file = this.#createSegment(() => this.#writeOwnHardState());
  }

  /** The segment's first content is durable before it has a name that recovery looks at. */
  #createSegment(writeFirst: () => void): DiskFile {
    const { disk, crc32 } = this.#options;
    const name = segmentName(this.#number);
    this.#seed = this.#options.seed();
    this.#offset = SEGMENT_HEADER_BYTES;
    this.#lastIndex = 0;
    this.#file = disk.create(`${name}.tmp`);
    const header = formatSegmentHeader(
      {
        groupId: this.groupId,
        memberId: this.memberId,
        segment: this.#number,
        firstBatch: this.#nextBatch,
        previousCrc: this.#previousCrc,
        seed: this.#seed,
      },
      crc32,
    );
    this.#allocated = 0;
    this.#allocate(PREALLOCATE_BYTES);
    this.#file.write(header, 0);
    writeFirst();
    this.#file.sync();
    disk.rename(`${name}.tmp`, name);
    disk.syncDirectory();
    return this.#file;
  }

  #writeOwnHardState(): void {
    if (this.#hardState === undefined) return;
    writeHardState(this.#beginBatch(), this.#hardState);
    this.#writeBatch(1);
  }

  #copy(tail: Tail, recovered: Recovered): void {
    for (const { body, recordCount } of tail.batches) {
      this.#beginBatch().raw(body);
      this.#writeBatch(recordCount);
    }
    if (tail.batches.length > 0) this.#lastIndex = recovered.content.entries.at(-1)?.index ?? 0;
    // A whole segment begins with the hard state; a lone last batch may not hold one.
    if (!tail.isWhole) this.#writeOwnHardState();
  }
}

/** What the new segment takes over from the last one. */
interface Tail {
  readonly batches: readonly Batch[];
  /** All batches of the last segment are taken over. */
  readonly isWhole: boolean;
  readonly firstBatch: number;
  readonly previousCrc: number;
  readonly older: readonly ScannedSegment[];
  /**
   * Segments without a batch that counts: they go, so that restarts leave no trail. Besides the last
   * one there may be some whose removal a crash prevented.
   */
  readonly superseded: readonly ScannedSegment[];
}

function chooseTail(recovered: Recovered): Tail {
  const { segments, nextBatch, lastCrc } = recovered;
  const last = segments.at(-1);
  if (last === undefined) {
    const start = { firstBatch: nextBatch, previousCrc: lastCrc };
    return { batches: [], isWhole: true, older: [], superseded: [], ...start };
  }
  const isWhole = last.usedBytes <= PREALLOCATE_BYTES / 2;
  const isSuperseded = (segment: ScannedSegment) =>
    segment.batches.length === 0 || (isWhole && segment === last);
  const superseded = segments.filter(isSuperseded);
  const older = segments.filter((segment) => !isSuperseded(segment));
  if (isWhole) {
    const { firstBatch, previousCrc } = last.header;
    return { batches: last.batches, isWhole, firstBatch, previousCrc, older, superseded };
  }
  const batches = last.batches.slice(-1);
  const previousCrc = last.beforeLastCrc;
  return { batches, isWhole, firstBatch: nextBatch - 1, previousCrc, older, superseded };
}

/** Room for the hard state and own records beside the reserved ones. */
const RESERVE_SLACK_BYTES = 4096;

const ZEROS = new Uint8Array(PREALLOCATE_BYTES);
