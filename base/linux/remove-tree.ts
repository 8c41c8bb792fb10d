/**
 * Removes a directory with all that is in it, however deep: a container can nest directories (with
 * relative names) until their path is longer than a system call takes, and node:fs gives up there.
 * Nobody else may write below it meanwhile; nothing may be mounted there.
 */
import { randomBytes } from 'node:crypto';
import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../errors.ts';

/** Below the root; with the root's own path and one more name well under PATH_MAX (4096). */
const DEPTH_CHARACTERS_MAX = 1024;

/** No error when there is no such directory. */
export async function removeTree(root: string): Promise<void> {
  try {
    await rm(root, { recursive: true, force: true });
  } catch (error) {
    if (!isErrno(error, 'ENAMETOOLONG')) throw error;
    await flatten(root);
    await rm(root, { recursive: true, force: true });
  }
}

/** Moves every directory that lies too deep right below `root`, one after the other. */
async function flatten(root: string): Promise<void> {
  const prefix = `.deep-${randomBytes(8).toString('hex')}-`;
  const todo = [root];
  let movedCount = 0;
  for (let directory = todo.pop(); directory !== undefined; directory = todo.pop()) {
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      if (!entry.isDirectory()) continue;
      const path = join(directory, entry.name);
      if (path.length - root.length <= DEPTH_CHARACTERS_MAX) {
        todo.push(path);
        continue;
      }
      const moved = join(root, `${prefix}${movedCount++}`);
      await rename(path, moved);
      todo.push(moved);
    }
  }
}
