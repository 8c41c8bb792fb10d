/**
 * Says in upstream's words what is wrong with a value that normalise.ts found wrong: the first type
 * error, and unknown and duplicate fields in the order of the text. Slow, walks nodes of json-text.
 *
 * As in Go's decoder a type mismatch is remembered and decoding goes on, while a value that refuses
 * itself (a quantity, a time) ends it at once and wins.
 */
import { assertNever } from '#base/assert.ts';
import { parseQuantity, QuantityError } from '#base/kube/quantity.ts';
import { base64Error, durationError, timeError } from './go-errors.ts';
import { SchemaError } from './gvk.ts';
import type { JsonNode } from './json-text.ts';
import { canonicalMicroTime, canonicalTime, parseDuration } from './times.ts';
import { type FieldInfo, type StructType, structType, type TypeRef } from './types.ts';

/** Upstream stops collecting there. */
const PROBLEMS_MAX = 100;

const INT32 = 2n ** 31n;
const INT64 = 2n ** 63n;

/** Where the decoder stands, for type errors: innermost struct, names of the fields above. */
interface Context {
  readonly struct: string;
  readonly fields: readonly string[];
  /** Path with indices, for problems. */
  readonly path: string;
}

class Diagnosis {
  readonly problems = new Set<string>();
  mismatch: string | undefined;

  problem(kind: 'unknown' | 'duplicate', context: Context, key: string): void {
    if (this.problems.size >= PROBLEMS_MAX) return;
    this.problems.add(`${kind} field ${JSON.stringify(join(context.path, key))}`);
  }

  /** Go's json.UnmarshalTypeError. */
  mismatched(node: JsonNode, go: string, context: Context): void {
    this.mismatch ??= typeError(node, go, context);
  }
}

const join = (path: string, key: string): string => (path === '' ? key : `${path}.${key}`);

function valueName(node: JsonNode, go: string): string {
  if (node.kind !== 'number') return node.kind;
  return /^u?int(8|32|64)$/.test(go.replace('*', '')) ? `number ${node.text}` : 'number';
}

function typeError(node: JsonNode, go: string, context: Context): string {
  const value = `json: cannot unmarshal ${valueName(node, go)} into Go`;
  if (context.fields.length === 0) return `${value} value of type ${go}`;
  return `${value} struct field ${context.struct}.${context.fields.join('.')} of type ${go}`;
}

function refuse(message: string): never {
  throw new SchemaError('TYPE_MISMATCH', message);
}

function inField(context: Context, type: StructType, field: FieldInfo): Context {
  return {
    struct: type.go.slice(type.go.indexOf('.') + 1),
    fields: [...context.fields, ...field.embeds, field.json],
    path: join(context.path, field.json),
  };
}

function walkStruct(out: Diagnosis, node: JsonNode, type: StructType, context: Context): void {
  if (node.kind !== 'object') return out.mismatched(node, type.go, context);
  const seen = new Set<string>();
  for (const [key, value] of node.members) {
    const field = type.byName.get(key);
    if (field === undefined) {
      out.problem('unknown', context, key);
      continue;
    }
    if (seen.has(key)) out.problem('duplicate', context, key);
    seen.add(key);
    walk(out, value, field.ref, inField(context, type, field));
  }
}

function walkMap(
  out: Diagnosis,
  node: JsonNode,
  ref: TypeRef & { kind: 'map' },
  context: Context,
): void {
  if (node.kind !== 'object') return out.mismatched(node, ref.go, context);
  const seen = new Set<string>();
  for (const [key, value] of node.members) {
    if (seen.has(key)) out.problem('duplicate', context, key);
    seen.add(key);
    walk(out, value, ref.value, { ...context, path: join(context.path, key) });
  }
}

function isInteger(node: JsonNode, limit: bigint): boolean {
  if (node.kind !== 'number' || !/^-?\d+$/.test(node.text)) return false;
  const value = BigInt(node.text);
  return value >= -limit && value < limit;
}

