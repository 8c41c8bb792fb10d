/**
 * Protobuf messages to canonical objects in JSON shape, generic over the type tables. Unknown fields
 * are skipped, as Go's generated code does.
 */
import { assertNever } from '#base/assert.ts';
import { canonicalQuantity, QuantityError } from '#base/kube/quantity.ts';
import { setKey, structSlots, writeSlots } from './normalise.ts';
import { DEPTH_MAX, malformed, type ProtoReader } from './proto-reader.ts';
import { BYTES, FIXED64, VARINT } from './proto-writer.ts';
import { formatDuration, formatMicroTime, formatTime } from './times.ts';
import { type FieldInfo, type StructType, structType, type TypeRef } from './types.ts';

const WIRE: Partial<Record<TypeRef['kind'], number>> = {
  bool: VARINT,
  int32: VARINT,
  int64: VARINT,
  float64: FIXED64,
};

function readTime(r: ProtoReader, isMicro: boolean): string | null {
  let isEmpty = true;
  let seconds = 0;
  let nanos = 0;
  r.message((number) => {
    isEmpty = false;
    if (number === 1) seconds = r.integer();
    else if (number === 2) nanos = r.integer();
    else return false;
    return true;
  });
  if (isEmpty) return null;
  if (!(Math.abs(seconds) < 8e12)) malformed('time out of range');
  return isMicro ? formatMicroTime({ seconds, nanos }) : formatTime(seconds);
}

function readIntOrString(r: ProtoReader): number | string {
  let isText = false;
  let integer = 0;
  let text = '';
  r.message((number) => {
    if (number === 1) isText = r.integer() === 1;
    else if (number === 2) integer = r.integer();
    else if (number === 3) text = r.string();
    else return false;
    return true;
  });
  return isText ? text : integer;
}

function readQuantity(r: ProtoReader): string {
  let text = '0';
  r.message((number) => {
    if (number !== 1) return false;
    text = r.string();
    return true;
  });
  try {
    return canonicalQuantity(text.trim());
  } catch (error) {
    if (error instanceof QuantityError) malformed(error.message);
    throw error;
  }
}

function readRaw(r: ProtoReader): unknown {
  let value: unknown = null;
  r.message((number) => {
    if (number !== 1) return false;
    const text = r.string();
    if (text === '') return true;
    try {
      value = JSON.parse(text);
    } catch (error) {
      if (error instanceof SyntaxError) malformed('raw extension holds no JSON');
      throw error;
    }
    return true;
  });
  return value;
}

function readSchema(r: ProtoReader, ref: TypeRef): unknown {
  const props = structType('apiextensions/v1.JSONSchemaProps');
  let value: unknown = ref.kind === 'schemaOrBool' ? false : null;
  const list: unknown[] = [];
  const schemaNumber = ref.kind === 'schemaOrBool' ? 2 : 1;
  r.message((number) => {
    if (number === schemaNumber) value = readStruct(r, props);
    else if (number === 1) value = r.varint() !== 0;
    else if (number !== 2) return false;
    else list.push(ref.kind === 'schemaOrArray' ? readStruct(r, props) : r.string());
    return true;
  });
  return list.length > 0 ? list : value;
}

function readDuration(r: ProtoReader): string {
  let nanos = 0n;
  r.message((number) => {
    if (number !== 1) return false;
    nanos = r.bigInteger();
    return true;
  });
  return formatDuration(nanos);
}

function readItems(r: ProtoReader, item: TypeRef): unknown[] {
  const items: unknown[] = [];
  r.message((number) => {
    if (number !== 1) return false;
    items.push(readValue(r, item));
    return true;
  });
  return items;
}

/** One value: of a repeated field, one item; a map entry is read by readEntry. */
function readValue(r: ProtoReader, ref: TypeRef): unknown {
  switch (ref.kind) {
    case 'string':
      return r.string();
    case 'bool':
      return r.varint() !== 0;
    case 'int32':
      return r.integer() | 0;
    case 'int64':
      return r.integer();
    case 'float64':
      return r.double();
    case 'bytes':
      return r.subarray().toBase64();
    case 'struct':
      return readStruct(r, ref.struct);
    case 'time':
      return readTime(r, false);
    case 'microTime':
      return readTime(r, true);
    case 'quantity':
      return readQuantity(r);
    case 'duration':
      return readDuration(r);
    case 'intOrString':
      return readIntOrString(r);
    case 'raw':
      return readRaw(r);
    case 'schemaOrBool':
    case 'schemaOrArray':
    case 'schemaOrStrings':
      return readSchema(r, ref);
    case 'list':
      return readItems(r, ref.item);
    case 'map':
    case 'any':
      return malformed(`no protobuf form of ${ref.go}`);
    default:
      return assertNever(ref);
  }
}

