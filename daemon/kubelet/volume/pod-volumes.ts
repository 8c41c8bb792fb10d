/**
 * The volumes of one pod on disk: mounts them all, keeps those with content from the API up to date,
 * and takes everything down again. Every call is idempotent, so that a restarted agent just mounts
 * again. Calls wait for each other: nothing is written below a directory that is being removed, nor
 * replaced while a container starts, for what its subPaths are bound to must exist until it has them.
 */
import { chmod, chown, lchown, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Pod, Volume } from '#base/kube/api/core-v1.gen.ts';
import { parseQuantity, quantityValue } from '#base/kube/quantity.ts';
import { removeTree } from '#base/linux/remove-tree.ts';
import { amountOf } from '../container/resources.ts';
import { writeAtomically } from './atomic-writer.ts';
import { prepareHostPath } from './host-path.ts';
import type { Mounter } from './mounter.ts';
import type { PodPaths } from './paths.ts';
import { hasPayload, type Payload, type Sources, VolumeError, volumePayload } from './payload.ts';

export class PodVolumes {
  readonly #mounter: Mounter;
  readonly #paths: PodPaths;
  readonly #sources: Sources;
  #last: Promise<void> = Promise.resolve();
  /** Settled when what is being replaced has been. */
  #replaced: Promise<void> = Promise.resolve();
  readonly #starts = new Set<Promise<void>>();

  constructor(io: { mounter: Mounter; paths: PodPaths; sources: Sources }) {
    this.#mounter = io.mounter;
    this.#paths = io.paths;
    this.#sources = io.sources;
  }

  /** Host path of a volume, once mounted. */
  pathOf(volume: Volume): string {
    return volume.hostPath?.path ?? this.#paths.volume(volume.name);
  }

  /** Throws VolumeError naming the first volume that cannot be mounted. */
  mountAll(pod: Pod, signal: AbortSignal): Promise<void> {
    return this.#inTurn(() => this.#mountAll(pod, signal));
  }

