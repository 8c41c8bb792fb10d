/**
 * Objects in JSON shape to protobuf messages, byte for byte as upstream's generated Go code: fields
 * that are no pointers always written, in field number order, maps in key order.
 */
import { assert, assertNever } from '#base/assert.ts';
import { SchemaError } from './gvk.ts';
import { isObject } from './normalise.ts';
import { BYTES, FIXED64, type ProtoWriter, VARINT } from './proto-writer.ts';
import { parseDuration, parseInstant } from './times.ts';
import { type FieldInfo, type StructType, structType, type TypeRef } from './types.ts';
import { utf8Length, writeUtf8 } from './utf8.ts';

type Fields = Readonly<Record<string, unknown>>;

/** Writes a value with its tag in front (so: after it). */
type Put = (w: ProtoWriter, value: unknown) => void;

const NO_FIELDS: Fields = {};

export function utf8(text: string): Uint8Array {
  const bytes = new Uint8Array(utf8Length(text));
  writeUtf8(bytes, 0, text);
  return bytes;
}

/** Text with its fields' kind checked: a handler that makes an ill-typed object is a bug. */
function textOf(value: unknown): string {
  assert(typeof value === 'string', 'a string field holds a string');
  return value;
}

function numberOf(value: unknown): number {
  assert(typeof value === 'number', 'a number field holds a number');
  return value;
}

/** Closes a message begun at `mark`: its length, then the tag. */
function close(w: ProtoWriter, mark: number, number: number): void {
  w.varint(w.mark - mark);
  w.tag(number, BYTES);
}

function putTime(w: ProtoWriter, value: unknown, isMicro: boolean): void {
  if (value === null || value === undefined) return; // The zero time is an empty message.
  const instant = parseInstant(textOf(value));
  assert(instant !== undefined, 'a time field holds a time');
  w.integer(isMicro ? Math.trunc(instant.nanos / 1000) * 1000 : 0);
  w.tag(2, VARINT);
  w.integer(instant.seconds);
  w.tag(1, VARINT);
}

function putIntOrString(w: ProtoWriter, value: unknown): void {
  const isText = typeof value === 'string';
  w.string(isText ? value : '');
  w.tag(3, BYTES);
  w.integer(isText ? 0 : numberOf(value ?? 0));
  w.tag(2, VARINT);
  w.varint(isText ? 1 : 0);
  w.tag(1, VARINT);
}

function putSchema(w: ProtoWriter, value: unknown, ref: TypeRef): void {
  const schema = (v: unknown, number: number): void => {
    const mark = w.mark;
    encodeStruct(w, structType('apiextensions/v1.JSONSchemaProps'), v);
    close(w, mark, number);
  };
  if (ref.kind === 'schemaOrBool') {
    if (isObject(value)) schema(value, 2);
    w.varint(value === false || value === undefined ? 0 : 1);
    w.tag(1, VARINT);
    return;
  }
  if (isObject(value)) return schema(value, 1);
  if (!Array.isArray(value)) return;
  for (const item of value.toReversed()) {
    if (ref.kind === 'schemaOrArray') schema(item, 2);
    else {
      w.string(textOf(item));
      w.tag(2, BYTES);
    }
  }
}

/** The inside of types that are messages of their own. */
function putMessage(w: ProtoWriter, ref: TypeRef, value: unknown): void {
  switch (ref.kind) {
    case 'struct':
      return encodeStruct(w, ref.struct, value);
    case 'time':
      return putTime(w, value, false);
    case 'microTime':
      return putTime(w, value, true);
    case 'quantity':
      w.string(textOf(value ?? '0'));
      return w.tag(1, BYTES);
    case 'duration':
      w.bigInteger(parseDuration(textOf(value ?? '0s')) ?? 0n);
      return w.tag(1, VARINT);
    case 'intOrString':
      return putIntOrString(w, value);
    case 'raw':
      if (value === null || value === undefined) return;
      w.bytes(utf8(JSON.stringify(value)));
      return w.tag(1, BYTES);
    case 'list':
      return putList(1, ref.item)(w, value ?? []);
    default:
      return putSchema(w, value, ref);
  }
}

