/**
 * A log segment read as a whole for recovery. What the device cannot read counts as zeros and is
 * remembered: it is no tail that was never written.
 */
import { isErrno } from '#base/errors.ts';
import type { Crc32 } from '../codec/digest.ts';
import type { Disk, DiskFile } from '../disk/disk.ts';
import { SEGMENT_FILE_BYTES_MAX } from '../limits.ts';
import { StoreError } from '../port.ts';
import { corrupt, parseSegmentHeader, segmentName } from './format.ts';
import type { SegmentHeader } from './format.ts';

/** Reads of a device that fails are narrowed down to this. */
const READ_BYTES = 512;

export interface SegmentFile {
  readonly number: number;
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Undefined: damaged, so that nothing in the file can be checked. */
  readonly header: SegmentHeader | undefined;
  /** Why the header is not known, or what else is wrong. */
  readonly error: StoreError | undefined;
  /** Where the last bytes end that the device could not read; 0 = all were read. */
  readonly unreadableEnd: number;
}

/** Throws StoreError UNSUPPORTED for a segment of later software; damage is told in the result. */
export function loadSegment(disk: Disk, number: number, crc32: Crc32): SegmentFile {
  const name = segmentName(number);
  const file = disk.open(name);
  try {
    const { bytes, unreadableEnd, error } = readWhole(file, name);
    const of = { number, name, bytes, unreadableEnd };
    try {
      const header = parseSegmentHeader(bytes, name, crc32);
      if (header.segment !== number) {
        throw corrupt(name, 32, `says it is segment ${header.segment}`);
      }
      return { ...of, header, error };
    } catch (cause) {
      if (!(cause instanceof StoreError) || cause.code !== 'CORRUPT') throw cause;
      return { ...of, header: undefined, error: error ?? cause };
    }
  } finally {
    file.close();
  }
}

function readWhole(
  file: DiskFile,
  name: string,
): { bytes: Uint8Array; unreadableEnd: number; error: StoreError | undefined } {
  const { size } = file;
  if (size > SEGMENT_FILE_BYTES_MAX) throw corrupt(name, 0, `has ${size} bytes, too many,`);
  const bytes = new Uint8Array(size);
  try {
    return { bytes: bytes.subarray(0, file.read(bytes, 0)), unreadableEnd: 0, error: undefined };
  } catch (error) {
    if (!isErrno(error, 'EIO')) throw error;
  }
  let unreadableEnd = 0;
  let first: StoreError | undefined;
  for (let at = 0; at < size; at += READ_BYTES) {
    const part = bytes.subarray(at, at + READ_BYTES);
    try {
      file.read(part, at);
    } catch (error) {
      if (!isErrno(error, 'EIO')) throw error;
      part.fill(0);
      unreadableEnd = at + part.length;
      first ??= corrupt(name, at, 'cannot be read', error);
    }
  }
  return { bytes, unreadableEnd, error: first };
}