  /** Writes what changed in the API since; a source that is gone leaves the last content. */
  refresh(pod: Pod, signal: AbortSignal): Promise<void> {
    return this.#inTurn(async () => {
      for (const volume of pod.spec.volumes ?? []) {
        if (!hasPayload(volume)) continue;
        const payload = await this.#payload(pod, volume, signal);
        await this.#replace(() => this.#write(pod, volume, payload));
      }
    });
  }

  /** Runs `start` of a container, beside other starts, while no content of volumes is replaced. */
  async whileStill<T>(start: () => Promise<T>): Promise<T> {
    const started = this.#replaced.then(start);
    const ended = started.then(
      () => undefined,
      () => undefined, // Its caller hears of the failure.
    );
    this.#starts.add(ended);
    try {
      return await started;
    } finally {
      this.#starts.delete(ended);
    }
  }

  #replace(write: () => Promise<void>): Promise<void> {
    const replaced = Promise.all(this.#starts).then(write);
    this.#replaced = replaced.catch(() => undefined); // idem
    return replaced;
  }

  unmountAll(): Promise<void> {
    return this.#inTurn(() => removePodDirectory(this.#mounter, this.#paths.directory));
  }

  #inTurn(run: () => Promise<void>): Promise<void> {
    const turn = this.#last.then(run);
    this.#last = turn.catch(() => undefined); // Its caller hears of the failure.
    return turn;
  }

  async #mountAll(pod: Pod, signal: AbortSignal): Promise<void> {
    await mkdir(join(this.#paths.directory, 'volumes'), { recursive: true, mode: 0o750 });
    const results = await Promise.allSettled(
      (pod.spec.volumes ?? []).map((volume) => this.#mount(pod, volume, signal)),
    );
    signal.throwIfAborted();
    for (const [index, result] of results.entries()) {
      if (result.status === 'fulfilled') continue;
      const name = JSON.stringify(pod.spec.volumes?.[index]?.name);
      // The blank is upstream's; the reason follows as the text of the cause.
      throw new VolumeError(`MountVolume.SetUp failed for volume ${name} `, {
        cause: result.reason,
      });
    }
  }

  async #mount(pod: Pod, volume: Volume, signal: AbortSignal): Promise<void> {
    if (volume.hostPath !== undefined) {
      await prepareHostPath(volume.hostPath.path, volume.hostPath.type ?? '');
    } else if (volume.emptyDir !== undefined) await this.#mountEmptyDir(pod, volume);
    else if (hasPayload(volume)) {
      const path = this.#paths.volume(volume.name);
      await mkdir(path, { recursive: true, mode: 0o755 });
      if (isPrivate(volume) && !this.#mounter.isMountPoint(path)) this.#mounter.tmpfs(path, {});
      await this.#write(pod, volume, await this.#payload(pod, volume, signal));
    } else {
      const kind = Object.keys(volume).find((key) => key !== 'name') ?? 'unknown';
      throw new VolumeError(`volumes of type ${kind} are not supported on this node`);
    }
  }

  async #mountEmptyDir(pod: Pod, volume: Volume): Promise<void> {
    const path = this.#paths.volume(volume.name);
    const { medium, sizeLimit } = volume.emptyDir ?? {};
    let isNew = (await mkdir(path, { recursive: true })) !== undefined;
    if (medium === 'Memory') {
      isNew = !this.#mounter.isMountPoint(path);
      const limit = sizeLimit === undefined ? 0 : quantityValue(parseQuantity(sizeLimit));
      const sizeBytes = limit > 0 ? limit : memoryLimit(pod);
      if (isNew) this.#mounter.tmpfs(path, { sizeBytes });
    } else if (medium !== undefined && medium !== '' && medium !== 'Memory') {
      throw new VolumeError(`emptyDir medium ${medium} is not supported on this node`);
    }
    if (!isNew) return; // The pod may have changed its mode since.
    const fsGroup = pod.spec.securityContext?.fsGroup;
    if (fsGroup === undefined) await chmod(path, 0o777);
    else {
      await chown(path, 0, fsGroup);
      await chmod(path, 0o2777);
    }
  }

  #payload(pod: Pod, volume: Volume, signal: AbortSignal): Promise<Payload> {
    return volumePayload(pod, volume, { sources: this.#sources, signal });
  }

  async #write(pod: Pod, volume: Volume, payload: Payload): Promise<void> {
    const path = this.#paths.volume(volume.name);
    const fsGroup = pod.spec.securityContext?.fsGroup;
    await writeAtomically(path, payload, { fsGroup });
    if (fsGroup === undefined) await chmod(path, 0o755);
    else {
      await lchown(path, 0, fsGroup);
      await chmod(path, 0o2775);
    }
  }
}

/** Content that must not reach a disk. */
function isPrivate(volume: Volume): boolean {
  return volume.secret !== undefined || volume.projected !== undefined;
}

/** The memory that all containers together may use, when each has a limit. */
function memoryLimit(pod: Pod): number | undefined {
  const limits = pod.spec.containers.map((c) => amountOf(c.resources?.limits, 'memory'));
  return limits.every((l) => l > 0) ? limits.reduce((a, b) => a + b, 0) : undefined;
}

/** Unmounts and deletes a pod's directory, whatever it holds. Also for pods nobody knows any more. */
export async function removePodDirectory(mounter: Mounter, directory: string): Promise<void> {
  for (const target of mounter.mountsBelow(directory)) mounter.unmount(target);
  const left = mounter.mountsBelow(directory);
  // Deleting through a mount that stayed would delete what is mounted there.
  if (left.length > 0) throw new VolumeError(`cannot unmount ${left[0]}`);
  await removeTree(directory);
}

/** UIDs that have a directory below `pods`. */
export async function podDirectories(pods: string): Promise<string[]> {
  await mkdir(pods, { recursive: true, mode: 0o750 });
  return readdir(pods);
}
