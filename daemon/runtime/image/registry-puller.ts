/**
 * Pulls images from registries: manifest (list), config, layers; layers in parallel, each going on where
 * a broken connection or a dead process left it. Nothing is believed that has not the digest by which
 * it was asked for. Implements the image store's Puller.
 */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream, renameSync, statSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { TaskScope } from '#base/task-scope.ts';
import { diskError } from '../disk.ts';
import { BLOB_ATTEMPT_COUNT_MAX, BLOB_BACKOFF_MS, LAYER_FETCH_COUNT_MAX } from '../limits.ts';
import { RuntimeError } from '../port.ts';
import { Serial } from '../serial.ts';
import {
  choosePlatform,
  type Descriptor,
  type Manifest,
  parseConfig,
  parseManifest,
} from './manifest.ts';
import type { PulledImage, Puller, PullRequest } from './pull.ts';
import { type Reference, repositoryName } from './reference.ts';
import { isLoopback } from './registry-auth.ts';
import { RegistryClient } from './registry-client.ts';
import { checkDigest, writeAll } from './spool.ts';

export interface RegistryConfig {
  /** Base URLs tried in order before the registry itself, by registry name; `*` for all. */
  readonly mirrors: Readonly<Record<string, readonly string[]>>;
  /** Registries spoken to by plain HTTP; localhost always is. */
  readonly insecure: readonly string[];
}

export interface PullerOptions extends RegistryConfig {
  readonly platform: { readonly os: string; readonly architecture: string };
  readonly clock: Clock;
  readonly log: Log;
}

type ImageManifest = Manifest & { kind: 'image' };

export class RegistryPuller implements Puller {
  readonly #options: PullerOptions;
  /** One download of a blob at a time, whoever wants it. */
  readonly #serial = new Serial();

  constructor(options: PullerOptions) {
    this.#options = options;
  }

  async pull(request: PullRequest, signal: AbortSignal): Promise<PulledImage> {
    const { reference } = request;
    let failure: unknown;
    for (const { baseUrl, isRegistry } of endpoints(reference.registry, this.#options)) {
      const auth = isRegistry ? request.auth : undefined;
      const client = new RegistryClient({ baseUrl, repository: reference.path, auth });
      try {
        return await this.#pullFrom(client, request, signal);
      } catch (error) {
        signal.throwIfAborted();
        failure = error;
        this.#options.log.warn('pull failed', { image: repositoryName(reference), baseUrl, error });
        if (!(error instanceof RuntimeError) || error.code === 'NO_SPACE') throw error;
      }
    }
    throw failure;
  }

  async #pullFrom(
    client: RegistryClient,
    request: PullRequest,
    signal: AbortSignal,
  ): Promise<PulledImage> {
    const { reference, readKnown } = request;
    const found = await this.#findManifest(client, reference, signal);
    const { manifest } = found;
    const configDigest = manifest.config.digest;
    const configBytes = readKnown(configDigest) ?? (await client.document(configDigest, signal));
    checkDigest(sha256(configBytes), configDigest, 'image config');
    const { diffIds } = parseConfig(configBytes);
    if (diffIds.length !== manifest.layers.length) {
      throw new RuntimeError(
        'IMAGE_INVALID',
        `image config names ${diffIds.length} layers, its manifest ${manifest.layers.length}`,
      );
    }
    const present = request.hasLayers(diffIds);
    const missing = manifest.layers.filter((_, i) => present[i] !== true);
    await this.#fetchLayers(client, { layers: missing, dir: request.ingestDir }, signal);
    return {
      digests: found.digests,
      manifestDigest: found.manifestDigest,
      manifestBytes: found.bytes,
      configDigest,
      configBytes,
      layers: manifest.layers.map((layer, i) => ({
        diffId: diffIds[i] ?? '', // Lengths are equal.
        blobPath: present[i] === true ? '' : blobPath(request.ingestDir, layer.digest),
      })),
      sizeBytes: manifest.layers.reduce((n, l) => n + l.sizeBytes, manifest.config.sizeBytes),
    };
  }

