/**
 * Node health decided purely: when a silent node's conditions become Unknown, which taints its
 * conditions call for, whether evictions are held back because most of the cluster looks dead. Facts
 * and texts as upstream's node lifecycle controller.
 */
import type { Node, NodeCondition, Taint } from '#base/kube/api/core-v1.gen.ts';
import { findCondition, formatTime } from '#base/kube/metadata.ts';

/** Silence after which a node counts as lost; longer for one that never reported. */
export const GRACE_MS = 50_000;
export const STARTUP_GRACE_MS = 60_000;
/** Larger clusters slow down instead of stopping when many nodes are lost. */
const SMALL_CLUSTER_NODES = 50;
const UNHEALTHY_FRACTION = 0.55;

const WATCHED = ['Ready', 'MemoryPressure', 'DiskPressure', 'PIDPressure'] as const;

/** Conditions with Unknown for what the silent kubelet would report, or undefined: no change. */
export function planUnknown(node: Node, nowMs: number): NodeCondition[] | undefined {
  const conditions = [...(node.status?.conditions ?? [])];
  const time = formatTime(nowMs);
  let isChanged = false;
  for (const type of WATCHED) {
    const old = findCondition(conditions, type);
    if (old?.status === 'Unknown') continue;
    isChanged = true;
    const next: NodeCondition = {
      type,
      status: 'Unknown',
      reason: old === undefined ? 'NodeStatusNeverUpdated' : 'NodeStatusUnknown',
      message:
        old === undefined
          ? 'Kubelet never posted node status.'
          : 'Kubelet stopped posting node status.',
      lastHeartbeatTime: old?.lastHeartbeatTime ?? node.metadata.creationTimestamp,
      lastTransitionTime: time,
    };
    if (old === undefined) conditions.push(next);
    else conditions[conditions.indexOf(old)] = next;
  }
  return isChanged ? conditions : undefined;
}

export function readyStatus(node: Node): string {
  return findCondition(node.status?.conditions, 'Ready')?.status ?? 'Unknown';
}

const NOT_READY = 'node.kubernetes.io/not-ready';
const UNREACHABLE = 'node.kubernetes.io/unreachable';
const UNSCHEDULABLE = 'node.kubernetes.io/unschedulable';

/** Condition type and status to taint key. */
const NO_SCHEDULE: readonly { type: string; status: string; key: string }[] = [
  { type: 'Ready', status: 'False', key: NOT_READY },
  { type: 'Ready', status: 'Unknown', key: UNREACHABLE },
  { type: 'MemoryPressure', status: 'True', key: 'node.kubernetes.io/memory-pressure' },
  { type: 'DiskPressure', status: 'True', key: 'node.kubernetes.io/disk-pressure' },
  { type: 'NetworkUnavailable', status: 'True', key: 'node.kubernetes.io/network-unavailable' },
  { type: 'PIDPressure', status: 'True', key: 'node.kubernetes.io/pid-pressure' },
];
const MANAGED_NO_SCHEDULE = new Set([...NO_SCHEDULE.map(({ key }) => key), UNSCHEDULABLE]);
const MANAGED_NO_EXECUTE = new Set([NOT_READY, UNREACHABLE]);

function isManaged(taint: Taint): boolean {
  if (taint.effect === 'NoSchedule') return MANAGED_NO_SCHEDULE.has(taint.key);
  return taint.effect === 'NoExecute' && MANAGED_NO_EXECUTE.has(taint.key);
}

/** `evicts`: an unready node's pods may be told to leave. Undefined: the taints are right. */
export function planTaints(node: Node, evicts: boolean, nowMs: number): Taint[] | undefined {
  const wanted: Taint[] = [];
  for (const { type, status, key } of NO_SCHEDULE) {
    if (findCondition(node.status?.conditions, type)?.status === status) {
      wanted.push({ key, effect: 'NoSchedule' });
    }
  }
  if (node.spec?.unschedulable === true) wanted.push({ key: UNSCHEDULABLE, effect: 'NoSchedule' });
  const ready = findCondition(node.status?.conditions, 'Ready')?.status;
  if (evicts && ready !== undefined && ready !== 'True') {
    wanted.push({ key: ready === 'False' ? NOT_READY : UNREACHABLE, effect: 'NoExecute' });
  }
  const current = node.spec?.taints ?? [];
  // A node that has not reported at all keeps the taint it was admitted with.
  const keepsInitial = ready === undefined;
  const kept = current.filter(
    (taint) =>
      !isManaged(taint) ||
      (keepsInitial && taint.key === NOT_READY) ||
      wanted.some((want) => want.key === taint.key && want.effect === taint.effect),
  );
  const added = wanted.filter(
    (want) => !kept.some((taint) => taint.key === want.key && taint.effect === want.effect),
  );
  if (added.length === 0 && kept.length === current.length) return undefined;
  return [...kept, ...added.map((taint) => ({ ...taint, timeAdded: formatTime(nowMs) }))];
}

/**
 * False when so many nodes are unready that the fault is probably ours: all of them, or, in a small
 * cluster, more than two and over half.
 */
export function mayEvict(nodes: readonly Node[]): boolean {
  const unready = nodes.filter((node) => readyStatus(node) !== 'True').length;
  if (unready === nodes.length) return false;
  const isPartial = unready > 2 && unready / nodes.length >= UNHEALTHY_FRACTION;
  return !(isPartial && nodes.length <= SMALL_CLUSTER_NODES);
}

/** The next free subnet of `prefixLength` within an IPv4 cluster CIDR, or undefined when full. */
export function allocateSubnet(
  clusterCidr: string,
  prefixLength: number,
  taken: ReadonlySet<string>,
): string | undefined {
  const [address = '', lengthText = ''] = clusterCidr.split('/');
  const base = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  const subnetLength = Math.max(prefixLength, Number(lengthText));
  const size = 2 ** (32 - subnetLength);
  const count = 2 ** (subnetLength - Number(lengthText));
  for (let i = 0; i < count; i++) {
    const start = base + i * size;
    const text = [24, 16, 8, 0].map((shift) => Math.floor(start / 2 ** shift) % 256).join('.');
    const cidr = `${text}/${subnetLength}`;
    if (!taken.has(cidr)) return cidr;
  }
  return undefined;
}
