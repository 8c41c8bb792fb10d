/**
 * The log segment that is being written. The file is filled with zeros ahead of the writes, a step at
 * a time: fdatasync of a file that keeps its size is nearly twice as fast, and a full disk shows
 * before an entry is taken, not in the middle of one.
 *
 * A segment is made under a temporary name, and has its own once its first content is durable; so
 * recovery never meets a segment that was not finished.
 */
import type { ByteWriter } from '../codec/bytes.ts';
import type { Crc32 } from '../codec/digest.ts';
import { isNoSpace } from '../disk/disk.ts';
import type { Disk, DiskFile } from '../disk/disk.ts';
import { StoreError } from '../port.ts';
import {
  BATCH_HEADER_BYTES,
  SEGMENT_HEADER_BYTES,
  formatSegmentHeader,
  paddedBytes,
  sealBatch,
  segmentName,
} from './format.ts';
import type { EntryId, LogPosition, SegmentHeader } from './format.ts';

export interface SegmentIo {
  readonly disk: Disk;
  readonly crc32: Crc32;
  /** Step of the zeros ahead. */
  readonly preallocateBytes: number;
}

export class SegmentWriter {
  readonly number: number;
  readonly #io: SegmentIo;
  readonly #seed: number;
  readonly #file: DiskFile;
  #offset = SEGMENT_HEADER_BYTES;
  #allocated = 0;
  #lastIndex = 0;

  /** Makes the file under its temporary name; nothing stays when it throws. */
  constructor(io: SegmentIo, header: SegmentHeader) {
    this.#io = io;
    this.number = header.segment;
    this.#seed = header.seed;
    this.#file = io.disk.create(this.#temporaryName);
    try {
      this.allocate(SEGMENT_HEADER_BYTES);
      this.#file.write(formatSegmentHeader(header, io.crc32), 0);
    } catch (error) {
      this.abandon();
      throw error;
    }
  }

  get name(): string {
    return segmentName(this.number);
  }

  get #temporaryName(): string {
    return `${this.name}.tmp`;
  }

  /** Highest entry index in it, 0 when it has none. */
  get lastIndex(): number {
    return this.#lastIndex;
  }

  get bytesUsed(): number {
    return this.#offset;
  }

  /** True when `bytes` more can be written without growing the file. */
  hasRoom(bytes: number): boolean {
    return this.#offset + bytes <= this.#allocated;
  }

  /** Fills the file with zeros up to the next step behind `bytes` more. ENOSPC leaves it usable. */
  allocate(bytes: number): void {
    const step = this.#io.preallocateBytes;
    const target = Math.ceil((this.#offset + bytes) / step) * step;
    while (this.#allocated < target) {
      const count = Math.min(ZEROS.length, target - this.#allocated);
      this.#file.write(ZEROS.subarray(0, count), this.#allocated);
      this.#allocated += count;
    }
  }

  /**
   * Writes a batch whose records stand in `out` behind room for its header; not synced yet, unless
   * `write` does that. Returns where the log stands behind it.
   */
  append(
    out: ByteWriter,
    content: {
      readonly recordCount: number;
      readonly last: EntryId | undefined;
      readonly write?: (file: DiskFile, bytes: Uint8Array, at: number) => void;
    },
    position: LogPosition,
  ): LogPosition {
    const bodyBytes = out.length - BATCH_HEADER_BYTES;
    out.zeros(paddedBytes(bodyBytes) - bodyBytes);
    const batch = out.view();
    const { recordCount, last } = content;
    const { index: lastIndex, term: lastTerm } = last ?? {
      index: position.lastIndex,
      term: position.lastTerm,
    };
    const fields = { ...position, bodyBytes, recordCount, seed: this.#seed };
    const sealed = { ...fields, last: { index: lastIndex, term: lastTerm } };
    const lastCrc = sealBatch(batch, sealed, this.#io.crc32);
    if (!this.hasRoom(batch.length)) this.allocate(batch.length);
    if (content.write === undefined) this.#file.write(batch, this.#offset);
    else content.write(this.#file, batch, this.#offset);
    this.#offset += batch.length;
    if (last !== undefined) this.#lastIndex = Math.max(this.#lastIndex, lastIndex);
    return { nextBatch: position.nextBatch + 1, lastCrc, lastIndex, lastTerm };
  }

  sync(): void {
    this.#file.sync();
  }

  /** Makes the content durable and gives the file its name, or another. On ENOSPC it can be abandoned. */
  publish(name = this.name): void {
    this.#file.sync();
    try {
      this.#io.disk.rename(this.#temporaryName, name);
      this.#io.disk.syncDirectory();
    } catch (error) {
      if (!isNoSpace(error)) throw error;
      // It may have its name or not, which only a restart finds out: it cannot be abandoned.
      throw new StoreError('UNAVAILABLE', `cannot publish log segment ${name}`, {
        cause: error,
      });
    }
  }

  /** Removes a file that was not published. */
  abandon(): void {
    this.#file.close();
    this.#io.disk.remove(this.#temporaryName);
  }

  /** Nothing more will be written: gives the zeros back. */
  finish(): void {
    this.#file.truncate(this.#offset);
    this.#file.close();
  }

  close(): void {
    this.#file.close();
  }
}

const ZEROS = new Uint8Array(256 * 1024);
