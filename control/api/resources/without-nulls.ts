/**
 * Nulls of canonical objects. Upstream writes some absent lists and structs as null, so decoded objects
 * may hold them; the rules of kinds only know absent. `withoutNulls` wraps rules so that they never meet
 * a null; what is stored at last has them again.
 */
import type { KubeObject } from '#base/kube/client.ts';
import { normalise, parseApiVersion } from '#control/schema/schema.ts';
import type { ResourceRules, UpdateRules } from '../resource.ts';

/** The value with its null members gone; the value itself where it has none. */
export function dropNulls<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) {
    const items: unknown[] = value;
    const kept = items.map(dropNulls);
    return kept.every((item, i) => item === items[i]) ? value : (kept as T); // Same shape.
  }
  const own: unknown = value;
  let copy = own as Record<string, unknown>; // Any object is a map.
  for (const [key, member] of Object.entries(value)) {
    const kept: unknown = dropNulls(member);
    if (kept === member && member !== null) continue;
    if (copy === own) copy = { ...copy };
    if (kept === null) delete copy[key];
    else copy[key] = kept;
  }
  return copy === own ? value : (copy as T); // Same shape.
}

function dropNullsInPlace(object: KubeObject): void {
  const kept = dropNulls(object);
  if (kept !== object) replace(object, kept);
}

function replace(object: KubeObject, by: object): void {
  for (const key of Object.keys(object)) Reflect.deleteProperty(object, key);
  Object.assign(object, by);
}

/** The canonical form again, with the nulls and empty structs that upstream writes. */
function writeNulls(object: KubeObject): void {
  const gv = parseApiVersion(object.apiVersion);
  if (gv === undefined) return;
  replace(object, normalise({ ...gv, kind: object.kind }, object).object);
}

function wrapUpdate(rules: UpdateRules): UpdateRules {
  return {
    ...(rules.prepareForUpdate === undefined
      ? {}
      : {
          prepareForUpdate(object, old, context) {
            dropNullsInPlace(object);
            rules.prepareForUpdate?.(object, dropNulls(old), context);
          },
        }),
    ...(rules.validateUpdate === undefined
      ? {}
      : {
          validateUpdate: (object, old, context) =>
            rules.validateUpdate?.(dropNulls(object), dropNulls(old), context) ?? [],
        }),
  };
}

export function withoutNulls(rules: ResourceRules): ResourceRules {
  const { table, subresources } = rules;
  return {
    ...rules,
    ...wrapUpdate(rules),
    default(object) {
      dropNullsInPlace(object);
      rules.default?.(object);
    },
    prepareForCreate(object, context) {
      dropNullsInPlace(object);
      rules.prepareForCreate?.(object, context);
    },
    canonicalize(object) {
      rules.canonicalize?.(object);
      writeNulls(object);
    },
    ...(rules.validate === undefined
      ? {}
      : { validate: (object, context) => rules.validate?.(dropNulls(object), context) ?? [] }),
    ...(rules.bumpsGeneration === undefined
      ? {}
      : {
          bumpsGeneration: (object, old) =>
            rules.bumpsGeneration?.(dropNulls(object), dropNulls(old)) ?? false,
        }),
    ...(rules.selectableFields === undefined
      ? {}
      : { selectableFields: (object) => rules.selectableFields?.(dropNulls(object)) ?? {} }),
    ...(table === undefined
      ? {}
      : {
          table: {
            columns: table.columns,
            row: (object, nowMs) => table.row(dropNulls(object), nowMs),
          },
        }),
    ...(subresources === undefined
      ? {}
      : {
          subresources: Object.fromEntries(
            Object.entries(subresources).map(([name, part]) => [name, wrapUpdate(part)]),
          ),
        }),
  };
}
