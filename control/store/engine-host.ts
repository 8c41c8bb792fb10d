/**
 * Runs an engine on the thread that made it: pumps it once per turn, so that everything that arrived
 * meanwhile is one batch for the disk, and lets time pass. A failure ends it: nothing may be answered
 * from a state that is not known.
 */
import { TICK_MS } from './engine/open-engine.ts';
import type { Engine } from './engine/engine.ts';

export class EngineHost {
  readonly engine: Engine;
  readonly #failed: (error: unknown) => void;
  readonly #ended: () => void;
  readonly #ticks: NodeJS.Timeout;
  #isPumpDue = false;
  #isClosed = false;

  constructor(
    engine: Engine,
    on: { readonly failed: (error: unknown) => void; readonly ended: () => void },
  ) {
    this.engine = engine;
    this.#failed = on.failed;
    this.#ended = on.ended;
    this.#ticks = setInterval(() => {
      this.#guard(() => engine.tick());
      this.pump();
    }, TICK_MS);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Does what is due now. */
  pump(): void {
    if (this.#guard(() => this.engine.pump()) === true) this.wake();
  }

  /** Does what is due at the end of this turn. */
  wake(): void {
    if (this.#isPumpDue || this.#isClosed) return;
    this.#isPumpDue = true;
    setImmediate(() => {
      this.#isPumpDue = false;
      this.pump();
    });
  }

  end(how: 'close' | 'abort'): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#ticks);
    try {
      this.engine[how]();
    } finally {
      this.#ended();
    }
  }

  #guard<T>(work: () => T): T | undefined {
    if (this.#isClosed) return undefined;
    try {
      return work();
    } catch (error) {
      // The disk failed or an invariant broke.
      this.end('abort');
      this.#failed(error);
      return undefined;
    }
  }
}
