/**
 * The write-ahead log of one member: batches of entries and hard states, each durable before `write`
 * returns. Layout and reasoning: format.ts; one segment: segment-writer.ts; reading back: recover.ts.
 *
 * Space is taken before an entry is (`reserve`), new segments included, so that a full disk is a
 * refusal and never a failure in the middle. A failed sync is final: the kernel marks the pages
 * clean, a second sync would lie. The process ends, and the next start copies the last batch into a
 * new segment before it answers anybody, because what it reads may never have reached the disk
 * (reference/store.md section 8, rule 4).
 */
import { ByteWriter } from '../codec/bytes.ts';
import type { Entry, HardState } from '#control/raft/raft.ts';
import { isNoSpace } from '../disk/disk.ts';
import type { DiskFile } from '../disk/disk.ts';
import { PREALLOCATE_BYTES, SEGMENT_BYTES } from '../limits.ts';
import { StoreError } from '../port.ts';
import { BATCH_HEADER_BYTES, segmentName } from './format.ts';
import type { EntryId, Identity, LogPosition } from './format.ts';
import type { Recovered } from './recover.ts';
import {
  MEMBERS_BYTES_MAX,
  RECORD_OVERHEAD_BYTES,
  writeEntry,
  writeHardState,
  writeRestart,
} from './record.ts';
import { SegmentWriter } from './segment-writer.ts';
import type { SegmentIo } from './segment-writer.ts';
import { InlineBatchWriter } from './batch-writer.ts';
import type { BatchWriter } from './batch-writer.ts';
import { chooseTail } from './tail.ts';
import type { Tail } from './tail.ts';

export interface WalOptions extends Omit<SegmentIo, 'preallocateBytes'> {
  /** Whose log a directory without one becomes. */
  readonly identity: () => Identity;
  /** In [0, 2^32): makes each segment's checksums its own. */
  readonly seed: () => number;
  /** Frees some space for what must be written on a full disk; false when there is none left. */
  readonly spare?: () => boolean;
  /** Writes batches; absent = on this thread. */
  readonly writer?: BatchWriter | undefined;
  /** For who measures how long that takes. */
  readonly timed?: { readonly nowMs: () => number; readonly took: (ms: number) => void };
  readonly segmentBytes?: number | undefined;
  readonly preallocateBytes?: number | undefined;
}

interface Segment {
  readonly number: number;
  readonly bytesUsed: number;
  readonly lastIndex: number;
}

export class Wal {
  readonly #options: WalOptions;
  readonly #io: SegmentIo;
  readonly #segmentBytes: number;
  readonly identity: Identity;
  /** Segments before the current one, oldest first. */
  readonly #older: Segment[];
  #current: SegmentWriter;
  #position: LogPosition;
  #hardState: HardState | undefined;
  readonly #writer: BatchWriter;
  /** A batch is under way, since then. */
  #begunAtMs: number | undefined;
  readonly #out: ByteWriter;

