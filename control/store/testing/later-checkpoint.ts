import { TRAILER_BYTES } from '../checkpoint/format.ts';
import { sha256 } from '../native-digests.ts';

/** Gives a checkpoint file format `version` (below 128), in place, as software that writes it would: with right hashes. */
export function setFormat(bytes: Uint8Array, version: number): void {
  const trailer = bytes.length - TRAILER_BYTES;
  const view = new DataView(bytes.buffer, bytes.byteOffset + trailer);
  const manifest = bytes.subarray(trailer - view.getUint32(8, true), trailer);
  view.setUint32(4, version, true);
  manifest[0] = version;
  bytes.set(sha256(manifest), trailer + 12);
}
