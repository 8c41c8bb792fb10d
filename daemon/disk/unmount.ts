/**
 * Gives the machine's volumes back: everything that is mounted below them, or elsewhere out of them, first
 * (volumes of pods; root filesystems of containers, whose layers lie on a volume), the newest first. A mount that stays busy is never let go silently: it becomes read-only if that is
 * possible, and is named.
 */
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorText, isErrno } from '#base/errors.ts';
import { MNT_DETACH, MS, mount, syncfs, umount, UMOUNT_NOFOLLOW } from '#base/linux/syscall.ts';

const BUSY_MS = 5_000;
const RETRY_MS = 50;

/** Mount points at or below `targets`, in the order in which to unmount. Pure. */
export function planUnmounts(mountinfo: string, targets: readonly string[]): string[] {
  const below = (path: string) =>
    targets.some((target) => path === target || path.startsWith(`${target}/`));
  return mountinfo
    .split('\n')
    .map((line) => unescape(line.split(' ')[4] ?? ''))
    .filter((path) => path !== '' && below(path))
    .toReversed(); // The kernel lists mounts in the order in which they were made.
}

/** proc(5): blanks, tabs, newlines and backslashes stand as three octal digits. */
function unescape(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

/**
 * Resolves when nothing is mounted at or below `volumes` and `users` (folders with mounts that hold volumes:
 * overlays) any more, to a line for each that stayed busy.
 */
export async function unmountVolumes(
  volumes: readonly string[],
  users: readonly string[] = [],
): Promise<string[]> {
  for (const volume of volumes) flush(volume);
  const targets = [...volumes, ...users];
  const startedAt = performance.now();
  for (;;) {
    const left = unmountAll(targets);
    if (left.size === 0) return [];
    if (performance.now() - startedAt > BUSY_MS) return giveUp(left);
    await sleep(RETRY_MS); // Mount namespaces of processes that were killed go a moment later.
  }
}

/** One pass; what could not be unmounted, with its error. */
function unmountAll(targets: readonly string[]): Map<string, unknown> {
  const failed = new Map<string, unknown>();
  for (const path of planUnmounts(readFileSync('/proc/self/mountinfo', 'utf8'), targets)) {
    try {
      umount(path, UMOUNT_NOFOLLOW);
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'EINVAL')) continue; // Gone with the mount above it.
      failed.set(path, error);
    }
  }
  return failed;
}

function giveUp(left: ReadonlyMap<string, unknown>): string[] {
  const lines: string[] = [];
  for (const [path, error] of left) {
    const readOnly = tryRun(() =>
      mount({ source: 'none', target: path, flags: REMOUNT_READ_ONLY }),
    );
    tryRun(() => umount(path, MNT_DETACH));
    const state = readOnly ? 'now read-only' : 'still writable';
    lines.push(`${path} is ${state}: ${errorText(error)}`);
  }
  return lines;
}

const REMOUNT_READ_ONLY = MS.REMOUNT | MS.RDONLY;

/** Whether it worked: what comes next is tried either way. */
function tryRun(run: () => void): boolean {
  try {
    run();
    return true;
  } catch {
    return false;
  }
}

/** What was written reaches the disk also when the volume cannot be unmounted. */
function flush(target: string): void {
  try {
    const fd = openSync(target, 'r');
    try {
      syncfs(fd);
    } finally {
      closeSync(fd);
    }
  } catch {
    // A disk that fails now fails in unmounting too, which says so.
  }
}
