/**
 * How fast checkpoints are written, and sent and fetched as snapshots: as fast as the syncs of the log
 * allow. Those that happen while bulk traffic runs are compared with those without it; where the slow ones
 * (p99) take more than twice as long the rate falls by a third, otherwise it rises by a step
 * (reference/store.md section 8, rule 15). A member that writes nothing has nothing to protect. Pure: time
 * comes in ticks.
 */
import { BULK_BYTES_PER_TICK_MIN, BULK_BYTES_PER_TICK_STEP, BULK_SYNCS_KEPT } from '../limits.ts';

/** How much longer syncs may take beside bulk traffic. */
const SLOWDOWN_MAX = 2;

/** Differences below this are noise, in milliseconds. */
const NOISE_MS = 1;

/** Syncs without which nothing is concluded. */
const SAMPLES_MIN = 16;

export class BulkRate {
  readonly #maxBytesPerTick: number;
  #bytesPerTick: number;
  #budget: number;
  readonly #idle = new Samples();
  readonly #busy = new Samples();
  /** Bulk traffic ran in this tick or the one before: its writes reach the disk late. */
  #busyTicks = 0;

  constructor(maxBytesPerTick: number) {
    this.#maxBytesPerTick = maxBytesPerTick;
    this.#bytesPerTick = Math.min(maxBytesPerTick, BULK_BYTES_PER_TICK_STEP * 4);
    this.#budget = this.#bytesPerTick;
  }

  get bytesPerTick(): number {
    return this.#bytesPerTick;
  }

  /** Whether more may be done in this tick. The last piece may pass the bound. */
  get hasBudget(): boolean {
    return this.#budget > 0;
  }

  /** Bytes were written, sent, or asked for. */
  spend(bytes: number): void {
    this.#budget -= bytes;
    this.#busyTicks = 2;
  }

  /** A sync of the log took so long. */
  synced(ms: number): void {
    (this.#busyTicks > 0 ? this.#busy : this.#idle).add(ms);
  }

  tick(): void {
    if (this.#busyTicks > 0) {
      this.#busyTicks--;
      this.#adapt();
    }
    // What was spent beyond the bound is owed.
    this.#budget = Math.min(0, this.#budget) + this.#bytesPerTick;
  }

  #adapt(): void {
    if (this.#idle.count < SAMPLES_MIN) {
      this.#grow();
      return;
    }
    if (this.#busy.count < SAMPLES_MIN) return;
    const isSlow = this.#busy.p99 > this.#idle.p99 * SLOWDOWN_MAX + NOISE_MS;
    this.#busy.clear();
    if (!isSlow) {
      this.#grow();
      return;
    }
    this.#bytesPerTick = Math.max(BULK_BYTES_PER_TICK_MIN, this.#bytesPerTick * (2 / 3));
  }

  #grow(): void {
    const grown = this.#bytesPerTick + BULK_BYTES_PER_TICK_STEP;
    this.#bytesPerTick = Math.min(this.#maxBytesPerTick, grown);
  }
}

/** The last durations, as a ring. */
class Samples {
  #ring: number[] = [];
  #next = 0;

  get count(): number {
    return this.#ring.length;
  }

  get p99(): number {
    const sorted = this.#ring.toSorted((a, b) => a - b);
    return sorted[Math.ceil(sorted.length * 0.99) - 1] ?? 0;
  }

  add(ms: number): void {
    this.#ring[this.#next] = ms;
    this.#next = (this.#next + 1) % BULK_SYNCS_KEPT;
  }

  clear(): void {
    this.#ring = [];
    this.#next = 0;
  }
}
