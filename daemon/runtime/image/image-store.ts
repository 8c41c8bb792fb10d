/**
 * The image service of the node. On disk, below `root`:
 *
 *   index.json            which images there are, by which names; replaced in one rename
 *   blobs/sha256/<hex>    configs and manifests; a blob is on disk before the index names it
 *   layers/               unpacked layers (layer-store.ts)
 *   ingest/               spooled archives and partial downloads
 *
 * Invariant: what the index names is complete, whenever the process or the machine stops. Layers stay
 * as long as an image or a container (`layersInUse`) needs them.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '#base/errors.ts';
import type { Log } from '#base/log.ts';
import { writeDurable } from '../disk.ts';
import { PARTIAL_AGE_MS_MAX, PULL_ATTEMPT_COUNT_MAX } from '../limits.ts';
import {
  type DiskUsage,
  type Image,
  type ImageConfig,
  type ImageService,
  type RegistryAuth,
  RuntimeError,
} from '../port.ts';
import { Serial } from '../serial.ts';
import { loadArchive } from './archive.ts';
import {
  findImage,
  type ImageIndex,
  imageOf,
  type ImageRecord,
  parseIndex,
  withImage,
  withoutImage,
} from './image-index.ts';
import { chainIds, LayerStore } from './layer-store.ts';
import { parseConfig, parseJson } from './manifest.ts';
import type { PulledImage, Puller, PullRequest } from './pull.ts';
import { formatReference, parseReference, type Reference, repositoryName } from './reference.ts';
import { Spool } from './spool.ts';

export interface ImageStoreOptions {
  readonly root: string;
  readonly platform: { readonly os: string; readonly architecture: string };
  readonly puller: Puller;
  readonly log: Log;
}

/** Layers on their way, partial or whole: registry-puller.ts. */
const DOWNLOAD = /\.(part|blob)$/;

export class ImageStore implements ImageService {
  readonly layers: LayerStore;
  readonly #options: ImageStoreOptions;
  readonly #serial = new Serial();
  readonly #configs = new Map<string, ImageConfig>();
  #index: ImageIndex = [];
  #layersInUse: () => Iterable<string> = () => [];
  #pulls = 0;

  private constructor(options: ImageStoreOptions) {
    this.#options = options;
    this.layers = new LayerStore(join(options.root, 'layers'), options.log);
  }

  static async open(options: ImageStoreOptions): Promise<ImageStore> {
    const store = new ImageStore(options);
    await store.#recover();
    return store;
  }

  /** Who besides images needs layers: the containers' chains. Set once, before the first removal. */
  setLayersInUse(layersInUse: () => Iterable<string>): void {
    this.#layersInUse = layersInUse;
  }

