/**
 * Which pod goes first when the node is short of something, and what its status then says: pods that use more
 * than they asked for, then those of low priority, then those that use most beyond their request. Order and
 * texts as upstream's (pkg/kubelet/eviction/helpers.go). Pure.
 */
import type { Pod } from '#base/kube/api/core-v1.gen.ts';
import {
  canonicalQuantity,
  formatQuantity,
  parseQuantity,
  quantityFromValue,
} from '#base/kube/quantity.ts';
import type { DiskUsage } from '../../runtime/port.ts';
import { amountOf, podLimit, podRequest } from '../container/resources.ts';
import { containersOf } from '../lifecycle/containers.ts';
import type { Resource, Shortage } from './signals.ts';

export interface ContainerUsage {
  readonly name: string;
  readonly memoryBytes: number;
  readonly pids: number;
  readonly rootfs: DiskUsage;
  readonly logs: DiskUsage;
}

export interface PodUsage {
  readonly containers: readonly ContainerUsage[];
  /** Of emptyDir volumes on the disk, by name. */
  readonly volumes: Readonly<Record<string, DiskUsage>>;
}

export interface Candidate {
  readonly pod: Pod;
  readonly usage: PodUsage;
}

const CRITICAL_PRIORITY = 2_000_000_000;

/** Never evicted, and taken in under pressure: upstream's IsCriticalPod. */
export function isCritical(pod: Pod): boolean {
  return (pod.spec.priority ?? 0) >= CRITICAL_PRIORITY;
}

/** What a pod uses of a resource. */
export function usageOf({ containers, volumes }: PodUsage, resource: Resource): number {
  const sum = (of: (c: ContainerUsage) => number) => containers.reduce((n, c) => n + of(c), 0);
  if (resource === 'memory') return sum((c) => c.memoryBytes);
  if (resource === 'pids') return sum((c) => c.pids);
  const key = resource === 'inodes' ? 'inodes' : 'bytes';
  const inVolumes = Object.values(volumes).reduce((n, usage) => n + usage[key], 0);
  return sum((c) => c.rootfs[key] + c.logs[key]) + inVolumes;
}

/** The first is to go first. */
export function rank<T extends Candidate>(candidates: readonly T[], resource: Resource): T[] {
  const keys = candidates.map((candidate) => {
    const isRequested = resource === 'memory' || resource === 'ephemeral-storage';
    const request = isRequested ? podRequest(candidate.pod, resource) : 0;
    const usage = usageOf(candidate.usage, resource);
    // Processes are not asked for: no pod uses too many of them.
    const exceeds = resource !== 'pids' && usage > request;
    return {
      candidate,
      exceeds,
      priority: candidate.pod.spec.priority ?? 0,
      above: usage - request,
    };
  });
  return keys
    .toSorted(
      (a, b) =>
        Number(b.exceeds) - Number(a.exceeds) || a.priority - b.priority || b.above - a.above,
    )
    .map(({ candidate }) => candidate);
}

/** The status message of a pod that is evicted for want of something. */
export function evictionMessage({ pod, usage }: Candidate, shortage: Shortage): string {
  const { resource, threshold, available } = shortage;
  let message = `The node was low on resource: ${resource}. `;
  message += `Threshold quantity: ${formatQuantity(threshold)}, `;
  message += `available: ${formatQuantity(available)}. `;
  const asked = pod.spec.resources?.requests?.[resource];
  if (resource === 'memory' && asked !== undefined) {
    message += exceeding(`Pod ${pod.metadata.name}`, {
      used: usageOf(usage, resource),
      asked,
      resource,
    });
  }
  if (resource !== 'memory' && resource !== 'ephemeral-storage') return message;
  for (const container of usage.containers) {
    const found = containersOf(pod).find((c) => c.spec.name === container.name);
    if (found === undefined || found.role === 'ephemeral') continue;
    const used =
      resource === 'memory' ? container.memoryBytes : container.rootfs.bytes + container.logs.bytes;
    const { requests } = found.spec.resources ?? {};
    if (used <= amountOf(requests, resource)) continue;
    const request = { used, asked: requests?.[resource] ?? '0', resource };
    message += exceeding(`Container ${container.name}`, request);
  }
  return message;
}

function exceeding(who: string, of: { used: number; asked: string; resource: Resource }): string {
  const used = formatQuantity(quantityFromValue(of.used, 'BinarySI'));
  const asked = canonicalQuantity(of.asked);
  return `${who} was using ${used}, request is ${asked}, has larger consumption of ${of.resource}. `;
}

/** Why a pod holds more of the disk than its own limits allow; undefined when it does not. */
export function overLimit({ pod, usage }: Candidate): string | undefined {
  for (const { name, emptyDir } of pod.spec.volumes ?? []) {
    const limit = emptyDir?.sizeLimit;
    const used = usage.volumes[name]?.bytes;
    if (limit === undefined || used === undefined) continue;
    const bytes = amountOf({ limit }, 'limit');
    if (bytes > 0 && used > bytes) {
      const text = JSON.stringify(canonicalQuantity(limit));
      return `Usage of EmptyDir volume ${JSON.stringify(name)} exceeds the limit ${text}. `;
    }
  }
  const [first] = diskLimits(pod);
  const total = podLimit(pod, 'ephemeral-storage');
  if (first !== undefined && usageOf(usage, 'ephemeral-storage') > total) {
    const text = formatQuantity(quantityFromValue(total, parseQuantity(first).format));
    return `Pod ephemeral local storage usage exceeds the total limit of containers ${text}. `;
  }
  for (const { name, resources } of pod.spec.containers) {
    const limit = resources?.limits?.['ephemeral-storage'];
    const used = usage.containers.find((c) => c.name === name);
    if (limit === undefined || used === undefined) continue;
    const bytes = amountOf(resources?.limits, 'ephemeral-storage');
    if (bytes > 0 && used.rootfs.bytes + used.logs.bytes > bytes) {
      const text = JSON.stringify(canonicalQuantity(limit));
      return `Container ${name} exceeded its local ephemeral storage limit ${text}. `;
    }
  }
  return undefined;
}

/** What `overLimit` looks at: others need not be measured. */
export function hasDiskLimit(pod: Pod): boolean {
  const volumes = (pod.spec.volumes ?? []).some(
    ({ emptyDir }) => emptyDir?.sizeLimit !== undefined,
  );
  return volumes || diskLimits(pod).length > 0;
}

/** A limit of any container limits the pod. */
function diskLimits({ spec }: Pod): string[] {
  return [...(spec.initContainers ?? []), ...spec.containers].flatMap(
    ({ resources }) => resources?.limits?.['ephemeral-storage'] ?? [],
  );
}
