/**
 * /stats/summary: what the node, its pods and their containers use, as upstream's stats API (v1alpha1) has
 * it. One file system holds the node's data, images and containers. Pure but for the readings passed in.
 */
import type { DiskUsage } from '../../runtime/port.ts';
import { type PodUsage, usageOf } from '../eviction/rank.ts';
import type { Pressure } from '../node/node-facts.ts';
import { type NodeReading, type PodReading, podTotals, workingSetBytes } from './metrics.ts';

export interface MeasuredPod extends PodReading {
  readonly usage: PodUsage;
}

export interface MeasuredNode extends NodeReading {
  readonly images: DiskUsage;
}

const timeOf = (ms: number) => new Date(ms).toISOString();

export function statsSummary(pods: readonly MeasuredPod[], node: MeasuredNode): object {
  const time = timeOf(node.atMs);
  const { machine } = node;
  const { diskBytes, diskAvailableBytes, inodes, inodesFree } = machine;
  const whole = { bytes: diskBytes - diskAvailableBytes, inodes: inodes - inodesFree };
  const fs = (used: DiskUsage) => fsStats({ time, machine, used });
  // What the writable layers of all containers hold.
  const written = pods
    .flatMap(({ usage }) => usage.containers.map(({ rootfs }) => rootfs))
    .reduce((a, b) => ({ bytes: a.bytes + b.bytes, inodes: a.inodes + b.inodes }), {
      bytes: 0,
      inodes: 0,
    });
  return {
    node: {
      nodeName: node.nodeName,
      startTime: timeOf(node.startedAtMs),
      cpu: { time, usageCoreNanoSeconds: node.cpuUsageNanos },
      memory: {
        time,
        availableBytes: machine.memoryAvailableBytes,
        usageBytes: workingSetBytes(machine),
        workingSetBytes: workingSetBytes(machine),
      },
      fs: fs(whole),
      runtime: { imageFs: fs(node.images), containerFs: fs(written) },
      rlimit: { time, maxpid: machine.pidsMax, curproc: machine.pidsMax - machine.pidsFree },
    },
    pods: pods.map((pod) => podStats(pod, { time, machine })),
  };
}

function fsStats(of: { time: string; machine: Pressure; used: DiskUsage }): object {
  const { time, machine, used } = of;
  return {
    time,
    availableBytes: machine.diskAvailableBytes,
    capacityBytes: machine.diskBytes,
    usedBytes: used.bytes,
    inodesFree: machine.inodesFree,
    inodes: machine.inodes,
    inodesUsed: used.inodes,
  };
}

function podStats(pod: MeasuredPod, at: { time: string; machine: Pressure }): object {
  const { time } = at;
  const { usage } = pod;
  const fs = (used: DiskUsage) => fsStats({ ...at, used });
  const totals = podTotals(pod);
  const used = { bytes: usageOf(usage, 'ephemeral-storage'), inodes: usageOf(usage, 'inodes') };
  const processes = { process_stats: { process_count: totals?.pids ?? 0 } };
  return {
    podRef: { name: pod.name, namespace: pod.namespace, uid: pod.uid },
    startTime: pod.startTime,
    containers: pod.containers
      .filter(({ record }) => record.state === 'running')
      .map(({ record, stats }) => {
        const disk = usage.containers.find(({ name }) => name === record.name);
        return {
          name: record.name,
          startTime: timeOf(record.startedAtMs ?? 0),
          ...(stats && cpuAndMemory(stats, timeOf(stats.atMs))),
          ...(disk && { rootfs: fs(disk.rootfs), logs: fs(disk.logs) }),
        };
      }),
    ...(totals && { ...cpuAndMemory(totals, time), ...processes }),
    volume: Object.entries(usage.volumes).map(([name, volume]) => ({ ...fs(volume), name })),
    'ephemeral-storage': fs(used),
  };
}

function cpuAndMemory(
  stats: { cpuUsageNanos: number; memoryUsageBytes: number; memoryWorkingSetBytes: number },
  time: string,
): object {
  return {
    cpu: { time, usageCoreNanoSeconds: stats.cpuUsageNanos },
    memory: {
      time,
      usageBytes: stats.memoryUsageBytes,
      workingSetBytes: stats.memoryWorkingSetBytes,
    },
  };
}
