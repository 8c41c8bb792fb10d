/**
 * JSON text to object and back, as upstream's serializer: which kind the text is, decoding with
 * problems, encoding in upstream's order. The fast path is JSON.parse and normalise.ts.
 */
import { assert, must } from '#base/assert.ts';
import { diagnose } from './diagnose.ts';
import {
  type ApiObject,
  formatApiVersion,
  type GroupVersionKind,
  parseApiVersion,
  SchemaError,
} from './gvk.ts';
import { countKeys, type JsonNode, parseJsonText, toJsonNode } from './json-text.ts';
import { isObject, Mismatch, type NormaliseState, normaliseStruct } from './normalise.ts';
import { kindType, type StructType, structType } from './types.ts';
import { decodeUtf8 } from './utf8.ts';

export interface Decoded {
  readonly gvk: GroupVersionKind;
  /** Canonical: known fields only, in upstream's order, values in canonical form. */
  readonly object: ApiObject;
  /** Strict-decoding texts, `unknown field "spec.foo"`, `duplicate field "spec.x"`; at most 100. */
  readonly problems: readonly string[];
}

export interface DecodeOptions {
  /** Used where the body lacks kind or apiVersion (upstream: the URL's kind). */
  readonly defaults?: GroupVersionKind | undefined;
  /** Collect `problems` (fieldValidation Warn or Strict). Default false: faster. */
  readonly strict?: boolean | undefined;
}

/** Where upstream's API server registers its kinds; part of its message. */
const SCHEME = 'pkg/api/legacyscheme/scheme.go:30';

const TYPE_META =
  'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }';

function unreadable(message: string, cause?: unknown): SchemaError {
  const text = `couldn't get version/kind; json parse error: ${message}`;
  return new SchemaError('MALFORMED', text, { cause });
}

function jsonName(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  return typeof value === 'boolean' ? 'bool' : typeof value;
}

function metaString(value: Readonly<Record<string, unknown>>, name: string): string {
  const given = value[name] ?? '';
  if (typeof given === 'string') return given;
  throw unreadable(
    `json: cannot unmarshal ${jsonName(given)} into Go struct field .${name} of type string`,
  );
}

/** Kind and version of a parsed body, completed from `defaults`. */
export function findKind(
  value: unknown,
  text: string,
  defaults: GroupVersionKind | undefined,
): GroupVersionKind {
  if (value !== null && !isObject(value)) {
    throw unreadable(
      `json: cannot unmarshal ${jsonName(value)} into Go value of type ${TYPE_META}`,
    );
  }
  const apiVersion = value === null ? '' : metaString(value, 'apiVersion');
  const kind = (value === null ? '' : metaString(value, 'kind')) || (defaults?.kind ?? '');
  const parsed = parseApiVersion(apiVersion);
  if (parsed === undefined) {
    throw new SchemaError('MALFORMED', `unexpected GroupVersion string: ${apiVersion}`);
  }
  const gv = apiVersion === '' && defaults !== undefined ? defaults : parsed;
  if (kind === '') throw new SchemaError('MALFORMED', `Object 'Kind' is missing in '${text}'`);
  if (gv.version === '') {
    throw new SchemaError('MALFORMED', `Object 'apiVersion' is missing in '${text}'`);
  }
  return { group: gv.group, version: gv.version, kind };
}

/** The type of a kind. Throws SchemaError NOT_REGISTERED. */
export function mustKindType(gvk: GroupVersionKind): StructType {
  const type = kindType(gvk);
  if (type !== undefined) return type;
  throw new SchemaError(
    'NOT_REGISTERED',
    `no kind "${gvk.kind}" is registered for version "${formatApiVersion(gvk)}" in scheme "${SCHEME}"`,
  );
}

function countMembers(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  let count = 0;
  if (Array.isArray(value)) {
    for (const item of value) count += countMembers(item);
    return count;
  }
  for (const key in value) {
    count += 1 + countMembers((value as Record<string, unknown>)[key]); // An object.
  }
  return count;
}

function withTypeMeta(gvk: GroupVersionKind, fields: Record<string, unknown>): ApiObject {
  // Kind and apiVersion come first in upstream's order, whether or not the text had them.
  if (fields['kind'] === gvk.kind && fields['apiVersion'] !== undefined) {
    return fields as ApiObject; // It has both.
  }
  return { kind: gvk.kind, apiVersion: formatApiVersion(gvk), ...fields };
}

/**
 * The canonical form of `value` as `gvk`; `node` gives the nodes to look at when something is
 * wrong. `suspect` = look even when nothing seems so (duplicate keys).
 */
