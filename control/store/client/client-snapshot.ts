/** A snapshot that a client reads piece by piece from the member that holds it. */
import { SNAPSHOT_PIECE_BYTES } from '../limits.ts';
import { StoreError } from '../port.ts';
import type { SnapshotInfo, StoreSnapshot } from '../port.ts';

/** Requests about one opened snapshot. */
interface Source {
  readonly read: (at: number, length: number, signal: AbortSignal) => Promise<Uint8Array>;
  readonly close: (signal: AbortSignal) => Promise<void>;
}

export class ClientSnapshot implements StoreSnapshot {
  readonly groupId: number;
  readonly revision: number;
  readonly index: number;
  readonly bytes: number;
  readonly #source: Source;

  constructor({ groupId, revision, index, bytes }: SnapshotInfo, source: Source) {
    this.groupId = groupId;
    this.revision = revision;
    this.index = index;
    this.bytes = bytes;
    this.#source = source;
  }

  async *pieces(signal: AbortSignal): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < this.bytes; ) {
      const length = Math.min(SNAPSHOT_PIECE_BYTES, this.bytes - at);
      const piece = await this.#source.read(at, length, signal);
      if (piece.length !== length) throw new StoreError('CORRUPT', `snapshot ends at byte ${at}`);
      at += length;
      yield piece;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#source.close(new AbortController().signal);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error; // The member is gone, and the snapshot with it.
    }
  }
}
