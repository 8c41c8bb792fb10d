/**
 * Status of one container as the API shows it: the state of its newest record, the end of the one
 * before it as lastState, and, while nothing runs, why it waits.
 */
import type {
  ContainerState,
  ContainerStateTerminated,
  ContainerStatus,
  Pod,
  VolumeMountStatus,
} from '#base/kube/api/core-v1.gen.ts';
import type { Container } from '../../runtime/port.ts';
import { exitCodeOf, history, podText, type RoleContainer, restartsAfter } from './containers.ts';
import type { ContainerMemory, PodMemory, PodView } from './model.ts';
import { appliedResources, resourcesOf } from './resize.ts';
import { crashMessage } from './running.ts';

/** Prefix of container ids in the API, where upstream writes `containerd://`. */
export const CONTAINER_ID_PREFIX = 'bareboat://';

export interface StatusFacts {
  readonly view: PodView;
  readonly memory: PodMemory;
  /** Name and id to show for an image of the store. */
  readonly image: (imageId: string) => { readonly name: string; readonly id: string } | undefined;
  /** What an exited container said at its end. */
  readonly terminationMessage: (containerId: string) => string;
  /** Everything has stopped and nothing will be started again. */
  readonly ended: boolean;
}

/** RFC 3339 in whole seconds, as metav1.Time. */
export function formatTime(ms: number): string {
  return `${new Date(Math.floor(ms / 1000) * 1000).toISOString().slice(0, 19)}Z`;
}

export function containerStatus(container: RoleContainer, facts: StatusFacts): ContainerStatus {
  const { spec, role } = container;
  const [current, before] = history(facts.view.containers, spec.name);
  const known = knownStatus(facts.view.pod, spec.name);
  if (current === undefined && known?.state?.terminated !== undefined) return known;
  const status: ContainerStatus = {
    name: spec.name,
    image: spec.image ?? '',
    imageID: '',
    ready: false,
    started: false,
    restartCount: current?.attempt ?? known?.restartCount ?? 0,
    state: waitingState(container, facts),
    lastState: {},
  };
  const mounts = volumeMounts(container);
  if (mounts.length > 0) status.volumeMounts = mounts;
  if (current === undefined) {
    if (known?.lastState?.terminated !== undefined) status.lastState = known.lastState;
    if (known?.state?.running !== undefined) status.lastState = lost();
    return status;
  }
  describeRecord(status, current, facts);
  if (role === 'ephemeral') delete status.resources;
  else describeResources(status, container, { current, facts });
  setState(status, { container, current, before, facts });
  return status;
}

function knownStatus(pod: Pod, name: string): ContainerStatus | undefined {
  const { status } = pod;
  return [
    ...(status?.containerStatuses ?? []),
    ...(status?.initContainerStatuses ?? []),
    ...(status?.ephemeralContainerStatuses ?? []),
  ].find((s) => s.name === name);
}

/** A container that ran by the API's word, and of which the runtime knows nothing. */
function lost(): ContainerState {
  const message =
    'The container could not be located when the pod was deleted.  ' +
    'The container used to be Running';
  return { terminated: { exitCode: 137, reason: 'ContainerStatusUnknown', message } };
}

function describeRecord(status: ContainerStatus, record: Container, facts: StatusFacts): void {
  const image = facts.image(record.imageId);
  status.image = image?.name ?? record.image;
  status.imageID = image?.id ?? record.imageId;
  status.containerID = CONTAINER_ID_PREFIX + record.id;
  if (record.user !== undefined) {
    const { uid, gid, supplementalGroups } = record.user;
    status.user = { linux: { uid, gid, supplementalGroups: [...supplementalGroups] } };
  }
}

/** What a running container has, and what the node has set aside for it. */
function describeResources(
  status: ContainerStatus,
  { spec }: RoleContainer,
  { current, facts }: { current: Container; facts: StatusFacts },
): void {
  const { view, memory } = facts;
  const asked = resourcesOf(spec);
  const has = current.state === 'running' ? appliedResources(view.pod, current, memory) : asked;
  status.resources = has;
  const { requests } = view.resizeRefusal === undefined ? asked : has;
  if (requests !== undefined) status.allocatedResources = requests;
}

