/**
 * Writes a payload into a directory so that readers see either all of the old or all of the new
 * files (the layout that Kubernetes documents):
 *
 * | entry              | is                                                 |
 * |--------------------|----------------------------------------------------|
 * | ..<time>.<random>/ | the files of one version                           |
 * | ..data             | symlink to the current version, replaced by rename |
 * | name               | symlink to ..data/name, for each top-level name    |
 */
import {
  chmod,
  lchown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isErrno } from '#base/errors.ts';
import type { Payload } from './payload.ts';

const DATA = '..data';
const DATA_NEW = '..data_tmp';

export interface Ownership {
  /** Group that files belong to and may read; absent = root's, modes as given. */
  readonly fsGroup: number | undefined;
}

/** Makes `directory` show `payload`; returns whether anything changed. */
export async function writeAtomically(
  directory: string,
  payload: Payload,
  ownership: Ownership,
): Promise<boolean> {
  const current = await currentVersion(directory);
  if (current !== undefined && (await holds(join(directory, current), payload, ownership))) {
    await linkNames(directory, payload);
    await dropOthers(directory, current);
    return false;
  }
  const version = await writeVersion(directory, payload, ownership);
  const link = join(directory, DATA_NEW);
  await rm(link, { force: true });
  await symlink(version, link);
  await rename(link, join(directory, DATA));
  await linkNames(directory, payload);
  await dropOthers(directory, version);
  return true;
}

async function currentVersion(directory: string): Promise<string | undefined> {
  try {
    return await readlink(join(directory, DATA));
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined; // Nothing was written yet.
    throw error;
  }
}

function modeOf(mode: number, { fsGroup }: Ownership): number {
  return fsGroup === undefined ? mode : mode | 0o440;
}

async function holds(version: string, payload: Payload, ownership: Ownership): Promise<boolean> {
  try {
    const names = await listFiles(version);
    if (names.length !== payload.size) return false;
    for (const [name, file] of payload) {
      const path = join(version, name);
      const { mode, uid } = await stat(path);
      if ((mode & 0o7777) !== modeOf(file.mode, ownership)) return false;
      if (uid !== (file.uid ?? uid)) return false;
      if (!(await readFile(path)).equals(file.data)) return false;
    }
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false; // Half written before a crash, or tampered with.
    throw error;
  }
}

async function listFiles(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries.filter((e) => !e.isDirectory()).map((e) => join(e.parentPath, e.name));
}

async function writeVersion(
  directory: string,
  payload: Payload,
  ownership: Ownership,
): Promise<string> {
  const time = new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '_').replace('T', '_');
  const version = await mkdtemp(join(directory, `..${time}.`));
  try {
    await fillVersion(version, payload, ownership);
  } catch (error) {
    // Tried again every so often: on a full disk the attempts would pile up.
    await rm(version, { recursive: true, force: true });
    throw error;
  }
  return version.slice(directory.length + 1);
}

async function fillVersion(version: string, payload: Payload, ownership: Ownership): Promise<void> {
  const directoryMode = ownership.fsGroup === undefined ? 0o755 : 0o2775;
  await own(version, directoryMode, ownership);
  const made = new Set<string>([version]);
  for (const [name, { data, mode, uid }] of payload) {
    const path = join(version, name);
    const missing: string[] = [];
    for (let d = dirname(path); !made.has(d); d = dirname(d)) missing.unshift(d);
    for (const parent of missing) {
      await mkdir(parent);
      await own(parent, directoryMode, ownership);
      made.add(parent);
    }
    await writeFile(path, data, { flag: 'wx', mode: 0o600 }); // Until it has its own.
    await own(path, modeOf(mode, ownership), { ...ownership, uid });
  }
}

async function own(
  path: string,
  mode: number,
  { fsGroup, uid }: Ownership & { readonly uid?: number | undefined },
): Promise<void> {
  if (fsGroup !== undefined || uid !== undefined) await lchown(path, uid ?? 0, fsGroup ?? 0);
  await chmod(path, mode);
}

async function linkNames(directory: string, payload: Payload): Promise<void> {
  const wanted = new Set([...payload.keys()].map((path) => path.split('/')[0] ?? path));
  for (const entry of await readdir(directory)) {
    if (entry.startsWith('..') && !wanted.has(entry)) continue;
    if (!wanted.delete(entry)) await unlink(join(directory, entry));
  }
  for (const name of wanted) await symlink(join(DATA, name), join(directory, name));
}

async function dropOthers(directory: string, version: string): Promise<void> {
  for (const entry of await readdir(directory)) {
    const old = /^\.\.\d{4}_/.test(entry) && entry !== version;
    if (old) await rm(join(directory, entry), { recursive: true, force: true });
  }
}
