/** cgroup limits as OCI resources and as cgroup v2 file values. Pure. */
import type { CgroupResources } from '../port.ts';

/** cpu.weight (1 to 10,000) for v1 shares (2 to 262,144): runc's and the kubelet's translation. */
export function cpuWeight(shares: number): number {
  const clamped = Math.min(Math.max(shares, 2), 262_144);
  return 1 + Math.trunc(((clamped - 2) * 9999) / 262_142);
}

const PERIOD_MICROS = 100_000;

export interface OciResources {
  readonly cpu?: { shares?: number; quota?: number; period?: number };
  readonly memory?: { limit: number };
  readonly pids?: { limit: number };
  readonly unified?: Readonly<Record<string, string>>;
  readonly devices?: readonly { allow: boolean; access: string }[];
}

/** `unified` is for cgroup v2 only: runc refuses it on v1. */
export function ociResources(resources: CgroupResources, cgroupVersion: 1 | 2): OciResources {
  const { cpuShares, cpuQuotaMicros, cpuPeriodMicros, memoryLimitBytes, pidsLimit } = resources;
  const cpu = {
    ...(cpuShares === undefined ? {} : { shares: Math.max(cpuShares, 2) }),
    ...(cpuQuotaMicros === undefined
      ? {}
      : { quota: cpuQuotaMicros, period: cpuPeriodMicros ?? PERIOD_MICROS }),
  };
  return {
    ...(Object.keys(cpu).length === 0 ? {} : { cpu }),
    ...(memoryLimitBytes === undefined ? {} : { memory: { limit: memoryLimitBytes } }),
    ...(pidsLimit === undefined ? {} : { pids: { limit: pidsLimit } }),
    // As the kubelet asks for: the kernel ends a container as a whole when it is out of memory.
    ...(cgroupVersion === 2 && memoryLimitBytes !== undefined
      ? { unified: { 'memory.oom.group': '1' } }
      : {}),
  };
}

export interface CgroupWrite {
  /** v1 controller; on v2 everything is in one directory. */
  readonly controller: 'cpu' | 'memory' | 'pids';
  readonly file: string;
  readonly value: string;
}

/** What to write into a group's files. Absent limits are written as "none", so updates can lift them. */
export function cgroupWrites(resources: CgroupResources, version: 1 | 2): readonly CgroupWrite[] {
  const { cpuShares, cpuQuotaMicros, memoryLimitBytes, pidsLimit } = resources;
  const period = resources.cpuPeriodMicros ?? PERIOD_MICROS;
  const shares = cpuShares ?? 1024;
  if (version === 2) {
    const quota = cpuQuotaMicros === undefined || cpuQuotaMicros <= 0 ? 'max' : `${cpuQuotaMicros}`;
    return [
      { controller: 'cpu', file: 'cpu.weight', value: String(cpuWeight(shares)) },
      { controller: 'cpu', file: 'cpu.max', value: `${quota} ${period}` },
      { controller: 'memory', file: 'memory.max', value: String(memoryLimitBytes ?? 'max') },
      { controller: 'pids', file: 'pids.max', value: String(pidsLimit ?? 'max') },
    ];
  }
  return [
    { controller: 'cpu', file: 'cpu.shares', value: String(Math.max(shares, 2)) },
    { controller: 'cpu', file: 'cpu.cfs_period_us', value: String(period) },
    { controller: 'cpu', file: 'cpu.cfs_quota_us', value: String(cpuQuotaMicros ?? -1) },
    { controller: 'memory', file: 'memory.limit_in_bytes', value: String(memoryLimitBytes ?? -1) },
    { controller: 'pids', file: 'pids.max', value: String(pidsLimit ?? 'max') },
  ];
}
