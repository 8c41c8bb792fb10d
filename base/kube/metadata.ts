/**
 * Helpers over object metadata that every controller needs: keys, owner references, JSON equality,
 * times, conditions, finalizers. Pure; objects from informers are never changed in place, so what
 * changes something returns a copy.
 */
import type { ObjectReference } from './api/core-v1.gen.ts';
import type { ObjectMeta, OwnerReference } from './api/meta-v1.gen.ts';
import type { KubeObject, Resource } from './client.ts';
import { apiVersionOf } from './kube-client.ts';

/** `NAMESPACE/NAME`, or `NAME` for what has no namespace. */
export function keyOf(object: {
  metadata: { name: string; namespace?: string | undefined };
}): string {
  const { name, namespace } = object.metadata;
  return namespace === undefined || namespace === '' ? name : `${namespace}/${name}`;
}

export function makeKey(namespace: string | undefined, name: string): string {
  return namespace === undefined || namespace === '' ? name : `${namespace}/${name}`;
}

export function splitKey(key: string): { namespace: string; name: string } {
  const slash = key.indexOf('/');
  if (slash === -1) return { namespace: '', name: key };
  return { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

export function isDeleting(object: {
  metadata: { deletionTimestamp?: string | undefined };
}): boolean {
  return object.metadata.deletionTimestamp !== undefined;
}

type HasOwners = { metadata: { ownerReferences?: OwnerReference[] | undefined } };

/** The owner that manages this object, if any. */
export function controllerOf(object: HasOwners): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find((owner) => owner.controller === true);
}

export function isControlledBy(object: HasOwners, owner: { metadata: { uid: string } }): boolean {
  return controllerOf(object)?.uid === owner.metadata.uid;
}

/** The reference by which `owner` manages what it creates. */
export function newControllerRef<T extends KubeObject>(
  r: Resource<T>,
  owner: { metadata: { name: string; uid: string } },
): OwnerReference {
  return {
    apiVersion: apiVersionOf(r),
    kind: r.kind,
    name: owner.metadata.name,
    uid: owner.metadata.uid,
    controller: true,
    blockOwnerDeletion: true,
  };
}

export function objectReference(object: KubeObject): ObjectReference {
  const { name, namespace, uid, resourceVersion } = object.metadata;
  const { apiVersion, kind } = object;
  return {
    apiVersion,
    kind,
    ...(namespace === undefined ? {} : { namespace }),
    name,
    uid,
    resourceVersion,
  };
}

/** Equality of JSON values; a property that is undefined counts as absent. */
export function jsonEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((item, index) => jsonEqual(item, b[index]));
  }
  const left = a as Record<string, unknown>; // Objects that are no arrays.
  const right = b as Record<string, unknown>; // idem
  for (const key of Object.keys(left)) {
    if (left[key] === undefined) continue;
    if (!Object.hasOwn(right, key) || !jsonEqual(left[key], right[key])) return false;
  }
  for (const key of Object.keys(right)) {
    if (right[key] !== undefined && left[key] === undefined) return false;
  }
  return true;
}

/** Equality where an empty object, an empty list and an absent value are the same. */
export function jsonEquivalent(a: unknown, b: unknown): boolean {
  if (isEmpty(a) && isEmpty(b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((item, index) => jsonEquivalent(item, b[index]));
  }
  const left = a as Record<string, unknown>; // Objects that are no arrays.
  const right = b as Record<string, unknown>; // idem
  const keys = new Set([...Object.keys(left), ...Object.keys(right)]);
  for (const key of keys) if (!jsonEquivalent(left[key], right[key])) return false;
  return true;
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null) return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}

/** metav1.Time: RFC 3339 in UTC, whole seconds. */
export function formatTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** metav1.MicroTime: six digits of fraction. */
export function formatMicroTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 23)}000Z`;
}

/** Milliseconds since the epoch, or undefined for an absent or unreadable time. */
export function parseTime(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}

export interface Condition {
  type: string;
  status: string;
  lastTransitionTime?: string | undefined;
  reason?: string | undefined;
  message?: string | undefined;
}

export function findCondition<C extends { type: string }>(
  conditions: readonly C[] | undefined,
  type: string,
): C | undefined {
  return conditions?.find((condition) => condition.type === type);
}

/** Conditions with `next` in place of its type; the transition time is kept while status stands. */
export function setCondition<C extends Condition>(
  conditions: readonly C[] | undefined,
  next: C,
): C[] {
  const old = findCondition(conditions, next.type);
  if (old === undefined) return [...(conditions ?? []), next];
  const kept =
    old.status === next.status ? { ...next, lastTransitionTime: old.lastTransitionTime } : next;
  return (conditions ?? []).map((condition) => (condition.type === next.type ? kept : condition));
}

export function hasFinalizer(object: { metadata: ObjectMeta }, finalizer: string): boolean {
  return object.metadata.finalizers?.includes(finalizer) ?? false;
}
