/**
 * Time as a simulated process meets it: a monotonic clock that begins with the process and runs too fast or
 * too slow, and pauses, as by SIGSTOP or a disk that hangs, during which nothing leaves.
 */
import type { SeededRandom } from '#control/store/testing/seeded-random.ts';
import type { EventQueue } from './event-queue.ts';

/** Clocks of members run up to this much too fast or too slow. */
export const CLOCK_SKEW_MAX = 0.1;

/** What is left of a pause counts from here on: a turn of work takes no longer. */
const HANG_MS_LEAST = 0.01;

export class ProcessTime {
  readonly #time: EventQueue;
  readonly #random: SeededRandom;
  /** What the clock showed at a moment, and how fast it has run since. */
  readonly #clock = { atMs: 0, shownMs: 0, pace: 1 };
  #pausedUntil = 0;
  /** What is to leave when the process goes on; another list for each process. */
  #held: (() => void)[] = [];

  constructor(time: EventQueue, random: SeededRandom) {
    this.#time = time;
    this.#random = random;
    this.skew();
  }

  /** A process starts: it counts from now, and owes nothing of one before. */
  begin(): void {
    this.#pausedUntil = 0;
    this.#held = [];
    this.#clock.atMs = this.#time.nowMs;
    this.#clock.shownMs = 0;
  }

  /** The process is gone, with what it had to say. */
  end(): void {
    this.#held = [];
  }

  /** What its monotonic clock shows. */
  get shownMs(): number {
    const { atMs, shownMs, pace } = this.#clock;
    return shownMs + (this.#time.nowMs - atMs) * pace;
  }

  /** How many times as fast as the world's its clock runs. */
  get pace(): number {
    return this.#clock.pace;
  }

  /** Its clock goes on at another pace. */
  skew(): void {
    this.#clock.shownMs = this.shownMs;
    this.#clock.atMs = this.#time.nowMs;
    this.#clock.pace = 1 - CLOCK_SKEW_MAX + this.#random.next() * 2 * CLOCK_SKEW_MAX;
  }

  /** Stands still for so long, at least. */
  pause(ms: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, this.#time.nowMs + ms);
  }

  resume(): void {
    this.#pausedUntil = 0;
  }

  /** Of the pause; 0 = it runs. */
  get leftPausedMs(): number {
    const leftMs = this.#pausedUntil - this.#time.nowMs;
    return leftMs < HANG_MS_LEAST ? 0 : leftMs;
  }

  /** Runs at once, or in its turn when the process goes on; never when it ends before. */
  whenAwake(run: () => void): void {
    if (this.#held.length === 0 && this.leftPausedMs === 0) run();
    else if (this.#held.push(run) === 1) this.#releaseLater();
  }

  #releaseLater(): void {
    const held = this.#held;
    this.#time.after(this.leftPausedMs, () => {
      if (held !== this.#held) return; // They ended with their process.
      if (this.leftPausedMs > 0) {
        this.#releaseLater();
        return;
      }
      this.#held = [];
      for (const release of held) release();
    });
  }
}
