/**
 * Mounts that volumes need, as a port and its Linux adapter: tmpfs, bind mounts, unmounting. Calls
 * are synchronous and short. Tests without root use the port.
 */
import { readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { isErrno } from '#base/errors.ts';
import { MNT_DETACH, MS, mount, UMOUNT_NOFOLLOW, umount } from '#base/linux/syscall.ts';

export interface Mounter {
  /** tmpfs at `target`, at most `sizeBytes` large if given. */
  tmpfs(target: string, options: { readonly sizeBytes?: number | undefined }): void;
  /** `source` may be a `/proc/self/fd/N` of this process. */
  bind(source: string, target: string): void;
  /** Lazily; no error when nothing is mounted there. */
  unmount(target: string): void;
  isMountPoint(path: string): boolean;
  /** Mount points at or below `directory`, deepest first. */
  mountsBelow(directory: string): string[];
}

export class LinuxMounter implements Mounter {
  tmpfs(target: string, options: { readonly sizeBytes?: number | undefined }): void {
    const size = options.sizeBytes === undefined ? '' : `,size=${options.sizeBytes}`;
    mount({ source: 'tmpfs', target, type: 'tmpfs', data: `mode=0777${size}` });
  }

  bind(source: string, target: string): void {
    mount({ source, target, flags: MS.BIND });
  }

  unmount(target: string): void {
    try {
      umount(target, MNT_DETACH | UMOUNT_NOFOLLOW);
    } catch (error) {
      // EINVAL: not a mount point.
      if (!isErrno(error, 'EINVAL', 'ENOENT')) throw error;
    }
  }

  isMountPoint(path: string): boolean {
    try {
      return statSync(path).dev !== statSync(dirname(path)).dev;
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return false;
      throw error;
    }
  }

  mountsBelow(directory: string): string[] {
    const found: string[] = [];
    for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
      const target = unescape(line.split(' ')[4] ?? '');
      if (target === directory || target.startsWith(`${directory}/`)) found.push(target);
    }
    return found.reverse();
  }
}

/** mountinfo writes blank, tab, newline and backslash as octal. */
function unescape(field: string): string {
  return field.replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}
