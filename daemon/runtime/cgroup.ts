/**
 * The cgroups of pods: made, limited, measured and removed here; those of containers are runc's, below
 * them. Works on cgroup v2, and on v1 controllers where a development machine mounts those. Paths are
 * from the cgroup mount: `/bareboat/kubepods/burstable/pod<uid>`.
 *
 * conmon lives in the leaf `<pod>/conmon`: on v2 a group with children may hold no processes.
 */
import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '#base/errors.ts';
import type { Log } from '#base/log.ts';
import { cgroupWrites } from './oci/resources.ts';
import type { CgroupResources, ContainerStats } from './port.ts';

const CONTROLLERS = ['cpu', 'cpuset', 'memory', 'pids', 'io'] as const;

export interface CgroupLayout {
  readonly version: 1 | 2;
  /** v2: the one mount under ''. v1: mount points by controller, and the empty v2 tree as `unified`. */
  readonly mounts: ReadonlyMap<string, string>;
}

/** From /proc/self/mountinfo. v1 where it has the memory controller: v2 without one enforces nothing. */
export function parseCgroupLayout(mountinfo: string): CgroupLayout | undefined {
  const v1 = new Map<string, string>();
  let v2: string | undefined;
  for (const line of mountinfo.split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const mountPoint = before.split(' ')[4];
    const [type, , options = ''] = after.split(' ');
    if (mountPoint === undefined) continue;
    if (type === 'cgroup2') v2 = mountPoint;
    if (type !== 'cgroup') continue;
    for (const option of options.split(',')) {
      if (!/^(cpu|cpuacct|cpuset|memory|pids|devices|freezer|blkio|name=systemd)$/.test(option)) {
        continue;
      }
      if (!v1.has(option)) v1.set(option, mountPoint);
    }
  }
  if (v1.has('memory')) {
    if (v2 !== undefined) v1.set('unified', v2); // No controllers there; runc makes its groups all the same.
    return { version: 1, mounts: v1 };
  }
  return v2 === undefined ? undefined : { version: 2, mounts: new Map([['', v2]]) };
}

export class Cgroups {
  readonly version: 1 | 2;
  readonly #layout: CgroupLayout;
  readonly #log: Log;

  constructor(layout: CgroupLayout, log: Log) {
    this.#layout = layout;
    this.version = layout.version;
    this.#log = log;
  }

