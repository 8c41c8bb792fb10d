/**
 * The node's own say about a pod that was bound to it: resources, affinity, host ports, sysctls. The
 * scheduler checked the same with older knowledge, and pods can be bound past it. A refused pod is
 * Failed with upstream's reasons. Pure.
 */
import type { Node, Pod } from '#base/kube/api/core-v1.gen.ts';
import { amountOf, podRequest, qosClass } from '../container/resources.ts';
import { isCritical } from '../eviction/rank.ts';
import type { PressureType } from '../eviction/signals.ts';
import { containersOf } from '../lifecycle/containers.ts';
import type { ResizeRefusal, Verdict } from '../lifecycle/model.ts';
import { nodeAccepts } from './node-affinity.ts';

export interface AdmissionInput {
  readonly pod: Pod;
  /** Pods that hold resources of the node already. */
  readonly others: readonly Pod[];
  readonly node: Pick<Node, 'metadata'>;
  readonly allocatable: Readonly<Record<string, string>>;
  readonly pressures: readonly PressureType[];
}

/** Undefined: welcome. */
export function refuse(input: AdmissionInput): Verdict | undefined {
  const refusal =
    refusePressure(input) ??
    refuseSysctls(input.pod) ??
    refusePods(input) ??
    refuseResources(input) ??
    refuseNode(input) ??
    refusePorts(input);
  if (refusal === undefined) return undefined;
  return { reason: refusal.reason, message: `Pod was rejected: ${refusal.message}` };
}

/** Under memory pressure alone, pods that ask for resources may come, and those that tolerate it. */
function refusePressure({ pod, pressures }: AdmissionInput): Verdict | undefined {
  if (pressures.length === 0 || isCritical(pod)) return undefined;
  if (pressures.every((type) => type === 'MemoryPressure')) {
    if (qosClass(pod) !== 'BestEffort' || toleratesMemoryPressure(pod)) return undefined;
  }
  return { reason: 'Evicted', message: `The node had condition: [${pressures.join(' ')}]. ` };
}

function toleratesMemoryPressure(pod: Pod): boolean {
  return (pod.spec.tolerations ?? []).some(
    ({ key = '', operator = 'Equal', value = '', effect = '' }) =>
      (effect === '' || effect === 'NoSchedule') &&
      (key === 'node.kubernetes.io/memory-pressure' || (key === '' && operator === 'Exists')) &&
      (operator === 'Exists' || value === ''),
  );
}

const OUT_OF: Readonly<Record<string, string>> = {
  cpu: 'OutOfcpu',
  memory: 'OutOfmemory',
  'ephemeral-storage': 'OutOfephemeral-storage',
};

function shortage(name: string, numbers: { requested: number; used: number; capacity: number }) {
  const { requested, used, capacity } = numbers;
  return (
    `Node didn't have enough resource: ${name}, requested: ${requested}, ` +
    `used: ${used}, capacity: ${capacity}`
  );
}

/** Whether a pod that runs here can have what its spec asks for now. */
export function refuseResize(
  input: Pick<AdmissionInput, 'pod' | 'others' | 'allocatable'>,
): ResizeRefusal | undefined {
  for (const name of ['cpu', 'memory']) {
    const requested = podRequest(input.pod, name);
    const capacity = amountOf(input.allocatable, name);
    const used = input.others.reduce((sum, other) => sum + podRequest(other, name), 0);
    if (requested > capacity) {
      const message = `Node didn't have enough capacity: ${name}, requested: ${requested}, capacity: ${capacity}`;
      return { reason: 'Infeasible', message };
    }
    if (requested > 0 && requested + used > capacity) {
      return { reason: 'Deferred', message: shortage(name, { requested, used, capacity }) };
    }
  }
  return undefined;
}

function refusePods({ others, allocatable }: AdmissionInput): Verdict | undefined {
  const capacity = amountOf(allocatable, 'pods');
  if (others.length < capacity) return undefined;
  const message = shortage('pods', { requested: 1, used: others.length, capacity });
  return { reason: 'OutOfpods', message };
}

function refuseResources({ pod, others, allocatable }: AdmissionInput): Verdict | undefined {
  for (const [name, reason] of Object.entries(OUT_OF)) {
    const requested = podRequest(pod, name);
    if (requested === 0) continue;
    const capacity = amountOf(allocatable, name);
    const used = others.reduce((sum, other) => sum + podRequest(other, name), 0);
    if (requested + used <= capacity) continue;
    return { reason, message: shortage(name, { requested, used, capacity }) };
  }
  return undefined;
}

function refuseNode({ pod, node }: AdmissionInput): Verdict | undefined {
  if (nodeAccepts(pod, node)) return undefined;
  const text = "node(s) didn't match Pod's node affinity/selector";
  return { reason: 'NodeAffinity', message: `Predicate NodeAffinity failed: ${text}` };
}

interface HostPort {
  readonly protocol: string;
  readonly port: number;
  readonly ip: string;
}

function hostPorts(pod: Pod): HostPort[] {
  return containersOf(pod).flatMap(({ spec }) =>
    (spec.ports ?? []).flatMap(({ hostPort = 0, protocol = 'TCP', hostIP }) => {
      const ip = hostIP === undefined || hostIP === '' ? '0.0.0.0' : hostIP;
      return hostPort === 0 ? [] : [{ protocol, port: hostPort, ip }];
    }),
  );
}

function refusePorts({ pod, others }: AdmissionInput): Verdict | undefined {
  const taken = others.flatMap(hostPorts);
  const clash = hostPorts(pod).some((wanted) =>
    taken.some(
      (t) =>
        t.port === wanted.port &&
        t.protocol === wanted.protocol &&
        (t.ip === wanted.ip || t.ip === '0.0.0.0' || wanted.ip === '0.0.0.0'),
    ),
  );
  if (!clash) return undefined;
  const text = "node(s) didn't have free ports for the requested pod ports";
  return { reason: 'NodePorts', message: `Predicate NodePorts failed: ${text}` };
}

/** Namespaced, and harmless to other pods. */
const SAFE_SYSCTLS: ReadonlySet<string> = new Set([
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.ping_group_range',
  'net.ipv4.ip_unprivileged_port_start',
  'net.ipv4.ip_local_reserved_ports',
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
  'net.ipv4.tcp_rmem',
  'net.ipv4.tcp_wmem',
]);

function refuseSysctls(pod: Pod): Verdict | undefined {
  for (const { name } of pod.spec.securityContext?.sysctls ?? []) {
    const dotted = name.replaceAll('/', '.');
    const ofHost = dotted.startsWith('net.') ? pod.spec.hostNetwork : pod.spec.hostIPC;
    if (SAFE_SYSCTLS.has(dotted) && ofHost !== true) continue;
    const message = `forbidden sysctl: ${JSON.stringify(dotted)} not allowlisted`;
    return { reason: 'SysctlForbidden', message };
  }
  return undefined;
}
