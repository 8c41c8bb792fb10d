/**
 * The store on the caller's own thread: for tests, tools and small set-ups. The same engine and the
 * same encodings as on a worker (worker.ts), joined by a function call.
 */
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { StoreClient } from './client.ts';
import type { Link } from './client.ts';
import { MemoryConsensus } from './engine/consensus.ts';
import { Engine } from './engine/engine.ts';
import type { Connection } from './engine/engine.ts';
import { StateMachine } from './engine/state-machine.ts';
import type { Store } from './port.ts';

export interface StoreOptions {
  /** Directory of the log and the checkpoints; made when missing. */
  readonly dataDir: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly quotaBytes?: number;
}

const LEASE_TICK_MS = 500;

/** Opens the store of `dataDir`. */
export function openStore(options: StoreOptions): Promise<Store> {
  const engine = new Engine({
    state: new StateMachine(),
    consensus: new MemoryConsensus(),
    electionMs: 1000,
    monotonicMs: () => options.clock.monotonicMs(),
  });
  const link = new InlineLink(engine);
  const client = new StoreClient(link);
  link.connect(client);
  return Promise.resolve(client);
}

class InlineLink implements Link {
  readonly #engine: Engine;
  readonly #ticks: NodeJS.Timeout;
  #connection: Connection | undefined;
  #pumpDue = false;

  constructor(engine: Engine) {
    this.#engine = engine;
    this.#ticks = setInterval(() => {
      engine.tickLeases();
      this.#pump();
    }, LEASE_TICK_MS).unref();
  }

  connect(client: StoreClient): void {
    this.#connection = this.#engine.connect((message) => client.receive(message));
  }

  send(message: Uint8Array<ArrayBuffer>): void {
    this.#connection?.inbox.push(message);
    this.#pump();
  }

  close(): Promise<void> {
    clearInterval(this.#ticks);
    this.#pump();
    return Promise.resolve();
  }

  #pump(): void {
    if (!this.#engine.pump() || this.#pumpDue) return;
    this.#pumpDue = true;
    setImmediate(() => {
      this.#pumpDue = false;
      this.#pump();
    });
  }
}
