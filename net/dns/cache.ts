/**
 * Answers of upstream servers for as long as they may be kept, at most CACHE_SECONDS_MAX. Pure: times
 * are parameters. Bound: CACHE_ENTRIES_MAX; the one stored first goes first (times to live are
 * short, so age is a good enough order).
 */
import { CACHE_ENTRIES_MAX, CACHE_SECONDS_MAX } from './limits.ts';
import { type WireMessage, aged, secondsToKeep } from './wire.ts';

interface Entry {
  readonly bytes: Uint8Array;
  readonly message: WireMessage;
  readonly storedAtMs: number;
  readonly untilMs: number;
}

export class AnswerCache {
  readonly #entries = new Map<string, Entry>();

  get size(): number {
    return this.#entries.size;
  }

  put(key: string, answer: { bytes: Uint8Array; message: WireMessage }, nowMs: number): void {
    const seconds = Math.min(secondsToKeep(answer.message), CACHE_SECONDS_MAX);
    if (seconds <= 0) return;
    this.#entries.delete(key);
    this.#entries.set(key, { ...answer, storedAtMs: nowMs, untilMs: nowMs + seconds * 1000 });
    if (this.#entries.size <= CACHE_ENTRIES_MAX) return;
    const [oldest] = this.#entries.keys();
    if (oldest !== undefined) this.#entries.delete(oldest);
  }

  /** The answer with its times to live counted down. */
  get(key: string, nowMs: number): Uint8Array | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (nowMs >= entry.untilMs) {
      this.#entries.delete(key);
      return undefined;
    }
    const seconds = Math.floor((nowMs - entry.storedAtMs) / 1000);
    return aged(entry.bytes, entry.message.records, seconds);
  }
}
