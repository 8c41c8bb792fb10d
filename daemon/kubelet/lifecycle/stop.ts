/**
 * Stopping one container: preStop hook, then the stop signal, then SIGKILL at the deadline. The grace
 * covers the hook and the signal together; a later request can only shorten it. After a hook the
 * process gets at least two seconds, as upstream gives it.
 */
import type { Container } from '../../runtime/port.ts';
import { findContainer } from './containers.ts';
import type { Draft } from './draft.ts';
import type { Notice } from './model.ts';

export const GRACE_AFTER_HOOK_MS_MIN = 2_000;

/** Notes that `container` is to stop; the first call says why in an event. */
export function beginStop(
  draft: Draft,
  container: Container,
  stop: { readonly graceMs: number; readonly message: string },
): void {
  const known = draft.memory.stops[container.id];
  const nowMs = draft.view.nowMs;
  if (known === undefined) {
    const hook = findContainer(draft.view.pod, container.name)?.spec.lifecycle?.preStop;
    const preStopDone = hook === undefined || stop.graceMs === 0 || container.state !== 'running';
    draft.rememberStop(container.id, { sinceMs: nowMs, graceMs: stop.graceMs, preStopDone });
    const notice: Notice = {
      type: 'Normal',
      reason: 'Killing',
      message: stop.message,
      container: container.name,
    };
    draft.notice(notice);
    return;
  }
  const deadlineMs = Math.min(known.sinceMs + known.graceMs, nowMs + stop.graceMs);
  draft.rememberStop(container.id, {
    ...known,
    graceMs: Math.max(0, deadlineMs - known.sinceMs),
  });
}

/** The next step of a stop that `beginStop` noted. `mayStop` false: not its turn yet. */
export function continueStop(draft: Draft, container: Container, mayStop: boolean): void {
  const stop = draft.memory.stops[container.id];
  if (stop === undefined) return;
  const nowMs = draft.view.nowMs;
  const deadlineMs = stop.sinceMs + stop.graceMs;
  const target = { container: container.name, containerId: container.id };
  if (nowMs < deadlineMs) {
    draft.wakeAt(deadlineMs);
    if (!stop.preStopDone) {
      draft.begin({ kind: 'preStop', ...target, deadlineMs });
      return;
    }
    if (!mayStop) return;
  }
  draft.cancel(`preStop:${container.id}`);
  const hooked =
    findContainer(draft.view.pod, container.name)?.spec.lifecycle?.preStop !== undefined &&
    stop.graceMs > 0;
  const stopByMs = hooked ? Math.max(deadlineMs, nowMs + GRACE_AFTER_HOOK_MS_MIN) : deadlineMs;
  const running = draft.running(`stopContainer:${container.id}`);
  const op = { kind: 'stopContainer' as const, ...target, deadlineMs: stopByMs };
  if (running === undefined) draft.begin(op);
  else if (running.kind === 'stopContainer' && running.deadlineMs > stopByMs) draft.replace(op);
}

/** Forgets stops of containers that no longer run. */
export function pruneStops(draft: Draft): void {
  const live = new Set(draft.view.containers.filter((c) => c.state !== 'exited').map((c) => c.id));
  const stops = Object.entries(draft.memory.stops).filter(([id]) => live.has(id));
  if (stops.length !== Object.keys(draft.memory.stops).length) {
    draft.remember({ stops: Object.fromEntries(stops) });
  }
}