  /** Controllers of limits that this host cannot enforce. */
  missingControllers(): readonly string[] {
    const root = this.#layout.mounts.get('') ?? '';
    const available =
      this.version === 2
        ? readMaybe(join(root, 'cgroup.controllers')).trim().split(' ')
        : [...this.#layout.mounts.keys()];
    return ['cpu', 'memory', 'pids'].filter((controller) => !available.includes(controller));
  }

  /** The group with its limits. Limits that this host cannot enforce are logged and left out. */
  create(path: string, resources: CgroupResources): void {
    if (this.version === 2) this.#createV2(path);
    else for (const dir of this.#dirs(path)) mkdirSync(dir, { recursive: true });
    this.setResources(path, resources);
  }

  setResources(path: string, resources: CgroupResources): void {
    for (const { controller, file, value } of cgroupWrites(resources, this.version)) {
      const dir = this.#dir(controller, path);
      if (dir === undefined) continue;
      try {
        writeFileSync(join(dir, file), value);
      } catch (error) {
        if (!isErrno(error)) throw error;
        this.#log.warn('cgroup limit not applied', { path, file, value, error });
      }
    }
  }

  /** Moves `pid` into the leaf of the pod that holds its monitors. */
  addMonitor(podPath: string, pid: number): void {
    const path = join(podPath, 'conmon');
    const dirs =
      this.version === 2
        ? this.#dirs(path)
        : ['cpu', 'cpuacct', 'memory', 'pids'].flatMap((c) => this.#dir(c, path) ?? []);
    for (const dir of new Set(dirs)) {
      mkdirSync(dir, { recursive: true });
      writeFileSync(join(dir, 'cgroup.procs'), String(pid));
    }
  }

  hasMonitor(podPath: string, pid: number): boolean {
    return this.processes(join(podPath, 'conmon')).includes(pid);
  }

  /** Removes the group and the empty ones below; false when processes keep one of them. */
  remove(path: string): boolean {
    return this.#dirs(path).every((dir) => this.#removeTree(dir));
  }

  /** Processes in the group itself. */
  processes(path: string): readonly number[] {
    const dir = this.version === 2 ? this.#dir('', path) : this.#dir('pids', path);
    const text = dir === undefined ? '' : readMaybe(join(dir, 'cgroup.procs'));
    return text.split('\n').filter(Boolean).map(Number);
  }

  /** How often the kernel ended a process of the group for want of memory. */
  oomKillCount(path: string): number {
    const dir = this.#dir('memory', path);
    if (dir === undefined) return 0;
    const file = this.version === 2 ? 'memory.events' : 'memory.oom_control';
    return keyed(readMaybe(join(dir, file)), 'oom_kill');
  }

  stats(path: string, atMs: number): ContainerStats | undefined {
    const read = (controller: string, file: string): string => {
      const dir = this.#dir(controller, path);
      return dir === undefined ? '' : readMaybe(join(dir, file));
    };
    const isV2 = this.version === 2;
    const memory = read('memory', isV2 ? 'memory.current' : 'memory.usage_in_bytes');
    if (memory === '') return undefined;
    const stat = read('memory', 'memory.stat');
    const inactive = keyed(stat, isV2 ? 'inactive_file' : 'total_inactive_file');
    const usage = Number(memory);
    return {
      atMs,
      cpuUsageNanos: isV2
        ? keyed(read('cpu', 'cpu.stat'), 'usage_usec') * 1000
        : Number(read('cpuacct', 'cpuacct.usage')),
      memoryUsageBytes: usage,
      memoryWorkingSetBytes: Math.max(usage - inactive, 0),
      pids: Number(read('pids', 'pids.current')),
    };
  }

  #dir(controller: string, path: string): string | undefined {
    const mount = this.#layout.mounts.get(this.version === 2 ? '' : controller);
    return mount === undefined ? undefined : join(mount, path);
  }

  #dirs(path: string): readonly string[] {
    return [...new Set(this.#layout.mounts.values())].map((mount) => join(mount, path));
  }

  /** Controllers are enabled for children all the way down: limits of containers need them. */
  #createV2(path: string): void {
    let dir = this.#layout.mounts.get('') ?? '';
    for (const part of ['', ...path.split('/').filter(Boolean)]) {
      dir = join(dir, part);
      mkdirSync(dir, { recursive: true });
      const available = readMaybe(join(dir, 'cgroup.controllers')).trim().split(' ');
      const wanted = CONTROLLERS.filter((controller) => available.includes(controller));
      if (wanted.length === 0) continue;
      try {
        writeFileSync(join(dir, 'cgroup.subtree_control'), wanted.map((c) => `+${c}`).join(' '));
      } catch (error) {
        if (!isErrno(error)) throw error;
        this.#log.warn('cgroup controllers not enabled', { path: dir, error });
      }
    }
  }

  #removeTree(dir: string): boolean {
    try {
      for (const entry of readdirSync(dir, { withFileTypes: true })) {
        if (entry.isDirectory() && !this.#removeTree(join(dir, entry.name))) return false;
      }
      rmdirSync(dir);
      return true;
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return true;
      if (isErrno(error, 'EBUSY', 'ENOTEMPTY')) return false;
      throw error;
    }
  }
}

/** Text of a file, or '' when the group is gone or lacks it. */
function readMaybe(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENODEV', 'EOPNOTSUPP')) return '';
    throw error;
  }
}

/** The value behind `key` in lines of `key value`; 0 when absent. */
function keyed(text: string, key: string): number {
  for (const line of text.split('\n')) {
    const [name, value] = line.split(' ');
    if (name === key) return Number(value);
  }
  return 0;
}