function checkQuantity(node: JsonNode): void {
  let text = '{}'; // Any value's text goes to the parser: objects and lists fail there.
  if (node.kind === 'string') text = node.value;
  else if (node.kind === 'number') text = node.text;
  try {
    parseQuantity(text.trim());
  } catch (error) {
    if (error instanceof QuantityError) refuse(error.message);
    throw error;
  }
}

/** Go takes bytes as a list of numbers too. */
function walkBytes(out: Diagnosis, node: JsonNode, ref: TypeRef, context: Context): void {
  if (node.kind === 'string') {
    out.mismatch ??= base64Error(node.value);
  } else if (node.kind !== 'array') {
    out.mismatched(node, ref.go, context);
  } else {
    for (const item of node.items) {
      const isByte = item.kind === 'number' && /^\d+$/.test(item.text) && Number(item.text) < 256;
      if (!isByte && item.kind !== 'null') out.mismatched(item, 'uint8', context);
    }
  }
}

function walkString(out: Diagnosis, node: JsonNode, ref: TypeRef, context: Context): void {
  if (node.kind !== 'string') {
    if (ref.kind === 'string') return out.mismatched(node, ref.go, context);
    refuse(typeError(node, 'string', context)); // Types that parse themselves stop the decoder.
  }
  const text = node.value;
  if (ref.kind === 'time' && canonicalTime(text) === undefined) refuse(timeError(text, false));
  else if (ref.kind === 'microTime' && canonicalMicroTime(text) === undefined) {
    refuse(timeError(text, true));
  } else if (ref.kind === 'duration' && parseDuration(text) === undefined) {
    refuse(durationError(text));
  }
}

function walkSchema(out: Diagnosis, node: JsonNode, ref: TypeRef, context: Context): void {
  const schema = structType('apiextensions/v1.JSONSchemaProps');
  if (node.kind === 'object') return walkStruct(out, node, schema, context);
  if (ref.kind === 'schemaOrBool') {
    if (node.kind !== 'bool') refuse('boolean or JSON schema expected');
  } else if (node.kind === 'array') {
    if (ref.kind === 'schemaOrArray') {
      for (const item of node.items) walkStruct(out, item, schema, context);
    } else if (!node.items.every((item) => item.kind === 'string')) {
      refuse('invalid dependency');
    }
  }
}

function walk(out: Diagnosis, node: JsonNode, ref: TypeRef, context: Context): void {
  if (node.kind === 'null') return;
  switch (ref.kind) {
    case 'struct':
      return walkStruct(out, node, ref.struct, context);
    case 'map':
      return walkMap(out, node, ref, context);
    case 'list':
      if (node.kind !== 'array') return out.mismatched(node, ref.go, context);
      for (const [i, item] of node.items.entries()) {
        walk(out, item, ref.item, { ...context, path: `${context.path}[${i}]` });
      }
      return;
    case 'bytes':
      return walkBytes(out, node, ref, context);
    case 'string':
    case 'time':
    case 'microTime':
    case 'duration':
      return walkString(out, node, ref, context);
    case 'int32':
    case 'int64':
      if (isInteger(node, ref.kind === 'int64' ? INT64 : INT32)) return;
      return out.mismatched(node, ref.go, context);
    case 'intOrString':
      if (node.kind === 'string' || isInteger(node, INT32)) return;
      return refuse(typeError(node, 'int32', context)); // It parses itself.
    case 'quantity':
      return checkQuantity(node);
    case 'bool':
      return node.kind === 'bool' ? undefined : out.mismatched(node, ref.go, context);
    case 'float64':
      return node.kind === 'number' ? undefined : out.mismatched(node, ref.go, context);
    case 'schemaOrBool':
    case 'schemaOrArray':
    case 'schemaOrStrings':
      return walkSchema(out, node, ref, context);
    case 'any':
    case 'raw':
      return;
    default:
      assertNever(ref);
  }
}

/** Unknown and duplicate fields. Throws SchemaError TYPE_MISMATCH when a value does not fit. */
export function diagnose(node: JsonNode, type: StructType): readonly string[] {
  const out = new Diagnosis();
  if (node.kind !== 'null') walkStruct(out, node, type, { struct: '', fields: [], path: '' });
  if (out.mismatch !== undefined) refuse(out.mismatch);
  return [...out.problems];
}
