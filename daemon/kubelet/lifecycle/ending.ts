/**
 * Ending a whole pod, and holding one while its node goes down. A pod ends when it is deleted or gone from the API, when a verdict fell
 * (deadline, rejection, eviction), when its phase in the API is already terminal, or when all its
 * containers have ended for good. The order: containers (sidecars last, in reverse), sandbox and
 * volumes, the final delete in the API, and, once the object is gone, the records.
 *
 * When the node goes down the containers of all pods stop in the same order. A pod that was not ending
 * otherwise is not Failed by that, unlike with upstream's graceful shutdown: it starts again with its
 * node, as it would after a power cut. (Pods whose containers are not all restarted get a verdict.)
 */
import type { Container } from '../../runtime/port.ts';
import {
  containersOf,
  exitCodeOf,
  history,
  restartsAfter,
  type RoleContainer,
} from './containers.ts';
import type { Draft } from './draft.ts';
import type { NodeEnd, Operation, PodMemory, PodView } from './model.ts';
import { beginStop, continueStop } from './stop.ts';

export const GRACE_MS_MIN = 1_000;

export interface Ending {
  readonly graceMs: number;
  /** The object goes away too: by deletion, or it has gone already. */
  readonly deleted: boolean;
}

/** Whether this container has ended for good: by the runtime's record or, without one, the API's. */
export function isFinal(view: PodView, container: RoleContainer): boolean {
  const last = history(view.containers, container.spec.name)[0];
  if (last !== undefined) {
    return last.state === 'exited' && !restartsAfter(view.pod, container, exitCodeOf(last));
  }
  const status = [
    ...(view.pod.status?.containerStatuses ?? []),
    ...(view.pod.status?.initContainerStatuses ?? []),
  ].find((s) => s.name === container.spec.name);
  const ended = status?.state?.terminated;
  return ended !== undefined && !restartsAfter(view.pod, container, ended.exitCode);
}

/** All main containers have ended for good, or an init container failed for good. */
export function isFinished(view: PodView): boolean {
  const all = containersOf(view.pod);
  const initFailed = all.some((c) => {
    if (c.role !== 'init') return false;
    const last = history(view.containers, c.spec.name)[0];
    if (last === undefined || last.state !== 'exited') return false;
    const code = exitCodeOf(last);
    return code !== 0 && !restartsAfter(view.pod, c, code);
  });
  if (initFailed) return true;
  const mains = all.filter((c) => c.role === 'main');
  return mains.length > 0 && mains.every((c) => isFinal(view, c));
}

/** Why and how fast the pod ends, if it does; a node in want, or that goes down, shortens the grace. */
export function endingOf(draft: Draft): Ending | undefined {
  const ending = ownEnding(draft);
  const { nodeEnd, verdict } = draft.memory;
  const graceMsMax = Math.min(nodeEnd?.graceMsMax ?? Infinity, verdict?.graceMs ?? Infinity);
  return ending && { ...ending, graceMs: Math.min(ending.graceMs, graceMsMax) };
}

function ownEnding(draft: Draft): Ending | undefined {
  const { view, memory } = draft;
  const { metadata, spec, status } = view.pod;
  const specGraceMs = (spec.terminationGracePeriodSeconds ?? 30) * 1000;
  if (metadata.deletionTimestamp !== undefined) {
    const graceMs = (metadata.deletionGracePeriodSeconds ?? 30) * 1000;
    return { graceMs: Math.max(GRACE_MS_MIN, graceMs), deleted: true };
  }
  if (view.removed) return { graceMs: GRACE_MS_MIN, deleted: true };
  const apiTerminal = status?.phase === 'Succeeded' || status?.phase === 'Failed';
  if (memory.verdict !== undefined || apiTerminal || isFinished(view)) {
    return { graceMs: Math.max(GRACE_MS_MIN, specGraceMs), deleted: false };
  }
  // Ended once, ended for ever: what made it end may be gone from view (a pruned record).
  if (memory.endingSinceMs !== undefined) return { graceMs: specGraceMs, deleted: false };
  return undefined;
}

/** Everything has stopped and nothing will be started again. */
export function hasEnded(view: PodView, memory: PodMemory): boolean {
  return memory.endingSinceMs !== undefined && isStill(view);
}

const BUILDING: ReadonlySet<Operation['kind']> = new Set([
  'mountVolumes',
  'runSandbox',
  'ensureImage',
  'startContainer',
]);

/** Plans the end; true when nothing is left to do here or in the API. */
export function planEnd(draft: Draft, ending: Ending): boolean {
  const { view } = draft;
  if (draft.memory.endingSinceMs === undefined) draft.remember({ endingSinceMs: view.nowMs });
  return stopAll(draft, ending.graceMs) && planCleanup(draft, ending);
}

/** The node goes down: containers stop; sandbox, volumes and object stay for the next start. */
export function planHold(draft: Draft, { graceMsMax }: NodeEnd): void {
  const specGraceMs = (draft.view.pod.spec.terminationGracePeriodSeconds ?? 30) * 1000;
  stopAll(draft, Math.min(specGraceMs, graceMsMax));
}

/** Nothing of the pod runs, nor is anything being made that will. */
export function isStill(view: PodView): boolean {
  return (
    view.containers.every((c) => c.state === 'exited') &&
    !view.inFlight.some((op) => BUILDING.has(op.kind))
  );
}

/** True when nothing is left to stop. */
function stopAll(draft: Draft, graceMs: number): boolean {
  const { view } = draft;
  for (const op of view.inFlight.filter(({ kind }) => BUILDING.has(kind))) {
    draft.cancel('container' in op ? `${op.kind}:${op.container}` : op.kind);
  }
  const live = view.containers.filter((c) => c.state !== 'exited');
  for (const container of live) stopLive(draft, container, { live, graceMs });
  return isStill(view);
}

function stopLive(
  draft: Draft,
  container: Container,
  stop: { readonly live: readonly Container[]; readonly graceMs: number },
): void {
  // A container that was created but not started has nothing to say goodbye to.
  const graceMs = container.state === 'running' ? stop.graceMs : 0;
  beginStop(draft, container, { graceMs, message: `Stopping container ${container.name}` });
  continueStop(draft, container, hasTurn(draft, container, stop.live));
}

/** Sidecars stop after everything that started after them. */
function hasTurn(draft: Draft, container: Container, live: readonly Container[]): boolean {
  const all = containersOf(draft.view.pod);
  const own = all.findIndex((c) => c.spec.name === container.name);
  if (all[own]?.role !== 'sidecar') return true;
  const after = new Set(all.slice(own + 1).map((c) => c.spec.name));
  return !live.some((c) => after.has(c.name));
}

function planCleanup(draft: Draft, ending: Ending): boolean {
  const { view, memory } = draft;
  const ready = view.sandboxes.filter((s) => s.state === 'ready');
  for (const sandbox of ready) draft.begin({ kind: 'stopSandbox', sandboxId: sandbox.id });
  if (!memory.volumesReleased) draft.begin({ kind: 'unmountVolumes' });
  if (ready.length > 0 || !memory.volumesReleased || !ending.deleted) return false;
  if (!view.removed) {
    if (!memory.deleted) draft.begin({ kind: 'deletePod' });
    return false;
  }
  for (const sandbox of view.sandboxes) {
    draft.begin({ kind: 'removeSandbox', sandboxId: sandbox.id });
  }
  return view.sandboxes.length === 0 && view.inFlight.length === 0;
}
