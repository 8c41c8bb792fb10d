/**
 * sizeLimit of emptyDir volumes on disk: every so often the directories are measured, and a pod that
 * holds more than it may is failed as evicted. (In memory the limit is the tmpfs's own.)
 */
import { constants } from 'node:fs';
import { type FileHandle, lstat, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import { isErrno } from '#base/errors.ts';
import type { Volume } from '#base/kube/api/core-v1.gen.ts';
import { parseQuantity, quantityValue } from '#base/kube/quantity.ts';
import type { Log } from '#base/log.ts';
import type { PodWorker } from './pod-worker.ts';

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;

const LOOK_MS = 10_000;
/** st_blocks counts these. */
const BLOCK_BYTES = 512;
/** Longer paths are continued behind a descriptor: pods can nest deeper than PATH_MAX (4096). */
const PATH_CHARACTERS_MAX = 3000;

export async function enforceSizeLimits(
  io: {
    readonly workers: () => Iterable<PodWorker>;
    readonly clock: Clock;
    readonly log: Log;
  },
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    for (const worker of io.workers()) {
      for (const volume of worker.pod.spec.volumes ?? []) {
        try {
          await check(worker, volume);
        } catch (error) {
          // Pods do as they like in their volumes; one that cannot be measured ends nobody else.
          const { namespace, name } = worker.pod.metadata;
          const pod = `${namespace}/${name}`;
          io.log.warn('volume not measured', { pod, volume: volume.name, error });
        }
      }
    }
    await io.clock.sleep(LOOK_MS, signal);
  }
}

async function check(worker: PodWorker, volume: Volume): Promise<void> {
  const { sizeLimit, medium = '' } = volume.emptyDir ?? {};
  if (sizeLimit === undefined || medium !== '' || worker.ended) return;
  const limit = quantityValue(parseQuantity(sizeLimit));
  if (limit === 0) return;
  if ((await bytesOf(worker.paths.volume(volume.name))) <= limit) return;
  const name = JSON.stringify(volume.name);
  worker.fail({
    reason: 'Evicted',
    message: `Usage of EmptyDir volume ${name} exceeds the limit "${sizeLimit}". `,
  });
}

/** Disk space below `directory`; links are not followed. What vanishes meanwhile counts nothing. */
export async function bytesOf(directory: string): Promise<number> {
  let handle: FileHandle;
  try {
    handle = await open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return 0;
    throw error;
  }
  try {
    return await bytesBelow(`/proc/self/fd/${handle.fd}`);
  } finally {
    await handle.close();
  }
}

async function bytesBelow(directory: string): Promise<number> {
  try {
    let bytes = 0;
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      const path = join(directory, entry.name);
      if (!entry.isDirectory()) bytes += (await lstat(path)).blocks * BLOCK_BYTES;
      else bytes += await (path.length < PATH_CHARACTERS_MAX ? bytesBelow(path) : bytesOf(path));
    }
    return bytes;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return 0;
    throw error;
  }
}
