/**
 * Namespaces of a pod, kept by bind mounts instead of a process. They are made by the main thread of
 * this process, which steps into new ones, mounts /proc/thread-self/ns/* and steps back; nothing in
 * between is asynchronous, so no other code ever runs in them (3 to 4 ms, reference/runtime.md §6).
 *
 * Only a shared PID namespace needs a process (pid-holder.ts): the kernel ends it with its first one.
 */
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '#base/errors.ts';
import {
  CLONE,
  MNT_DETACH,
  MS,
  mount,
  setHostname,
  setns,
  umount,
  unshare,
} from '#base/linux/syscall.ts';

const FLAGS = { net: CLONE.NEWNET, ipc: CLONE.NEWIPC, uts: CLONE.NEWUTS } as const;
export type PinnedNamespace = keyof typeof FLAGS;

export interface NamespaceRequest {
  readonly kinds: readonly PinnedNamespace[];
  /** Where the mounts go: `<dir>/net`, `<dir>/ipc`, `<dir>/uts`. */
  readonly dir: string;
  readonly hostname: string;
  /** Set inside: `net.ipv4.ip_forward` → `1`. */
  readonly sysctls: Readonly<Record<string, string>>;
}

export function createNamespaces(request: NamespaceRequest): void {
  mkdirSync(request.dir, { recursive: true, mode: 0o700 });
  if (request.kinds.length === 0) return;
  const home = request.kinds.map((kind) => ({
    kind,
    fd: openSync(`/proc/thread-self/ns/${kind}`, 'r'),
  }));
  try {
    unshare(request.kinds.reduce((flags, kind) => flags | FLAGS[kind], 0));
    try {
      for (const kind of request.kinds) pin(kind, join(request.dir, kind));
      if (request.kinds.includes('uts')) setHostname(request.hostname);
      for (const [name, value] of Object.entries(request.sysctls)) {
        writeFileSync(sysctlPath(name), value);
      }
    } finally {
      for (const { kind, fd } of home) setns(fd, FLAGS[kind]);
    }
  } catch (error) {
    removeNamespaces(request.dir);
    throw error;
  } finally {
    for (const { fd } of home) closeSync(fd);
  }
}

function pin(kind: PinnedNamespace, path: string): void {
  writeFileSync(path, '');
  mount({ source: `/proc/thread-self/ns/${kind}`, target: path, flags: MS.BIND });
}

/** Dots separate, unless the name has slashes: then dots are part of names (sysctl(8)). */
export function sysctlPath(name: string): string {
  const first = /[./]/.exec(name)?.[0];
  const path = first === '/' ? name : name.replace(/[./]/g, (char) => (char === '.' ? '/' : '.'));
  return join('/proc/sys', ...path.split('/').filter((part) => part !== '' && part !== '..'));
}

/** Lets go of whatever is mounted in `dir`. Idempotent. */
export function removeNamespaces(dir: string): void {
  for (const kind of ['net', 'ipc', 'uts', 'pid']) {
    unmountMaybe(join(dir, kind));
    rmSync(join(dir, kind), { force: true });
  }
}

/** Detaches a mount; nothing when there is none. */
export function unmountMaybe(path: string): void {
  try {
    umount(path, MNT_DETACH);
  } catch (error) {
    if (!isErrno(error, 'EINVAL', 'ENOENT')) throw error; // EINVAL: not a mount point.
  }
}

/** Mount points of this process at or below `dir`, innermost first. */
export function mountsBelow(dir: string): readonly string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => (line.split(' ')[4] ?? '').replaceAll('\\040', ' '))
    .filter((path) => path === dir || path.startsWith(`${dir}/`))
    .reverse();
}
