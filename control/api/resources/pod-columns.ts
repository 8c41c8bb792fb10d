/**
 * The table form of pods. The Status column tells the most telling fact: the first init container that
 * did not finish, the reason of a container that waits or ended, deletion, or else the phase.
 * Source: kubernetes v1.36.3 pkg/printers/internalversion (printPod).
 */
import type { Container, ContainerStatus, Pod, PodTemplate } from '#base/kube/api/core-v1.gen.ts';
import type { TableRow, TableRules } from '../resource.ts';
import { age, columns, containerCells, formatLabels, orNone, tableOf } from './tables.ts';

interface Summary {
  readonly reason: string;
  readonly ready: number;
  readonly restarts: number;
  /** Time of the last restart, '' if there was none. */
  readonly restartedAt: string;
}

const PHASE_CONDITIONS: Readonly<Record<string, TableRow['conditions']>> = {
  Succeeded: [
    {
      type: 'Completed',
      status: 'True',
      reason: 'Succeeded',
      message: 'The pod has completed successfully.',
    },
  ],
  Failed: [
    {
      type: 'Completed',
      status: 'True',
      reason: 'Failed',
      message: 'The pod failed.',
    },
  ],
};

function later(a: string, b: string | undefined): string {
  return b === undefined || b === '' || (a !== '' && Date.parse(b) <= Date.parse(a)) ? a : b;
}

const isSidecar = (container: Container | undefined): boolean =>
  container?.restartPolicy === 'Always';

function endReason(status: ContainerStatus): string {
  const ended = status.state?.terminated;
  if ((ended?.reason ?? '') !== '') return ended?.reason ?? '';
  return (ended?.signal ?? 0) !== 0
    ? `Signal:${ended?.signal}`
    : `ExitCode:${ended?.exitCode ?? 0}`;
}

function hasCondition(pod: Pod, type: string): boolean {
  return (pod.status?.conditions ?? []).some((c) => c.type === type && c.status === 'True');
}

interface InitSummary extends Summary {
  readonly isInitializing: boolean;
  readonly sidecarRestarts: number;
  readonly sidecarRestartedAt: string;
}

function summariseInit(pod: Pod, phaseReason: string): InitSummary {
  const specs = new Map((pod.spec.initContainers ?? []).map((c) => [c.name, c]));
  let [restarts, sidecarRestarts, ready] = [0, 0, 0];
  let [restartedAt, sidecarRestartedAt] = ['', ''];
  for (const [i, status] of (pod.status?.initContainerStatuses ?? []).entries()) {
    const finishedAt = status.lastState?.terminated?.finishedAt;
    restarts += status.restartCount ?? 0;
    restartedAt = later(restartedAt, finishedAt);
    const sidecar = isSidecar(specs.get(status.name));
    if (sidecar) {
      sidecarRestarts += status.restartCount ?? 0;
      sidecarRestartedAt = later(sidecarRestartedAt, finishedAt);
    }
    const { terminated, waiting } = status.state ?? {};
    if (terminated !== undefined && (terminated.exitCode ?? 0) === 0) continue;
    if (sidecar && status.started === true) {
      if (status.ready) ready += 1;
      continue;
    }
    const waits = waiting?.reason ?? '';
    const reason =
      terminated !== undefined
        ? endReason(status)
        : waits !== '' && waits !== 'PodInitializing'
          ? waits
          : `${i}/${specs.size}`;
    const found = { ready, restarts, restartedAt, sidecarRestarts, sidecarRestartedAt };
    return { ...found, reason: `Init:${reason}`, isInitializing: true };
  }
  const found = { ready, restarts, restartedAt, sidecarRestarts, sidecarRestartedAt };
  return { ...found, reason: phaseReason, isInitializing: false };
}

function summariseContainers(pod: Pod, init: InitSummary): Summary {
  let { reason, ready } = init;
  let restarts = init.sidecarRestarts;
  let restartedAt = init.sidecarRestartedAt;
  let isRunning = false;
  let failure = '';
  for (const status of (pod.status?.containerStatuses ?? []).toReversed()) {
    restarts += status.restartCount ?? 0;
    restartedAt = later(restartedAt, status.lastState?.terminated?.finishedAt);
    const { waiting, terminated, running } = status.state ?? {};
    if ((waiting?.reason ?? '') !== '') reason = waiting?.reason ?? '';
    else if (terminated !== undefined) {
      reason = endReason(status);
      if ((terminated.exitCode ?? 0) !== 0) failure = reason;
    } else if (status.ready && running !== undefined) {
      isRunning = true;
      ready += 1;
    }
  }
  if (reason === 'Completed') {
    if (isRunning && hasCondition(pod, 'Ready')) reason = 'Running';
    else if (failure !== '') reason = failure;
    else if (isRunning) reason = 'NotReady';
  }
  return { reason, ready, restarts, restartedAt };
}

function phaseReason(pod: Pod): string {
  const gated = (pod.status?.conditions ?? []).some(
    ({ type, reason }) => type === 'PodScheduled' && reason === 'SchedulingGated',
  );
  if (gated) return 'SchedulingGated';
  const reason = pod.status?.reason ?? '';
  return reason === '' ? (pod.status?.phase ?? '') : reason;
}

function summarise(pod: Pod): Summary {
  const init = summariseInit(pod, phaseReason(pod));
  const summary =
    !init.isInitializing || hasCondition(pod, 'Initialized')
      ? summariseContainers(pod, init)
      : init;
  if (pod.metadata.deletionTimestamp === undefined) return summary;
  if (pod.status?.reason === 'NodeLost') return { ...summary, reason: 'Unknown' };
  const isDone = pod.status?.phase === 'Failed' || pod.status?.phase === 'Succeeded';
  return isDone ? summary : { ...summary, reason: 'Terminating' };
}

function gatesCell(pod: Pod): string {
  const gates = pod.spec.readinessGates ?? [];
  if (gates.length === 0) return orNone('');
  const open = gates.filter(({ conditionType }) => {
    const condition = (pod.status?.conditions ?? []).find(({ type }) => type === conditionType);
    return condition?.status === 'True';
  });
  return `${open.length}/${gates.length}`;
}

function podRow(pod: Pod, nowMs: number): TableRow {
  const { reason, ready, restarts, restartedAt } = summarise(pod);
  const sidecars = (pod.spec.initContainers ?? []).filter(isSidecar).length;
  const total = (pod.spec.containers ?? []).length + sidecars;
  const restartsCell =
    restarts !== 0 && restartedAt !== ''
      ? `${restarts} (${age(restartedAt, nowMs)} ago)`
      : `${restarts}`;
  const cells = [
    pod.metadata.name,
    `${ready}/${total}`,
    reason,
    restartsCell,
    age(pod.metadata.creationTimestamp, nowMs),
    orNone(pod.status?.podIPs?.[0]?.ip),
    orNone(pod.spec.nodeName),
    orNone(pod.status?.nominatedNodeName),
    gatesCell(pod),
  ];
  return { cells, conditions: PHASE_CONDITIONS[pod.status?.phase ?? ''] };
}

export const podTable: TableRules<Pod> = {
  columns: columns('Name,Ready,Status,Restarts,Age|IP,Node,Nominated Node,Readiness Gates'),
  row: podRow,
};

export const podTemplateTable = tableOf<PodTemplate>(
  'Name,Containers,Images,Pod Labels',
  ({ metadata, template }) => [
    metadata.name,
    ...containerCells(template),
    formatLabels(template?.metadata?.labels),
  ],
);
