/**
 * sizeLimit of emptyDir volumes on disk: every so often the directories are measured, and a pod that
 * holds more than it may is failed as evicted. (In memory the limit is the tmpfs's own.)
 */
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import { isErrno } from '#base/errors.ts';
import type { Volume } from '#base/kube/api/core-v1.gen.ts';
import { parseQuantity, quantityValue } from '#base/kube/quantity.ts';
import type { PodWorker } from './pod-worker.ts';

const LOOK_MS = 10_000;
/** st_blocks counts these. */
const BLOCK_BYTES = 512;

export async function enforceSizeLimits(
  workers: () => Iterable<PodWorker>,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    for (const worker of workers()) {
      for (const volume of worker.pod.spec.volumes ?? []) await check(worker, volume);
    }
    await clock.sleep(LOOK_MS, signal);
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
  try {
    let bytes = 0;
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) bytes += await bytesOf(path);
      else bytes += (await lstat(path)).blocks * BLOCK_BYTES;
    }
    return bytes;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return 0;
    throw error;
  }
}