  /**
   * Goes on with the log that `recoverLog` read, after making its tail durable; without segments it
   * begins one. Throws StoreError NO_SPACE, or CORRUPT for a log with holes.
   */
  constructor(options: WalOptions, recovered: Recovered) {
    const [damage] = recovered.holes;
    if (damage !== undefined) throw damage;
    const preallocateBytes = options.preallocateBytes ?? PREALLOCATE_BYTES;
    this.#options = options;
    const writer = options.writer ?? new InlineBatchWriter();
    this.#writer = writer;
    const allocate = (bytes: number) => writer.allocate(bytes) as Uint8Array<ArrayBuffer>; // Or shared.
    this.#out = new ByteWriter(64 * 1024, allocate);
    this.#io = { disk: options.disk, crc32: options.crc32, preallocateBytes };
    this.#segmentBytes = options.segmentBytes ?? SEGMENT_BYTES;
    this.identity = recovered.identity ?? options.identity();
    this.#hardState = recovered.content.hardState;
    const tail = chooseTail(recovered, preallocateBytes / 2);
    this.#position = tail.start;
    this.#older = tail.older.map(({ header, usedBytes, lastIndex }) => ({
      number: header.segment,
      bytesUsed: usedBytes,
      lastIndex,
    }));
    this.#current = this.#openSegment(recovered.lastSegment + 1, tail);
    this.#remove(recovered.obsolete);
    this.#remove(tail.superseded.map(({ header }) => header.segment));
  }

  /** Bytes of all segments in use. */
  get bytesUsed(): number {
    return this.#older.reduce((sum, segment) => sum + segment.bytesUsed, this.#current.bytesUsed);
  }

  /** Whether nothing will be written to this segment any more. */
  isClosed(name: string): boolean {
    return this.#older.some(({ number }) => segmentName(number) === name);
  }

  get segmentCount(): number {
    return this.#older.length + 1;
  }

  /**
   * Makes sure that `bytes` of further records, what was reserved and not yet written among them, can
   * be written without needing space; false when the disk is full and `spare` has nothing left.
   */
  reserve(bytes: number, spare: () => boolean = () => false): boolean {
    const wanted = BATCH_HEADER_BYTES + bytes + RESERVE_SLACK_BYTES;
    while (!this.#prepare(wanted)) if (!spare()) return false;
    return true;
  }

  /**
   * Begins to write a batch; it is durable when `isIdle` says so. An error, from here or there, leaves
   * the log unusable: the process must end.
   */
  begin(entries: readonly Entry[], hardState: HardState | undefined, restart?: EntryId): void {
    this.settle();
    this.#makeRoom(entries);
    const out = this.#beginBatch();
    if (restart !== undefined) writeRestart(out, restart);
    if (hardState !== undefined) {
      this.#hardState = hardState;
      writeHardState(out, hardState);
    }
    for (const entry of entries) writeEntry(out, entry);
    const others = [hardState, restart].filter((record) => record !== undefined).length;
    const content = {
      recordCount: entries.length + others,
      last: entries.at(-1) ?? restart,
      write: (file: DiskFile, bytes: Uint8Array, at: number) => this.#writer.begin(file, bytes, at),
    };
    this.#begunAtMs = this.#options.timed?.nowMs() ?? 0;
    this.#position = this.#current.append(out, content, this.#position);
  }

  /** Nothing is under way. */
  isIdle(): boolean {
    if (this.#begunAtMs === undefined) return true;
    if (!this.#writer.isIdle()) return false;
    this.#ended(this.#begunAtMs);
    return true;
  }

  /** Waits for what is under way. */
  settle(): void {
    if (this.#begunAtMs === undefined) return;
    this.#writer.finish();
    this.#ended(this.#begunAtMs);
  }

  #ended(begunAtMs: number): void {
    this.#begunAtMs = undefined;
    const { timed } = this.#options;
    timed?.took(timed.nowMs() - begunAtMs);
  }

  /**
   * Writes one batch and syncs it. With `restart` the log begins anew behind that entry, which stands
   * in a snapshot. An error leaves the log unusable: the process must end.
   */
  write(entries: readonly Entry[], hardState: HardState | undefined, restart?: EntryId): void {
    this.begin(entries, hardState, restart);
    this.settle();
  }

  /** Removes segments that hold only entries up to `index`; a checkpoint has those. */
  release(index: number): void {
    const kept = this.#older.findIndex((segment) => segment.lastIndex > index);
    const released = this.#older.splice(0, kept < 0 ? this.#older.length : kept);
    this.#remove(released.map(({ number }) => number));
  }

  /**
   * Ends the log in order. An empty batch behind the last one proves that that was durable, so that
   * damage to it is found as such and not taken for a torn tail.
   */
  close(): void {
    this.settle();
    if (this.#current.hasRoom(BATCH_HEADER_BYTES)) {
      const nothing = { recordCount: 0, last: undefined };
      this.#position = this.#current.append(this.#beginBatch(), nothing, this.#position);
      this.#current.sync();
    }
    this.#current.close();
  }

  /** The process cannot go on: closes the file and writes nothing. */
  abort(): void {
    // Another thread may be about to write to it: a file with its number must not be another one's.
    if (this.#begunAtMs === undefined) this.#current.close();
  }

  #beginBatch(): ByteWriter {
    this.#out.truncate(0);
    this.#out.zeros(BATCH_HEADER_BYTES);
    return this.#out;
  }

  /** Space for what nobody reserved: hard states, and what a leader sends. */
  #makeRoom(entries: readonly Entry[]): void {
    let bytes = BATCH_HEADER_BYTES + 2 * RECORD_OVERHEAD_BYTES;
    for (const { data, members } of entries) {
      bytes += data.length + RECORD_OVERHEAD_BYTES;
      if (members !== undefined) bytes += MEMBERS_BYTES_MAX;
    }
    const { spare } = this.#options;
    while (!this.#prepare(bytes)) if (spare?.() !== true) throw diskFull(this.#current.name);
  }

  /** Makes room for `bytes`, in a new segment when the current one is full; false on a full disk. */
  #prepare(bytes: number): boolean {
    const isFull = this.#current.bytesUsed >= this.#segmentBytes;
    if (!isFull && this.#current.hasRoom(bytes)) return true;
    try {
      if (isFull) this.#rotate();
      this.#current.allocate(bytes);
    } catch (error) {
      if (!isNoSpace(error)) throw error;
      // A segment that is full but has room will do when there is no space for another.
      return this.#current.hasRoom(bytes);
    }
    return true;
  }

  /** Goes on in a new segment, which starts with the hard state: the old one may be released. */
  #rotate(): void {
    this.settle();
    const full = this.#current;
    const { number, bytesUsed, lastIndex } = full;
    this.#current = this.#createSegment(number + 1, (segment) =>
      this.#appendHardState(segment, this.#position),
    );
    this.#older.push({ number, bytesUsed, lastIndex });
    full.finish();
  }

  /** The first segment of this process. On a full disk it is worth the spare space. */
  #openSegment(number: number, tail: Tail): SegmentWriter {
    while (true) {
      try {
        return this.#createSegment(number, (segment) => this.#copy(tail, segment));
      } catch (error) {
        if (!isNoSpace(error)) throw error;
        if (this.#options.spare?.() !== true) throw diskFull(segmentName(number), error);
      }
    }
  }

  /** Makes a durable segment. When it throws for want of space, nothing has changed. */
  #createSegment(
    number: number,
    writeFirst: (segment: SegmentWriter) => LogPosition,
  ): SegmentWriter {
    const segment = new SegmentWriter(this.#io, {
      ...this.identity,
      segment: number,
      isFresh: false,
      start: this.#position,
      seed: this.#options.seed(),
    });
    try {
      const position = writeFirst(segment);
      segment.publish();
      this.#position = position;
    } catch (error) {
      if (isNoSpace(error)) segment.abandon();
      throw error;
    }
    return segment;
  }

  #appendHardState(segment: SegmentWriter, position: LogPosition): LogPosition {
    if (this.#hardState === undefined) return position;
    const out = this.#beginBatch();
    writeHardState(out, this.#hardState);
    return segment.append(out, { recordCount: 1, last: undefined }, position);
  }

  #copy(tail: Tail, segment: SegmentWriter): LogPosition {
    let position = tail.start;
    for (const batch of tail.batches) {
      const out = this.#beginBatch();
      out.raw(batch.body);
      position = segment.append(out, batch, position);
    }
    // A whole segment begins with the hard state; a lone last batch may not hold one.
    return tail.isWhole ? position : this.#appendHardState(segment, position);
  }

  /** One after the other: a crash must not leave a hole in the row. */
  #remove(numbers: readonly number[]): void {
    for (const number of numbers) {
      this.#options.disk.remove(segmentName(number));
      this.#options.disk.syncDirectory();
    }
  }
}

/** Room for the hard state and own records beside the reserved ones. */
const RESERVE_SLACK_BYTES = 4096;

function diskFull(name: string, cause?: unknown): StoreError {
  return new StoreError('NO_SPACE', `disk of the store is full: no room in log segment ${name}`, {
    cause,
  });
}
