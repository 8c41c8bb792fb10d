/**
 * Batches of the log on a thread of their own: the store's thread answers heartbeats, applies and sends
 * while the disk is busy. Bytes lie in shared memory, which goes over once; after that a batch costs a few
 * numbers in a shared row (batch-worker.ts reads it) and two wake-ups.
 *
 *   state: IDLE -> ASKED (begin) -> ENDED (by the worker) -> IDLE (taken)
 */
import { getSystemErrorName } from 'node:util';
import { Worker } from 'node:worker_threads';
import { assert, must } from '#base/assert.ts';
import type { BatchWriter } from '../wal/batch-writer.ts';
import type { DiskFile } from './disk.ts';

/** Numbers of the row. Offsets in a file are below 2^31 (SEGMENT_FILE_BYTES_MAX). */
export const ROW = {
  state: 0,
  fd: 1,
  bytes: 2,
  at: 3,
  errno: 4,
  isNewMemory: 5,
  length: 6,
} as const;
export const IDLE = 0;
export const ASKED = 1;
export const ENDED = 2;

export interface BatchWorkerData {
  readonly row: Int32Array;
}

export class WorkerBatchWriter implements BatchWriter, Disposable {
  readonly #row = new Int32Array(new SharedArrayBuffer(ROW.length * 4));
  readonly #worker: Worker;
  #memory: Uint8Array<SharedArrayBuffer> | undefined;
  #ended: (() => void) | undefined;

  constructor(failed: (error: unknown) => void) {
    const workerData: BatchWorkerData = { row: this.#row };
    this.#worker = new Worker(new URL('./batch-worker.ts', import.meta.url), { workerData });
    this.#worker.on('error', failed);
  }

  /**
   * From now on `begin` does not wait. When a batch is durable, or failed, `ended` is called behind the
   * turn, unless `isIdle` said so in it.
   */
  set ended(ended: () => void) {
    this.#ended = ended;
  }

  allocate(bytes: number): Uint8Array {
    this.#memory = new Uint8Array(new SharedArrayBuffer(bytes));
    this.#worker.postMessage(this.#memory);
    Atomics.store(this.#row, ROW.isNewMemory, 1);
    return this.#memory;
  }

  begin(file: DiskFile, bytes: Uint8Array, at: number): void {
    const row = this.#row;
    assert(row[ROW.state] === IDLE, 'one batch at a time');
    assert(bytes.buffer === this.#memory?.buffer && bytes.byteOffset === 0, 'memory is its own');
    row[ROW.fd] = must(file.fd, 'a file of the system');
    row[ROW.bytes] = bytes.length;
    row[ROW.at] = at;
    Atomics.store(row, ROW.state, ASKED);
    Atomics.notify(row, ROW.state);
    if (this.#ended === undefined) this.finish();
    else this.#tell(this.#ended);
  }

  isIdle(): boolean {
    const state = Atomics.load(this.#row, ROW.state);
    if (state === ASKED) return false;
    if (state === ENDED) this.#take();
    return true;
  }

  finish(): void {
    while (!this.isIdle()) Atomics.wait(this.#row, ROW.state, ASKED);
  }

  [Symbol.dispose](): void {
    this.#ended = undefined;
    this.#worker.terminate().catch(() => {}); // It holds nothing.
  }

  #take(): void {
    const errno = this.#row[ROW.errno] as number; // In the row.
    this.#row[ROW.errno] = 0;
    Atomics.store(this.#row, ROW.state, IDLE);
    if (errno === 0) return;
    const code = getSystemErrorName(-errno);
    throw Object.assign(new Error(`${code}: batch of the log`), { code, errno: -errno });
  }

  #tell(ended: () => void): void {
    const { async, value } = Atomics.waitAsync(this.#row, ROW.state, ASKED);
    // Where it has ended already, who began it finds that out before it goes.
    if (async) value.then(ended, ended); // It does not reject.
  }
}