interface Records {
  readonly container: RoleContainer;
  readonly current: Container;
  readonly before: Container | undefined;
  readonly facts: StatusFacts;
}

function setState(status: ContainerStatus, records: Records): void {
  const { container, current, before, facts } = records;
  const { view } = facts;
  if (before?.state === 'exited') status.lastState = { terminated: terminated(before, facts) };
  if (current.state === 'running') {
    const probe = view.probe(current.id);
    status.state = { running: { startedAt: formatTime(current.startedAtMs ?? view.nowMs) } };
    status.started = probe.started;
    status.ready = probe.ready && container.role !== 'init' && container.role !== 'ephemeral';
    return;
  }
  if (current.state === 'created') return; // Waiting, as set already.
  const end = terminated(current, facts);
  if (container.role === 'init' && end.exitCode === 0) status.ready = true;
  const stays = facts.memory.endingSinceMs !== undefined || facts.ended;
  const again = !stays && restartsAfter(view.pod, container, end.exitCode);
  const waiting = again ? waitingReason(container, current, facts) : undefined;
  if (waiting === undefined) {
    status.state = { terminated: end };
    return;
  }
  status.state = { waiting };
  status.lastState = { terminated: end };
}

/** Why an exited container is not running again yet; undefined while it is about to. */
function waitingReason(container: RoleContainer, ended: Container, facts: StatusFacts) {
  const { view, memory } = facts;
  const name = container.spec.name;
  const known: ContainerMemory = memory.containers[name] ?? {};
  const crash = known.crash;
  if (crash?.containerId === ended.id && crash.restartAtMs > view.nowMs) {
    const message = crashMessage(crash.delayMs, name, podText(view.pod));
    return { reason: 'CrashLoopBackOff', message };
  }
  const failure = known.pull ?? known.start;
  return failure === undefined ? undefined : shown(failure);
}

const shown = ({ reason, message }: { reason: string; message: string }) => ({ reason, message });

function waitingState(container: RoleContainer, { view, memory }: StatusFacts): ContainerState {
  const known = memory.containers[container.spec.name];
  const failure = known?.pull ?? known?.start;
  if (failure !== undefined) return { waiting: shown(failure) };
  const hasInit = (view.pod.spec.initContainers ?? []).length > 0;
  const reason =
    hasInit && container.role !== 'ephemeral' ? 'PodInitializing' : 'ContainerCreating';
  return { waiting: { reason } };
}

function terminated(record: Container, facts: StatusFacts): ContainerStateTerminated {
  const exitCode = exitCodeOf(record);
  const message = record.startError ?? facts.terminationMessage(record.id);
  const reason =
    record.startError !== undefined
      ? 'StartError'
      : record.oomKilled
        ? 'OOMKilled'
        : exitCode === 0
          ? 'Completed'
          : 'Error';
  return {
    exitCode,
    reason,
    ...(message === '' ? {} : { message }),
    startedAt: formatTime(record.startedAtMs ?? 0),
    finishedAt: formatTime(record.finishedAtMs ?? record.createdAtMs),
    containerID: CONTAINER_ID_PREFIX + record.id,
  };
}

function volumeMounts({ spec }: RoleContainer): VolumeMountStatus[] {
  return (spec.volumeMounts ?? []).map((mount) => ({
    name: mount.name,
    mountPath: mount.mountPath,
    ...(mount.readOnly === true
      ? { readOnly: true, recursiveReadOnly: recursiveReadOnly(mount.recursiveReadOnly) }
      : {}),
  }));
}

/** Read-only mounts are made recursively so whenever that was asked for: the kernel can. */
function recursiveReadOnly(asked: string | undefined): string {
  return asked === 'Enabled' || asked === 'IfPossible' ? 'Enabled' : 'Disabled';
}
