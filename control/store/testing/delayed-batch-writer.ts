/**
 * Batches of the log that become durable later, as by another thread, on a disk in memory: for tests and
 * the simulator, which say when.
 */
import type { DiskFile } from '../disk/disk.ts';
import type { BatchWriter } from '../wal/batch-writer.ts';

export class DelayedBatchWriter implements BatchWriter {
  /** Before it is true `begin` waits, as a thread does that has nothing else to do yet. */
  isBeside = false;
  readonly #begun: () => void;
  #file: DiskFile | undefined;
  #failure: { readonly error: unknown } | undefined;

  /** `begun` is called for each batch beside; somebody calls `end` for it then. */
  constructor(begun: () => void) {
    this.#begun = begun;
  }

  allocate(bytes: number): Uint8Array {
    return new Uint8Array(bytes);
  }

  begin(file: DiskFile, bytes: Uint8Array, at: number): void {
    file.write(bytes, at);
    this.#file = file;
    if (this.isBeside) this.#begun();
    else this.finish();
  }

  /** A batch is under way. */
  get isBusy(): boolean {
    return this.#file !== undefined || this.#failure !== undefined;
  }

  isIdle(): boolean {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure.error;
    return this.#file === undefined;
  }

  finish(): void {
    this.end();
    this.isIdle();
  }

  /** What was begun becomes durable, or fails to. */
  end(): void {
    const file = this.#file;
    this.#file = undefined;
    try {
      file?.sync();
    } catch (error) {
      this.#failure = { error };
    }
  }
}