function putList(number: number, item: TypeRef): Put {
  const put = putValue(number, item);
  return (w, value) => {
    assert(Array.isArray(value), 'a list field holds a list');
    for (let i = value.length - 1; i >= 0; i--) put(w, value[i]);
  };
}

function putMap(number: number, ref: TypeRef): Put {
  const put = putValue(2, ref);
  return (w, value) => {
    assert(isObject(value), 'a map field holds an object');
    for (const key of Object.keys(value).toSorted().toReversed()) {
      const mark = w.mark;
      const v = value[key];
      if (v !== null || ref.kind !== 'bytes') put(w, v);
      w.string(key);
      w.tag(1, BYTES);
      close(w, mark, number);
    }
  };
}

/** A value that is there, or Go's zero value in its place. */
function putValue(number: number, ref: TypeRef): Put {
  switch (ref.kind) {
    case 'string':
      return (w, value) => {
        w.string(textOf(value ?? ''));
        w.tag(number, BYTES);
      };
    case 'bool':
      return (w, value) => {
        w.varint(value === true ? 1 : 0);
        w.tag(number, VARINT);
      };
    case 'int32':
    case 'int64':
      return (w, value) => {
        w.integer(numberOf(value ?? 0));
        w.tag(number, VARINT);
      };
    case 'float64':
      return (w, value) => {
        w.double(numberOf(value ?? 0));
        w.tag(number, FIXED64);
      };
    case 'bytes':
      return (w, value) => {
        w.bytes(Uint8Array.fromBase64(textOf(value ?? '')));
        w.tag(number, BYTES);
      };
    case 'list':
      if (!ref.isMessage) return putList(number, ref.item);
      break;
    case 'map':
      return putMap(number, ref.value);
    case 'any':
      return () => {
        throw new SchemaError('NO_PROTOBUF', 'a value of any type has no protobuf form');
      };
    case 'struct':
    case 'time':
    case 'microTime':
    case 'duration':
    case 'quantity':
    case 'intOrString':
    case 'raw':
    case 'schemaOrBool':
    case 'schemaOrArray':
    case 'schemaOrStrings':
      break;
    default:
      return assertNever(ref);
  }
  return (w, value) => {
    const mark = w.mark;
    putMessage(w, ref, value);
    close(w, mark, number);
  };
}

/** Whether nothing is written for an absent field: Go's nil. */
function isNilable(field: FieldInfo): boolean {
  if (field.isPointer) return true;
  const { ref } = field;
  if (ref.kind === 'list') return true;
  return ref.kind === 'map' || ref.kind === 'bytes' || ref.kind === 'any';
}

type PutField = (w: ProtoWriter, fields: Fields) => void;

function buildPlan(type: StructType): readonly PutField[] {
  return type.protoEntries.toReversed().map((entry): PutField => {
    const { number, embedded } = entry;
    if (embedded !== undefined) {
      return (w, fields) => {
        const mark = w.mark;
        encodeStruct(w, embedded, fields);
        close(w, mark, number);
      };
    }
    const { json } = entry.field;
    const put = putValue(number, entry.field.ref);
    const skipsAbsent = isNilable(entry.field);
    return (w, fields) => {
      const value = fields[json];
      if (skipsAbsent && (value === undefined || value === null)) return;
      put(w, value);
    };
  });
}

// Memo of a pure function of the type table: bounded by its size.
const plans = new Map<StructType, readonly PutField[]>();

/** Writes the message of `value`, without its length. */
export function encodeStruct(w: ProtoWriter, type: StructType, value: unknown): void {
  let plan = plans.get(type);
  if (plan === undefined) {
    if (type.protoEntries.length === 0 && type.fields.length > 0) {
      throw new SchemaError('NO_PROTOBUF', `${type.go} has no protobuf form`);
    }
    plan = buildPlan(type);
    plans.set(type, plan);
  }
  const fields = isObject(value) ? value : NO_FIELDS;
  for (let i = 0; i < plan.length; i++) (plan[i] as PutField)(w, fields); // `i` is within bounds.
}
