/**
 * Keeps container logs within bounds: a log larger than LOG_FILE_BYTES_MAX is renamed and the
 * writer told to open a new one; of the renamed ones the newest LOG_FILES_MAX - 1 stay.
 */
import { readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import { errorText, isErrno } from '#base/errors.ts';
import type { Log } from '#base/log.ts';
import type { Container, ContainerRuntime } from '../../runtime/port.ts';
import { LOG_FILE_BYTES_MAX, LOG_FILES_MAX } from '../limits.ts';

const LOOK_MS = 10_000;

export interface RotatorIo {
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly log: Log;
}

export async function rotateLogs(io: RotatorIo, signal: AbortSignal): Promise<void> {
  for (;;) {
    for (const container of io.runtime.listContainers()) {
      if (container.state !== 'running') continue;
      try {
        await rotateIfLarge(io, container);
      } catch (error) {
        const { logPath } = container;
        io.log.warn('log not rotated', { path: logPath, error: errorText(error) });
      }
    }
    await io.clock.sleep(LOOK_MS, signal);
  }
}

async function rotateIfLarge(io: RotatorIo, container: Container): Promise<void> {
  const path = container.logPath;
  if ((await sizeOf(path)) < LOG_FILE_BYTES_MAX) return;
  const time = new Date(io.clock.nowMs()).toISOString().replaceAll(/[-:]|\.\d+Z/g, '');
  await rename(path, `${path}.${time.replace('T', '-')}`);
  io.runtime.reopenLog(container.id);
  const directory = dirname(path);
  const prefix = `${basename(path)}.`;
  const old = (await readdir(directory)).filter((name) => name.startsWith(prefix)).toSorted();
  for (const name of old.slice(0, Math.max(0, old.length - (LOG_FILES_MAX - 1)))) {
    await rm(join(directory, name), { force: true });
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return 0; // Removed with its pod meanwhile.
    throw error;
  }
}
