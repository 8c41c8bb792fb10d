/** What metrics-server and others read of the kubelet. */
import t from 'tap';
import type { Container } from '../../runtime/port.ts';
import { readCpuUsageNanos } from '../node/node-facts.ts';
import { formatResourceMetrics } from './metrics.ts';
import { statsSummary } from './stats-summary.ts';

const node = {
  nodeName: 'n',
  atMs: 10_000,
  cpuUsageNanos: 5e9,
  machine: {
    memoryBytes: 1000,
    memoryAvailableBytes: 300,
    diskBytes: 5000,
    diskAvailableBytes: 4000,
    inodes: 100,
    inodesFree: 80,
    pidsMax: 50,
    pidsFree: 40,
  },
  startedAtMs: 0,
  residentBytes: 77,
  images: { bytes: 400, inodes: 4 },
};
const container = (name: string, cpuUsageNanos: number) => ({
  record: { name, state: 'running', startedAtMs: 1000 } as Container, // Enough.
  stats: { atMs: 9000, cpuUsageNanos, memoryUsageBytes: 20, memoryWorkingSetBytes: 10, pids: 2 },
});
const pod = {
  namespace: 'ns',
  name: 'p',
  uid: 'u',
  startTime: '1970-01-01T00:00:01Z',
  containers: [container('a', 1e9), container('b', 2e9)],
  usage: {
    containers: ['a', 'b'].map((name) => ({
      name,
      memoryBytes: 10,
      pids: 2,
      rootfs: { bytes: 30, inodes: 3 },
      logs: { bytes: 5, inodes: 1 },
    })),
    volumes: { v: { bytes: 100, inodes: 2 } },
  },
};

t.test('formatResourceMetrics() tells of the machine, pods and containers', async (t) => {
  const lines = formatResourceMetrics([pod], node).split('\n');
  for (const line of [
    'node_cpu_usage_seconds_total 5',
    'node_memory_working_set_bytes 700',
    'container_cpu_usage_seconds_total{container="a",namespace="ns",pod="p"} 1',
    'container_memory_working_set_bytes{container="b",namespace="ns",pod="p"} 10',
    'pod_cpu_usage_seconds_total{namespace="ns",pod="p"} 3',
    'pod_memory_working_set_bytes{namespace="ns",pod="p"} 20',
    'resource_scrape_error 0',
  ]) {
    t.ok(lines.includes(line), line);
  }
});

t.test('statsSummary() tells of disks, too', async (t) => {
  t.match(statsSummary([pod], node), {
    node: {
      cpu: { usageCoreNanoSeconds: 5e9 },
      memory: { availableBytes: 300, workingSetBytes: 700 },
      fs: { availableBytes: 4000, capacityBytes: 5000, usedBytes: 1000, inodesUsed: 20 },
      runtime: {
        imageFs: { availableBytes: 4000, usedBytes: 400, inodesUsed: 4 },
        containerFs: { usedBytes: 60 },
      },
      rlimit: { maxpid: 50, curproc: 10 },
    },
    pods: [
      {
        podRef: { name: 'p', namespace: 'ns', uid: 'u' },
        cpu: { usageCoreNanoSeconds: 3e9 },
        memory: { workingSetBytes: 20 },
        containers: [
          {
            name: 'a',
            rootfs: { usedBytes: 30 },
            logs: { usedBytes: 5 },
            memory: { usageBytes: 20 },
          },
          { name: 'b' },
        ],
        volume: [{ name: 'v', usedBytes: 100 }],
        'ephemeral-storage': { usedBytes: 170, inodesUsed: 10 },
        process_stats: { process_count: 4 },
      },
    ],
  });
});

t.test('readCpuUsageNanos()', async (t) => {
  t.ok(readCpuUsageNanos() > 1e9, 'of a machine that runs tests');
});
