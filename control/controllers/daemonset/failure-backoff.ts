/**
 * How long the failed pods of a DaemonSet on a node stay before they are replaced: a node that rejects
 * them would otherwise be given new ones as fast as it can refuse them. Pure; the caller gives time.
 * An entry lives until its node has been quiet for twice the longest wait; `prune` drops those.
 */
import { FAILED_DAEMON_BACKOFF_MS_MAX, FAILED_DAEMON_BACKOFF_MS_MIN } from '../limits.ts';

interface Entry {
  readonly waitMs: number;
  readonly sinceMs: number;
}

export class FailureBackoff {
  /** By uid of the DaemonSet and name of the node. */
  readonly #entries = new Map<string, Entry>();

  /** Milliseconds that a failed pod stays from now; 0: it may be replaced. */
  leftMs(key: string, nowMs: number): number {
    const entry = this.#entries.get(key);
    return entry === undefined ? 0 : Math.max(0, entry.sinceMs + entry.waitMs - nowMs);
  }

  /** A failed pod is replaced now: the next one stays twice as long. */
  replaced(key: string, nowMs: number): void {
    const old = this.#entries.get(key);
    const waitMs =
      old === undefined || isOver(old, nowMs)
        ? FAILED_DAEMON_BACKOFF_MS_MIN
        : Math.min(old.waitMs * 2, FAILED_DAEMON_BACKOFF_MS_MAX);
    this.#entries.set(key, { waitMs, sinceMs: nowMs });
  }

  prune(nowMs: number): void {
    for (const [key, entry] of this.#entries) if (isOver(entry, nowMs)) this.#entries.delete(key);
  }
}

function isOver(entry: Entry, nowMs: number): boolean {
  return nowMs - entry.sinceMs > 2 * FAILED_DAEMON_BACKOFF_MS_MAX;
}
