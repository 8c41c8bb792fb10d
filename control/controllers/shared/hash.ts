/**
 * Names from contents: the hash of a pod template that ends in ReplicaSet and ControllerRevision
 * names. FNV-1a over canonical JSON, written in the alphabet of generated names. Pure. The value only
 * has to be stable: objects are recognised by equality of templates, the hash makes names differ.
 */

import { fnv1a32 } from '#base/fnv1a.ts';

/** JSON with sorted keys and without undefined, null and empty members. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const entries = Object.entries(value)
    .filter(([, member]) => !isEmpty(member))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`).join(',')}}`;
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null) return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}

/** No vowels and no lookalikes: nothing offensive, nothing misread. */
const ALPHABET = 'bcdfghjklmnpqrstvwxz2456789';

/** The decimal digits of `hash`, each as a character of the alphabet. */
export function encodeHash(hash: number): string {
  return Array.from(String(hash), (digit) => ALPHABET[digit.charCodeAt(0) % ALPHABET.length]).join(
    '',
  );
}

/** `collisionCount` makes another name when two templates hash alike. */
export function templateHash(template: unknown, collisionCount: number | undefined): string {
  // A status may say 0 or nothing: the name must be the same.
  const suffix = (collisionCount ?? 0) === 0 ? '' : `#${collisionCount}`;
  return encodeHash(fnv1a32(canonicalJson(template) + suffix));
}
