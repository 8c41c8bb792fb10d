/** A container's root filesystem: overlayfs over its image's layers, and reading files in it safely. */
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readlinkSync,
  readSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '#base/errors.ts';
import { mount, openInRoot } from '#base/linux/syscall.ts';
import { RuntimeError } from './port.ts';

export interface RootfsRequest {
  readonly layersRoot: string;
  /** Relative to `layersRoot`, topmost first. */
  readonly lowerDirs: readonly string[];
  /** Gets `upper` and `work`; on a file system that overlayfs can write to. */
  readonly dataDir: string;
  readonly mountPoint: string;
}

export function mountRootfs(request: RootfsRequest): void {
  const upper = join(request.dataDir, 'upper');
  const work = join(request.dataDir, 'work');
  for (const dir of [upper, work, request.mountPoint]) {
    mkdirSync(dir, { recursive: true, mode: 0o755 });
  }
  // In the union the upper directory's attributes are the root's.
  const root = statSync(join(request.layersRoot, request.lowerDirs[0] ?? ''));
  chownSync(upper, root.uid, root.gid);
  chmodSync(upper, root.mode & 0o7777);
  const data = `lowerdir=${request.lowerDirs.join(':')},upperdir=${upper},workdir=${work}`;
  if (data.length > 4095) {
    throw new RuntimeError('CREATE_FAILED', `${request.lowerDirs.length} layers are too many`);
  }
  // Lower directories are relative, so that many fit into one page; nothing awaits in between.
  const home = process.cwd();
  process.chdir(request.layersRoot);
  try {
    mount({ source: 'overlay', target: request.mountPoint, type: 'overlay', data });
  } finally {
    process.chdir(home);
  }
}

const O_PATH = 0o10000000;

/**
 * Where on the host a directory of the image is, links resolved as inside the container; undefined when
 * there is none. What comes back holds no link: a mount of it cannot be led out of `root`.
 */
export function directoryInRoot(root: string, path: string): string | undefined {
  return inRoot(root, { path, flags: O_PATH | constants.O_DIRECTORY }, (fd) =>
    readlinkSync(`/proc/self/fd/${fd}`),
  );
}

/** Text of a file of the image, links resolved as inside the container; '' when there is none. */
export function readInRoot(root: string, path: string, bytesMax: number): string {
  const flags = constants.O_RDONLY | constants.O_NONBLOCK;
  const text = inRoot(root, { path, flags }, (fd) => {
    const stat = fstatSync(fd);
    if (!stat.isFile() || stat.size > bytesMax) return '';
    const buffer = Buffer.alloc(stat.size);
    const length = readSync(fd, buffer, 0, buffer.length, 0);
    return buffer.toString('utf8', 0, length);
  });
  return text ?? '';
}

/** What `use` makes of the opened file; undefined when the image has none of this kind there. */
function inRoot<T>(
  root: string,
  { path, flags }: { path: string; flags: number },
  use: (fd: number) => T,
): T | undefined {
  const dir = openSync(root, 'r');
  try {
    const fd = openInRoot(dir, path, flags);
    try {
      return use(fd);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO')) return undefined;
    throw error;
  } finally {
    closeSync(dir);
  }
}
