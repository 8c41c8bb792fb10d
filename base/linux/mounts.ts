/** Mounts of this process's namespace, from /proc/self/mountinfo (proc(5)), and their undoing. */
import { readFileSync } from 'node:fs';
import { isErrno } from '../errors.ts';
import { MNT_DETACH, UMOUNT_NOFOLLOW, umount } from './syscall.ts';

/** Mount points at or below `directory`, in the order in which to unmount: newest first. */
export function mountsBelow(directory: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => unescape(line.split(' ')[4] ?? ''))
    .filter((path) => path === directory || path.startsWith(`${directory}/`))
    .reverse();
}

/** Blank, tab, newline and backslash stand there in octal. */
function unescape(field: string): string {
  return field.replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

/** Detaches a mount; nothing when there is none. */
export function unmountMaybe(path: string): void {
  try {
    umount(path, MNT_DETACH | UMOUNT_NOFOLLOW);
  } catch (error) {
    if (!isErrno(error, 'EINVAL', 'ENOENT')) throw error; // EINVAL: not a mount point.
  }
}
