/**
 * What a directory takes of its file system, as du(1) counts: blocks, and a file with several names once.
 * Containers do as they like below it: links are not followed, and paths may be longer than PATH_MAX.
 */
import { constants } from 'node:fs';
import { type FileHandle, lstat, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../errors.ts';

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;
/** st_blocks counts these. */
const BLOCK_BYTES = 512;
/** Longer paths are continued behind a descriptor: pods can nest deeper than PATH_MAX (4096). */
const PATH_CHARACTERS_MAX = 3000;

interface Count {
  bytes: number;
  inodes: number;
  /** Inodes that have several names. */
  readonly seen: Set<number>;
}

/** Of what lies below `directory`. What is not there, or vanishes meanwhile, counts nothing. */
export async function diskUsage(directory: string): Promise<{ bytes: number; inodes: number }> {
  const count: Count = { bytes: 0, inodes: 0, seen: new Set() };
  await countIn(directory, count);
  return { bytes: count.bytes, inodes: count.inodes };
}

async function countIn(directory: string, count: Count): Promise<void> {
  let handle: FileHandle;
  try {
    handle = await open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return;
    throw error;
  }
  try {
    await countBelow(`/proc/self/fd/${handle.fd}`, count);
  } finally {
    await handle.close();
  }
}

async function countBelow(directory: string, count: Count): Promise<void> {
  try {
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      const path = join(directory, entry.name);
      const { blocks, ino, nlink } = await lstat(path);
      if (!entry.isDirectory()) {
        if (nlink > 1 && count.seen.has(ino)) continue;
        if (nlink > 1) count.seen.add(ino);
      }
      count.inodes++;
      count.bytes += blocks * BLOCK_BYTES;
      if (!entry.isDirectory()) continue;
      await (path.length < PATH_CHARACTERS_MAX ? countBelow(path, count) : countIn(path, count));
    }
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) throw error;
  }
}
