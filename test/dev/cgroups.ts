/**
 * The cgroups of a development node: one group in each hierarchy that the host has, v1 controllers or
 * the unified v2 tree. The node's processes join before they enter a cgroup namespace, so that the
 * group is the root of what they see.
 */
import {
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

export interface Hierarchy {
  /** Where the host mounts it. */
  readonly path: string;
  /** v1: its controllers, as mount options; empty for v2. */
  readonly options: string;
  readonly version: 1 | 2;
  /** Folder name below /sys/fs/cgroup in the node. */
  readonly name: string;
}

/** The hierarchies of `mountinfo` (proc(5)); systemd's named v1 hierarchy is left out. */
export function parseHierarchies(mountinfo: string): Hierarchy[] {
  const found = new Map<string, Hierarchy>();
  for (const line of mountinfo.split('\n')) {
    const [left, right] = line.split(' - ');
    if (left === undefined || right === undefined) continue;
    const path = left.split(' ')[4] ?? '';
    const [type, , superOptions] = right.split(' ');
    if (type === 'cgroup2') found.set('2', { path, options: '', version: 2, name: '' });
    if (type !== 'cgroup') continue;
    const controllers = (superOptions ?? '')
      .split(',')
      .filter((o) => !['rw', 'ro', 'xattr', 'noprefix', 'clone_children'].includes(o));
    if (controllers.some((o) => o.includes('='))) continue;
    const options = controllers.join(',');
    found.set(options, { path, options, version: 1, name: options });
  }
  const v1 = [...found.values()].filter((h) => h.version === 1);
  const v2 = found.get('2');
  if (v2 === undefined || v1.length === 0) return [...found.values()];
  return [...v1, { ...v2, name: 'unified' }];
}

/** Makes the group in every hierarchy; returns the files through which a process joins. */
export function createCgroups(hierarchies: readonly Hierarchy[], cgroup: string): string[] {
  return hierarchies.map(({ path, version, options }) => {
    const dir = join(path, cgroup);
    if (version === 2) enableControllers(path);
    mkdirSync(dir, { recursive: true });
    if (options.split(',').includes('cpuset')) {
      for (const file of ['cpuset.cpus', 'cpuset.mems']) {
        writeFileSync(join(dir, file), readFileSync(join(path, file)));
      }
      writeFileSync(join(dir, 'cgroup.clone_children'), '1');
    }
    return join(dir, 'cgroup.procs');
  });
}

/** v2: what the group may use must be enabled in its parent. */
export function enableControllers(dir: string): void {
  const controllers = readFileSync(join(dir, 'cgroup.controllers'), 'utf8').trim();
  if (controllers === '') return;
  const enable = controllers.split(' ').map((name) => `+${name}`);
  writeFileSync(join(dir, 'cgroup.subtree_control'), enable.join(' '));
}

/** Every process in the group or below it: whatever of the node still runs. */
export function processesIn(hierarchies: readonly Hierarchy[], cgroup: string): Set<number> {
  const pids = new Set<number>();
  for (const { path } of hierarchies) {
    for (const file of globSync(join(path, cgroup, '**/cgroup.procs'))) {
      for (const line of readFileSync(file, 'utf8').split('\n'))
        if (line !== '') pids.add(Number(line));
    }
  }
  return pids;
}

/** Removes the group and all below it from every hierarchy; nothing may run in it any more. */
export function removeCgroups(hierarchies: readonly Hierarchy[], cgroup: string): void {
  for (const { path } of hierarchies) removeTree(join(path, cgroup));
}

function removeTree(dir: string): void {
  if (!existsSync(dir)) return;
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(join(dir, entry.name));
  }
  rmdirSync(dir);
}
