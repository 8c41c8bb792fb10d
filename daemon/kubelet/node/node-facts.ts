/** What this machine is and how it fares: read from /proc and the file systems at each call. */
import { readFileSync, statfsSync } from 'node:fs';
import { arch, cpus, release } from 'node:os';
import { isErrno } from '#base/errors.ts';

export interface MachineFacts {
  readonly cpuCount: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly architecture: string;
  readonly kernelVersion: string;
  readonly osImage: string;
  readonly machineId: string;
  readonly systemUuid: string;
  readonly bootId: string;
}

export interface Pressure {
  readonly memoryBytes: number;
  readonly memoryAvailableBytes: number;
  readonly diskAvailableBytes: number;
  readonly diskBytes: number;
  readonly inodesFree: number;
  readonly inodes: number;
  readonly pidsFree: number;
  readonly pidsMax: number;
}

/** Go's names of architectures, which image indexes and node labels use. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    // Not every machine has every file; some are for root only.
    if (isErrno(error, 'ENOENT', 'EACCES', 'ENODEV')) return '';
    throw error;
  }
}

function memoryInfo(field: string): number {
  const match = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readText('/proc/meminfo'));
  return Number(match?.[1] ?? 0) * 1024;
}

export function readMachineFacts(dataDir: string): MachineFacts {
  const disk = statfsSync(dataDir);
  const release_ = readText('/etc/os-release');
  const pretty = /^PRETTY_NAME="?([^"\n]*)"?/m.exec(release_)?.[1];
  return {
    cpuCount: cpus().length,
    memoryBytes: memoryInfo('MemTotal'),
    diskBytes: disk.blocks * disk.bsize,
    architecture: ARCHITECTURES[arch()] ?? arch(),
    kernelVersion: release(),
    osImage: pretty ?? 'Linux',
    machineId: readText('/etc/machine-id'),
    systemUuid: readText('/sys/class/dmi/id/product_uuid'),
    bootId: readText('/proc/sys/kernel/random/boot_id'),
  };
}

/** Of /proc/stat: USER_HZ. */
const TICK_NANOS = 10_000_000;

/** Processor time that the whole machine has used since it started. */
export function readCpuUsageNanos(): number {
  const fields = /^cpu +(.*)$/m.exec(readText('/proc/stat'))?.[1] ?? '';
  // Guests are counted in user and nice already.
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = fields
    .split(' ')
    .map(Number);
  return (user + nice + system + irq + softirq + steal) * TICK_NANOS;
}

export function readPressure(dataDir: string): Pressure {
  const disk = statfsSync(dataDir);
  const pidsMax = Number(readText('/proc/sys/kernel/pid_max'));
  // Fourth field of loadavg: running/existing tasks.
  const tasks = Number(/ \d+\/(\d+) /.exec(readText('/proc/loadavg'))?.[1] ?? 0);
  return {
    memoryBytes: memoryInfo('MemTotal'),
    memoryAvailableBytes: memoryInfo('MemAvailable'),
    diskAvailableBytes: disk.bavail * disk.bsize,
    diskBytes: disk.blocks * disk.bsize,
    inodesFree: disk.ffree,
    inodes: disk.files,
    pidsFree: pidsMax - tasks,
    pidsMax,
  };
}
