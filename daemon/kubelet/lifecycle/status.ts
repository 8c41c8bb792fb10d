/**
 * The status of a pod, whole, from what is observed and remembered. The result is compared with what
 * the API has and sent only if it differs (status-writer.ts). A terminal phase shows only once every
 * container has stopped: others release the pod's resources when they see it.
 */
import type { ContainerStatus, Pod, PodStatus } from '#base/kube/api/core-v1.gen.ts';
import { type Fact, OWN_CONDITIONS, podConditions } from './conditions.ts';
import { containerStatus, formatTime, type StatusFacts } from './container-status.ts';
import { containersOf, latestSandbox, type RoleContainer } from './containers.ts';
import { type Phase, phaseOf } from './phase.ts';
import { resizeWanted } from './resize.ts';

export interface PodStatusFacts extends StatusFacts {
  /** What was last computed, or what the API has. */
  readonly previous: PodStatus;
  readonly hostIPs: readonly string[];
  readonly qosClass: string;
}

export function podStatus(facts: PodStatusFacts): PodStatus {
  const { view, previous } = facts;
  const { pod } = view;
  const of = (...roles: RoleContainer['role'][]) =>
    containersOf(pod)
      .filter((c) => roles.includes(c.role))
      .map((c) => containerStatus(c, facts));
  let init = of('init', 'sidecar');
  let main = of('main').toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const ephemeral = of('ephemeral');
  const initialised = main.some((s) => hasRun(s));
  if (facts.ended) {
    init = init.map((s) => endInit(s, init));
    if (initialised || init.every((s) => s.ready)) main = main.map((s) => endUnseen(s, pod));
  }
  const phase = choosePhase(facts, [...init, ...main], initialised);
  const status: PodStatus = {
    ...previous,
    observedGeneration: pod.metadata.generation ?? previous.observedGeneration,
    phase,
    startTime: previous.startTime ?? formatTime(view.nowMs),
    qosClass: facts.qosClass,
    ...addresses(facts),
    containerStatuses: main,
  };
  if (init.length > 0) status.initContainerStatuses = init;
  if (ephemeral.length > 0) status.ephemeralContainerStatuses = ephemeral;
  const verdict = facts.memory.verdict;
  if (verdict !== undefined && phase === 'Failed') {
    status.reason = verdict.reason;
    status.message = verdict.message;
  }
  status.conditions = podConditions({
    pod,
    phase,
    containers: main,
    initContainers: init,
    sandboxReady: latestSandbox(view.sandboxes)?.state === 'ready',
    resize: resizeFact(facts),
    disruption: disruptionFact(facts),
    previous: mergeForeign(previous, pod),
    now: formatTime(view.nowMs),
  });
  return status;
}

function resizeFact({ view, memory, ended }: PodStatusFacts): Fact | undefined {
  if (ended || memory.endingSinceMs !== undefined) return undefined;
  if (resizeWanted(view, memory).length === 0) return undefined;
  if (view.resizeRefusal !== undefined) {
    return { type: 'PodResizePending', status: 'True', ...view.resizeRefusal };
  }
  const failure = memory.resize;
  const why = failure === undefined ? {} : { reason: 'Error', message: failure.message };
  return { type: 'PodResizeInProgress', status: 'True', ...why };
}

function disruptionFact({ memory, ended }: PodStatusFacts): Fact | undefined {
  const { verdict } = memory;
  if (!ended || verdict?.disruption !== true) return undefined;
  const { message } = verdict;
  return { type: 'DisruptionTarget', status: 'True', reason: 'TerminationByKubelet', message };
}

/** Own conditions as last computed, all others as the API has them now. */
function mergeForeign(previous: PodStatus, pod: Pod) {
  return [
    ...(previous.conditions ?? []).filter((c) => OWN_CONDITIONS.has(c.type)),
    ...(pod.status?.conditions ?? []).filter((c) => !OWN_CONDITIONS.has(c.type)),
  ];
}

function hasRun(status: ContainerStatus): boolean {
  const { state, lastState } = status;
  return (state?.running ?? state?.terminated ?? lastState?.terminated) !== undefined;
}

function choosePhase(
  facts: PodStatusFacts,
  statuses: readonly ContainerStatus[],
  initialised: boolean,
): Phase {
  const { view, memory, previous, ended } = facts;
  const phase = phaseOf(view.pod, statuses, { ended, initialised });
  if (ended) {
    if (memory.verdict !== undefined || previous.phase === 'Failed') return 'Failed';
    return phase === 'Succeeded' ? 'Succeeded' : 'Failed';
  }
  if (phase !== 'Succeeded' && phase !== 'Failed') return phase;
  // Something still runs, or is being cleaned up: the end shows when it is complete.
  return previous.phase === 'Pending' ? 'Pending' : 'Running';
}

/** A container of a pod that ended, which never left waiting: its end was not seen. */
function endUnseen(status: ContainerStatus, pod: Pod): ContainerStatus {
  if (status.state?.terminated !== undefined) return status;
  const last = status.lastState?.terminated;
  if (last !== undefined && pod.metadata.deletionTimestamp === undefined) return status;
  const message = 'The container could not be located when the pod was terminated';
  const terminated = last ?? { exitCode: 137, reason: 'ContainerStatusUnknown', message };
  return { ...status, ready: false, started: false, state: { terminated }, lastState: {} };
}

/** An init container before one that ran must have run too. */
function endInit(status: ContainerStatus, all: readonly ContainerStatus[]): ContainerStatus {
  if (status.state?.terminated !== undefined) return status;
  const later = all.slice(all.indexOf(status) + 1).some(hasRun);
  if (!later && !hasRun(status)) return status;
  const message = 'The container could not be located when the pod was terminated';
  const terminated = status.lastState?.terminated ?? {
    exitCode: 137,
    reason: 'ContainerStatusUnknown',
    message,
  };
  return { ...status, ready: false, started: false, state: { terminated }, lastState: {} };
}

function addresses(facts: PodStatusFacts): Partial<PodStatus> {
  const { view, hostIPs, previous } = facts;
  const host = { hostIP: hostIPs[0], hostIPs: hostIPs.map((ip) => ({ ip })) };
  const sandbox = latestSandbox(view.sandboxes);
  const ips =
    view.pod.spec.hostNetwork === true ? (sandbox === undefined ? [] : hostIPs) : sandbox?.ips;
  // A stopped pod keeps showing the address that it had.
  if (ips === undefined || ips.length === 0) {
    return previous.podIP === undefined
      ? host
      : { ...host, podIP: previous.podIP, podIPs: previous.podIPs };
  }
  return { ...host, podIP: ips[0], podIPs: ips.map((ip) => ({ ip })) };
}