/** What a map entry without a value holds. */
function absentEntry(ref: TypeRef): unknown {
  if (ref.kind === 'string') return '';
  if (ref.kind === 'quantity') return '0';
  if (ref.kind === 'struct') return writeSlots(structSlots(ref.struct), []);
  return ref.kind === 'list' ? [] : null;
}

function readEntry(r: ProtoReader, ref: TypeRef, into: Record<string, unknown>): void {
  let key = '';
  let value: unknown;
  r.message((number) => {
    if (number === 1) key = r.string();
    else if (number === 2) value = readValue(r, ref);
    else return false;
    return true;
  });
  setKey(into, key, value ?? absentEntry(ref));
}

/** Keys in order, as JSON has them; peers that are not Go need not send them so. */
function sortKeys(map: Record<string, unknown>): Record<string, unknown> {
  const keys = Object.keys(map);
  if (keys.every((key, i) => i === 0 || (keys[i - 1] as string) <= key)) return map; // i > 0.
  const sorted: Record<string, unknown> = {};
  for (const key of keys.toSorted()) setKey(sorted, key, map[key]);
  return sorted;
}

function readField(r: ProtoReader, field: FieldInfo, wire: number, given: unknown[]): void {
  const { ref, index } = field;
  if (ref.kind === 'list' && !ref.isMessage) {
    given[index] ??= [];
    const list = given[index] as unknown[]; // Just made, or by an earlier item.
    const isPacked = wire === BYTES && WIRE[ref.item.kind] !== undefined;
    if (!isPacked) {
      list.push(readValue(r, ref.item));
      return;
    }
    const end = r.limit();
    while (r.at < end) list.push(readValue(r, ref.item));
    return;
  }
  if (ref.kind === 'map') {
    given[index] ??= {};
    readEntry(r, ref.value, given[index] as Record<string, unknown>); // Likewise.
    return;
  }
  if (wire !== (WIRE[ref.kind] ?? BYTES))
    malformed(`proto: wrong wireType = ${wire} for field ${field.json}`);
  given[index] = readValue(r, ref);
}

interface Plan {
  /** By field number; upstream's numbers are small. */
  readonly fields: readonly (FieldInfo | undefined)[];
  readonly embedded: readonly (StructType | undefined)[];
  readonly maps: readonly number[];
}

// Memo of a pure function of the type table: bounded by its size.
const plans = new Map<StructType, Plan>();

function planOf(type: StructType): Plan {
  let plan = plans.get(type);
  if (plan === undefined) {
    const length = Math.max(0, ...type.protoEntries.map((e) => e.number)) + 1;
    const fields: (FieldInfo | undefined)[] = Array.from({ length });
    const embedded: (StructType | undefined)[] = Array.from({ length });
    for (const entry of type.protoEntries) {
      fields[entry.number] = entry.field;
      embedded[entry.number] = entry.embedded;
    }
    const maps = type.fields.filter((f) => f.ref.kind === 'map').map((f) => f.index);
    plan = { fields, embedded, maps };
    plans.set(type, plan);
  }
  return plan;
}

/** Reads fields of `type` into the slots of `outer`, which embeds it (or is it). */
function readInto(r: ProtoReader, type: StructType, outer: StructType, given: unknown[]): void {
  const plan = planOf(type);
  while (r.at < r.end) {
    const tag = r.varint();
    const number = Math.floor(tag / 8);
    const wire = tag % 8;
    const field = plan.fields[number];
    const embedded = plan.embedded[number];
    if (field !== undefined) {
      readField(r, type === outer ? field : (outer.byName.get(field.json) ?? field), wire, given);
    } else if (embedded !== undefined) {
      const end = r.end;
      r.end = r.limit();
      readInto(r, embedded, outer, given);
      r.end = end;
    } else {
      if (number === 0) malformed(`proto: illegal tag 0 (wire type ${wire})`);
      r.skip(wire);
    }
  }
}

/** The object of a message that ends where the reader ends. */
export function decodeStruct(r: ProtoReader, type: StructType): Record<string, unknown> {
  // oxlint-disable-next-line unicorn/no-new-array -- a length; Array.from is many times slower
  const given: unknown[] = new Array(type.fields.length);
  readInto(r, type, type, given);
  for (const index of planOf(type).maps) {
    const map = given[index];
    if (map !== undefined) given[index] = sortKeys(map as Record<string, unknown>); // A map's slot.
  }
  return writeSlots(structSlots(type), given);
}

function readStruct(r: ProtoReader, type: StructType): Record<string, unknown> {
  const outer = r.end;
  r.end = r.limit();
  r.depth += 1;
  if (r.depth > DEPTH_MAX) malformed('proto: message nested too deep');
  const object = decodeStruct(r, type);
  r.depth -= 1;
  r.end = outer;
  return object;
}