  async #findManifest(
    client: RegistryClient,
    reference: Reference,
    signal: AbortSignal,
  ): Promise<{
    manifest: ImageManifest;
    bytes: Buffer;
    manifestDigest: string;
    digests: readonly string[];
  }> {
    const digests: string[] = [];
    let wanted = reference.digest ?? reference.tag ?? 'latest';
    for (let depth = 0; depth < 3; depth++) {
      const bytes = await client.manifest(wanted, signal);
      const digest = sha256(bytes);
      if (wanted.startsWith('sha256:')) checkDigest(digest, wanted, 'manifest');
      digests.push(digest);
      const manifest = parseManifest(bytes);
      if (manifest.kind === 'image') return { manifest, bytes, manifestDigest: digest, digests };
      const { platform } = this.#options;
      const chosen = choosePlatform(manifest.manifests, platform);
      if (chosen === undefined) {
        const name = repositoryName(reference);
        throw new RuntimeError('IMAGE_NOT_FOUND', `${name} has no ${platform.architecture} image`);
      }
      wanted = chosen.digest;
    }
    throw new RuntimeError('IMAGE_INVALID', 'manifest lists are nested too deeply');
  }

  async #fetchLayers(
    client: RegistryClient,
    work: { layers: readonly Descriptor[]; dir: string },
    signal: AbortSignal,
  ): Promise<void> {
    const queue = [...new Map(work.layers.map((layer) => [layer.digest, layer])).values()];
    await using tasks = new TaskScope(signal);
    for (let i = 0; i < Math.min(LAYER_FETCH_COUNT_MAX, queue.length); i++) {
      tasks.spawn(`layers ${i}`, async (taskSignal) => {
        for (let layer = queue.shift(); layer !== undefined; layer = queue.shift()) {
          const mine = layer;
          await this.#serial.run(mine.digest, () =>
            this.#fetch(client, mine, work.dir, taskSignal),
          );
        }
      });
    }
    try {
      await tasks.join();
    } catch (error) {
      signal.throwIfAborted();
      throw error instanceof Error && error.cause instanceof RuntimeError ? error.cause : error;
    }
    signal.throwIfAborted();
  }

  async #fetch(
    client: RegistryClient,
    layer: Descriptor,
    dir: string,
    signal: AbortSignal,
  ): Promise<void> {
    const done = blobPath(dir, layer.digest);
    if (sizeOf(done) === layer.sizeBytes) return;
    const partial = done.replace(/\.blob$/, '.part');
    const { clock, log } = this.#options;
    for (let attempt = 1; ; attempt++) {
      try {
        const digest = await download(client, { layer, partial }, signal);
        if (digest !== layer.digest) await rm(partial, { force: true });
        checkDigest(digest, layer.digest, 'layer');
        renameSync(partial, done);
        return;
      } catch (error) {
        signal.throwIfAborted();
        const again = error instanceof RuntimeError && error.code === 'IMAGE_UNAVAILABLE';
        if (!again || attempt === BLOB_ATTEMPT_COUNT_MAX) throw error;
        log.debug('blob download broke off', { digest: layer.digest, attempt, error });
        await clock.sleep(BLOB_BACKOFF_MS * 2 ** (attempt - 1), signal);
      }
    }
  }
}

/** Appends what is missing to the partial file; resolves to the digest of the whole. */
async function download(
  client: RegistryClient,
  work: { layer: Descriptor; partial: string },
  signal: AbortSignal,
): Promise<string> {
  const { layer, partial } = work;
  const have = Math.min(sizeOf(partial) ?? 0, layer.sizeBytes);
  let hash: Hash = createHash('sha256');
  if (have > 0) {
    for await (const chunk of createReadStream(partial, { end: have - 1 })) {
      hash.update(chunk as Buffer); // No encoding is set.
    }
  }
  if (have === layer.sizeBytes && have > 0) return `sha256:${hash.digest('hex')}`;
  using response = await client.blob(layer.digest, have, signal);
  if (response.from === 0) hash = createHash('sha256');
  const file = await open(partial, 'a', 0o600);
  let length = response.from;
  try {
    await file.truncate(length);
    for await (const chunk of response.bytes) {
      signal.throwIfAborted();
      length += chunk.length;
      if (length > layer.sizeBytes) {
        throw new RuntimeError('IMAGE_DIGEST_MISMATCH', `layer ${layer.digest} is too long`);
      }
      hash.update(chunk);
      await writeAll(file, chunk);
    }
  } catch (error) {
    throw diskError(error, partial);
  } finally {
    await file.close();
  }
  if (length < layer.sizeBytes) {
    throw new RuntimeError('IMAGE_UNAVAILABLE', `layer ${layer.digest} ended early`);
  }
  return `sha256:${hash.digest('hex')}`;
}

/**
 * Where to ask for what a registry has: its mirrors, then itself. Credentials are the registry's own: a mirror
 * does not get them, unless it is the registry by another name for the same place.
 */
export function endpoints(
  registry: string,
  config: RegistryConfig,
): readonly { readonly baseUrl: string; readonly isRegistry: boolean }[] {
  const host = registry === 'docker.io' ? 'registry-1.docker.io' : registry;
  const name = host.replace(/:\d+$/, '');
  const { insecure } = config;
  const plain = isLoopback(name) || insecure.includes(registry) || insecure.includes(name);
  const own = `${plain ? 'http' : 'https'}://${host}`;
  const mirrors = [...(config.mirrors[registry] ?? []), ...(config.mirrors['*'] ?? [])];
  return [...mirrors.map((url) => url.replace(/\/+$/, '')), own].map((baseUrl) => ({
    baseUrl,
    isRegistry: new URL(baseUrl).origin === new URL(own).origin,
  }));
}

function blobPath(dir: string, digest: string): string {
  return join(dir, `${digest.slice('sha256:'.length)}.blob`);
}

function sizeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.size;
}

function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
