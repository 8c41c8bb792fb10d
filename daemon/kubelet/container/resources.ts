/**
 * Requests and limits as the node sees them: QoS class, what a pod takes of the node, and the cgroup
 * settings of pods and containers. Pure; formulas are upstream's (cm/helpers_linux.go, qos/policy.go).
 *
 * | setting       | from                                       | bounds          |
 * |---------------|--------------------------------------------|-----------------|
 * | cpu.shares    | request in milli-CPU * 1024 / 1000         | 2 .. 262144     |
 * | cpu.cfs_quota | limit in milli-CPU * period / 1000         | 1000 µs or more |
 * | oom_score_adj | 1000 - 1000 * memory request / node memory | 3 .. 999        |
 */
import type { Container as SpecContainer, Pod } from '#base/kube/api/core-v1.gen.ts';
import { parseQuantity, quantityMilliValue, quantityValue } from '#base/kube/quantity.ts';
import type { CgroupResources, ContainerResources } from '../../runtime/port.ts';
import { isSidecar } from '../lifecycle/containers.ts';
import type { AnyContainer } from '../lifecycle/model.ts';

export type QosClass = 'Guaranteed' | 'Burstable' | 'BestEffort';

const SHARES_MIN = 2;
const SHARES_MAX = 262_144;
const CPU_PERIOD_MICROS = 100_000;
const CPU_QUOTA_MICROS_MIN = 1_000;
const CRITICAL_PRIORITY = 2_000_000_000;

type ResourceList = Readonly<Record<string, string>> | undefined;

/** Milli-CPU of a list, 0 when it names none. */
export function milliCpu(list: ResourceList): number {
  const text = list?.cpu;
  return text === undefined ? 0 : quantityMilliValue(parseQuantity(text));
}

/** Bytes (or a count) of one resource of a list, 0 when it names none. */
export function amountOf(list: ResourceList, resource: string): number {
  const text = list?.[resource];
  if (text === undefined) return 0;
  return resource === 'cpu'
    ? quantityMilliValue(parseQuantity(text))
    : quantityValue(parseQuantity(text));
}

export function qosClass(pod: Pod): QosClass {
  const podLevel = pod.spec.resources;
  const hasPodLevel = ['cpu', 'memory'].some(
    (r) => amountOf(podLevel?.requests, r) > 0 || amountOf(podLevel?.limits, r) > 0,
  );
  const owners = hasPodLevel
    ? [{ resources: podLevel }]
    : [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  let any = false;
  let guaranteed = true;
  for (const { resources } of owners) {
    for (const name of ['cpu', 'memory']) {
      const request = amountOf(resources?.requests, name);
      const limit = amountOf(resources?.limits, name);
      if (request > 0 || limit > 0) any = true;
      if (limit === 0 || (request !== 0 && request !== limit)) guaranteed = false;
    }
  }
  if (!any) return 'BestEffort';
  return guaranteed ? 'Guaranteed' : 'Burstable';
}

/** What the pod asks of the node: init containers before, sidecars beside the main containers. */
export function podRequest(pod: Pod, resource: string): number {
  return podAmount(pod, resource, 'requests') + amountOf(pod.spec.overhead, resource);
}

/** What all containers together may use; containers without a limit count nothing. */
export function podLimit(pod: Pod, resource: string): number {
  return podAmount(pod, resource, 'limits');
}

function podAmount(pod: Pod, resource: string, kind: 'requests' | 'limits'): number {
  const podLevel = pod.spec.resources?.[kind];
  if (podLevel?.[resource] !== undefined) return amountOf(podLevel, resource);
  const of = (c: SpecContainer) => amountOf(c.resources?.[kind], resource);
  let sidecars = 0;
  let initPeak = 0;
  for (const container of pod.spec.initContainers ?? []) {
    if (isSidecar(container)) sidecars += of(container);
    initPeak = Math.max(initPeak, isSidecar(container) ? sidecars : sidecars + of(container));
  }
  const mains = pod.spec.containers.reduce((sum, c) => sum + of(c), 0);
  return Math.max(mains + sidecars, initPeak);
}

export function sharesOf(milli: number): number {
  if (milli === 0) return SHARES_MIN;
  return Math.min(Math.max(Math.floor((milli * 1024) / 1000), SHARES_MIN), SHARES_MAX);
}

function quotaOf(milli: number): number {
  return Math.max(Math.floor((milli * CPU_PERIOD_MICROS) / 1000), CPU_QUOTA_MICROS_MIN);
}

/** The pod's own cgroup. A limit holds for the pod only if every container has one. */
export function podCgroup(pod: Pod): CgroupResources {
  const qos = qosClass(pod);
  if (qos === 'BestEffort') return { cpuShares: SHARES_MIN };
  const limited = (resource: string) =>
    amountOf(pod.spec.resources?.limits, resource) > 0 ||
    [...pod.spec.containers, ...(pod.spec.initContainers ?? []).filter(isSidecar)].every(
      (c) => amountOf(c.resources?.limits, resource) > 0,
    );
  const cpuLimit = podAmount(pod, 'cpu', 'limits') + milliCpu(pod.spec.overhead);
  const memoryLimit = podAmount(pod, 'memory', 'limits') + amountOf(pod.spec.overhead, 'memory');
  return {
    cpuShares: sharesOf(podRequest(pod, 'cpu')),
    ...(limited('cpu')
      ? { cpuQuotaMicros: quotaOf(cpuLimit), cpuPeriodMicros: CPU_PERIOD_MICROS }
      : {}),
    ...(limited('memory') ? { memoryLimitBytes: memoryLimit } : {}),
  };
}

/** `kubepods.slice/pod<uid>`, below `burstable` or `besteffort` for those classes. */
export function podCgroupPath(pod: Pod): string {
  const qos = qosClass(pod);
  const level = qos === 'Guaranteed' ? '' : `${qos.toLowerCase()}/`;
  return `kubepods.slice/${level}pod${pod.metadata.uid}`;
}

export function containerResources(
  pod: Pod,
  container: AnyContainer,
  nodeMemoryBytes: number,
): ContainerResources {
  const { requests, limits } = container.resources ?? {};
  const cpuLimit = milliCpu(limits);
  const cpuRequest = requests?.cpu === undefined ? cpuLimit : milliCpu(requests);
  const memoryLimit = amountOf(limits, 'memory');
  return {
    cpuShares: sharesOf(cpuRequest),
    ...(cpuLimit > 0
      ? { cpuQuotaMicros: quotaOf(cpuLimit), cpuPeriodMicros: CPU_PERIOD_MICROS }
      : {}),
    ...(memoryLimit > 0 ? { memoryLimitBytes: memoryLimit } : {}),
    oomScoreAdj: oomScoreAdj(pod, container, nodeMemoryBytes),
  };
}

export function oomScoreAdj(pod: Pod, container: AnyContainer, nodeMemoryBytes: number): number {
  if ((pod.spec.priority ?? 0) >= CRITICAL_PRIORITY) return -997;
  const qos = qosClass(pod);
  if (qos === 'Guaranteed') return -997;
  if (qos === 'BestEffort') return 1000;
  const request = amountOf(container.resources?.requests, 'memory');
  const score = 1000 - Math.floor((1000 * request) / nodeMemoryBytes);
  return Math.min(Math.max(score, 3), 999);
}
