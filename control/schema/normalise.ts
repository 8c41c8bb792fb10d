/**
 * Parsed JSON to canonical object: only known fields, in upstream's order, present exactly where
 * upstream's encoder would write them, values in canonical form. This is what a Go server gets by
 * decoding into structs and encoding again.
 *
 * It is fast because it says only that something is wrong (`Mismatch`, `hasUnknown`); diagnose.ts
 * then walks the text again to say what, in upstream's words.
 */
import { canonicalQuantity, QuantityError } from '#base/kube/quantity.ts';
import { assertNever } from '#base/assert.ts';
import { canonicalMicroTime, canonicalTime, formatDuration, parseDuration } from './times.ts';
import { type FieldInfo, type StructType, structType, type TypeRef } from './types.ts';

/** A value does not fit its type. */
export class Mismatch extends Error {
  override readonly name = 'Mismatch';
}

export interface NormaliseState {
  /** Set when a field was dropped. */
  hasUnknown: boolean;
}

type Normaliser = (value: unknown, state: NormaliseState) => unknown;

type Fields = Record<string, unknown>;

function mismatch(ref: TypeRef): never {
  throw new Mismatch(`no ${ref.go}`);
}

export function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Sets own property `key` even when it is `__proto__`, a valid key of a ConfigMap. */
export function setKey(target: Fields, key: string, value: unknown): void {
  if (key === '__proto__') {
    Object.defineProperty(target, key, {
      value,
      enumerable: true,
      writable: true,
      configurable: true,
    });
  } else {
    target[key] = value;
  }
}

const INT64_LIMIT = 2 ** 63;

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** A last digit that carries more bits than the bytes need. */
const SPARE_BITS = /(?:[^AQgw]==|[^AEIMQUYcgkosw048]=)$/;

/** What an absent (or null) value of a type that is no pointer looks like in JSON. */
function zeroValue(ref: TypeRef, state: NormaliseState): unknown {
  switch (ref.kind) {
    case 'string':
      return '';
    case 'bool':
    case 'schemaOrBool':
      return false;
    case 'int32':
    case 'int64':
    case 'float64':
    case 'intOrString':
      return 0;
    case 'quantity':
      return '0';
    case 'duration':
      return '0s';
    case 'struct':
      return structNormaliser(ref.struct)({}, state);
    case 'bytes':
    case 'any':
    case 'raw':
    case 'time':
    case 'microTime':
    case 'schemaOrArray':
    case 'schemaOrStrings':
    case 'list':
    case 'map':
      return null;
    default:
      return assertNever(ref);
  }
}

/** Go skips line breaks and ignores the last digit's spare bits. */
function canonicalBase64(text: string): string {
  if (BASE64.test(text) && !SPARE_BITS.test(text)) return text;
  const joined = text.replace(/[\r\n]/g, '');
  if (!BASE64.test(joined)) throw new Mismatch('no base64');
  return Uint8Array.fromBase64(joined).toBase64();
}

/** Go takes bytes as a list of numbers too. */
function bytesOfList(value: unknown, ref: TypeRef): string {
  if (!Array.isArray(value)) return mismatch(ref);
  const bytes = value.map((v: unknown) => v ?? 0);
  if (!bytes.every((v) => isInt(v, 256) && (v as number) >= 0)) return mismatch(ref); // An integer.
  return Uint8Array.from(bytes as number[]).toBase64(); // Just checked.
}

function isInt(value: unknown, limit: number): boolean {
  return Number.isInteger(value) && (value as number) >= -limit && (value as number) < limit; // An integer.
}

function normaliseQuantity(value: unknown): string {
  if (typeof value !== 'string' && typeof value !== 'number') throw new Mismatch('no quantity');
  try {
    return canonicalQuantity(String(value).trim());
  } catch (error) {
    if (error instanceof QuantityError) throw new Mismatch(error.message, { cause: error });
    throw error;
  }
}

function listNormaliser(ref: TypeRef & { kind: 'list' }): Normaliser {
  const { item } = ref;
  return (value, state) => {
    if (!Array.isArray(value)) return mismatch(ref);
    const each = normaliser(item);
    return value.map((v: unknown) =>
      v === null || v === undefined ? zeroValue(item, state) : each(v, state),
    );
  };
}

