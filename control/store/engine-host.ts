/**
 * Runs an engine on the thread that made it: pumps it once per turn, so that everything that arrived
 * meanwhile is one batch for the disk, and lets time pass. A failure ends it: nothing may be answered
 * from a state that is not known.
 */
import type { Engine } from './engine/engine.ts';
import { PUMPS_PER_TURN_MAX } from './limits.ts';

/** A pause between two writes of one client is shorter, a watch on another member does not mind it. */
const NEWS_MS = 1;

export interface EngineHostEvents {
  /** The disk failed or an invariant broke; the engine has ended. */
  readonly failed: (error: unknown) => void;
  /** After the engine ended, whichever way. */
  readonly ended: () => void;
  /** Takes what came in meanwhile without a turn of the event loop; false when there was nothing. */
  readonly takeMore?: () => boolean;
  /** Runs one round of the pump, for who measures it. */
  readonly turn?: ((work: () => boolean) => boolean) | undefined;
}

export class EngineHost {
  readonly engine: Engine;
  readonly #on: EngineHostEvents;
  readonly #ticks: NodeJS.Timeout;
  #isPumpDue = false;
  #newsTimer: NodeJS.Timeout | undefined;
  /** Since when other members wait to hear of commits. */
  #newsAtMs = Number.POSITIVE_INFINITY;
  #isClosed = false;

  constructor(engine: Engine, on: EngineHostEvents) {
    this.engine = engine;
    this.#on = on;
    this.#ticks = setInterval(() => {
      this.#guard(() => engine.tick());
      this.pump();
    }, engine.tickMs);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Does what is due now. */
  pump(): void {
    let more = true;
    for (let i = 0; more && i < PUMPS_PER_TURN_MAX; i++) {
      more = this.#guard(() => this.#turn(() => this.engine.pump('later'))) === true;
      if (this.#on.takeMore === undefined) break;
      if (this.#on.takeMore()) more = true;
    }
    if (more) this.wake();
    this.#watchNews();
  }

  /** Other members learn of commits with the next entries, or when none have come for a moment. */
  #watchNews(): void {
    if (this.#isClosed) return;
    if (!this.engine.hasNews) this.#newsAtMs = Number.POSITIVE_INFINITY;
    else if (this.#newsAtMs === Number.POSITIVE_INFINITY) this.#newsAtMs = performance.now();
    if (this.#newsAtMs < Number.POSITIVE_INFINITY) this.#newsTimer ??= this.#tellAfter(NEWS_MS);
  }

  #tellAfter(waitMs: number): NodeJS.Timeout {
    return setTimeout(() => {
      this.#newsTimer = undefined;
      const leftMs = this.#newsAtMs + NEWS_MS - performance.now();
      if (leftMs === Number.POSITIVE_INFINITY) return;
      if (leftMs > 0) this.#newsTimer = this.#tellAfter(leftMs);
      else this.#tellNews();
    }, waitMs);
  }

  #tellNews(): void {
    if (this.#guard(() => this.#turn(() => this.engine.pump())) === true) this.wake();
    this.#watchNews();
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
    clearTimeout(this.#newsTimer);
    try {
      this.engine[how]();
    } finally {
      this.#on.ended();
    }
  }

  #turn(work: () => boolean): boolean {
    return this.#on.turn === undefined ? work() : this.#on.turn(work);
  }

  #guard<T>(work: () => T): T | undefined {
    if (this.#isClosed) return undefined;
    try {
      return work();
    } catch (error) {
      this.end('abort');
      this.#on.failed(error);
      return undefined;
    }
  }
}
