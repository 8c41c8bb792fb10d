/** Files written so that a process killed at any instant leaves the old or the new content, never half. */
import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isErrno } from '#base/errors.ts';
import { RuntimeError } from './port.ts';

function temporary(path: string): string {
  return `${path}.${randomBytes(4).toString('hex')}.tmp`;
}

/** Survives the death of the process, not of the machine: for what a reboot makes void anyway. */
export function writeAtomicSync(path: string, data: string): void {
  const scratch = temporary(path);
  try {
    writeFileSync(scratch, data, { mode: 0o600 });
    renameSync(scratch, path);
  } catch (error) {
    rmSync(scratch, { force: true });
    throw diskError(error, path);
  }
}

/** Survives a power cut once it has resolved. */
export async function writeDurable(path: string, data: string | Uint8Array): Promise<void> {
  const scratch = temporary(path);
  try {
    const file = await open(scratch, 'wx', 0o600);
    try {
      await file.writeFile(data);
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(scratch, path);
    syncDirectory(dirname(path));
  } catch (error) {
    await rm(scratch, { force: true });
    throw diskError(error, path);
  }
}

function syncDirectory(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** A full disk gets its code; other errors stay what they are. */
export function diskError(error: unknown, path: string): unknown {
  if (!isErrno(error, 'ENOSPC', 'EDQUOT')) return error;
  return new RuntimeError('NO_SPACE', `no space left to write ${path}`, { cause: error });
}
