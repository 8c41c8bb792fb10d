/**
 * How long the kubelet waits before it tries again: crashed containers 10 s doubling to 5 min, reset
 * by a run of 10 min; image pulls 10 s to 5 min; volumes, sandboxes and container configuration
 * shorter, because what they wait for is often about to appear.
 */
import type { CrashState, Retry } from './model.ts';

export const CRASH_BACKOFF_MS_MIN = 10_000;
export const CRASH_BACKOFF_MS_MAX = 300_000;
export const CRASH_RESET_MS = 600_000;
export const PULL_BACKOFF_MS_MIN = 10_000;
export const PULL_BACKOFF_MS_MAX = 300_000;
export const SETUP_BACKOFF_MS_MIN = 500;
export const SETUP_BACKOFF_MS_MAX = 15_000;

/** The wait that follows the end of `ended`, given the one before it. */
export function nextCrash(
  previous: CrashState | undefined,
  ended: { readonly id: string; readonly finishedAtMs: number },
): CrashState {
  const fresh =
    previous === undefined || ended.finishedAtMs - previous.restartAtMs > CRASH_RESET_MS;
  const delayMs = fresh
    ? 0
    : Math.min(Math.max(previous.delayMs * 2, CRASH_BACKOFF_MS_MIN), CRASH_BACKOFF_MS_MAX);
  return { containerId: ended.id, delayMs, restartAtMs: ended.finishedAtMs + delayMs };
}

export interface BackoffRange {
  readonly minMs: number;
  readonly maxMs: number;
}

export const PULL_BACKOFF: BackoffRange = {
  minMs: PULL_BACKOFF_MS_MIN,
  maxMs: PULL_BACKOFF_MS_MAX,
};
export const SETUP_BACKOFF: BackoffRange = {
  minMs: SETUP_BACKOFF_MS_MIN,
  maxMs: SETUP_BACKOFF_MS_MAX,
};

/** The state after one more failure. */
export function nextRetry(
  previous: Retry | undefined,
  failure: { readonly reason: string; readonly message: string },
  when: { readonly nowMs: number; readonly range: BackoffRange },
): Retry {
  const failureCount = (previous?.failureCount ?? 0) + 1;
  const delayMs = Math.min(
    when.range.minMs * 2 ** Math.min(failureCount - 1, 20),
    when.range.maxMs,
  );
  return {
    reason: failure.reason,
    message: failure.message,
    failureCount,
    failedAtMs: when.nowMs,
    retryAtMs: when.nowMs + delayMs,
  };
}

/** `10s`, `1m20s`, `5m0s`: durations as Go prints them, whole seconds. */
export function durationText(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m${seconds % 60}s`;
  return `${Math.floor(minutes / 60)}h${minutes % 60}m${seconds % 60}s`;
}
