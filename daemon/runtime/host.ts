/** Facts about this machine and process, read from /proc and /dev: input of the pure spec planning. */
import { lstatSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { processId } from '#base/linux/process.ts';
import { deviceNumbers } from '#base/linux/syscall.ts';
import { parseCapabilityMask } from './oci/capabilities.ts';
import type { Device, HostFacts } from './oci/spec.ts';

export function observeHost(cgroupVersion: 1 | 2): HostFacts {
  const status = readFileSync('/proc/self/status', 'utf8');
  const limits = readFileSync('/proc/self/limits', 'utf8');
  const openFiles = /^Max open files\s+\S+\s+(\S+)/m.exec(limits)?.[1] ?? '';
  return {
    cgroupVersion,
    capabilities: parseCapabilityMask(/^CapPrm:\s*(\S+)/m.exec(status)?.[1] ?? '0'),
    arch: process.arch,
    oomScoreAdj: Number(readFileSync('/proc/self/oom_score_adj', 'utf8')),
    openFilesMax: openFiles === 'unlimited' ? 1_048_576 : Number(openFiles),
  };
}

/** Changes at every boot of the kernel: processes recorded under another one are gone. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

/**
 * When the process started, in clock ticks since boot: with the pid it names a process for good.
 * undefined when there is none, or only a zombie.
 */
export function processStart(pid: number): number | undefined {
  return processId(pid)?.startTicks;
}

const NOT_FOR_CONTAINERS = /^\/dev\/(pts|shm|fd|mqueue|\.lxc|\.lxd-mounts|\.udev)$/;

/** Every device node below `path`, for privileged containers. */
export function hostDevices(path = '/dev'): readonly Device[] {
  const devices: Device[] = [];
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const child = join(path, entry.name);
    if (entry.isDirectory()) {
      if (!NOT_FOR_CONTAINERS.test(child)) devices.push(...hostDevices(child));
    } else if (!entry.isSymbolicLink()) {
      if (child === '/dev/console') continue; // The container's own, where it has a terminal.
      // The entry tells the type of the file below where a device is bind-mounted, as in development nodes.
      const device = readDevice(child, child, 'rwm');
      if (device !== undefined) devices.push(device);
    }
  }
  return devices;
}

/** The node at `hostPath` (links followed) as a device at `path`; undefined when it is none. */
export function readDevice(hostPath: string, path: string, access: string): Device | undefined {
  if (lstatSync(hostPath, { throwIfNoEntry: false }) === undefined) return undefined;
  const stat = statSync(hostPath, { bigint: true });
  const type = stat.isCharacterDevice() ? 'c' : stat.isBlockDevice() ? 'b' : undefined;
  if (type === undefined) return undefined;
  return {
    type,
    path,
    ...deviceNumbers(stat.rdev),
    fileMode: Number(stat.mode & 0o7777n),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    access,
  };
}
