/**
 * The server's part of metadata: filled in on create, kept on update, and the deletion marks. In
 * place on objects that belong to the request. Source: apiserver pkg/registry/rest.
 */
import type { KubeObject } from '#base/kube/client.ts';
import { badRequest } from '../errors.ts';
import { formatTime } from './codec.ts';

const NAME_CHARACTERS = 'bcdfghjklmnpqrstvwxz2456789';
const NAME_BASE_MAX = 58;
const NAME_SUFFIX_LENGTH = 5;

export type RandomBytes = (count: number) => Uint8Array;

/** `base` cut to 58 characters and five random ones. */
export function generateName(base: string, random: RandomBytes): string {
  let name = base.slice(0, NAME_BASE_MAX);
  for (const byte of random(NAME_SUFFIX_LENGTH)) {
    name += NAME_CHARACTERS[byte % NAME_CHARACTERS.length] ?? '';
  }
  return name;
}

/** Sets the object's namespace to the request's; 400 when it names another. */
export function ensureNamespace(object: KubeObject, namespace: string): void {
  const { metadata } = object;
  if ((metadata.namespace ?? '') === '') {
    if (namespace !== '') metadata.namespace = namespace;
    return;
  }
  if (metadata.namespace === namespace) return;
  throw badRequest(
    'the namespace of the provided object does not match the namespace sent on the request',
  );
}

export function fillMetadata(object: KubeObject, uid: string, nowMs: number): void {
  const { metadata } = object;
  metadata.creationTimestamp = formatTime(nowMs);
  metadata.uid = uid;
  delete metadata.deletionTimestamp;
  delete metadata.deletionGracePeriodSeconds;
  delete metadata.selfLink;
  metadata.resourceVersion = '';
}

/** What no update changes. Runs after the kind's prepareForUpdate. */
export function keepServerMetadata(object: KubeObject, old: KubeObject): void {
  const { metadata } = object;
  const before = old.metadata;
  metadata.uid ??= before.uid;
  if (metadata.uid === '') metadata.uid = before.uid;
  metadata.creationTimestamp = before.creationTimestamp;
  if (before.deletionTimestamp !== undefined) {
    metadata.deletionTimestamp = before.deletionTimestamp;
  }
  if (before.deletionGracePeriodSeconds !== undefined) {
    metadata.deletionGracePeriodSeconds ??= before.deletionGracePeriodSeconds;
  }
  delete metadata.selfLink;
}

export function hasFinalizers(object: KubeObject): boolean {
  return (object.metadata.finalizers ?? []).length > 0;
}

/** Marks an object that only waits for its finalizers. */
export function markDeleting(object: KubeObject, nowMs: number): void {
  const { metadata } = object;
  const due = metadata.deletionTimestamp;
  if (due === undefined) bumpGeneration(object);
  if (due === undefined || Date.parse(due) > nowMs) {
    metadata.deletionTimestamp = formatTime(nowMs);
  }
  metadata.deletionGracePeriodSeconds = 0;
}

export function bumpGeneration(object: KubeObject): void {
  const { metadata } = object;
  const generation = metadata.generation ?? 0;
  if (generation > 0) metadata.generation = generation + 1;
}
