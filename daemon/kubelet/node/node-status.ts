/**
 * The Node object of this machine: labels, capacity, conditions, addresses, images. Pure. Capacity
 * and labels that others put on the node (extended resources, user labels) are kept.
 */
import type { Node, NodeCondition, NodeStatus, Taint } from '#base/kube/api/core-v1.gen.ts';
import type { Draft } from '#base/kube/client.ts';
import { canonicalQuantity } from '#base/kube/quantity.ts';
import type { Image } from '../../runtime/port.ts';
import { formatTime } from '../lifecycle/container-status.ts';
import { NODE_IMAGES_MAX, PODS_MAX } from '../limits.ts';
import type { PressureType } from '../eviction/signals.ts';
import type { MachineFacts } from './node-facts.ts';

export interface NodeInput {
  readonly nodeName: string;
  readonly addresses: readonly string[];
  readonly kubeletPort: number;
  readonly machine: MachineFacts;
  readonly versions: { readonly kubelet: string; readonly runtime: string };
  /** Kept back for the system, so that pods cannot starve it. */
  readonly reserved: Readonly<Record<'cpuMilli' | 'memoryBytes', number>>;
  /** Of memory and disk: what must stay free for the node not to be under pressure. */
  readonly evictionBytes: Readonly<Record<'memory' | 'disk', number>>;
  /** Beside the kubelet's own labels: what the Node is created with. */
  readonly registration?:
    | {
        readonly labels: Readonly<Record<string, string>>;
        readonly annotations: Readonly<Record<string, string>>;
        readonly taints: readonly Taint[];
      }
    | undefined;
}

export function nodeLabels({ nodeName, machine }: NodeInput): Record<string, string> {
  return {
    'beta.kubernetes.io/arch': machine.architecture,
    'beta.kubernetes.io/os': 'linux',
    'kubernetes.io/arch': machine.architecture,
    'kubernetes.io/hostname': nodeName,
    'kubernetes.io/os': 'linux',
  };
}

/** In the API's own spelling: another one would look like a change. */
const amount = (text: string) => canonicalQuantity(text.startsWith('-') ? '0' : text);
const ki = (bytes: number) => amount(`${Math.floor(bytes / 1024)}Ki`);

export function capacityOf({ machine }: NodeInput): Record<string, string> {
  return {
    cpu: String(machine.cpuCount),
    'ephemeral-storage': ki(machine.diskBytes),
    'hugepages-1Gi': '0',
    'hugepages-2Mi': '0',
    memory: ki(machine.memoryBytes),
    pods: String(PODS_MAX),
  };
}

export function allocatableOf(input: NodeInput): Record<string, string> {
  const { machine, reserved, evictionBytes } = input;
  const cpuMilli = machine.cpuCount * 1000 - reserved.cpuMilli;
  return {
    ...capacityOf(input),
    cpu: amount(`${cpuMilli}m`),
    'ephemeral-storage': amount(String(Math.floor(machine.diskBytes - evictionBytes.disk))),
    memory: ki(machine.memoryBytes - reserved.memoryBytes - evictionBytes.memory),
  };
}

interface Fact {
  readonly type: string;
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
}

export function nodeConditions(input: {
  readonly pressures: readonly PressureType[];
  /** Why pods cannot run, if so. */
  readonly notReady: string | undefined;
  /** What this machine cannot enforce. */
  readonly shortcomings: readonly string[];
  readonly previous: readonly NodeCondition[];
  readonly nowMs: number;
}): NodeCondition[] {
  const { pressures, notReady, shortcomings } = input;
  const lowDisk = pressures.includes('DiskPressure');
  const pressureFact = (type: PressureType, name: string, text: string): Fact => {
    const low = pressures.includes(type);
    return {
      type,
      status: low ? 'True' : 'False',
      reason: `KubeletHas${low ? 'Insufficient' : 'Sufficient'}${name}`,
      message: `kubelet has ${low ? 'insufficient' : 'sufficient'} ${text} available`,
    };
  };
  const facts: Fact[] = [
    pressureFact('MemoryPressure', 'Memory', 'memory'),
    {
      type: 'DiskPressure',
      status: lowDisk ? 'True' : 'False',
      reason: lowDisk ? 'KubeletHasDiskPressure' : 'KubeletHasNoDiskPressure',
      message: lowDisk ? 'kubelet has disk pressure' : 'kubelet has no disk pressure',
    },
    pressureFact('PIDPressure', 'PID', 'PID'),
    notReady === undefined
      ? { type: 'Ready', status: 'True', reason: 'KubeletReady', message: readyText(shortcomings) }
      : { type: 'Ready', status: 'False', reason: 'KubeletNotReady', message: notReady },
  ];
  const own = new Set(facts.map((f) => f.type));
  return [
    ...input.previous.filter((c) => !own.has(c.type)),
    ...facts.map((fact) => transition(fact, input.previous, formatTime(input.nowMs))),
  ];
}