function mapNormaliser(ref: TypeRef & { kind: 'map' }): Normaliser {
  return (value, state) => {
    if (!isObject(value)) return mismatch(ref);
    const each = normaliser(ref.value);
    const out: Fields = {};
    const keys = Object.keys(value);
    for (let i = 1; i < keys.length; i++) {
      if ((keys[i - 1] as string) > (keys[i] as string)) {
        keys.sort(); // Upstream writes maps in key order; `i` is within bounds.
        break;
      }
    }
    for (const key of keys) {
      const v = value[key];
      if (v === undefined) continue;
      setKey(out, key, v === null ? zeroValue(ref.value, state) : each(v, state));
    }
    return out;
  };
}

function schemaNormaliser(kind: 'schemaOrBool' | 'schemaOrArray' | 'schemaOrStrings'): Normaliser {
  return (value, state) => {
    const schema = structNormaliser(structType('apiextensions/v1.JSONSchemaProps'));
    if (isObject(value)) return schema(value, state);
    if (kind === 'schemaOrBool') {
      if (typeof value === 'boolean') return value;
    } else if (Array.isArray(value)) {
      if (kind === 'schemaOrArray') return value.map((v) => schema(v ?? {}, state));
      if (value.every((v) => typeof v === 'string')) return value;
    }
    throw new Mismatch('no schema');
  };
}

function scalarNormaliser(ref: TypeRef): Normaliser {
  switch (ref.kind) {
    case 'string':
      return (v) => (typeof v === 'string' ? v : mismatch(ref));
    case 'bool':
      return (v) => (typeof v === 'boolean' ? v : mismatch(ref));
    case 'int32':
      return (v) => (isInt(v, 2 ** 31) ? v : mismatch(ref));
    case 'int64':
      return (v) => (isInt(v, INT64_LIMIT) || v === INT64_LIMIT ? v : mismatch(ref));
    case 'float64':
      return (v) => (typeof v === 'number' ? v : mismatch(ref));
    case 'bytes':
      return (v) => (typeof v === 'string' ? canonicalBase64(v) : bytesOfList(v, ref));
    case 'any':
    case 'raw':
      return (v) => v;
    case 'quantity':
      return normaliseQuantity;
    case 'intOrString':
      return (v) => (typeof v === 'string' || isInt(v, 2 ** 31) ? v : mismatch(ref));
    case 'time':
      return (v) => (typeof v === 'string' ? (canonicalTime(v) ?? nullOr(v, ref)) : mismatch(ref));
    case 'microTime':
      return (v) =>
        typeof v === 'string' ? (canonicalMicroTime(v) ?? nullOr(v, ref)) : mismatch(ref);
    case 'duration':
      return (v) => {
        const nanos = typeof v === 'string' ? parseDuration(v) : undefined;
        return nanos === undefined ? mismatch(ref) : formatDuration(nanos);
      };
    case 'schemaOrBool':
    case 'schemaOrArray':
    case 'schemaOrStrings':
      return schemaNormaliser(ref.kind);
    case 'list':
      return listNormaliser(ref);
    case 'map':
      return mapNormaliser(ref);
    case 'struct':
      return structNormaliser(ref.struct);
    default:
      return assertNever(ref);
  }
}

/** Null for the zero time, which canonicalTime reports as null; else the text is no time. */
function nullOr(text: string, ref: TypeRef): null {
  const canonical = ref.kind === 'time' ? canonicalTime(text) : canonicalMicroTime(text);
  return canonical === null ? null : mismatch(ref);
}

const ZERO_STATE: NormaliseState = { hasUnknown: false };

/** What stands for an absent field: nothing (undefined), or what Go's encoder writes. */
function absentValue(field: FieldInfo): {
  readonly isWritten: boolean;
  readonly make: () => unknown;
} {
  const { ref } = field;
  const omits = field.omitsEmpty || field.omitsZero;
  if (field.isPointer) return { isWritten: !omits, make: () => null };
  const isStructLike =
    ref.kind === 'struct' ||
    ref.kind === 'raw' ||
    ref.kind === 'quantity' ||
    ref.kind === 'intOrString' ||
    ref.kind === 'time' ||
    ref.kind === 'microTime' ||
    ref.kind === 'duration';
  // Go's omitempty never leaves out a struct.
  const isWritten = isStructLike ? !field.omitsZero : !omits;
  return { isWritten, make: () => zeroValue(ref, ZERO_STATE) };
}

