/**
 * What a controller has done and not yet seen in its cache: until the watch has shown the creations
 * and deletions of the last pass, counting the cache would do them twice. Pure; the caller gives time.
 * Entries live as long as their owner's key (the caller forgets it) or EXPECTATION_TTL_MS.
 */
import { EXPECTATION_TTL_MS } from '../limits.ts';

interface Entry {
  creations: number;
  readonly deletions: Set<string>;
  sinceMs: number;
}

export class Expectations {
  readonly #entries = new Map<string, Entry>();

  /** True when everything expected was seen, or waited for too long. */
  isSatisfied(key: string, nowMs: number): boolean {
    const entry = this.#entries.get(key);
    if (entry === undefined) return true;
    const isSeen = entry.creations <= 0 && entry.deletions.size === 0;
    return isSeen || nowMs - entry.sinceMs > EXPECTATION_TTL_MS;
  }

  expectCreations(key: string, count: number, nowMs: number): void {
    this.#entries.set(key, { creations: count, deletions: new Set(), sinceMs: nowMs });
  }

  /** `uids` of objects about to be deleted. */
  expectDeletions(key: string, uids: readonly string[], nowMs: number): void {
    this.#entries.set(key, { creations: 0, deletions: new Set(uids), sinceMs: nowMs });
  }

  /** A creation was seen, or will not happen. */
  creationObserved(key: string, count = 1): void {
    const entry = this.#entries.get(key);
    if (entry !== undefined) entry.creations -= count;
  }

  deletionObserved(key: string, uid: string): void {
    this.#entries.get(key)?.deletions.delete(uid);
  }

  forget(key: string): void {
    this.#entries.delete(key);
  }
}
