/**
 * What holds for kinds without rules of their own: metadata checks, and the split between the main
 * resource (which leaves status alone) and /status (which changes nothing else).
 */
import type { KubeObject } from '#base/kube/client.ts';
import type { FieldError, HookContext, UpdateRules } from '../resource.ts';
import { FieldErrors } from '../resources/field-errors.ts';
import { pathName, validateMeta, validateMetaUpdate } from '../resources/meta.ts';
import type { ServedResource } from './served-resource.ts';

type WithParts = KubeObject & { spec?: unknown; status?: unknown };

export function validateGenericCreate(
  resource: ServedResource,
  object: KubeObject,
  context: HookContext,
): readonly FieldError[] {
  if (resource.rules.validate !== undefined) return resource.rules.validate(object, context);
  const errors = new FieldErrors();
  const { namespaced } = resource.facts;
  validateMeta(errors, object.metadata, { namespaced, name: pathName });
  return errors.list;
}

export function validateGenericUpdate(
  resource: ServedResource,
  rules: UpdateRules,
  update: { object: KubeObject; old: KubeObject; context: HookContext },
): readonly FieldError[] {
  const { object, old, context } = update;
  if (rules.validateUpdate !== undefined) return rules.validateUpdate(object, old, context);
  const errors = new FieldErrors();
  const { namespaced } = resource.facts;
  validateMeta(errors, object.metadata, { namespaced, name: pathName });
  validateMetaUpdate(errors, object.metadata, old.metadata, {});
  return errors.list;
}

/** The rules of an endpoint: declared ones, else the generic ones for it. */
export function genericUpdateRules(resource: ServedResource, subresource: string): UpdateRules {
  const { rules } = resource;
  if (subresource !== '' && subresource !== 'scale') {
    const declared = rules.subresources?.[subresource];
    if (declared !== undefined) return declared;
    return subresource === 'status' ? { prepareForUpdate: keepAllButStatus } : {};
  }
  if (rules.prepareForUpdate !== undefined || !resource.hasSubresource('status')) return rules;
  return {
    prepareForUpdate: keepStatus,
    ...(rules.validateUpdate === undefined
      ? {}
      : { validateUpdate: rules.validateUpdate.bind(rules) }),
    ...(rules.warningsOnUpdate === undefined
      ? {}
      : { warningsOnUpdate: rules.warningsOnUpdate.bind(rules) }),
  };
}

function keepStatus(object: WithParts, old: WithParts): void {
  if (old.status === undefined) delete object.status;
  else object.status = old.status;
}

/** Everything but status, and the annotations and finalizers that upstream lets /status write. */
function keepAllButStatus(object: WithParts, old: WithParts): void {
  const status = object.status;
  const { annotations, finalizers, managedFields, resourceVersion } = object.metadata;
  for (const key of Object.keys(object)) Reflect.deleteProperty(object, key);
  Object.assign(object, structuredClone(old));
  if (status === undefined) delete object.status;
  else object.status = status;
  object.metadata = { ...object.metadata, resourceVersion };
  for (const key of ['annotations', 'finalizers', 'managedFields'] as const) {
    delete object.metadata[key];
  }
  if (annotations !== undefined) object.metadata.annotations = annotations;
  if (finalizers !== undefined) object.metadata.finalizers = finalizers;
  if (managedFields !== undefined) object.metadata.managedFields = managedFields;
}
