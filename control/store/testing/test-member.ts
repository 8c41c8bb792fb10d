/**
 * A store of one member on a memory disk whose engine runs only when the test says so, and whose
 * client is the one that ships. For tests that let it die at any point.
 */
import { crc32 } from 'node:zlib';
import { StoreClient } from '../client.ts';
import type { MemoryDisk } from '../disk/memory-disk.ts';
import type { Connection, Engine } from '../engine/engine.ts';
import type { EngineLog } from '../engine/engine-log.ts';
import { openEngine } from '../engine/open-engine.ts';
import type { EngineSettings } from '../engine/open-engine.ts';
import { StoreError } from '../port.ts';

export interface TestIo {
  readonly disk: MemoryDisk;
  readonly random: () => number;
  readonly monotonicMs: () => number;
  readonly settings: EngineSettings;
}

export class TestMember {
  readonly client: StoreClient;
  readonly engine: Engine;
  /** Messages that the engine logged. */
  readonly logged: string[] = [];
  /** Why it died. */
  failure: unknown;
  readonly #connection: Connection;

  /** Throws what kept the store from opening. */
  constructor(io: TestIo) {
    const note = (message: string) => this.logged.push(message);
    const log: EngineLog = { info: note, warn: note, error: note };
    const { disk, random, monotonicMs } = io;
    this.engine = openEngine({ disk, crc32, log, random, monotonicMs }, io.settings);
    this.client = new StoreClient({
      send: (message) => this.#connection.inbox.push(message),
      close: () => Promise.resolve(this.close()),
    });
    this.#connection = this.engine.connect((message) => this.client.receive(message));
  }

  get isDead(): boolean {
    return this.failure !== undefined;
  }

  /** Lets the client send what it has, and the engine work until nothing is left to do. */
  async run(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    while (!this.isDead && (this.#pump() || this.#connection.inbox.length > 0));
  }

  tick(): void {
    if (!this.isDead) this.#guard(() => this.engine.tick());
  }

  /** The process is gone without a word. */
  kill(reason: unknown = 'killed'): void {
    if (this.isDead) return;
    this.failure = reason;
    this.engine.abort();
    this.client.end(new StoreError('CLOSED', 'store died', { cause: reason }));
  }

  close(): void {
    if (this.isDead) return;
    this.#guard(() => this.engine.close());
    this.failure ??= 'closed';
    this.client.end(new StoreError('CLOSED', 'store is closed'));
  }

  #pump(): boolean {
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
