/**
 * The store on a thread of its own: `const store = await startStoreWorker({...})`. The same engine
 * as inline (open.ts), so that a list or a garbage collection of the main thread does not hold up
 * the disk, nor the disk the main thread.
 */
import { Worker } from 'node:worker_threads';
import type { LogLevel } from '#base/log.ts';
import type { Link } from './client/calls.ts';
import { StoreClient } from './client/client.ts';
import type { MemberNetwork, MemberSettings } from './member-config.ts';
import { StoreError } from './port.ts';
import type { OwnStore } from './port.ts';
import type { FromWorker, ToWorker, WorkerSettings } from './worker-protocol.ts';

export interface StoreWorkerOptions {
  readonly dataDir: string;
  readonly settings?: MemberSettings;
  /** Where other members reach this one, and how; without it the group has but this member. */
  readonly network?: MemberNetwork | undefined;
  readonly logLevel?: LogLevel;
  /**
   * The store cannot go on (disk error, broken invariant) and answers nothing any more; the process
   * should end, and start again from what is durable. Not called for failures to open.
   */
  readonly onFailure: (error: StoreError) => void;
  /** The worker's module; bundles put it elsewhere than beside this file. */
  readonly workerUrl?: URL;
}

/**
 * Resolves when the store is open; rejects with the StoreError that kept it from opening or, once its thread
 * has ended, with the signal's reason. The signal is of no effect behind that.
 */
export async function startStoreWorker(
  options: StoreWorkerOptions,
  signal: AbortSignal,
): Promise<OwnStore> {
  signal.throwIfAborted();
  const settings: WorkerSettings = {
    dataDir: options.dataDir,
    settings: options.settings ?? {},
    network: options.network,
    logLevel: options.logLevel ?? 'info',
  };
  const url = options.workerUrl ?? new URL('./worker.ts', import.meta.url);
  const worker = new Worker(url, { workerData: settings, name: 'store' });
  const link = new WorkerLink(worker);
  const closed = Promise.withResolvers<void>();
  const onAbort = () => closed.resolve(link.close());
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await link.opened;
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
  if (signal.aborted) await closed.promise;
  signal.throwIfAborted();
  link.onFailure = options.onFailure;
  return link.client;
}

class WorkerLink implements Link {
  readonly client = new StoreClient(this);
  readonly opened: Promise<void>;
  onFailure: (error: StoreError) => void = () => {};
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  #isClosing = false;

  constructor(worker: Worker) {
    this.#worker = worker;
    const opened = Promise.withResolvers<void>();
    const exited = Promise.withResolvers<void>();
    this.opened = opened.promise;
    this.#exited = exited.promise;
    const fail = (error: StoreError) => {
      opened.reject(error);
      this.#fail(error);
    };
    worker.on('message', (message: FromWorker) => {
      if (message instanceof Uint8Array) this.client.receive(message);
      else if (message.kind === 'opened') opened.resolve();
      else fail(new StoreError(message.code, message.message));
    });
    worker.on('error', (error) => {
      fail(new StoreError('CLOSED', 'store worker failed', { cause: error }));
    });
    worker.on('exit', (code) => {
      if (!this.#isClosing) fail(new StoreError('CLOSED', `store worker ended with code ${code}`));
      exited.resolve();
    });
  }

  send(message: Uint8Array<ArrayBuffer>): void {
    this.#post(message, [message.buffer]);
  }

  close(): Promise<void> {
    this.#isClosing = true;
    this.#post({ kind: 'close' }, []);
    return this.#exited;
  }

  #post(message: ToWorker, transfer: ArrayBuffer[]): void {
    this.#worker.postMessage(message, transfer);
  }

  /** Only the first failure counts; those that follow are its echoes. */
  #fail(error: StoreError): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.client.end(error);
    this.onFailure(error);
  }
}
