/**
 * Defaults that upstream states as `+default` markers on fields (protocol TCP, replicas 1, ...). The
 * larger part of upstream's defaulting is code and lives with each resource's strategy.
 */
import type { ApiObject, GroupVersionKind } from './gvk.ts';
import { mustKindType } from './json-codec.ts';
import { isObject, setKey, structSlots, writeSlots } from './normalise.ts';
import { type FieldInfo, type StructType, structType, type TypeRef } from './types.ts';

type Apply = (value: unknown) => unknown;

/** The marker's value, or undefined when the field has none or Go's zero is the same. */
function markedDefault(field: FieldInfo): unknown {
  const text = field.extras.default;
  if (text === undefined) return undefined;
  const value: unknown = JSON.parse(text);
  const isZero = value === '' || value === 0 || value === false;
  return isZero && !field.isPointer ? undefined : value;
}

function isAbsent(field: FieldInfo, value: unknown): boolean {
  if (value === undefined || value === null) return true;
  return !field.isPointer && (value === '' || value === 0 || value === false);
}

function defaultsOf(ref: TypeRef): Apply | undefined {
  if (ref.kind === 'struct') return structDefaults(ref.struct);
  if (ref.kind === 'list') {
    const each = defaultsOf(ref.item);
    return each && ((value) => (Array.isArray(value) ? mapChanged(value, each) : value));
  }
  if (ref.kind === 'map') {
    const each = defaultsOf(ref.value);
    return each && ((value) => (isObject(value) ? mapEntries(value, each) : value));
  }
  return undefined;
}

/** The same list when nothing changes. */
function mapChanged(list: readonly unknown[], each: Apply): readonly unknown[] {
  const out = list.map(each);
  return out.every((item, i) => item === list[i]) ? list : out;
}

function mapEntries(map: Record<string, unknown>, each: Apply): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(map)) setKey(out, key, each(value));
  return out;
}

function buildStruct(type: StructType): Apply | undefined {
  const steps = type.fields.flatMap((field) => {
    const value = markedDefault(field);
    const inner = defaultsOf(field.ref);
    return value === undefined && inner === undefined ? [] : [{ field, value, inner }];
  });
  if (steps.length === 0) return undefined;
  return (given) => {
    if (!isObject(given)) return given;
    let values: unknown[] | undefined;
    for (const { field, value, inner } of steps) {
      const old = given[field.json];
      const isUnset = isAbsent(field, old);
      const now = isUnset && value !== undefined ? value : isUnset ? old : (inner?.(old) ?? old);
      if (now === old) continue;
      values ??= type.fields.map((f) => given[f.json]);
      values[field.index] = now;
    }
    return values === undefined ? given : writeSlots(structSlots(type), values);
  };
}

// Memo of a pure function of the type table: bounded by its size. A type that contains itself finds
// `undefined` inside: JSON schemas, which have no defaults.
const plans = new Map<StructType, Apply | undefined>();

function structDefaults(type: StructType): Apply | undefined {
  if (plans.has(type)) return plans.get(type);
  plans.set(type, undefined);
  const plan = buildStruct(type);
  plans.set(type, plan);
  return plan;
}

/** The object with the `+default` markers of its type filled in (a copy where it changes). */
export function applyMarkerDefaults(gvk: GroupVersionKind, object: ApiObject): ApiObject {
  const apply = structDefaults(mustKindType(gvk));
  return apply === undefined ? object : (apply(object) as ApiObject); // A struct stays an object.
}

/** As applyMarkerDefaults, for a part of an object: `core/v1.PodSpec`. */
export function applyTypeDefaults(typeName: string, value: unknown): unknown {
  return structDefaults(structType(typeName))?.(value) ?? value;
}
