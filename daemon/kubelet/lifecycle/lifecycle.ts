/**
 * The pod state machine's two entry points. `planPod` compares a pod as wanted with what is observed
 * and says which operations to start; `completeOperation` notes how one ended. Both are pure and
 * level-triggered: planning again from the same view starts nothing that already runs, and a lost
 * wake-up costs time only.
 */
import { nextRetry, PULL_BACKOFF, SETUP_BACKOFF } from './backoff.ts';
import { Draft } from './draft.ts';
import { endingOf, planEnd, planHold } from './ending.ts';
import type {
  ContainerMemory,
  Operation,
  Outcome,
  Plan,
  PodMemory,
  PodView,
  Retry,
} from './model.ts';
import { operationKey } from './model.ts';
import { planRun } from './running.ts';
import { pruneStops } from './stop.ts';

/** What to do next about the pod of `view`, given what is remembered of it. */
export function planPod(view: PodView, memory: PodMemory): Plan {
  const draft = new Draft(view, memory);
  pruneStops(draft);
  checkDeadline(draft);
  const ending = endingOf(draft);
  if (ending !== undefined) return draft.finish(planEnd(draft, ending));
  if (memory.nodeEnd === undefined) planRun(draft);
  else planHold(draft, memory.nodeEnd);
  return draft.finish(false);
}

/** activeDeadlineSeconds counts from status.startTime and fails the pod when it has passed. */
function checkDeadline(draft: Draft): void {
  const { pod, nowMs } = draft.view;
  const seconds = pod.spec.activeDeadlineSeconds;
  const startTime = pod.status?.startTime;
  if (seconds === undefined || startTime === undefined) return;
  if (draft.memory.verdict !== undefined || pod.metadata.deletionTimestamp !== undefined) return;
  const phase = pod.status?.phase;
  if (phase === 'Succeeded' || phase === 'Failed') return;
  const deadlineMs = Date.parse(startTime) + seconds * 1000;
  if (nowMs < deadlineMs) {
    draft.wakeAt(deadlineMs);
    return;
  }
  const verdict = {
    reason: 'DeadlineExceeded',
    message: 'Pod was active on the node longer than the specified deadline',
  };
  draft.remember({ verdict });
  draft.notice({ type: 'Normal', ...verdict });
}

type Ended<K extends Operation['kind']> = Extract<Operation, { kind: K }>;

/** The memory after `op` ended with `outcome`. */
export function completeOperation(
  memory: PodMemory,
  op: Operation,
  ended: { readonly outcome: Outcome; readonly nowMs: number },
): PodMemory {
  const { outcome } = ended;
  if (!outcome.ok && outcome.cancelled === true) return memory;
  switch (op.kind) {
    case 'mountVolumes':
      return outcome.ok
        ? { ...memory, volumesMounted: true, volumes: undefined }
        : { ...memory, volumes: setupRetry(memory.volumes, outcome, ended.nowMs) };
    case 'runSandbox':
      return outcome.ok
        ? { ...memory, sandbox: undefined }
        : { ...memory, sandbox: setupRetry(memory.sandbox, outcome, ended.nowMs) };
    case 'ensureImage':
      return withContainer(memory, op.container, (c) => afterImage(c, ended));
    case 'startContainer':
      return withContainer(memory, op.container, (c) => afterStart(c, ended));
    case 'preStop':
      return afterPreStop(memory, op);
    case 'resizePod':
      return afterResize(memory, op, ended);
    default:
      return afterCleanup(memory, op, ended);
  }
}

function setupRetry(previous: Retry | undefined, failure: Outcome & { ok: false }, nowMs: number) {
  return nextRetry(previous, failure, { nowMs, range: SETUP_BACKOFF });
}

function withContainer(
  memory: PodMemory,
  name: string,
  change: (container: ContainerMemory) => ContainerMemory,
): PodMemory {
  const containers = { ...memory.containers, [name]: change(memory.containers[name] ?? {}) };
  return { ...memory, containers };
}

function afterImage(
  container: ContainerMemory,
  { outcome, nowMs }: { outcome: Outcome; nowMs: number },
): ContainerMemory {
  if (outcome.ok) return { ...container, imageId: outcome.imageId, pull: undefined };
  const pull = nextRetry(container.pull, outcome, { nowMs, range: PULL_BACKOFF });
  return { ...container, pull };
}

/** The image is consumed either way: pull policy Always asks the registry before every start. */
function afterStart(
  container: ContainerMemory,
  { outcome, nowMs }: { outcome: Outcome; nowMs: number },
): ContainerMemory {
  if (outcome.ok) return { ...container, imageId: undefined, start: undefined };
  const start = nextRetry(container.start, outcome, { nowMs, range: SETUP_BACKOFF });
  return { ...container, imageId: undefined, start };
}

function afterResize(
  memory: PodMemory,
  op: Ended<'resizePod'>,
  { outcome, nowMs }: { outcome: Outcome; nowMs: number },
): PodMemory {
  if (!outcome.ok) return { ...memory, resize: setupRetry(memory.resize, outcome, nowMs) };
  const applied = { ...memory.applied };
  for (const { containerId, resources } of op.containers) applied[containerId] = resources;
  return { ...memory, applied, resize: undefined };
}

/** A hook that failed counts as done: the container stops all the same. */
function afterPreStop(memory: PodMemory, op: Ended<'preStop'>): PodMemory {
  const stop = memory.stops[op.containerId];
  if (stop === undefined) return memory;
  return {
    ...memory,
    stops: { ...memory.stops, [op.containerId]: { ...stop, preStopDone: true } },
  };
}

function afterCleanup(
  memory: PodMemory,
  op: Operation,
  { outcome, nowMs }: { outcome: Outcome; nowMs: number },
): PodMemory {
  const key = operationKey(op);
  const { [key]: previous, ...rest } = memory.cleanup;
  if (!outcome.ok) {
    return { ...memory, cleanup: { ...rest, [key]: setupRetry(previous, outcome, nowMs) } };
  }
  const cleaned = { ...memory, cleanup: rest };
  if (op.kind === 'unmountVolumes') return { ...cleaned, volumesReleased: true };
  if (op.kind === 'deletePod') return { ...cleaned, deleted: true };
  return cleaned;
}

/** The user changed the pod: what failed for its old definition is tried again at once. */
export function forgetWaits(memory: PodMemory): PodMemory {
  const soon = (retry: Retry | undefined) =>
    retry === undefined ? undefined : { ...retry, retryAtMs: 0 };
  const containers = Object.entries(memory.containers).map(([name, c]) => [
    name,
    { ...c, start: soon(c.start) },
  ]);
  return {
    ...memory,
    volumes: soon(memory.volumes),
    sandbox: soon(memory.sandbox),
    resize: soon(memory.resize),
    containers: Object.fromEntries(containers),
  };
}

export { hasEnded, isStill } from './ending.ts';
