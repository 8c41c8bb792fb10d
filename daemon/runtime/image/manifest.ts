/**
 * The JSON documents of images: OCI and docker manifests, indexes, configs, docker-archive lists.
 * Pure parsers over `unknown`; whatever is not as it must be throws RuntimeError IMAGE_INVALID.
 * Formats: opencontainers/image-spec v1.1, moby image/spec v1.2.
 */
import { type ImageConfig, RuntimeError } from '../port.ts';
import { LAYER_COUNT_MAX } from '../limits.ts';
import { isDigest } from './reference.ts';

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly sizeBytes: number;
  readonly annotations: Readonly<Record<string, string>>;
  readonly platform: Platform | undefined;
}

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant: string | undefined;
}

export type Manifest =
  | { readonly kind: 'image'; readonly config: Descriptor; readonly layers: readonly Descriptor[] }
  | { readonly kind: 'index'; readonly manifests: readonly Descriptor[] };

export interface ParsedConfig {
  readonly config: ImageConfig;
  readonly diffIds: readonly string[];
  readonly platform: Platform;
}

export const MANIFEST_TYPES = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
] as const;

const INDEX_TYPES: readonly string[] = MANIFEST_TYPES.slice(2);

type Json = Readonly<Record<string, unknown>>;

function invalid(message: string): RuntimeError {
  return new RuntimeError('IMAGE_INVALID', message);
}

export function parseJson(bytes: Uint8Array, what: string): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (error) {
    throw new RuntimeError('IMAGE_INVALID', `${what} is not JSON`, { cause: error });
  }
}

function object(value: unknown, what: string): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid(`${what} is not an object`);
  }
  return value as Json; // Checked above; members stay unknown.
}

function list(value: unknown, what: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw invalid(`${what} is not a list`);
  return value;
}

function text(value: unknown, what: string): string {
  if (value === undefined || value === null) return '';
  if (typeof value !== 'string') throw invalid(`${what} is not a string`);
  return value;
}

function texts(value: unknown, what: string): readonly string[] {
  return list(value, what).map((item) => text(item, what));
}

function textMap(value: unknown, what: string): Record<string, string> {
  if (value === undefined || value === null) return {};
  const entries = Object.entries(object(value, what));
  return Object.fromEntries(entries.map(([key, item]) => [key, text(item, what)]));
}

function parseDescriptor(value: unknown, what: string): Descriptor {
  const json = object(value, what);
  const digest = text(json['digest'], `${what} digest`);
  if (!isDigest(digest)) throw invalid(`${what} has digest ${JSON.stringify(digest)}`);
  const size = json['size'];
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw invalid(`${what} has no size`);
  }
  const platform = json['platform'];
  return {
    mediaType: text(json['mediaType'], `${what} mediaType`),
    digest,
    sizeBytes: size,
    annotations: textMap(json['annotations'], `${what} annotations`),
    platform: platform === undefined ? undefined : parsePlatform(object(platform, what)),
  };
}

function parsePlatform(json: Json): Platform {
  const variant = text(json['variant'], 'variant');
  return {
    os: text(json['os'], 'os'),
    architecture: text(json['architecture'], 'architecture'),
    variant: variant === '' ? undefined : variant,
  };
}

export function parseManifest(bytes: Uint8Array): Manifest {
  const json = object(parseJson(bytes, 'manifest'), 'manifest');
  const type = text(json['mediaType'], 'mediaType');
  if (json['schemaVersion'] !== 2) throw invalid('manifest schema version is not 2');
  if (INDEX_TYPES.includes(type) || (type === '' && json['manifests'] !== undefined)) {
    const manifests = list(json['manifests'], 'manifests');
    return { kind: 'index', manifests: manifests.map((m) => parseDescriptor(m, 'manifest entry')) };
  }
  const layers = list(json['layers'], 'layers').map((l) => parseDescriptor(l, 'layer'));
  if (layers.length > LAYER_COUNT_MAX) throw invalid(`image has ${layers.length} layers`);
  return { kind: 'image', config: parseDescriptor(json['config'], 'config'), layers };
}

/** The manifest for this machine: exact variant first, then any of the architecture. */
export function choosePlatform(
  manifests: readonly Descriptor[],
  wanted: { os: string; architecture: string },
): Descriptor | undefined {
  const fits = manifests.filter(
    (m) => m.platform?.os === wanted.os && m.platform.architecture === wanted.architecture,
  );
  const plain = fits.find((m) => m.platform?.variant === undefined);
  const preferred = wanted.architecture === 'arm64' ? 'v8' : undefined;
  return fits.find((m) => m.platform?.variant === preferred) ?? plain ?? fits[0];
}

export function parseConfig(bytes: Uint8Array): ParsedConfig {
  const json = object(parseJson(bytes, 'image config'), 'image config');
  const config = object(json['config'] ?? {}, 'config');
  const rootfs = object(json['rootfs'], 'rootfs');
  const diffIds = texts(rootfs['diff_ids'], 'diff_ids');
  for (const id of diffIds) if (!isDigest(id)) throw invalid(`diff id ${JSON.stringify(id)}`);
  if (diffIds.length > LAYER_COUNT_MAX) throw invalid(`image has ${diffIds.length} layers`);
  return {
    diffIds,
    platform: parsePlatform(json),
    config: {
      user: text(config['User'], 'User'),
      env: texts(config['Env'], 'Env'),
      entrypoint: texts(config['Entrypoint'], 'Entrypoint'),
      cmd: texts(config['Cmd'], 'Cmd'),
      workingDir: text(config['WorkingDir'], 'WorkingDir'),
      stopSignal: text(config['StopSignal'], 'StopSignal'),
      volumes: Object.keys(object(config['Volumes'] ?? {}, 'Volumes')),
      labels: textMap(config['Labels'], 'Labels'),
    },
  };
}

export interface ArchivedImage {
  readonly configPath: string;
  readonly tags: readonly string[];
  readonly layerPaths: readonly string[];
}

/** `manifest.json` of a docker-archive. */
export function parseArchiveList(bytes: Uint8Array): readonly ArchivedImage[] {
  return list(parseJson(bytes, 'manifest.json'), 'manifest.json').map((item) => {
    const json = object(item, 'manifest.json entry');
    return {
      configPath: text(json['Config'], 'Config'),
      tags: texts(json['RepoTags'], 'RepoTags'),
      layerPaths: texts(json['Layers'], 'Layers'),
    };
  });
}
