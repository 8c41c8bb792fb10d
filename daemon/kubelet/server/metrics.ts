/**
 * What the kubelet tells about itself and its containers: /metrics and /metrics/resource in
 * Prometheus' text form, /stats/summary as JSON. Pure but for the readings passed in.
 */
import type { Container, ContainerStats } from '../../runtime/port.ts';

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
  readonly cpuUsageNanos: number;
  readonly memoryWorkingSetBytes: number;
  readonly memoryAvailableBytes: number;
  readonly startedAtMs: number;
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
  memory(node.memoryWorkingSetBytes);
  return text.toString();
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
  nodeMemory(node.memoryWorkingSetBytes);
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

export function statsSummary(pods: readonly PodReading[], node: NodeReading): object {
  const time = new Date(node.atMs).toISOString();
  return {
    node: {
      nodeName: node.nodeName,
      startTime: new Date(node.startedAtMs).toISOString(),
      cpu: { time, usageCoreNanoSeconds: node.cpuUsageNanos },
      memory: {
        time,
        availableBytes: node.memoryAvailableBytes,
        workingSetBytes: node.memoryWorkingSetBytes,
      },
    },
    pods: pods.map((pod) => ({
      podRef: { name: pod.name, namespace: pod.namespace, uid: pod.uid },
      startTime: pod.startTime,
      containers: pod.containers
        .filter((c) => c.record.state === 'running')
        .map(({ record, stats }) => ({
          name: record.name,
          startTime: new Date(record.startedAtMs ?? 0).toISOString(),
          ...(stats === undefined ? {} : containerSummary(stats)),
        })),
    })),
  };
}

function containerSummary(stats: ContainerStats): object {
  const time = new Date(stats.atMs).toISOString();
  return {
    cpu: { time, usageCoreNanoSeconds: stats.cpuUsageNanos },
    memory: {
      time,
      usageBytes: stats.memoryUsageBytes,
      workingSetBytes: stats.memoryWorkingSetBytes,
    },
  };
}
