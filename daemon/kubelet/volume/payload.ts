/**
 * What configMap, secret, downwardAPI and projected volumes contain: a map from relative path to
 * bytes and mode. Decides; fetching objects and tokens goes through the Sources port. A missing
 * object or key of a source that is not optional is a VolumeError with upstream's text.
 */
import type {
  ConfigMap,
  ConfigMapProjection,
  DownwardAPIVolumeFile,
  KeyToPath,
  Pod,
  Secret,
  SecretProjection,
  ServiceAccountTokenProjection,
  Volume,
} from '#base/kube/api/core-v1.gen.ts';
import { type FieldFacts, fieldValue, resourceValue } from '../container/fields.ts';
import type { ReferencedObjects } from '../container/env.ts';

export class VolumeError extends Error {
  override readonly name = 'VolumeError';
}

export interface PayloadFile {
  readonly data: Uint8Array;
  readonly mode: number;
  /** Owner; root when absent. */
  readonly uid?: number | undefined;
}

/** Keys are clean relative paths (no `..`, no leading `/`). */
export type Payload = ReadonlyMap<string, PayloadFile>;

export interface Sources {
  readonly objects: ReferencedObjects;
  /** As they are now: the pod's address comes late. */
  facts(): FieldFacts;
  token(request: ServiceAccountTokenProjection, signal: AbortSignal): Promise<string>;
}

const MODE_DEFAULT = 0o644;

/** Kinds of volume whose content comes from the API and is kept up to date. */
export function hasPayload(volume: Volume): boolean {
  return (
    volume.configMap !== undefined ||
    volume.secret !== undefined ||
    volume.downwardAPI !== undefined ||
    volume.projected !== undefined
  );
}

export async function volumePayload(
  pod: Pod,
  volume: Volume,
  { sources, signal }: { sources: Sources; signal: AbortSignal },
): Promise<Payload> {
  const payload = new Map<string, PayloadFile>();
  if (volume.configMap !== undefined) {
    const { defaultMode, name = '' } = volume.configMap;
    const map = await sources.objects.configMap(name, signal);
    addConfigMap(payload, map, { ...volume.configMap, name }, defaultMode ?? MODE_DEFAULT);
  } else if (volume.secret !== undefined) {
    const { defaultMode, secretName: name = '' } = volume.secret;
    const secret = await sources.objects.secret(name, signal);
    addSecret(payload, secret, { ...volume.secret, name }, defaultMode ?? MODE_DEFAULT);
  } else if (volume.downwardAPI !== undefined) {
    const { items, defaultMode } = volume.downwardAPI;
    addDownward(payload, pod, { items, mode: defaultMode ?? MODE_DEFAULT, facts: sources.facts() });
  } else {
    await addProjected(payload, pod, { volume, sources, signal });
  }
  return payload;
}

interface Keys {
  readonly name: string;
  readonly items?: readonly KeyToPath[] | undefined;
  readonly optional?: boolean | undefined;
}

function addConfigMap(
  payload: Map<string, PayloadFile>,
  map: ConfigMap | undefined,
  keys: Keys,
  mode: number,
): void {
  if (map === undefined) {
    if (keys.optional === true) return;
    throw new VolumeError(`configmap ${JSON.stringify(keys.name)} not found`);
  }
  const values = new Map<string, Uint8Array>();
  for (const [key, text] of Object.entries(map.data ?? {})) values.set(key, Buffer.from(text));
  for (const [key, text] of Object.entries(map.binaryData ?? {})) {
    values.set(key, Buffer.from(text, 'base64'));
  }
  addKeys(payload, values, { keys, mode, kind: 'config' });
}

function addSecret(
  payload: Map<string, PayloadFile>,
  secret: Secret | undefined,
  keys: Keys,
  mode: number,
): void {
  if (secret === undefined) {
    if (keys.optional === true) return;
    throw new VolumeError(`secret ${JSON.stringify(keys.name)} not found`);
  }
  const values = new Map<string, Uint8Array>();
  for (const [key, text] of Object.entries(secret.data ?? {})) {
    values.set(key, Buffer.from(text, 'base64'));
  }
  addKeys(payload, values, { keys, mode, kind: 'secret' });
}

