/**
 * A store of one member on a memory disk whose engine runs only when the test says so, and whose
 * client is the one that ships. For tests that let it die at any point.
 */
import type { Link } from '../client/calls.ts';
import { StoreClient } from '../client/client.ts';
import type { MemoryDisk } from '../disk/memory-disk.ts';
import type { Connection } from '../engine/connection.ts';
import type { Engine } from '../engine/engine.ts';
import type { EngineLog } from '../engine/engine-log.ts';
import { openEngine } from '../engine/open-engine.ts';
import type { EngineSettings } from '../engine/open-engine.ts';
import { crc32, sha256 } from '../native-digests.ts';
import { StoreError } from '../port.ts';
import { DelayedBatchWriter } from './delayed-batch-writer.ts';

export interface TestIo {
  readonly disk: MemoryDisk;
  readonly random: () => number;
  readonly monotonicMs: () => number;
  readonly settings: EngineSettings;
  /** The log is written beside the engine's turns: a batch is durable before the next one. */
  readonly isBeside?: boolean | undefined;
}

export class TestMember implements Link {
  readonly client: StoreClient;
  readonly engine: Engine;
  /** Messages that the engine logged. */
  readonly logged: string[] = [];
  /** Why it died. */
  failure: unknown;
  /** When it dies, its client waits for another. */
  keepsClient = false;
  /** What it says gets lost. */
  dropsAnswers = false;
  readonly #connection: Connection;
  readonly #writer: DelayedBatchWriter | undefined;

  /** Throws what kept the store from opening. A client of an earlier life may be taken over. */
  constructor(io: TestIo, client?: StoreClient) {
    const note = (message: string) => this.logged.push(message);
    const log: EngineLog = { info: note, warn: note, error: note };
    const { disk, random, monotonicMs } = io;
    // A tick is a round, so that tests count one thing.
    const settings = { heartbeatMs: 100, electionMs: 1000, ...io.settings };
    const batchWriter = io.isBeside === true ? new DelayedBatchWriter(() => {}) : undefined;
    const engineIo = { disk, crc32, sha256, log, random, monotonicMs, batchWriter };
    this.engine = openEngine(engineIo, settings);
    if (batchWriter !== undefined) batchWriter.isBeside = true;
    this.#writer = batchWriter;
    this.#connection = this.engine.connect((message) => {
      if (!this.dropsAnswers) this.client.receive(message);
    });
    this.client = client ?? new StoreClient(this);
    client?.connected(this);
  }

  send(message: Uint8Array): void {
    this.#connection.inbox.push(message);
  }

  get isDead(): boolean {
    return this.failure !== undefined;
  }

  /** Lets the client send what it has, and the engine work until nothing is left to do. */
  async run(): Promise<void> {
    // Answers make the client send more: what waited for a session, then what waited for room in it.
    for (let round = 0; round < 3; round++) {
      await new Promise((resolve) => setImmediate(resolve));
      while (!this.isDead && (this.#pump() || this.#connection.inbox.length > 0 || this.#isBusy));
    }
  }

  tick(): void {
    if (!this.isDead) this.#guard(() => this.engine.tick());
  }

  /** The process is gone without a word. */
  kill(reason: unknown = 'killed'): void {
    if (this.isDead) return;
    this.failure = reason;
    this.engine.abort();
    if (this.keepsClient) this.client.disconnected();
    else this.client.end(new StoreError('CLOSED', 'store died', { cause: reason }));
  }

  close(): Promise<void> {
    if (this.isDead) return Promise.resolve();
    this.#guard(() => this.engine.close());
    this.failure ??= 'closed';
    if (this.keepsClient) this.client.disconnected();
    else this.client.end(new StoreError('CLOSED', 'store is closed'));
    return Promise.resolve();
  }

  get #isBusy(): boolean {
    return this.#writer?.isBusy === true;
  }

  #pump(): boolean {
    this.#writer?.end();
    return this.#guard(() => this.engine.pump()) ?? false;
  }

  #guard<T>(work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      this.kill(error);
      return undefined;
    }
  }
}
