/**
 * What the kubelet tells about itself, the node and its containers: /metrics and /metrics/resource in
 * Prometheus' text form. Names and labels are upstream's: metrics-server reads them. Pure.
 */
import type { Container, ContainerStats } from '../../runtime/port.ts';
import type { Pressure } from '../node/node-facts.ts';

export interface PodReading {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly startTime: string | undefined;
  readonly containers: readonly ContainerReading[];
}

export interface ContainerReading {
  readonly record: Container;
  readonly stats: ContainerStats | undefined;
}

export interface NodeReading {
  readonly nodeName: string;
  readonly atMs: number;
  /** Of the whole machine, since it started. */
  readonly cpuUsageNanos: number;
  readonly machine: Pressure;
  /** Of this process. */
  readonly startedAtMs: number;
  readonly residentBytes: number;
}

type Labels = Readonly<Record<string, string>>;

class Text {
  readonly #lines: string[] = [];

  family(name: string, type: 'counter' | 'gauge', help: string): (v: number, l?: Labels) => void {
    this.#lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    return (value, labels = {}) => {
      const pairs = Object.entries(labels).map(([k, v]) => `${k}=${JSON.stringify(v)}`);
      const suffix = pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
      this.#lines.push(`${name}${suffix} ${value}`);
    };
  }

  toString(): string {
    return `${this.#lines.join('\n')}\n`;
  }
}

const SECOND_NANOS = 1e9;

export function formatMetrics(pods: readonly PodReading[], node: NodeReading): string {
  const text = new Text();
  const containers = pods.flatMap((p) => p.containers);
  const running = pods.filter((p) => p.containers.some((c) => c.record.state === 'running'));
  text.family('kubelet_running_pods', 'gauge', 'Pods with a running container')(running.length);
  const byState = text.family('kubelet_running_containers', 'gauge', 'Containers by state');
  for (const state of ['created', 'running', 'exited']) {
    const count = containers.filter((c) => c.record.state === state).length;
    byState(count, { container_state: state });
  }
  const name = text.family('kubelet_node_name', 'gauge', 'The name of the node');
  name(1, { node: node.nodeName });
  const start = text.family('process_start_time_seconds', 'gauge', 'Start of the process');
  start(node.startedAtMs / 1000);
  const memory = text.family('process_resident_memory_bytes', 'gauge', 'Resident memory');
  memory(node.residentBytes);
  return text.toString();
}

/** Memory of the machine that cannot be had without taking it from somebody. */
export function workingSetBytes({ memoryBytes, memoryAvailableBytes }: Pressure): number {
  return memoryBytes - memoryAvailableBytes;
}

/** What the containers of a pod use together; undefined when none runs. */
export function podTotals({ containers }: PodReading): Omit<ContainerStats, 'atMs'> | undefined {
  const running = containers.flatMap(({ stats }) => stats ?? []);
  if (running.length === 0) return undefined;
  const sum = (of: (stats: ContainerStats) => number) => running.reduce((n, s) => n + of(s), 0);
  return {
    cpuUsageNanos: sum((s) => s.cpuUsageNanos),
    memoryUsageBytes: sum((s) => s.memoryUsageBytes),
    memoryWorkingSetBytes: sum((s) => s.memoryWorkingSetBytes),
    pids: sum((s) => s.pids),
  };
}

export function formatResourceMetrics(pods: readonly PodReading[], node: NodeReading): string {
  const text = new Text();
  const cpu = text.family('container_cpu_usage_seconds_total', 'counter', 'CPU time used');
  each(pods, (labels, { stats }) => {
    if (stats !== undefined) cpu(stats.cpuUsageNanos / SECOND_NANOS, labels);
  });
  const memory = text.family('container_memory_working_set_bytes', 'gauge', 'Memory in use');
  each(pods, (labels, { stats }) => {
    if (stats !== undefined) memory(stats.memoryWorkingSetBytes, labels);
  });
  const start = text.family('container_start_time_seconds', 'gauge', 'Start of the container');
  each(pods, (labels, { record }) => {
    if (record.startedAtMs !== undefined) start(record.startedAtMs / 1000, labels);
  });
  const nodeCpu = text.family('node_cpu_usage_seconds_total', 'counter', 'CPU time of the node');
  nodeCpu(node.cpuUsageNanos / SECOND_NANOS);
  const nodeMemory = text.family('node_memory_working_set_bytes', 'gauge', 'Memory of the node');
  nodeMemory(workingSetBytes(node.machine));
  const podCpu = text.family('pod_cpu_usage_seconds_total', 'counter', 'CPU time of the pod');
  eachPod(pods, (labels, totals) => podCpu(totals.cpuUsageNanos / SECOND_NANOS, labels));
  const podMemory = text.family('pod_memory_working_set_bytes', 'gauge', 'Memory of the pod');
  eachPod(pods, (labels, totals) => podMemory(totals.memoryWorkingSetBytes, labels));
  text.family('resource_scrape_error', 'gauge', '1 if reading failed')(0);
  return text.toString();
}

function each(
  pods: readonly PodReading[],
  use: (labels: Labels, reading: ContainerReading) => void,
): void {
  for (const { name, namespace, containers } of pods) {
    for (const reading of containers) {
      if (reading.record.state !== 'running') continue;
      use({ container: reading.record.name, namespace, pod: name }, reading);
    }
  }
}

function eachPod(
  pods: readonly PodReading[],
  use: (labels: Labels, totals: Omit<ContainerStats, 'atMs'>) => void,
): void {
  for (const pod of pods) {
    const totals = podTotals(pod);
    if (totals !== undefined) use({ namespace: pod.namespace, pod: pod.name }, totals);
  }
}
