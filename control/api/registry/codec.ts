/**
 * Between objects and the bytes of the store: JSON in the storage version, without resourceVersion
 * (the store's modRevision is that). Order of the first fields is fixed, because the watch cache
 * finds the uid by its place (../cache/cached-object.ts).
 */
import { assert } from '#base/assert.ts';
import type { KubeObject } from '#base/kube/client.ts';
import { requestEntityTooLarge } from '../errors.ts';
import { OBJECT_BYTES_MAX } from '../limits.ts';

const UID_LENGTH = 36;

/** The stored bytes of an object. Throws ApiError 413 when it is too large for the store. */
export function formatStored(object: KubeObject): Buffer {
  const { apiVersion, kind, metadata, ...rest } = object;
  const { name, generateName, namespace, uid, generation, creationTimestamp, ...more } = metadata;
  const { resourceVersion: _, ...others } = more;
  assert(uid?.length === UID_LENGTH, `object ${name} has no uid of ${UID_LENGTH} characters`);
  const ordered = {
    kind,
    apiVersion,
    metadata: { name, generateName, namespace, uid, generation, creationTimestamp, ...others },
    ...rest,
  };
  const bytes = Buffer.from(JSON.stringify(ordered));
  if (bytes.length > OBJECT_BYTES_MAX) {
    throw requestEntityTooLarge('etcdserver: request is too large');
  }
  return bytes;
}

/** Seconds precision, as metav1.Time prints. */
export function formatTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** Microseconds precision, as metav1.MicroTime prints. */
export function formatMicroTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 23)}000Z`;
}

/** A resourceVersion as a revision; undefined when it is none. */
export function parseRevision(text: string): number | undefined {
  return /^\d{1,16}$/.test(text) ? Number(text) : undefined;
}
