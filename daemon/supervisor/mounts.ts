/**
 * The mounts that every machine has beside the read-only root: state that is gone with the machine in
 * tmpfs, terminals, shared memory. Idempotent: a supervisor that was restarted finds them.
 */
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { isErrno } from '#base/errors.ts';
import { MS, mount } from '#base/linux/syscall.ts';

interface BaseMount {
  readonly target: string;
  readonly type: string;
  readonly data?: string;
  readonly flags: number;
}

const HARD = MS.NOSUID | MS.NODEV;

const BASE: readonly BaseMount[] = [
  { target: '/run', type: 'tmpfs', data: 'mode=755,size=25%', flags: MS.NOSUID },
  { target: '/tmp', type: 'tmpfs', data: 'mode=1777,size=25%', flags: HARD },
  { target: '/var', type: 'tmpfs', data: 'mode=755,size=50%', flags: MS.NOSUID },
  { target: '/dev/pts', type: 'devpts', data: 'ptmxmode=0666,mode=620,gid=0', flags: MS.NOSUID },
  { target: '/dev/shm', type: 'tmpfs', data: 'mode=1777', flags: HARD },
  { target: '/dev/mqueue', type: 'mqueue', flags: HARD },
  { target: '/sys/fs/bpf', type: 'bpf', flags: HARD },
];

/** Targets of all mounts of this process's namespace. */
export function mountTargets(): Set<string> {
  const text = readFileSync('/proc/self/mounts', 'utf8');
  return new Set(text.split('\n').flatMap((line) => line.split(' ')[1] ?? []));
}

export function mountBase(): void {
  const present = mountTargets();
  for (const { target, type, data, flags } of BASE) {
    if (present.has(target)) continue;
    makeDirectory(target);
    mount({ source: type, target, type, flags, ...(data !== undefined && { data }) });
  }
  for (const dir of ['/run/bareboat', '/var/lib/bareboat', '/var/log', '/var/tmp'])
    makeDirectory(dir);
  for (const [path, target] of LINKS) {
    try {
      symlinkSync(target, path);
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) throw error; // Made by an earlier supervisor.
    }
  }
}

/** What programs expect in /dev beside devtmpfs; and /var/run. */
const LINKS: readonly (readonly [string, string])[] = [
  ['/dev/fd', '/proc/self/fd'],
  ['/dev/stdin', '/proc/self/fd/0'],
  ['/dev/stdout', '/proc/self/fd/1'],
  ['/dev/stderr', '/proc/self/fd/2'],
  ['/var/run', '../run'],
];

function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (error) {
    if (!isErrno(error, 'EROFS', 'EPERM')) throw error; // sysfs makes its own directories.
  }
}
