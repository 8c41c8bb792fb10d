/** Files of given bytes, for decoders that read them from a Disk. */
import type { Disk, DiskFile } from '#control/store/disk/disk.ts';

/** Reads that cover the byte `unreadable` fail, as those of a damaged device do. */
export function readOnlyDisk(
  files: ReadonlyMap<string, Uint8Array>,
  unreadable = Number.POSITIVE_INFINITY,
): Disk {
  const never = (): never => {
    throw new Error('nothing writes here');
  };
  return {
    list: () => [...files.keys()].toSorted(),
    open: (name): DiskFile => {
      const content = files.get(name) ?? new Uint8Array();
      return {
        size: content.length,
        read: (into, at) => {
          if (at <= unreadable && unreadable < at + into.length) {
            throw Object.assign(new Error('device fails'), { code: 'EIO' });
          }
          const part = content.subarray(at, at + into.length);
          into.set(part);
          return part.length;
        },
        write: never,
        truncate: never,
        sync: never,
        close: () => {},
      };
    },
    create: never,
    rename: never,
    remove: never,
    syncDirectory: never,
  };
}
