/**
 * The Clock port: wall time for what people and objects see, monotonic time for deadlines.
 * Pure code takes times as numbers; only main.ts files construct the real clock, so that the same
 * code runs under a simulated one.
 */

export interface Clock {
  /** Milliseconds since the Unix epoch; may step when time is set. */
  nowMs(): number;
  /** Milliseconds since an arbitrary start; never steps back. */
  monotonicMs(): number;
  /** Resolves after `ms`; rejects with `signal.reason` when aborted first. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** A signal that aborts with a DeadlineExceeded after `ms`, or with `parent`'s reason. */
  deadline(ms: number, parent: AbortSignal): Deadline;
}

export interface Deadline extends Disposable {
  readonly signal: AbortSignal;
}

export class DeadlineExceeded extends Error {
  override readonly name = 'DeadlineExceeded';
}

/** The clock of this machine. Its timers do not keep a process alive that has nothing else to do. */
export class RealClock implements Clock {
  nowMs(): number {
    return Date.now();
  }

  monotonicMs(): number {
    return performance.now();
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal.reason);
      };
      const timer = setTimeout(() => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      }, ms);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  deadline(ms: number, parent: AbortSignal): Deadline {
    const controller = new AbortController();
    const onAbort = () => controller.abort(parent.reason);
    const timer = setTimeout(
      () => controller.abort(new DeadlineExceeded(`deadline of ${ms} ms exceeded`)),
      ms,
    );
    if (parent.aborted) onAbort();
    else parent.addEventListener('abort', onAbort, { once: true });
    return {
      signal: controller.signal,
      [Symbol.dispose]() {
        clearTimeout(timer);
        parent.removeEventListener('abort', onAbort);
      },
    };
  }
}
