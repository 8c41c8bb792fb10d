/**
 * A checkpoint file, or one that is being fetched, as a source of chunks by their hashes. Every chunk is
 * checked when it is read, so a file that is not complete serves for what is there.
 */
import type { Sha256 } from '../codec/digest.ts';
import type { Disk, DiskFile } from '../disk/disk.ts';
import { compareBytes } from '../mvcc/byte-range.ts';
import type { Manifest } from './format.ts';
import { readManifestBytes } from './read.ts';
import { readChunk } from './read.ts';

export class ChunkSource {
  readonly name: string;
  readonly manifestBytes: Uint8Array;
  readonly manifest: Manifest;
  readonly #file: DiskFile;
  readonly #sha256: Sha256;
  /** Place of each chunk by its hash. */
  readonly #places = new Map<string, { readonly at: number; readonly length: number }>();

  /** Throws StoreError CORRUPT when the file has no whole manifest. */
  constructor(io: { readonly disk: Disk; readonly sha256: Sha256 }, name: string) {
    this.name = name;
    this.#sha256 = io.sha256;
    this.#file = io.disk.open(name);
    try {
      const { bytes, manifest } = readManifestBytes(this.#file, name, io.sha256);
      this.manifestBytes = bytes;
      this.manifest = manifest;
      let at = 0;
      for (const { sha256, length } of manifest.chunks) {
        this.#places.set(hashKey(sha256), { at, length });
        at += length;
      }
    } catch (error) {
      this.#file.close();
      throw error;
    }
  }

  /** Undefined when the file has no such chunk, or a damaged one. */
  read(sha256: Uint8Array): Uint8Array | undefined {
    const place = this.#places.get(hashKey(sha256));
    if (place === undefined) return undefined;
    const bytes = readChunk(this.#file, place);
    if (bytes === undefined) return undefined;
    return compareBytes(this.#sha256(bytes), sha256) === 0 ? bytes : undefined;
  }

  close(): void {
    this.#file.close();
  }
}

export function hashKey(sha256: Uint8Array): string {
  return String.fromCharCode(...sha256);
}
