/**
 * The life of one unit (a child process that the supervisor keeps running), as a pure state machine:
 * events in, next state and effects out. unit-runner.ts owns processes and timers.
 *
 *   waiting   dependencies are not ready          -> starting, stopped
 *   starting  the process is being spawned        -> running, backoff
 *   running   it runs                             -> backoff, stopping
 *   backoff   it ended; starts again at a time    -> starting, stopped
 *   stopping  told to end; killed at a time       -> stopped
 *   stopped   not wanted                          -> waiting
 *
 * Back-off doubles from BACKOFF_MS_MIN and is forgotten after HEALTHY_MS of running. A unit that ended
 * CRASH_LOOP_COUNT times in a row is reported as crash-looping; it is started again all the same, because
 * a node that gives up needs a hand.
 */

export const BACKOFF_MS_MIN = 100;
export const BACKOFF_MS_MAX = 15_000;
export const HEALTHY_MS = 10_000;
export const CRASH_LOOP_COUNT = 5;

export interface Exit {
  readonly code: number | undefined;
  readonly signal: number | undefined;
}

export type Phase = 'waiting' | 'starting' | 'running' | 'backoff' | 'stopping' | 'stopped';

export interface UnitState {
  readonly phase: Phase;
  /** Of running and stopping. */
  readonly pid: number | undefined;
  /** Monotonic time at which it last started. */
  readonly startedAtMs: number;
  /** Ends in a row, each before HEALTHY_MS. */
  readonly failureCount: number;
  readonly restartCount: number;
  readonly lastExit: Exit | undefined;
  /** backoff: when it starts again; stopping: when it is killed. */
  readonly atMs: number | undefined;
}

export type UnitEvent =
  | { readonly kind: 'want' }
  | { readonly kind: 'unwant' }
  /** Every dependency is running. */
  | { readonly kind: 'ready' }
  | { readonly kind: 'started'; readonly pid: number }
  /** Found running by a supervisor that has itself been restarted. */
  | { readonly kind: 'adopted'; readonly pid: number }
  | { readonly kind: 'exited'; readonly exit: Exit }
  | { readonly kind: 'timer' };

export type UnitEffect =
  | { readonly kind: 'spawn' }
  | { readonly kind: 'signal'; readonly pid: number; readonly signal: 'SIGTERM' | 'SIGKILL' }
  | { readonly kind: 'wakeAt'; readonly atMs: number }
  | {
      readonly kind: 'report';
      readonly level: 'info' | 'warning' | 'error';
      readonly message: string;
    };

export interface UnitStep {
  readonly state: UnitState;
  readonly effects: readonly UnitEffect[];
}

export const INITIAL: UnitState = {
  phase: 'stopped',
  pid: undefined,
  startedAtMs: 0,
  failureCount: 0,
  restartCount: 0,
  lastExit: undefined,
  atMs: undefined,
};

/** The next state; events that mean nothing in a phase change nothing. Times are monotonic ms. */
export function stepUnit(
  state: UnitState,
  event: UnitEvent,
  at: { nowMs: number; stopTimeoutMs: number },
): UnitStep {
  const { nowMs } = at;
  const same = { state, effects: [] };
  switch (event.kind) {
    case 'want':
      return state.phase === 'stopped'
        ? { state: { ...state, phase: 'waiting' }, effects: [] }
        : same;
    case 'ready':
      return state.phase === 'waiting' ? start(state) : same;
    case 'started':
    case 'adopted': {
      const message =
        event.kind === 'started' ? `started, pid ${event.pid}` : `adopted, pid ${event.pid}`;
      return {
        state: { ...state, phase: 'running', pid: event.pid, startedAtMs: nowMs, atMs: undefined },
        effects: [{ kind: 'report', level: 'info', message }],
      };
    }
    case 'exited':
      return onExit(state, event.exit, nowMs);
    case 'unwant':
      return onUnwant(state, nowMs + at.stopTimeoutMs);
    case 'timer':
      if (state.atMs === undefined) return same;
      // Timers of the event loop may fire a little early: an ignored one would be the last.
      if (nowMs < state.atMs) return { state, effects: [{ kind: 'wakeAt', atMs: state.atMs }] };
      if (state.phase === 'backoff') return start(state);
      if (state.phase === 'stopping' && state.pid !== undefined) {
        return {
          state: { ...state, atMs: undefined },
          effects: [
            { kind: 'signal', pid: state.pid, signal: 'SIGKILL' },
            { kind: 'report', level: 'warning', message: 'did not end in time, killed' },
          ],
        };
      }
      return same;
  }
}

function start(state: UnitState): UnitStep {
  return {
    state: { ...state, phase: 'starting', atMs: undefined },
    effects: [{ kind: 'spawn' }],
  };
}

function onExit(state: UnitState, exit: Exit, nowMs: number): UnitStep {
  const ended = { ...state, pid: undefined, lastExit: exit };
  if (state.phase === 'stopping' || state.phase === 'stopped') {
    return { state: { ...ended, phase: 'stopped', atMs: undefined }, effects: [] };
  }
  const healthy = state.phase === 'running' && nowMs - state.startedAtMs >= HEALTHY_MS;
  const failureCount = healthy ? 1 : state.failureCount + 1;
  const backoffMs = Math.min(BACKOFF_MS_MIN * 2 ** (failureCount - 1), BACKOFF_MS_MAX);
  const looping = failureCount >= CRASH_LOOP_COUNT;
  const message = `ended with ${formatExit(exit)}, starts again in ${backoffMs} ms${
    looping ? `; crash loop: ${failureCount} times in a row` : ''
  }`;
  return {
    state: {
      ...ended,
      phase: 'backoff',
      failureCount,
      restartCount: state.restartCount + 1,
      atMs: nowMs + backoffMs,
    },
    effects: [
      { kind: 'wakeAt', atMs: nowMs + backoffMs },
      { kind: 'report', level: looping ? 'error' : 'warning', message },
    ],
  };
}

function onUnwant(state: UnitState, killAtMs: number): UnitStep {
  if (state.phase === 'running' && state.pid !== undefined) {
    return {
      state: { ...state, phase: 'stopping', atMs: killAtMs },
      effects: [
        { kind: 'signal', pid: state.pid, signal: 'SIGTERM' },
        { kind: 'wakeAt', atMs: killAtMs },
      ],
    };
  }
  if (state.phase === 'stopping') return { state, effects: [] };
  return { state: { ...state, phase: 'stopped', atMs: undefined }, effects: [] };
}

/** `code 1` or `signal 9`. */
export function formatExit(exit: Exit): string {
  return exit.signal === undefined ? `code ${exit.code ?? 'unknown'}` : `signal ${exit.signal}`;
}

/** It ends again and again: until it has run long enough to be healthy. */
export function isLooping(state: UnitState, nowMs: number): boolean {
  const healthy = state.phase === 'running' && nowMs - state.startedAtMs >= HEALTHY_MS;
  return state.failureCount >= CRASH_LOOP_COUNT && !healthy && state.phase !== 'stopped';
}

/** Whether units that depend on it may start. */
export function isUp(state: UnitState): boolean {
  return state.phase === 'running';
}
