/**
 * Namespaces of a pod, kept by bind mounts instead of a process. They are made by the main thread of
 * this process, which steps into new ones, mounts /proc/thread-self/ns/* and steps back; nothing in
 * between is asynchronous, so no other code ever runs in them (3 to 4 ms, reference/runtime.md §6).
 *
 * Only a shared PID namespace needs a process (pid-holder.ts): the kernel ends it with its first one.
 */
import { closeSync, mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { unmountMaybe } from '#base/linux/mounts.ts';
import { CLONE, MS, mount, setHostname, setns, unshare } from '#base/linux/syscall.ts';
import { sysctlPath } from '#base/sysctl-name.ts';
import { RuntimeError } from './port.ts';

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
      for (const [name, value] of Object.entries(request.sysctls)) setSysctl(name, value);
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

function setSysctl(name: string, value: string): void {
  const path = sysctlPath(name);
  if (path === undefined) throw new RuntimeError('CREATE_FAILED', `no kernel parameter ${name}`);
  writeFileSync(join('/proc/sys', path), value);
}

/** Lets go of whatever is mounted in `dir`. Idempotent. */
export function removeNamespaces(dir: string): void {
  for (const kind of ['net', 'ipc', 'uts', 'pid']) {
    unmountMaybe(join(dir, kind));
    rmSync(join(dir, kind), { force: true });
  }
}
