/**
 * How a batch of the log gets to the disk: written and made durable, on the thread that asks
 * (InlineBatchWriter) or beside its other work (disk/worker-batch-writer.ts). One batch at a time: the
 * next is not written before the one before it is durable (reference/store.md section 8, rule 3).
 *
 *   idle -> under way (begin) -> idle (isIdle says so, or finish waited for it)
 */
import type { DiskFile } from '../disk/disk.ts';

export interface BatchWriter {
  /** Memory for batches, which goes to whoever writes them without a copy. */
  allocate(bytes: number): Uint8Array;
  /** Begins to write `bytes`, which nobody may change until it has ended. Errors may come from here. */
  begin(file: DiskFile, bytes: Uint8Array, at: number): void;
  /** What was begun is durable. Throws the errno error of what was not, once. */
  isIdle(): boolean;
  /** Waits for it. Throws the same. */
  finish(): void;
}

export class InlineBatchWriter implements BatchWriter {
  allocate(bytes: number): Uint8Array {
    return new Uint8Array(bytes);
  }

  begin(file: DiskFile, bytes: Uint8Array, at: number): void {
    file.write(bytes, at);
    file.sync();
  }

  isIdle(): boolean {
    return true;
  }

  finish(): void {}
}
