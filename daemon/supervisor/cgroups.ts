/**
 * The cgroup tree of the machine and what it keeps for whom (cgroup v2):
 *
 *   init.slice           stage0 and the supervisor
 *   system.slice/UNIT    the node's own processes
 *   kubepods.slice       all pods, which together never get what is kept for the two above
 *
 * `memory.min` of a group is never reclaimed while it is in use; the sum of all is what the kubelet keeps back
 * from pods, beside the image that the machine holds in memory. Where cgroup v2 has no controllers (a
 * development host) there are no groups.
 */
import { existsSync, mkdirSync, readFileSync, statfsSync, writeFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { errorText, isErrno } from '#base/errors.ts';
import type { Log } from '#base/log.ts';
import { UNIT_SPECS } from './unit-specs.ts';

const ROOT = '/sys/fs/cgroup';
const CONTROLLERS = ['cpu', 'cpuset', 'memory', 'pids', 'io'];
/** Of stage0 and the supervisor: what they use when idle. */
const INIT_MEMORY_MIN_BYTES = 40 << 20;
/** Pods together get a tenth of the processor when the node's own processes want it too. */
const SYSTEM_CPU_WEIGHT = 1000;
/** statfs(2) f_type. */
const EROFS_MAGIC = 0xe0f5e1e2;

/** Bytes that pods do not get: what is kept for the node's processes, and the image in memory. */
export function reservedMemoryBytes(): number {
  return INIT_MEMORY_MIN_BYTES + unitMemoryMinBytes() + imageBytes();
}

function unitMemoryMinBytes(): number {
  return UNIT_SPECS.reduce((sum, { memoryMinBytes }) => sum + memoryMinBytes, 0);
}

/** The root image lies in an initramfs, which counts as used memory. */
function imageBytes(): number {
  const { type, blocks, bsize } = statfsSync('/');
  return type === EROFS_MAGIC ? blocks * bsize : 0;
}

/** Whether units can have groups of their own here. */
export function hasCgroups(): boolean {
  const controllers = readIfPresent(join(ROOT, 'cgroup.controllers'));
  return controllers !== undefined && controllers.trim() !== '';
}

/** The file through which a process joins a unit's group. */
export function unitCgroupFile(unit: string): string {
  return join(ROOT, 'system.slice', unit, 'cgroup.procs');
}

/** Makes the tree; idempotent. What this kernel refuses is logged: the node runs without it. */
export function prepareCgroups(log: Log): void {
  if (!hasCgroups()) return;
  const write = (file: string, value: string | number) => {
    try {
      writeFileSync(join(ROOT, file), String(value));
    } catch (error) {
      if (!isErrno(error)) throw error;
      log.warn('cgroup setting refused', { file, value, error: errorText(error) });
    }
  };
  const make = (group: string) => mkdirSync(join(ROOT, group), { recursive: true });
  // First: in a namespace the root may have controllers only when it has no processes.
  make('init.slice');
  for (const pid of [1, process.pid]) write('init.slice/cgroup.procs', pid);
  enableControllers('', write);
  write('init.slice/memory.min', INIT_MEMORY_MIN_BYTES);
  make('system.slice');
  enableControllers('system.slice', write);
  write('system.slice/cpu.weight', SYSTEM_CPU_WEIGHT);
  write('system.slice/memory.min', unitMemoryMinBytes());
  for (const { name, memoryMinBytes } of UNIT_SPECS) {
    make(join('system.slice', name));
    write(join('system.slice', name, 'memory.min'), memoryMinBytes);
  }
  make('kubepods.slice');
  write('kubepods.slice/memory.max', Math.max(0, totalmem() - reservedMemoryBytes()));
}

function enableControllers(group: string, write: (file: string, value: string) => void): void {
  const text = readIfPresent(join(ROOT, group, 'cgroup.controllers')) ?? '';
  const present = text.trim().split(' ');
  const wanted = CONTROLLERS.filter((name) => present.includes(name)).map((name) => `+${name}`);
  if (wanted.length > 0) write(join(group, 'cgroup.subtree_control'), wanted.join(' '));
}

function readIfPresent(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}
