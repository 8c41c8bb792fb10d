/** hostPath volumes: checks the type that the pod names, and makes what `...OrCreate` allows. */
import { mkdir, open, stat } from 'node:fs/promises';
import type { Stats } from 'node:fs';
import { isErrno } from '#base/errors.ts';
import { VolumeError } from './payload.ts';

type Check = (stats: Stats) => boolean;

const TYPES: Readonly<Record<string, { readonly check: Check; readonly text: string }>> = {
  Directory: { check: (s) => s.isDirectory(), text: 'a directory' },
  DirectoryOrCreate: { check: (s) => s.isDirectory(), text: 'a directory' },
  File: { check: (s) => s.isFile(), text: 'a file' },
  FileOrCreate: { check: (s) => s.isFile(), text: 'a file' },
  Socket: { check: (s) => s.isSocket(), text: 'a socket file' },
  CharDevice: { check: (s) => s.isCharacterDevice(), text: 'a character device' },
  BlockDevice: { check: (s) => s.isBlockDevice(), text: 'a block device' },
};

/** Throws VolumeError when `path` is not what `type` demands. An empty type demands nothing. */
export async function prepareHostPath(path: string, type: string): Promise<void> {
  if (type === '') {
    // As container runtimes do: a path that is missing becomes a directory.
    if ((await statOf(path)) === undefined) await mkdir(path, { recursive: true, mode: 0o755 });
    return;
  }
  const wanted = TYPES[type];
  if (wanted === undefined) throw new VolumeError(`${type} is an invalid volume type`);
  let stats = await statOf(path);
  if (stats === undefined && type === 'DirectoryOrCreate') {
    await mkdir(path, { recursive: true, mode: 0o755 });
    stats = await statOf(path);
  } else if (stats === undefined && type === 'FileOrCreate') {
    await using _file = await open(path, 'a', 0o644);
    stats = await statOf(path);
  }
  if (stats === undefined || !wanted.check(stats)) {
    throw new VolumeError(`hostPath type check failed: ${path} is not ${wanted.text}`);
  }
}

async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}
