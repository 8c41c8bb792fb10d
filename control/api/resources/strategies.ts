/**
 * Parts of strategies that many kinds share: running validators, keeping the status or the spec of the
 * stored object, and what a status update leaves alone.
 */
import type { ObjectMeta } from '#base/kube/api/meta-v1.gen.ts';
import type { KubeObject } from '#base/kube/client.ts';
import type { FieldError } from '../resource.ts';
import { FieldErrors } from './field-errors.ts';
import { pathName, validateMeta, validateMetaUpdate } from './meta.ts';

/** The errors that `check` appends. */
export function collect(check: (e: FieldErrors) => void): readonly FieldError[] {
  const errors = new FieldErrors();
  check(errors);
  return errors.list;
}

const KEPT_BY_STATUS = [
  'deletionTimestamp',
  'generation',
  'selfLink',
  'labels',
  'annotations',
  'finalizers',
  'ownerReferences',
  'managedFields',
] as const satisfies readonly (keyof ObjectMeta)[];

/** In place: takes back every change of metadata that a status update must not make. */
export function resetMetaForStatus(meta: ObjectMeta, old: ObjectMeta): void {
  for (const field of KEPT_BY_STATUS) copyField(meta, old, field);
}

/** In place: `to[field]` becomes what `from` has, or goes. */
export function copyField<T extends object, K extends keyof T>(to: T, from: T, field: K): void {
  if (from[field] === undefined) delete to[field];
  else to[field] = from[field];
}

/**
 * The errors of an update: the metadata rules that hold for all kinds first, as upstream runs them
 * before a kind's own, and so partly twice.
 */
export function collectUpdate<T extends KubeObject>(
  object: T,
  old: T,
  options: { readonly namespaced: boolean },
  check: (e: FieldErrors) => void,
): readonly FieldError[] {
  const errors = new FieldErrors();
  validateMeta(errors, object.metadata, { namespaced: options.namespaced, name: pathName });
  validateMetaUpdate(errors, object.metadata, old.metadata, {});
  check(errors);
  return errors.list;
}
