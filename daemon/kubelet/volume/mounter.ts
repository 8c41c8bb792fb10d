/**
 * Mounts that volumes need, as a port and its Linux adapter: tmpfs, bind mounts, unmounting. Calls
 * are synchronous and short. Tests without root use the port.
 */
import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import { isErrno } from '#base/errors.ts';
import { mountsBelow, unmountMaybe } from '#base/linux/mounts.ts';
import { MS, mount } from '#base/linux/syscall.ts';

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
    unmountMaybe(target);
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
    return mountsBelow(directory);
  }
}