export function decodeValue(
  gvk: GroupVersionKind,
  value: unknown,
  strict: { readonly wanted: boolean; readonly suspect: boolean },
  node: () => JsonNode,
): Decoded {
  const type = mustKindType(gvk);
  const state: NormaliseState = { hasUnknown: false };
  let fields: Record<string, unknown>;
  try {
    fields = normaliseStruct(type, value ?? {}, state);
  } catch (error) {
    if (!(error instanceof Mismatch)) throw error;
    diagnose(node(), type);
    // Nodes and values disagree only where a number lost digits on the way.
    throw new SchemaError('TYPE_MISMATCH', error.message, { cause: error });
  }
  const mustLook = strict.wanted && (strict.suspect || state.hasUnknown);
  const problems = mustLook ? diagnose(node(), type) : [];
  return { gvk, object: withTypeMeta(gvk, fields), problems };
}

/** What JSON.parse refused, in Go's words. */
function syntaxError(text: string, cause: SyntaxError): SchemaError {
  try {
    parseJsonText(text);
  } catch (precise) {
    if (precise instanceof SchemaError) return unreadable(precise.message, cause);
    throw precise;
  }
  return unreadable(cause.message, cause);
}

function decodeText(text: string, options: DecodeOptions): Decoded {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw error instanceof SyntaxError ? syntaxError(text, error) : error;
  }
  const gvk = findKind(value, text, options.defaults);
  const wanted = options.strict === true;
  const suspect = wanted && countKeys(text) !== countMembers(value);
  return decodeValue(gvk, value, { wanted, suspect }, () => parseJsonText(text));
}

/** JSON text to object. Throws SchemaError MALFORMED, NOT_REGISTERED or TYPE_MISMATCH. */
export function decodeJson(body: string | Uint8Array, options: DecodeOptions = {}): Decoded {
  const text = typeof body === 'string' ? body : decodeUtf8(body, 0, body.length);
  try {
    return decodeText(text, options);
  } catch (error) {
    // The walks over values recurse; only hostile input nests thousands deep.
    if (error instanceof RangeError) throw unreadable('exceeded max depth', error);
    throw error;
  }
}

/**
 * An already parsed value (result of a patch, of an admission plugin) to its canonical form, as if
 * it had been read as JSON: drops unknown fields, canonicalises quantities, checks types.
 */
export function normalise(gvk: GroupVersionKind, value: unknown, strict = false): Decoded {
  return decodeValue(gvk, value, { wanted: strict, suspect: false }, () => toJsonNode(value));
}

const ESCAPED: Readonly<Record<string, string>> = {
  '<': '\\u003c',
  '>': '\\u003e',
  '&': '\\u0026',
  '\u2028': '\\u2028',
  '\u2029': '\\u2029',
};

/** JSON text with the characters escaped that Go escapes. */
export function stringify(value: unknown): string {
  const text = JSON.stringify(value);
  if (!/[<>&\u2028\u2029]/.test(text)) return text;
  return text.replace(/[<>&\u2028\u2029]/g, (c) => ESCAPED[c] ?? c);
}

/** JSON text as upstream writes it (field order, omitted fields), without a final newline. */
export function encodeJson(gvk: GroupVersionKind, object: ApiObject): string {
  return stringify(normalise(gvk, object).object);
}

function typeMetaText(gvk: GroupVersionKind): string {
  return `{"kind":${JSON.stringify(gvk.kind)},"apiVersion":"${formatApiVersion(gvk)}",`;
}

/** A list from texts that encodeJson made, each encoded once: kind and apiVersion are cut off. */
export function joinListJson(
  listGvk: GroupVersionKind,
  metadata: Readonly<Record<string, unknown>>,
  items: readonly string[],
): string {
  assert(listGvk.kind.endsWith('List'), `${listGvk.kind} is no list`);
  const state: NormaliseState = { hasUnknown: false };
  const meta = stringify(normaliseStruct(structType('meta/v1.ListMeta'), metadata, state));
  const head = typeMetaText({ ...listGvk, kind: listGvk.kind.slice(0, -'List'.length) });
  const bodies = items.map((item) => {
    assert(item.startsWith(head), `an item of ${listGvk.kind} is of another kind`);
    return `{${item.slice(head.length)}`;
  });
  return `${typeMetaText(listGvk)}"metadata":${meta},"items":[${bodies.join(',')}]}`;
}

/** The kind of a list's items. */
export function itemGvk(listGvk: GroupVersionKind): GroupVersionKind {
  must(listGvk.kind.endsWith('List') || undefined, `${listGvk.kind} is no list`);
  return { ...listGvk, kind: listGvk.kind.slice(0, -'List'.length) };
}
