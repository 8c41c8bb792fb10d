/**
 * subPath mounts that cannot be tricked out of their volume. The path is resolved, must lie inside
 * the volume, is opened component by component without following links, and the open descriptor is
 * bind-mounted below the pod's directory: what the container gets is what was checked, whatever is
 * renamed meanwhile (CVE-2017-1002101, CVE-2021-25741).
 */
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  mkdirSync,
  openSync,
  readSync,
  realpathSync,
  statSync,
} from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isErrno } from '#base/errors.ts';
import { ConfigError } from '../container/config-error.ts';
import type { Mounter } from './mounter.ts';

const O_PATH = 0o10000000;
const OPEN_FLAGS = O_PATH | constants.O_NOFOLLOW;

/** Throws ConfigError for what is not a relative path below the volume. */
export function checkSubPath(subPath: string): void {
  if (subPath.startsWith('/')) {
    throw new ConfigError(`error SubPath \`${subPath}\` must not be an absolute path`);
  }
  if (subPath.split('/').includes('..')) {
    throw new ConfigError(
      `unable to provision SubPath \`${subPath}\`: must not contain '..': "${subPath}"`,
    );
  }
}

/** Opens `path` below `root` with no symlink on the way; the caller closes the descriptor. */
function openBeneath(root: string, parts: readonly string[]): number {
  let fd = openSync(root, OPEN_FLAGS);
  for (const part of parts) {
    const parent = fd;
    try {
      fd = openSync(`/proc/self/fd/${parent}/${part}`, OPEN_FLAGS);
      if (fstatSync(fd).isSymbolicLink()) {
        closeSync(fd);
        throw new ConfigError(`subpath component ${JSON.stringify(part)} became a symlink`);
      }
    } finally {
      closeSync(parent);
    }
  }
  return fd;
}

const partsOf = (path: string) => path.split('/').filter((p) => p !== '' && p !== '.');

/**
 * The text of a file in a volume. Links may lead to other places of the volume, not out of it. Throws
 * ConfigError for a path outside, what is no file, and a file above `bytesMax`; ENOENT as node:fs does.
 */
export function readInVolume(volumePath: string, path: string, bytesMax: number): string {
  checkSubPath(path);
  const root = realpathSync(volumePath);
  const real = realpathSync(join(root, path));
  assertInside(root, real, path);
  const fd = openBeneath(root, partsOf(real.slice(root.length)));
  try {
    const stat = fstatSync(fd); // Before it is opened for reading: opening a pipe would wait.
    if (!stat.isFile()) throw new ConfigError(`${JSON.stringify(path)} is no file`);
    if (stat.size > bytesMax) {
      throw new ConfigError(`${JSON.stringify(path)} has ${stat.size} bytes, ${bytesMax} at most`);
    }
    const file = openSync(`/proc/self/fd/${fd}`, 'r');
    try {
      const bytes = Buffer.alloc(stat.size); // What is appended meanwhile is not read.
      return bytes.toString('utf8', 0, readSync(file, bytes, 0, bytes.length, 0));
    } finally {
      closeSync(file);
    }
  } finally {
    closeSync(fd);
  }
}

/** Makes missing directories of `subPath`, each inside its checked parent, with the volume's mode. */
function makeMissing(root: string, subPath: string): void {
  const mode = statSync(root).mode & 0o7777;
  const parts = partsOf(subPath);
  for (let i = 1; i <= parts.length; i++) {
    const prefix = join(root, ...parts.slice(0, i));
    let real: string;
    try {
      real = realpathSync(prefix);
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error;
      const parent = realpathSync(dirname(prefix));
      assertInside(root, parent, subPath);
      const fd = openBeneath(root, partsOf(parent.slice(root.length)));
      try {
        makeDirectory(`/proc/self/fd/${fd}/${parts[i - 1] ?? ''}`, mode);
      } finally {
        closeSync(fd);
      }
      continue;
    }
    assertInside(root, real, subPath);
  }
}

/** With exactly `mode`, whatever the umask; of the directory that was made, should its name be a link by now. */
function makeDirectory(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return; // Another container made it meanwhile.
    throw error;
  }
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    fchmodSync(fd, mode);
  } finally {
    closeSync(fd);
  }
}

function assertInside(root: string, path: string, subPath: string): void {
  if (path !== root && !path.startsWith(`${root}/`)) {
    throw new ConfigError(`subPath ${JSON.stringify(subPath)} is outside of its volume`);
  }
}

/**
 * Binds `subPath` of the volume at `volumePath` to `target` and returns `target`. A path that does
 * not exist is made as a directory.
 */
export async function bindSubPath(
  mounter: Mounter,
  request: { readonly volumePath: string; readonly subPath: string; readonly target: string },
): Promise<string> {
  const { subPath, target } = request;
  checkSubPath(subPath);
  const root = realpathSync(request.volumePath);
  makeMissing(root, subPath);
  const real = realpathSync(join(root, subPath));
  assertInside(root, real, subPath);
  await mkdir(dirname(target), { recursive: true, mode: 0o750 });
  const fd = openBeneath(root, partsOf(real.slice(root.length)));
  try {
    mounter.unmount(target);
    if (fstatSync(fd).isDirectory()) await mkdir(target, { recursive: true, mode: 0o750 });
    else await writeFile(target, '', { mode: 0o640 });
    mounter.bind(`/proc/self/fd/${fd}`, target);
  } finally {
    closeSync(fd);
  }
  return target;
}
