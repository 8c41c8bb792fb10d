/**
 * Reads image archives: docker-archive (`docker save`: manifest.json) and OCI image layouts in a tar
 * (index.json, blobs/sha256/*), plain or compressed. Members may come in any order, so all are spooled
 * first; then the lists are followed and every digest is checked. Called by image-store.ts.
 */
import { posix } from 'node:path';
import { ARCHIVE_MEMBER_COUNT_MAX } from '../limits.ts';
import { RuntimeError } from '../port.ts';
import { decompress } from './decompress.ts';
import {
  choosePlatform,
  type Descriptor,
  parseArchiveList,
  parseConfig,
  parseManifest,
} from './manifest.ts';
import { formatReference, parseReference } from './reference.ts';
import { checkDigest, readDocument, type Spool, type Spooled } from './spool.ts';
import { readTar } from './tar.ts';

/** An image whose parts lie in the spool. */
export interface LoadedImage {
  readonly tags: readonly string[];
  readonly configBytes: Buffer;
  readonly configDigest: string;
  readonly layers: readonly { diffId: string; blobPath: string }[];
  readonly sizeBytes: number;
}

interface Members {
  readonly files: ReadonlyMap<string, Spooled>;
}

export async function loadArchive(
  archive: AsyncIterable<Uint8Array>,
  spool: Spool,
  options: { platform: { os: string; architecture: string }; signal: AbortSignal },
): Promise<readonly LoadedImage[]> {
  const members = await spoolMembers(archive, spool, options.signal);
  const list = members.files.get('manifest.json');
  if (list !== undefined) return await loadDockerImages(members, list);
  const index = members.files.get('index.json');
  if (index !== undefined) return await loadOciImages(members, index, options.platform);
  throw new RuntimeError('IMAGE_INVALID', 'archive has neither manifest.json nor index.json');
}

async function spoolMembers(
  archive: AsyncIterable<Uint8Array>,
  spool: Spool,
  signal: AbortSignal,
): Promise<Members> {
  const files = new Map<string, Spooled>();
  const links = new Map<string, string>();
  let count = 0;
  for await (const { header, body } of readTar(decompress(archive))) {
    if (++count > ARCHIVE_MEMBER_COUNT_MAX) {
      throw new RuntimeError(
        'IMAGE_INVALID',
        `archive has over ${ARCHIVE_MEMBER_COUNT_MAX} members`,
      );
    }
    const name = posix.join('/', header.name).slice(1);
    if (header.type === 'file') {
      const spooled = await spool.add(body, signal);
      const blob = /^blobs\/sha256\/([0-9a-f]{64})$/.exec(name);
      if (blob !== null) checkDigest(spooled.digest, `sha256:${blob[1]}`, `archive member ${name}`);
      files.set(name, spooled);
    } else if (header.type === 'symlink') {
      links.set(name, posix.join('/', posix.dirname(name), header.linkName).slice(1));
    } else if (header.type === 'hardlink') {
      links.set(name, posix.join('/', header.linkName).slice(1));
    }
  }
  // docker save links equal layers to one another; a link never leads to another link there.
  for (const [name, target] of links) {
    const file = files.get(target);
    if (file !== undefined && !files.has(name)) files.set(name, file);
  }
  return { files };
}

function member(members: Members, path: string): Spooled {
  const file = members.files.get(posix.join('/', path).slice(1));
  if (file === undefined) throw new RuntimeError('IMAGE_INVALID', `archive lacks ${path}`);
  return file;
}

async function loadDockerImages(members: Members, list: Spooled): Promise<readonly LoadedImage[]> {
  const images: LoadedImage[] = [];
  for (const entry of parseArchiveList(await readDocument(list, 'manifest.json'))) {
    const config = member(members, entry.configPath);
    const named = /(?:^|\/)([0-9a-f]{64})(?:\.json)?$/.exec(entry.configPath);
    if (named !== null) checkDigest(config.digest, `sha256:${named[1]}`, 'image config');
    const layers = entry.layerPaths.map((path) => member(members, path));
    images.push(await assemble({ config, layers, tags: entry.tags }));
  }
  return images;
}

async function loadOciImages(
  members: Members,
  index: Spooled,
  platform: { os: string; architecture: string },
): Promise<readonly LoadedImage[]> {
  const top = parseManifest(await readDocument(index, 'index.json'));
  if (top.kind !== 'index')
    throw new RuntimeError('IMAGE_INVALID', 'index.json lists no manifests');
  const images: LoadedImage[] = [];
  for (const entry of top.manifests) {
    const image = await loadOciImage(members, entry, platform);
    if (image !== undefined) images.push(image);
  }
  if (images.length === 0) {
    throw new RuntimeError('IMAGE_INVALID', `archive has no image for ${platform.architecture}`);
  }
  return images;
}

async function loadOciImage(
  members: Members,
  entry: Descriptor,
  platform: { os: string; architecture: string },
): Promise<LoadedImage | undefined> {
  let descriptor: Descriptor | undefined = entry;
  for (let depth = 0; depth < 3 && descriptor !== undefined; depth++) {
    const file = blob(members, descriptor.digest);
    const manifest = parseManifest(await readDocument(file, 'manifest'));
    if (manifest.kind === 'index') {
      descriptor = choosePlatform(manifest.manifests, platform);
      continue;
    }
    return await assemble({
      config: blob(members, manifest.config.digest),
      layers: manifest.layers.map((layer) => blob(members, layer.digest)),
      tags: annotatedTags(entry),
    });
  }
  return undefined;
}

function blob(members: Members, digest: string): Spooled {
  return member(members, `blobs/${digest.replace(':', '/')}`);
}

/** containerd's annotation holds the whole name; OCI's often only the tag, which names nothing alone. */
function annotatedTags(entry: Descriptor): readonly string[] {
  const full = entry.annotations['io.containerd.image.name'];
  if (full !== undefined) return [full];
  const short = entry.annotations['org.opencontainers.image.ref.name'];
  return short !== undefined && /[/:]/.test(short) ? [short] : [];
}

async function assemble(parts: {
  config: Spooled;
  layers: readonly Spooled[];
  tags: readonly string[];
}): Promise<LoadedImage> {
  const configBytes = await readDocument(parts.config, 'image config');
  const { diffIds } = parseConfig(configBytes);
  if (diffIds.length !== parts.layers.length) {
    throw new RuntimeError(
      'IMAGE_INVALID',
      `image config names ${diffIds.length} layers, its manifest ${parts.layers.length}`,
    );
  }
  return {
    tags: parts.tags.map((tag) => formatReference(parseReference(tag))),
    configBytes,
    configDigest: parts.config.digest,
    layers: parts.layers.map((layer, i) => ({
      diffId: diffIds[i] ?? '', // Lengths are equal.
      blobPath: layer.path,
    })),
    sizeBytes: parts.layers.reduce((sum, layer) => sum + layer.sizeBytes, parts.config.sizeBytes),
  };
}
