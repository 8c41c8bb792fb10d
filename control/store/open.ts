/**
 * The store on the caller's own thread: for tests, tools and small set-ups. The same engine and the
 * same encodings as on a worker (worker.ts), joined by a function call.
 */
import { totalmem } from 'node:os';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Link } from './client/calls.ts';
import { StoreClient } from './client/client.ts';
import { crc32, sha256 } from './native-digests.ts';
import { RealDisk } from './disk/real-disk.ts';
import type { Connection } from './engine/connection.ts';
import type { Engine } from './engine/engine.ts';
import { EngineHost } from './engine-host.ts';
import { openEngine } from './engine/open-engine.ts';
import type { EngineIo, EngineSettings } from './engine/open-engine.ts';
import { StoreError } from './port.ts';
import type { OwnStore } from './port.ts';

export interface StoreOptions {
  /** Directory of the log and the checkpoints; made when missing. */
  readonly dataDir: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly quotaBytes?: number;
}

/** Opens the store of `dataDir`. StoreError CORRUPT when it cannot be trusted, UNAVAILABLE in use. */
export async function openStore(options: StoreOptions): Promise<OwnStore> {
  const disk = new RealDisk(options.dataDir);
  const io = {
    disk,
    crc32,
    sha256,
    log: options.log,
    monotonicMs: () => options.clock.monotonicMs(),
    random: () => Math.random(),
  };
  return openStoreOn(io, {
    ...options,
    memoryBytes: totalmem(),
    release: () => disk[Symbol.dispose](),
  });
}

/** The inline store over any disk; `release` runs when it is closed. */
export function openStoreOn(
  io: EngineIo,
  options: EngineSettings & { readonly release?: () => void } = {},
): OwnStore {
  let engine: Engine;
  try {
    engine = openEngine(io, options);
  } catch (error) {
    options.release?.();
    throw error;
  }
  const link = new InlineLink(engine, options.release ?? (() => {}));
  return link.client;
}

class InlineLink implements Link {
  readonly client = new StoreClient(this);
  readonly #host: EngineHost;
  readonly #connection: Connection;

  constructor(engine: Engine, release: () => void) {
    this.#connection = engine.connect((message) => this.client.receive(message));
    this.#host = new EngineHost(engine, {
      failed: (error) =>
        this.client.end(new StoreError('CLOSED', 'store failed', { cause: error })),
      ended: release,
    });
  }

  send(message: Uint8Array<ArrayBuffer>): void {
    if (this.#host.isClosed) return;
    this.#connection.inbox.push(message);
    this.#host.pump();
  }

  close(): Promise<void> {
    do this.#host.pump();
    while (this.#connection.inbox.length > 0 && !this.#host.isClosed);
    this.#host.end('close');
    return Promise.resolve();
  }
}
