/** Files as later software might write them: their sums are right, their format is unknown. */
import { crc32 } from 'node:zlib';
import { TRAILER_BYTES } from '../checkpoint/format.ts';
import { sha256 } from '../native-digests.ts';
import { SEGMENT_HEADER_BYTES, WAL_FORMAT_VERSION } from '../wal/format.ts';

/** Gives a checkpoint file format `version`, below 128, in place. */
export function setCheckpointFormat(bytes: Uint8Array, version: number): void {
  const trailer = bytes.length - TRAILER_BYTES;
  const view = new DataView(bytes.buffer, bytes.byteOffset + trailer);
  const manifest = bytes.subarray(trailer - view.getUint32(8, true), trailer);
  view.setUint32(4, version, true);
  manifest[0] = version;
  bytes.set(sha256(manifest), trailer + 12);
}

/** Gives a log segment the format that comes after the newest, in place. */
export function setLaterSegmentFormat(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  view.setUint32(4, WAL_FORMAT_VERSION + 1, true);
  view.setUint16(14, WAL_FORMAT_VERSION + 1, true);
  view.setUint32(8, crc32(bytes.subarray(12, SEGMENT_HEADER_BYTES)), true);
}
