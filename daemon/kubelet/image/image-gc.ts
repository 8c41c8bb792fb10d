/**
 * Image garbage collection: when the disk of the images is used beyond the high threshold, images that no
 * container uses go, the one that was used longest ago first, until the low threshold is reached; images
 * unused for longer than the maximum age go in any case. Policy, order and texts as upstream's
 * (pkg/kubelet/images/image_gc_manager.go), but for what an image frees: only layers that nothing else needs.
 * When an image was last used is known from the start of this process on.
 */
import type { Clock } from '#base/clock.ts';
import { errorText } from '#base/errors.ts';
import type { Log } from '#base/log.ts';
import type { ContainerRuntime, Image, ImageService } from '../../runtime/port.ts';
import type { Notice } from '../lifecycle/model.ts';

export const IMAGE_GC_MS = 300_000;

export interface ImageGcPolicy {
  readonly highThresholdPercent: number;
  readonly lowThresholdPercent: number;
  readonly minAgeMs: number;
  /** 0: without a maximum. */
  readonly maxAgeMs: number;
}

export interface ImageGcIo {
  readonly images: Pick<ImageService, 'list' | 'remove' | 'collect'>;
  readonly runtime: Pick<ContainerRuntime, 'listContainers'>;
  readonly disk: () => { readonly capacityBytes: number; readonly availableBytes: number };
  readonly clock: Clock;
  readonly log: Log;
  /** An event of the node. */
  readonly notice: (notice: Notice) => void;
}

interface Seen {
  readonly image: Image;
  readonly lastUsedMs: number;
}

export class ImageGc {
  readonly #io: ImageGcIo;
  readonly #policy: ImageGcPolicy;
  readonly #startedAtMs: number;
  readonly #seen = new Map<string, Seen>();

  constructor(io: ImageGcIo, policy: ImageGcPolicy) {
    this.#io = io;
    this.#policy = policy;
    this.#startedAtMs = io.clock.monotonicMs();
    this.#look();
  }

  /** Collects every so often until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#io.clock.sleep(IMAGE_GC_MS, signal);
      try {
        await this.collect(signal);
      } catch (error) {
        signal.throwIfAborted();
        this.#io.log.warn('images not collected', { error: errorText(error) });
      }
    }
  }

  async collect(signal: AbortSignal): Promise<void> {
    const { highThresholdPercent, lowThresholdPercent, maxAgeMs } = this.#policy;
    const nowMs = this.#io.clock.monotonicMs();
    const unused = this.#look();
    if (maxAgeMs > 0 && nowMs - this.#startedAtMs > maxAgeMs) {
      for (const seen of unused.filter(({ lastUsedMs }) => nowMs - lastUsedMs > maxAgeMs)) {
        await this.#remove(seen, signal);
      }
    }
    const { capacityBytes, availableBytes } = this.#io.disk();
    if (capacityBytes === 0) return; // A file system that does not say.
    const usagePercent = 100 - Math.floor((availableBytes * 100) / capacityBytes);
    if (usagePercent < highThresholdPercent) return;
    const wanted = Math.floor((capacityBytes * (100 - lowThresholdPercent)) / 100) - availableBytes;
    this.#io.log.info('disk of the images is used beyond the high threshold', {
      usagePercent,
      wanted,
    });
    await this.#io.images.collect();
    const collected = this.#io.disk().availableBytes - availableBytes;
    const freed = Math.max(collected, 0) + (await this.#free(wanted - collected, signal));
    if (freed >= wanted) return;
    this.#io.notice({
      type: 'Warning',
      reason: 'FreeDiskSpaceFailed',
      message:
        `Insufficient free disk space on the node's image filesystem (${usagePercent}% of ${sizeText(capacityBytes)} used). ` +
        `Failed to free sufficient space by deleting unused images (freed ${freed} bytes). ` +
        'Investigate disk usage, as it could be used by active images, logs, volumes, or other data.',
    });
  }

  /** Whatever no container uses and is old enough: the disk is needed by others. */
  async removeUnused(signal: AbortSignal): Promise<void> {
    await this.#io.images.collect();
    await this.#free(Number.POSITIVE_INFINITY, signal);
  }

  /** Resolves to the bytes freed. */
  async #free(wanted: number, signal: AbortSignal): Promise<number> {
    let freed = 0;
    const nowMs = this.#io.clock.nowMs();
    for (const seen of this.#look()) {
      if (freed >= wanted) break;
      // One that was just pulled is about to be used. (One of the future saw another clock.)
      const ageMs = nowMs - seen.image.addedAtMs;
      if (ageMs >= 0 && ageMs < this.#policy.minAgeMs) continue;
      freed += await this.#remove(seen, signal);
    }
    return freed;
  }

  async #remove({ image }: Seen, signal: AbortSignal): Promise<number> {
    if (this.#inUse().has(image.id)) return 0; // Since we looked.
    const freed = await this.#io.images.remove(image.id, signal);
    this.#seen.delete(image.id);
    this.#io.log.info('unused image removed', { id: image.id, tags: image.tags.join(','), freed });
    return freed;
  }

  #inUse(): ReadonlySet<string> {
    return new Set(this.#io.runtime.listContainers().map(({ imageId }) => imageId));
  }

  /** Notes what is there and used now; what may go, the longest unused first. */
  #look(): Seen[] {
    const nowMs = this.#io.clock.monotonicMs();
    const inUse = this.#inUse();
    const images = this.#io.images.list();
    const unused: Seen[] = [];
    for (const image of images) {
      const known = this.#seen.get(image.id);
      const lastUsedMs = inUse.has(image.id)
        ? nowMs
        : (known?.lastUsedMs ?? Number.NEGATIVE_INFINITY);
      const seen = { image, lastUsedMs };
      this.#seen.set(image.id, seen);
      if (!inUse.has(image.id) && !image.pinned) unused.push(seen);
    }
    const present = new Set(images.map(({ id }) => id));
    for (const id of this.#seen.keys()) if (!present.has(id)) this.#seen.delete(id);
    return unused.toSorted(
      (a, b) =>
        compare(a.lastUsedMs, b.lastUsedMs) || compare(a.image.addedAtMs, b.image.addedAtMs),
    );
  }
}

function compare(a: number, b: number): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function sizeText(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  let [size, unit] = [bytes, -1];
  while (size >= 1024 && unit < 3) [size, unit] = [size / 1024, unit + 1];
  return `${size.toFixed(1)} ${['KiB', 'MiB', 'GiB', 'TiB'][unit]}`;
}
