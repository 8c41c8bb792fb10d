/** Counts the files of a disk that are open. */
import type { Disk, DiskFile } from '../disk/disk.ts';

export function countingOpen(inner: Disk): { readonly disk: Disk; readonly open: Set<DiskFile> } {
  const open = new Set<DiskFile>();
  const counted = (file: DiskFile): DiskFile => {
    open.add(file);
    return {
      get size() {
        return file.size;
      },
      read: (into, at) => file.read(into, at),
      write: (bytes, at) => file.write(bytes, at),
      truncate: (size) => file.truncate(size),
      sync: () => file.sync(),
      close: () => {
        open.delete(file);
        file.close();
      },
    };
  };
  const disk: Disk = {
    list: () => inner.list(),
    create: (name) => counted(inner.create(name)),
    open: (name) => counted(inner.open(name)),
    rename: (from, to) => inner.rename(from, to),
    remove: (name) => inner.remove(name),
    syncDirectory: () => inner.syncDirectory(),
  };
  return { disk, open };
}
