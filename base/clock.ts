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
        timer[Symbol.dispose]();
        reject(signal.reason);
      };
      const timer = after(ms, () => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      });
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  deadline(ms: number, parent: AbortSignal): Deadline {
    const controller = new AbortController();
    const onAbort = () => controller.abort(parent.reason);
    const timer = after(ms, () =>
      controller.abort(new DeadlineExceeded(`deadline of ${ms} ms exceeded`)),
    );
    if (parent.aborted) onAbort();
    else parent.addEventListener('abort', onAbort, { once: true });
    return {
      signal: controller.signal,
      [Symbol.dispose]() {
        timer[Symbol.dispose]();
        parent.removeEventListener('abort', onAbort);
      },
    };
  }
}

/** What setTimeout takes; beyond (25 days) it would fire at once. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** Calls back once after `ms`, however many those are: users write graces of years. */
function after(ms: number, run: () => void): Disposable {
  let timer: NodeJS.Timeout;
  const wait = (leftMs: number) => {
    if (leftMs <= TIMER_MS_MAX) timer = setTimeout(run, leftMs);
    else timer = setTimeout(() => wait(leftMs - TIMER_MS_MAX), TIMER_MS_MAX);
  };
  wait(ms);
  return { [Symbol.dispose]: () => clearTimeout(timer) };
}