function isEmpty(value: unknown): boolean {
  if (value === '' || value === 0 || value === false) return true;
  if (typeof value !== 'object' || value === null) return value === null;
  if (Array.isArray(value)) return value.length === 0;
  for (const _ in value) return false;
  return true;
}

/** Whether a value that was given is still left out when it turns out to be Go's zero. */
function dropsEmpty(field: FieldInfo): boolean {
  if (field.isPointer) return false;
  switch (field.ref.kind) {
    case 'struct':
    case 'raw':
    case 'quantity':
    case 'intOrString':
    case 'duration':
      return false;
    case 'time':
    case 'microTime':
      return field.omitsZero;
    default:
      return field.omitsEmpty || field.omitsZero;
  }
}

export interface Slot {
  readonly json: string;
  readonly field: FieldInfo;
  readonly normalise: Normaliser;
  readonly dropsEmpty: boolean;
  readonly isWrittenWhenAbsent: boolean;
  readonly makeAbsent: () => unknown;
}

function buildSlots(type: StructType): readonly Slot[] {
  return type.fields.map((field) => {
    const absent = absentValue(field);
    return {
      json: field.json,
      field,
      normalise: normaliser(field.ref),
      dropsEmpty: dropsEmpty(field),
      isWrittenWhenAbsent: absent.isWritten,
      makeAbsent: absent.make,
    };
  });
}

/** The object of canonical values given by field index, as Go's encoder would write it. */
export function writeSlots(slots: readonly Slot[], given: readonly unknown[]): Fields {
  const out: Fields = {};
  for (let i = 0; i < slots.length; i++) {
    const v = given[i];
    const slot = slots[i] as Slot; // `i` is within bounds.
    if (v === undefined || v === null) {
      if (slot.isWrittenWhenAbsent) out[slot.json] = slot.makeAbsent();
      else if (v === null && !slot.dropsEmpty) out[slot.json] = null;
    } else if (!(slot.dropsEmpty && isEmpty(v))) {
      out[slot.json] = v;
    }
  }
  return out;
}

function buildStruct(type: StructType): Normaliser {
  const { byName } = type;
  let slots: readonly Slot[] | undefined;
  return (value, state) => {
    if (!isObject(value)) throw new Mismatch(`no ${type.go}`);
    slots ??= structSlots(type);
    // oxlint-disable-next-line unicorn/no-new-array -- a length; Array.from is many times slower
    const given: unknown[] = new Array(slots.length);
    for (const key in value) {
      const field = byName.get(key);
      if (field === undefined) {
        state.hasUnknown = true;
        continue;
      }
      const v = value[key];
      if (v === undefined || v === null) continue;
      given[field.index] = (slots[field.index] as Slot).normalise(v, state); // One slot a field.
    }
    return writeSlots(slots, given);
  };
}

// Memo of pure functions of the type table: bounded by its size.
const normalisers = new Map<TypeRef, Normaliser>();
const structNormalisers = new Map<StructType, Normaliser>();
const slotsByStruct = new Map<StructType, readonly Slot[]>();

function normaliser(ref: TypeRef): Normaliser {
  let known = normalisers.get(ref);
  if (known === undefined) {
    known = scalarNormaliser(ref);
    normalisers.set(ref, known);
  }
  return known;
}

function structNormaliser(type: StructType): Normaliser {
  let known = structNormalisers.get(type);
  if (known === undefined) {
    known = buildStruct(type);
    structNormalisers.set(type, known);
  }
  return known;
}

/** What becomes of each field of a struct, by field index. */
export function structSlots(type: StructType): readonly Slot[] {
  let known = slotsByStruct.get(type);
  if (known === undefined) {
    known = buildSlots(type);
    slotsByStruct.set(type, known);
  }
  return known;
}

/** The canonical form of a value as `type`. Throws Mismatch. */
export function normaliseStruct(type: StructType, value: unknown, state: NormaliseState): Fields {
  return structNormaliser(type)(value, state) as Fields; // A struct's normaliser makes an object.
}
