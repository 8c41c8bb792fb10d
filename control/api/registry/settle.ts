/**
 * Writes against concurrent writers: an attempt decides on the state that it is shown and commits under
 * that state's revision; who loses the race decides again on what the winner left.
 */
import { assert } from '#base/assert.ts';
import type { KubeObject } from '#base/kube/client.ts';
import { withResourceVersion } from '../cache/cached-object.ts';
import { conflict, type GroupResource, OBJECT_MODIFIED } from '../errors.ts';
import { UPDATE_ATTEMPTS_MAX } from '../limits.ts';
import type { WriteResult } from './object-storage.ts';

/** An object as it is stored: what clients see of it, and the revision to expect. */
export interface Current {
  readonly json: Buffer;
  readonly revision: number;
}

/** What an attempt came to. */
export type Outcome<T> =
  | { readonly kind: 'done'; readonly value: T }
  /** Another writer was first. */
  | { readonly kind: 'changed'; readonly current: Current | undefined }
  /** The object is as it was; something else that the write claims was taken. */
  | { readonly kind: 'again' };

export const done = <T>(value: T): Outcome<T> => ({ kind: 'done', value });

/** The outcome of a write that was not made. */
export function lost(result: Exclude<WriteResult, { kind: 'written' }>): Outcome<never> {
  if (result.kind === 'extraFailed') return { kind: 'again' };
  const found = result.current;
  if (found === undefined) return { kind: 'changed', current: undefined };
  const revision = found.modRevision;
  const json = withResourceVersion(found.value, revision);
  return { kind: 'changed', current: { json, revision } };
}

/** Throws what `attempt` throws, and ApiError 409 after UPDATE_ATTEMPTS_MAX lost races. */
export async function settle<T>(
  of: { readonly groupResource: GroupResource; readonly name: string },
  first: Current | undefined,
  attempt: (current: Current | undefined) => Promise<Outcome<T>>,
): Promise<T> {
  let current = first;
  for (let round = 1; round <= UPDATE_ATTEMPTS_MAX; round++) {
    const outcome = await attempt(current);
    if (outcome.kind === 'done') return outcome.value;
    if (outcome.kind === 'changed') current = outcome.current;
  }
  throw conflict(of.groupResource, of.name, OBJECT_MODIFIED);
}

/** The object, which the caller may change. */
export function parseCurrent(current: Current): KubeObject {
  const object: KubeObject = JSON.parse(current.json.toString());
  assert(object.metadata !== undefined, 'stored object has no metadata');
  return object;
}