function readyText(shortcomings: readonly string[]): string {
  const base = 'kubelet is posting ready status';
  return shortcomings.length === 0 ? base : `${base}; not enforced: ${shortcomings.join(', ')}`;
}

function transition(fact: Fact, previous: readonly NodeCondition[], now: string): NodeCondition {
  const old = previous.find((c) => c.type === fact.type);
  const since = old?.status === fact.status ? old.lastTransitionTime : undefined;
  return { ...fact, lastHeartbeatTime: now, lastTransitionTime: since ?? now };
}

/** Reasons of events for the conditions that are not as `before`: `NodeHasSufficientMemory`, `NodeReady`. */
export function transitions(
  before: readonly NodeCondition[],
  after: readonly NodeCondition[],
): string[] {
  return after
    .filter(({ reason }) => reason?.startsWith('Kubelet') === true)
    .filter(({ type, status }) => before.find((c) => c.type === type)?.status !== status)
    .map(({ reason = '' }) => reason.replace(/^Kubelet/, 'Node'));
}

/** The status to write over `previous`; what the kubelet does not know stays. */
export function nodeStatus(
  input: NodeInput,
  now: {
    readonly previous: NodeStatus;
    readonly conditions: NodeCondition[];
    readonly images: readonly Image[];
  },
): NodeStatus {
  const { machine, versions } = input;
  const capacity = { ...now.previous.capacity, ...capacityOf(input) };
  return {
    ...now.previous,
    capacity,
    allocatable: allocatableWith(capacity, now.previous.allocatable, input),
    conditions: now.conditions,
    addresses: [
      ...input.addresses.map((address) => ({ type: 'InternalIP', address })),
      { type: 'Hostname', address: input.nodeName },
    ],
    daemonEndpoints: { kubeletEndpoint: { Port: input.kubeletPort } },
    nodeInfo: {
      architecture: machine.architecture,
      bootID: machine.bootId,
      containerRuntimeVersion: versions.runtime,
      kernelVersion: machine.kernelVersion,
      kubeProxyVersion: '',
      kubeletVersion: versions.kubelet,
      machineID: machine.machineId,
      operatingSystem: 'linux',
      osImage: machine.osImage,
      systemUUID: machine.systemUuid,
    },
    images: imageList(now.images),
    runtimeHandlers: [
      { name: '', features: { recursiveReadOnlyMounts: true, userNamespaces: false } },
    ],
    features: { supplementalGroupsPolicy: true },
    declaredFeatures: ['ExtendWebSocketsToKubelet'],
  };
}

/** Extended resources that somebody else announced may be used whole, unless they say less. */
function allocatableWith(
  capacity: Readonly<Record<string, string>>,
  previous: Readonly<Record<string, string>> | undefined,
  input: NodeInput,
): Record<string, string> {
  const own = allocatableOf(input);
  return Object.fromEntries(
    Object.entries(capacity).map(([name, all]) => [name, own[name] ?? previous?.[name] ?? all]),
  );
}

function imageList(images: readonly Image[]): NonNullable<NodeStatus['images']> {
  return images
    .toSorted((a, b) => b.sizeBytes - a.sizeBytes)
    .slice(0, NODE_IMAGES_MAX)
    .map(({ tags, digests, sizeBytes }) => ({
      names: [...digests, ...tags].slice(0, 5),
      sizeBytes,
    }));
}

/** True when `after` says something new, heartbeats aside. */
export function statusChanged(before: NodeStatus, after: NodeStatus): boolean {
  const strip = (status: NodeStatus) =>
    JSON.stringify({
      ...status,
      conditions: (status.conditions ?? []).map((c) => ({ ...c, lastHeartbeatTime: '' })),
    });
  return strip(before) !== strip(after);
}

export function newNode(input: NodeInput): Draft<Node> {
  const { labels = {}, annotations = {}, taints = [] } = input.registration ?? {};
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name: input.nodeName,
      labels: { ...labels, ...nodeLabels(input) },
      annotations: { ...annotations },
    },
    spec: { taints: [...taints] },
  };
}
