/**
 * What the schema alone says about an object: strings that must be there and values of enumerations.
 * For kinds whose own rules are few; upstream words these two errors the same for all kinds.
 */
import { enumValues, type FieldInfo, kindType, type TypeRef } from '#control/schema/schema.ts';
import type { FieldErrors } from './field-errors.ts';

/** Where kinds have rules of their own, or upstream lets clients be lax. */
const SKIPPED: ReadonlySet<string> = new Set(['metadata', 'status', 'apiVersion', 'kind']);
/** Types that own rules check where they count. */
const OWN_RULES: ReadonlySet<string> = new Set([
  'core/v1.PodTemplateSpec',
  'core/v1.PersistentVolumeClaim',
  'core/v1.ObjectReference',
  'batch/v1.JobTemplateSpec',
  'meta/v1.LabelSelector',
  'meta/v1.ObjectMeta',
]);

export interface KindName {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

export function validateBySchema(e: FieldErrors, kind: KindName, object: object): void {
  const type = kindType(kind);
  if (type === undefined) return;
  const fields = type.fields.filter(({ json }) => !SKIPPED.has(json));
  for (const field of fields) checkField(e, '', field, Reflect.get(object, field.json));
}

function checkField(e: FieldErrors, at: string, field: FieldInfo, value: unknown): void {
  const path = at === '' ? field.json : `${at}.${field.json}`;
  const isAbsent = value === undefined || value === null || value === '';
  if (isAbsent) {
    if (isRequired(field)) e.required(path);
    return;
  }
  checkValue(e, path, field.ref, value);
}

/** Only strings: an absent number or list is a zero or an empty one, which rules may allow. */
function isRequired(field: FieldInfo): boolean {
  if (field.ref.kind !== 'string' || field.isMarkedOptional) return false;
  return field.isMarkedRequired || !(field.omitsEmpty || field.omitsZero || field.isPointer);
}

function checkValue(e: FieldErrors, path: string, ref: TypeRef, value: unknown): void {
  if (ref.kind === 'string') {
    const values = ref.named === undefined ? undefined : enumValues(ref.named);
    if (values !== undefined && typeof value === 'string' && !values.includes(value)) {
      e.notSupported(path, value, values);
    }
  } else if (ref.kind === 'list' && Array.isArray(value)) {
    for (const [i, item] of value.entries()) checkValue(e, `${path}[${i}]`, ref.item, item);
  } else if (ref.kind === 'map' && typeof value === 'object' && value !== null) {
    for (const [key, item] of Object.entries(value)) {
      checkValue(e, `${path}[${key}]`, ref.value, item);
    }
  } else if (ref.kind === 'struct' && typeof value === 'object' && value !== null) {
    if (OWN_RULES.has(ref.struct.name)) return;
    for (const field of ref.struct.fields) {
      checkField(e, path, field, Reflect.get(value, field.json));
    }
  }
}
