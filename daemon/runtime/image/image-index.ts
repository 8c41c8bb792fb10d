/**
 * Which images there are and by which names: pure operations on a plain list, kept as index.json by
 * image-store.ts. Invariants: an image appears once; a tag and a digest name belong to one image.
 */
import { type Image, type ImageConfig, RuntimeError } from '../port.ts';
import { formatReference, isDigest, parseReference, repositoryName } from './reference.ts';

export interface ImageRecord {
  /** `sha256:` of the config. */
  readonly id: string;
  readonly tags: readonly string[];
  /** `name@sha256:` of the manifest. */
  readonly digests: readonly string[];
  readonly sizeBytes: number;
  readonly addedAtMs: number;
  /** Chain ids, bottom first. */
  readonly layers: readonly string[];
}

export type ImageIndex = readonly ImageRecord[];

/** The index with `record` in it: its names move over from whichever image had them. */
export function withImage(index: ImageIndex, record: ImageRecord): ImageIndex {
  const old = index.find((image) => image.id === record.id);
  const merged: ImageRecord = {
    ...record,
    tags: union(old?.tags ?? [], record.tags),
    digests: union(old?.digests ?? [], record.digests),
  };
  const others = index
    .filter((image) => image.id !== record.id)
    .map((image) => ({
      ...image,
      tags: image.tags.filter((tag) => !record.tags.includes(tag)),
      digests: image.digests.filter((digest) => !record.digests.includes(digest)),
    }));
  return [...others, merged];
}

export function withoutImage(index: ImageIndex, id: string): ImageIndex {
  return index.filter((image) => image.id !== id);
}

/** By id (with or without `sha256:`), by name and tag, or by name and digest. */
export function findImage(index: ImageIndex, reference: string): ImageRecord | undefined {
  const id = isDigest(reference) ? reference : `sha256:${reference}`;
  const byId = index.find((image) => image.id === id);
  if (byId !== undefined) return byId;
  try {
    const parsed = parseReference(reference);
    const repository = repositoryName(parsed);
    if (parsed.digest !== undefined) {
      const name = `${repository}@${parsed.digest}`;
      return index.find((image) => image.digests.includes(name));
    }
    const name = formatReference(parsed);
    return index.find((image) => image.tags.includes(name));
  } catch (error) {
    if (error instanceof RuntimeError && error.code === 'INVALID_IMAGE_NAME') return undefined;
    throw error;
  }
}

export function imageOf(record: ImageRecord, config: ImageConfig): Image {
  const { id, tags, digests, sizeBytes, addedAtMs } = record;
  // Without a digest name it came by an archive, and nobody knows where to get it again.
  const pinned = digests.length === 0 && tags.length > 0;
  return { id, tags, digests, sizeBytes, addedAtMs, pinned, config };
}

/** Throws IMAGE_INVALID for what this program never wrote. */
export function parseIndex(json: unknown): ImageIndex {
  const images = typeof json === 'object' && json !== null && 'images' in json && json.images;
  if (!Array.isArray(images)) throw new RuntimeError('IMAGE_INVALID', 'image index has no images');
  return images.map((image: Partial<ImageRecord>) => {
    const { id, tags, digests, sizeBytes, addedAtMs, layers } = image;
    if (id === undefined || tags === undefined || digests === undefined) {
      throw new RuntimeError('IMAGE_INVALID', 'image index entry is incomplete');
    }
    return {
      id,
      tags,
      digests,
      sizeBytes: sizeBytes ?? 0,
      addedAtMs: addedAtMs ?? 0,
      layers: layers ?? [],
    };
  });
}

function union(a: readonly string[], b: readonly string[]): readonly string[] {
  return [...new Set([...a, ...b])];
}