function addKeys(
  payload: Map<string, PayloadFile>,
  values: ReadonlyMap<string, Uint8Array>,
  { keys, mode, kind }: { keys: Keys; mode: number; kind: 'config' | 'secret' },
): void {
  if (keys.items === undefined || keys.items.length === 0) {
    for (const [key, data] of values) payload.set(key, { data, mode });
    return;
  }
  for (const item of keys.items) {
    const data = values.get(item.key);
    if (data === undefined) {
      if (keys.optional === true) continue;
      throw new VolumeError(`references non-existent ${kind} key: ${item.key}`);
    }
    payload.set(cleanPath(item.path), { data, mode: item.mode ?? mode });
  }
}

function addDownward(
  payload: Map<string, PayloadFile>,
  pod: Pod,
  input: {
    readonly items: readonly DownwardAPIVolumeFile[] | undefined;
    readonly mode: number;
    readonly facts: FieldFacts;
  },
): void {
  for (const item of input.items ?? []) {
    let text = '';
    if (item.fieldRef !== undefined) text = fieldValue(pod, item.fieldRef.fieldPath, input.facts);
    else if (item.resourceFieldRef !== undefined) {
      const { containerName = '' } = item.resourceFieldRef;
      text = resourceValue(pod, { ...item.resourceFieldRef, containerName }, input.facts);
    }
    payload.set(cleanPath(item.path), { data: Buffer.from(text), mode: item.mode ?? input.mode });
  }
}

async function addProjected(
  payload: Map<string, PayloadFile>,
  pod: Pod,
  { volume, sources, signal }: { volume: Volume; sources: Sources; signal: AbortSignal },
): Promise<void> {
  const mode = volume.projected?.defaultMode ?? MODE_DEFAULT;
  for (const source of volume.projected?.sources ?? []) {
    if (source.configMap !== undefined) {
      const keys = named(source.configMap);
      addConfigMap(payload, await sources.objects.configMap(keys.name, signal), keys, mode);
    } else if (source.secret !== undefined) {
      const keys = named(source.secret);
      addSecret(payload, await sources.objects.secret(keys.name, signal), keys, mode);
    } else if (source.downwardAPI !== undefined) {
      addDownward(payload, pod, { items: source.downwardAPI.items, mode, facts: sources.facts() });
    } else if (source.serviceAccountToken !== undefined) {
      const token = await sources.token(source.serviceAccountToken, signal);
      payload.set(cleanPath(source.serviceAccountToken.path), {
        data: Buffer.from(token),
        ...tokenAccess(pod, mode),
      });
    } else {
      throw new VolumeError('source of projected volume is not supported on this node');
    }
  }
}

/** A credential: for the one user of all containers, or the pod's group, where there is one. */
function tokenAccess(pod: Pod, mode: number): { mode: number; uid?: number } {
  const { runAsUser, fsGroup } = pod.spec.securityContext ?? {};
  const { containers, initContainers = [], ephemeralContainers = [] } = pod.spec;
  const users = new Set(
    [...containers, ...initContainers, ...ephemeralContainers].map(
      (container) => container.securityContext?.runAsUser ?? runAsUser,
    ),
  );
  const [uid] = users;
  if (users.size === 1 && uid !== undefined) return { mode: 0o600, uid };
  return { mode: fsGroup === undefined ? mode : 0o600 };
}

const named = (p: ConfigMapProjection | SecretProjection): Keys => ({ ...p, name: p.name ?? '' });

/** API validation refuses these already; a path is checked again before it becomes a file. */
function cleanPath(path: string): string {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.length === 0 || path.startsWith('/') || parts.includes('..')) {
    throw new VolumeError(`invalid path ${JSON.stringify(path)} in volume`);
  }
  return parts.join('/');
}
