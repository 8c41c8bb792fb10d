/**
 * Who may write while the disk is short of space. Normally everybody whose bytes fit. From the first
 * refusal on the disk counts as full, and the ballast is spent on those that matter: what shrinks the
 * store may have all of it, updates that do not grow (heartbeats, finalizers) a half. Growth is
 * refused until the ballast is whole again and there is room beside it.
 */
import type { Ballast } from '../disk/ballast.ts';
import type { Wal } from '../wal/wal.ts';
import type { EngineLog } from './engine-log.ts';

/** What a command does to the size of the store. */
export type Need = 'growth' | 'update' | 'relief';

/** Ticks between attempts to put a piece of ballast back on a disk that had no room for it. */
const REFILL_RETRY_TICKS = 10;

/** Pieces of ballast that are for the log alone. */
const BALLAST_FOR_LOG = 2;

export class DiskRoom {
  readonly #wal: Wal;
  readonly #ballast: Ballast;
  readonly #log: EngineLog;
  #isFull = false;
  #ticksToRefill = 0;

  constructor(parts: { wal: Wal; ballast: Ballast; log: EngineLog }) {
    this.#wal = parts.wal;
    this.#ballast = parts.ballast;
    this.#log = parts.log;
  }

  /** True from a refusal for want of space until there is room again. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /** Whether `bytes` of log, all that is unwritten included, may be taken for a command. */
  admit(bytes: number, need: () => Need): boolean {
    if (!this.#isFull) {
      if (this.#wal.reserve(bytes)) return true;
      this.noSpace();
    }
    const kind = need();
    if (kind === 'growth') return false;
    const keep = kind === 'relief' ? 0 : Math.ceil(this.#ballast.size / 2);
    return this.#wal.reserve(bytes, () => this.#ballast.release(keep));
  }

  /** Frees some space for what will free more; false when the rest is needed by the log. */
  readonly spare = (): boolean => this.#ballast.release(BALLAST_FOR_LOG);

  /** A write met a full disk. */
  noSpace(): void {
    if (this.#isFull) return;
    this.#isFull = true;
    this.#ticksToRefill = REFILL_RETRY_TICKS;
    this.#log.error('disk of the store is full, only what does not grow is taken');
  }

  /** Puts ballast back, a piece at a time. */
  tick(): void {
    if (this.#ballast.isComplete && !this.#isFull) return;
    if (this.#ticksToRefill-- > 0) return;
    if (!this.#ballast.refill()) {
      this.noSpace();
      this.#ticksToRefill = REFILL_RETRY_TICKS;
      return;
    }
    if (!this.#isFull || !this.#ballast.isComplete) return;
    if (!this.#wal.reserve(0)) {
      this.#ticksToRefill = REFILL_RETRY_TICKS;
      return;
    }
    this.#isFull = false;
    this.#log.info('disk of the store has room again');
  }
}
