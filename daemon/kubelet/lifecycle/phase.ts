/**
 * The phase of a pod from the states of its containers, as upstream v1.36 decides it: waiting for
 * initialisation is Pending, a terminated container that will be restarted counts as Running, and a
 * pod whose end is complete is Succeeded or Failed whatever its restart policy.
 */
import type { ContainerStatus, Pod } from '#base/kube/api/core-v1.gen.ts';
import { containersOf, type RoleContainer, restartsAfter } from './containers.ts';

export type Phase = 'Pending' | 'Running' | 'Succeeded' | 'Failed';

interface Counts {
  initPending: number;
  initFailed: number;
  sidecarPending: number;
  unknown: number;
  running: number;
  waiting: number;
  stopped: number;
  stoppedForGood: number;
  succeeded: number;
}

export function phaseOf(
  pod: Pod,
  statuses: readonly ContainerStatus[],
  at: { readonly ended: boolean; readonly initialised: boolean },
): Phase {
  const counts = count(pod, statuses);
  if (counts.initFailed > 0) return 'Failed';
  if (counts.initPending > 0 || (counts.sidecarPending > 0 && !at.initialised)) return 'Pending';
  if (counts.waiting > 0) return 'Pending';
  if (counts.unknown > 0) return 'Pending';
  if (counts.running > 0) return 'Running';
  if (counts.stopped === 0) return 'Pending';
  const final = at.ended || counts.stopped === counts.stoppedForGood;
  if (!final) return 'Running';
  return counts.stopped === counts.succeeded ? 'Succeeded' : 'Failed';
}

function count(pod: Pod, statuses: readonly ContainerStatus[]): Counts {
  const counts: Counts = {
    initPending: 0,
    initFailed: 0,
    sidecarPending: 0,
    unknown: 0,
    running: 0,
    waiting: 0,
    stopped: 0,
    stoppedForGood: 0,
    succeeded: 0,
  };
  for (const container of containersOf(pod)) {
    const status = statuses.find((s) => s.name === container.spec.name);
    if (container.role === 'init') countInit(counts, pod, { container, status });
    else if (container.role === 'sidecar') countSidecar(counts, status);
    else if (container.role === 'main') countMain(counts, pod, { container, status });
  }
  return counts;
}

interface Counted {
  readonly container: RoleContainer;
  readonly status: ContainerStatus | undefined;
}

/** The exit code that counts now: of the last run, while nothing runs. */
function endedWith(status: ContainerStatus): number | undefined {
  if (status.state?.terminated !== undefined) return status.state.terminated.exitCode;
  return status.state?.waiting === undefined ? undefined : status.lastState?.terminated?.exitCode;
}

function countInit(counts: Counts, pod: Pod, { container, status }: Counted): void {
  const exitCode = status === undefined ? undefined : endedWith(status);
  if (exitCode === undefined) counts.initPending++;
  else if (exitCode !== 0 && !restartsAfter(pod, container, exitCode)) counts.initFailed++;
  else if (exitCode !== 0 || status?.state?.terminated === undefined) counts.initPending++;
}

function countSidecar(counts: Counts, status: ContainerStatus | undefined): void {
  if (status === undefined) counts.unknown++;
  else if (status.state?.running !== undefined) {
    if (status.started !== true) counts.sidecarPending++;
    counts.running++;
  } else if (endedWith(status) === undefined) {
    counts.sidecarPending++;
    counts.waiting++;
  }
}

function countMain(counts: Counts, pod: Pod, { container, status }: Counted): void {
  if (status === undefined) {
    counts.unknown++;
    return;
  }
  if (status.state?.running !== undefined) {
    counts.running++;
    return;
  }
  const exitCode = endedWith(status);
  if (exitCode === undefined) {
    counts.waiting++;
    return;
  }
  counts.stopped++;
  if (!restartsAfter(pod, container, exitCode)) counts.stoppedForGood++;
  if (exitCode === 0) counts.succeeded++;
}