  find(reference: string): Image | undefined {
    const record = findImage(this.#index, reference);
    return record === undefined ? undefined : this.#image(record);
  }

  list(): readonly Image[] {
    return this.#index.map((record) => this.#image(record));
  }

  /** Chain ids of an image's layers, bottom first. */
  chains(imageId: string): readonly string[] | undefined {
    return this.#index.find((image) => image.id === imageId)?.layers;
  }

  async pull(
    reference: string,
    auth: RegistryAuth | undefined,
    signal: AbortSignal,
  ): Promise<Image> {
    const parsed = parseReference(reference);
    await this.#dropDownloads(PARTIAL_AGE_MS_MAX);
    this.#pulls++;
    try {
      return await this.#pull(parsed, auth, signal);
    } finally {
      this.#pulls--;
    }
  }

  async #pull(
    reference: Reference,
    auth: RegistryAuth | undefined,
    signal: AbortSignal,
  ): Promise<Image> {
    for (let attempt = 1; ; attempt++) {
      const pulled = await this.#options.puller.pull(this.#pullRequest(reference, auth), signal);
      const record = await this.#serial.run('commit', async () => {
        if (!this.#isComplete(pulled)) return undefined;
        return await this.#commitPulled(reference, pulled, signal);
      });
      if (record !== undefined) return this.#image(record);
      if (attempt === PULL_ATTEMPT_COUNT_MAX) {
        throw new RuntimeError(
          'IMAGE_UNAVAILABLE',
          `layers of ${formatReference(reference)} are being removed`,
        );
      }
    }
  }

  #pullRequest(reference: Reference, auth: RegistryAuth | undefined): PullRequest {
    return {
      reference,
      auth,
      ingestDir: join(this.#options.root, 'ingest'),
      readKnown: (digest) =>
        this.#blobExists(digest) ? readFileSync(this.#blobPath(digest)) : undefined,
      hasLayers: (diffIds) => chainIds(diffIds).map((chain) => this.layers.has(chain)),
    };
  }

  /** False when another pull or a removal took away, since they were looked for, what is needed. */
  #isComplete({ layers }: PulledImage): boolean {
    const chains = chainIds(layers.map((layer) => layer.diffId));
    return layers.every(
      ({ blobPath }, i) =>
        this.layers.has(chains[i] ?? '') || (blobPath !== '' && existsSync(blobPath)),
    );
  }

  async #commitPulled(
    reference: Reference,
    pulled: PulledImage,
    signal: AbortSignal,
  ): Promise<ImageRecord> {
    try {
      await this.layers.ensure(pulled.layers, signal);
    } catch (error) {
      // What cannot be unpacked is fetched anew next time: a power cut may have spoilt it.
      if (error instanceof RuntimeError && error.code !== 'NO_SPACE') await dropBlobs(pulled);
      throw error;
    }
    await this.#writeBlob(pulled.manifestDigest, pulled.manifestBytes);
    const record = await this.#commit({
      configDigest: pulled.configDigest,
      configBytes: pulled.configBytes,
      tags: reference.digest === undefined ? [formatReference(reference)] : [],
      digests: pulled.digests.map((digest) => `${repositoryName(reference)}@${digest}`),
      diffIds: pulled.layers.map((layer) => layer.diffId),
      sizeBytes: pulled.sizeBytes,
    });
    await dropBlobs(pulled);
    return record;
  }

  async importArchive(
    archive: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    await using spool = new Spool(join(this.#options.root, 'ingest'));
    const { platform } = this.#options;
    const images = await loadArchive(archive, spool, { platform, signal });
    return await this.#serial.run('commit', async () => {
      const names: string[] = [];
      for (const image of images) {
        await this.layers.ensure(image.layers, signal);
        await this.#commit({
          configDigest: image.configDigest,
          configBytes: image.configBytes,
          tags: image.tags,
          digests: [],
          diffIds: image.layers.map((layer) => layer.diffId),
          sizeBytes: image.sizeBytes,
        });
        names.push(...(image.tags.length > 0 ? image.tags : [image.configDigest]));
      }
      return names;
    });
  }

  async remove(reference: string, signal: AbortSignal): Promise<number> {
    return await this.#serial.run('commit', async () => {
      signal.throwIfAborted();
      const record = findImage(this.#index, reference);
      if (record === undefined) return 0;
      const before = this.usage().bytes;
      await this.#writeIndex(withoutImage(this.#index, record.id));
      this.#configs.delete(record.id);
      await this.#sweep();
      return before - this.usage().bytes;
    });
  }

  /** Removes layers and blobs that nothing names any more. */
  async sweep(): Promise<void> {
    await this.#serial.run('commit', () => this.#sweep());
  }

  async collect(): Promise<void> {
    await this.sweep();
    // What a pull has downloaded it takes for there.
    if (this.#pulls === 0) await this.#dropDownloads(0);
  }

  usage(): DiskUsage {
    return this.layers.usage();
  }

  #image(record: ImageRecord): Image {
    const config = this.#configs.get(record.id);
    if (config === undefined) throw new RuntimeError('IMAGE_INVALID', `no config of ${record.id}`);
    return imageOf(record, config);
  }

  async #commit(image: {
    configDigest: string;
    configBytes: Buffer;
    tags: readonly string[];
    digests: readonly string[];
    diffIds: readonly string[];
    sizeBytes: number;
  }): Promise<ImageRecord> {
    await this.#writeBlob(image.configDigest, image.configBytes);
    this.#configs.set(image.configDigest, parseConfig(image.configBytes).config);
    const next = withImage(this.#index, {
      id: image.configDigest,
      tags: image.tags,
      digests: image.digests,
      sizeBytes: image.sizeBytes,
      addedAtMs: Date.now(),
      layers: chainIds(image.diffIds),
    });
    await this.#writeIndex(next);
    this.#options.log.info('image stored', { id: image.configDigest, tags: image.tags.join(',') });
    const record = next.at(-1);
    if (record === undefined) throw new RuntimeError('IMAGE_INVALID', 'index lost an image');
    return record;
  }

  async #writeIndex(index: ImageIndex): Promise<void> {
    const path = join(this.#options.root, 'index.json');
    await writeDurable(path, JSON.stringify({ version: 1, images: index }));
    this.#index = index;
  }

  async #sweep(): Promise<void> {
    const used = new Set([...this.#layersInUse(), ...this.#index.flatMap((image) => image.layers)]);
    await this.layers.sweep(used);
    const named = new Set(
      this.#index.flatMap((image) => [
        image.id,
        ...image.digests.map((name) => name.slice(name.indexOf('@') + 1)),
      ]),
    );
    const dir = join(this.#options.root, 'blobs/sha256');
    for (const name of readdirSync(dir)) {
      if (!named.has(`sha256:${name}`)) await rm(join(dir, name), { force: true });
    }
  }

  #blobPath(digest: string): string {
    return join(this.#options.root, 'blobs/sha256', digest.slice('sha256:'.length));
  }

  #blobExists(digest: string): boolean {
    return statSync(this.#blobPath(digest), { throwIfNoEntry: false }) !== undefined;
  }

  async #writeBlob(digest: string, bytes: Uint8Array): Promise<void> {
    if (!this.#blobExists(digest)) await writeDurable(this.#blobPath(digest), bytes);
  }

  async #recover(): Promise<void> {
    const { root, log } = this.#options;
    for (const dir of ['blobs/sha256', 'layers', 'ingest']) {
      mkdirSync(join(root, dir), { recursive: true, mode: 0o700 });
    }
    await this.#cleanIngest();
    await this.layers.open();
    for (const record of this.#readIndex()) {
      try {
        const { config } = parseConfig(readFileSync(this.#blobPath(record.id)));
        const missing = record.layers.find((chain) => !this.layers.has(chain));
        if (missing !== undefined) throw new RuntimeError('IMAGE_INVALID', `no layer ${missing}`);
        this.#configs.set(record.id, config);
        this.#index = [...this.#index, record];
      } catch (error) {
        log.error('image dropped: its files are damaged', { id: record.id, error });
      }
    }
  }

  #readIndex(): ImageIndex {
    try {
      const bytes = readFileSync(join(this.#options.root, 'index.json'));
      return parseIndex(parseJson(bytes, 'image index'));
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return []; // First start.
      if (!(error instanceof RuntimeError)) throw error;
      this.#options.log.error('image index is damaged: starting without images', { error });
      return [];
    }
  }

  /** At the start: all but downloads belonged to a dead process. */
  async #cleanIngest(): Promise<void> {
    const dir = join(this.#options.root, 'ingest');
    for (const name of readdirSync(dir)) {
      if (!DOWNLOAD.test(name)) await rm(join(dir, name), { recursive: true, force: true });
    }
    await this.#dropDownloads(PARTIAL_AGE_MS_MAX);
  }

  /** Downloads are worth going on with, but not for ever: pulls that are given up would fill the disk. */
  async #dropDownloads(ageMs: number): Promise<void> {
    const dir = join(this.#options.root, 'ingest');
    for (const name of readdirSync(dir)) {
      const path = join(dir, name);
      const stat = DOWNLOAD.test(name) ? statSync(path, { throwIfNoEntry: false }) : undefined;
      if (stat === undefined || Date.now() - stat.mtimeMs < ageMs) continue;
      await rm(path, { force: true });
    }
  }
}

async function dropBlobs({ layers }: PulledImage): Promise<void> {
  for (const { blobPath } of layers) if (blobPath !== '') await rm(blobPath, { force: true });
}
