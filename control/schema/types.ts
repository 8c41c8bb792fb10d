/**
 * The model of upstream's types that all codecs and patches walk: structs with flattened JSON fields
 * and protobuf plans, built from types.gen.ts on first use and kept. Pure.
 *
 * Go facts decide the wire forms: a field that is no pointer always has a value, so JSON leaves it
 * out only where `omitempty` or `omitzero` says so, and protobuf writes it always.
 */
import { assert, must } from '#base/assert.ts';
import type { GroupVersionKind } from './gvk.ts';
import { typeRows } from './types.gen.ts';

/** As in facts/types.gen.json (control/schema/generate/extract-types.ts). */
interface TypeRow {
  readonly fields?: readonly (readonly [
    json: string,
    type: string,
    number: number,
    flags: string,
    extras?: FieldExtras,
  ])[];
  readonly underlying?: string;
  readonly enum?: readonly string[];
  readonly mapType?: string;
  readonly union?: UnionFacts;
}

/** Of a struct of which one member is set, named by the discriminator. */
export interface UnionFacts {
  readonly discriminator?: string;
  /** Go names by JSON name. */
  readonly members: Readonly<Record<string, string>>;
}

export interface FieldExtras {
  /** JSON text of the `+default` marker. */
  readonly default?: string;
  readonly listType?: string;
  readonly listMapKeys?: readonly string[];
  readonly mapType?: string;
  readonly patchStrategy?: string;
  readonly patchMergeKey?: string;
}

export type ScalarKind =
  | 'string'
  | 'bool'
  | 'int32'
  | 'int64'
  | 'float64'
  | 'bytes'
  /** Go's interface{}: any JSON, no protobuf. */
  | 'any'
  /** RawExtension, FieldsV1, JSON: any JSON, in protobuf its text as bytes in a message. */
  | 'raw'
  | 'quantity'
  | 'intOrString'
  | 'time'
  | 'microTime'
  | 'duration'
  | 'schemaOrBool'
  | 'schemaOrArray'
  | 'schemaOrStrings';

export type TypeRef =
  | { readonly kind: ScalarKind; readonly go: string; readonly named?: string }
  | { readonly kind: 'struct'; readonly struct: StructType; readonly go: string }
  | {
      readonly kind: 'list';
      readonly item: TypeRef;
      readonly go: string;
      /** Named Go slices are messages of their own in protobuf: `{items = 1}`. */
      readonly isMessage: boolean;
    }
  | { readonly kind: 'map'; readonly value: TypeRef; readonly go: string };

export interface FieldInfo {
  readonly json: string;
  readonly ref: TypeRef;
  /** Go's type with pointer, as error messages print it. */
  readonly go: string;
  /** Package-qualified type name, for OpenAPI. */
  readonly type: string;
  readonly isPointer: boolean;
  readonly omitsEmpty: boolean;
  readonly omitsZero: boolean;
  readonly isMarkedOptional: boolean;
  readonly isMarkedRequired: boolean;
  readonly extras: FieldExtras;
  /** Position among the flattened fields. */
  readonly index: number;
  /** Go names of the embedded structs on the way to the field, outermost first. */
  readonly embeds: readonly string[];
}

/** What protobuf writes, in field number order: a field, or an embedded struct's own plan. */
export type ProtoEntry =
  | { readonly number: number; readonly field: FieldInfo; readonly embedded?: undefined }
  | { readonly number: number; readonly field?: undefined; readonly embedded: StructType };

export interface StructType {
  /** `core/v1.Pod` */
  readonly name: string;
  /** `v1.Pod` */
  readonly go: string;
  /** In Go's order, embedded structs flattened. */
  readonly fields: readonly FieldInfo[];
  readonly byName: ReadonlyMap<string, FieldInfo>;
  readonly protoEntries: readonly ProtoEntry[];
  /** Has kind and apiVersion: an API kind of its own. */
  readonly hasTypeMeta: boolean;
  readonly isAtomic: boolean;
  readonly union: UnionFacts | undefined;
}

const SPECIAL: Readonly<Record<string, ScalarKind>> = {
  'resource.Quantity': 'quantity',
  'intstr.IntOrString': 'intOrString',
  'meta/v1.Time': 'time',
  'meta/v1.MicroTime': 'microTime',
  'meta/v1.Duration': 'duration',
  'meta/v1.FieldsV1': 'raw',
  'runtime.RawExtension': 'raw',
  'runtime.Object': 'raw',
  'apiextensions/v1.JSON': 'raw',
  'apiextensions/v1.JSONSchemaPropsOrBool': 'schemaOrBool',
  'apiextensions/v1.JSONSchemaPropsOrArray': 'schemaOrArray',
  'apiextensions/v1.JSONSchemaPropsOrStringArray': 'schemaOrStrings',
};

const SCALARS = new Set(['string', 'bool', 'int32', 'int64', 'float64', 'any']);

/** `core/v1.Pod` -> `v1.Pod`, inside lists, maps and pointers too: as Go's reflection prints. */
function goName(type: string): string {
  return type
    .replace(/[\w.-]+\//g, '')
    .replace(/\bany\b/, 'interface {}')
    .replace(/\bbyte\b/, 'uint8');
}

// Memo of pure functions of the generated table: bounded by its size.
const structs = new Map<string, BuiltStruct>();
const refs = new Map<string, TypeRef>();
/** By group, version, kind. */
const kinds = new Map<string, Map<string, Map<string, StructType>>>();

function rowOf(name: string): TypeRow {
  const text = must(typeRows[name], `unknown type ${name}`);
  return JSON.parse(text) as TypeRow; // Generated by control/schema/generate.
}

function namedRef(type: string): TypeRef {
  const special = SPECIAL[type];
  if (special !== undefined) return { kind: special, go: goName(type) };
  const row = rowOf(type);
  if (row.underlying === undefined) {
    return { kind: 'struct', struct: structType(type), go: goName(type) };
  }
  const isAlias = row.underlying.startsWith('=');
  const target = typeRef(isAlias ? row.underlying.slice(1) : row.underlying);
  if (isAlias || target.kind === 'struct') return target;
  if (target.kind === 'list') {
    // apiextensions' ValidationRules alone is cast to a plain repeated field.
    const isMessage = !type.endsWith('.ValidationRules');
    return { ...target, go: goName(type), isMessage };
  }
  return { ...target, go: goName(type), ...(target.kind === 'map' ? {} : { named: type }) };
}

/** The type behind a Go type expression without pointer. */
export function typeRef(type: string): TypeRef {
  const known = refs.get(type);
  if (known !== undefined) return known;
  const go = goName(type);
  let ref: TypeRef;
  if (type === '[]byte') ref = { kind: 'bytes', go };
  else if (SCALARS.has(type))
    ref = { kind: type as ScalarKind, go }; // Just checked.
  else if (type.startsWith('[]')) {
    ref = { kind: 'list', item: typeRef(type.slice(2)), go, isMessage: false };
  } else if (type.startsWith('map[')) {
    ref = { kind: 'map', value: typeRef(type.slice(type.indexOf(']') + 1)), go };
  } else {
    ref = namedRef(type);
  }
  refs.set(type, ref);
  return ref;
}

interface FieldFacts {
  readonly json: string;
  /** With pointer. */
  readonly type: string;
  readonly flags: string;
  readonly extras: FieldExtras;
  readonly embeds: readonly string[];
}

/** Resolves `ref` lazily: structs may contain themselves (JSONSchemaProps). */
class Field implements FieldInfo {
  readonly facts: FieldFacts;
  readonly json: string;
  readonly type: string;
  readonly go: string;
  readonly isPointer: boolean;
  readonly omitsEmpty: boolean;
  readonly omitsZero: boolean;
  readonly isMarkedOptional: boolean;
  readonly isMarkedRequired: boolean;
  readonly extras: FieldExtras;
  readonly embeds: readonly string[];
  readonly index: number;
  #ref: TypeRef | undefined;

  constructor(facts: FieldFacts, index: number) {
    const { json, type, flags } = facts;
    this.facts = facts;
    this.json = json;
    this.isPointer = type.startsWith('*');
    this.type = this.isPointer ? type.slice(1) : type;
    this.go = goName(type);
    this.omitsEmpty = flags.includes('o');
    this.omitsZero = flags.includes('z');
    this.isMarkedOptional = flags.includes('p');
    this.isMarkedRequired = flags.includes('r');
    this.extras = facts.extras;
    this.embeds = facts.embeds;
    this.index = index;
  }

  get ref(): TypeRef {
    this.#ref ??= typeRef(this.type);
    return this.#ref;
  }
}

interface BuiltStruct extends StructType {
  readonly fields: readonly Field[];
}

function buildStruct(name: string, row: TypeRow): BuiltStruct {
  const fields: Field[] = [];
  const protoEntries: ProtoEntry[] = [];
  let hasTypeMeta = false;
  for (const [json, type, number, flags, extras = {}] of must(row.fields, `${name}: no struct`)) {
    if (json === '') {
      const embedded = builtStruct(type.replace('*', ''));
      const goEmbed = embedded.name.slice(embedded.name.lastIndexOf('.') + 1);
      if (goEmbed === 'TypeMeta') hasTypeMeta = true;
      for (const { facts } of embedded.fields) {
        const embeds = [goEmbed, ...facts.embeds];
        fields.push(new Field({ ...facts, embeds }, fields.length));
      }
      if (number > 0) protoEntries.push({ number, embedded });
      continue;
    }
    const field = new Field({ json, type, flags, extras, embeds: [] }, fields.length);
    fields.push(field);
    if (number > 0) protoEntries.push({ number, field });
  }
  protoEntries.sort((a, b) => a.number - b.number);
  const byName = new Map(fields.map((f) => [f.json, f]));
  assert(byName.size === fields.length, `${name}: two fields of one name`);
  const isAtomic = row.mapType === 'atomic';
  const { union } = row;
  return { name, go: goName(name), fields, byName, protoEntries, hasTypeMeta, isAtomic, union };
}

/** The struct of that name, `core/v1.Pod`; a programmer error when there is none. */
export function structType(name: string): StructType {
  return builtStruct(name);
}

function builtStruct(name: string): BuiltStruct {
  const known = structs.get(name);
  if (known !== undefined) return known;
  const row = rowOf(name);
  const built =
    row.underlying === undefined
      ? buildStruct(name, row)
      : builtStruct(row.underlying.replace(/^=/, ''));
  structs.set(name, built);
  return built;
}

/** The values of a named string type marked as an enumeration. */
export function enumValues(named: string): readonly string[] | undefined {
  return typeRows[named] === undefined ? undefined : rowOf(named).enum;
}

/** Kinds that every group version takes, and those that have no group. */
const META_KINDS = new Set(
  (
    'WatchEvent ListOptions GetOptions DeleteOptions CreateOptions UpdateOptions PatchOptions ' +
    'Status APIVersions APIGroupList APIGroup APIResourceList List'
  ).split(' '),
);

/** Upstream's package of a group: `rbac` for rbac.authorization.k8s.io. */
export function packageOf(group: string): string {
  return group === '' ? 'core' : (group.split('.')[0] ?? group);
}

/** The type of a kind; undefined when upstream v1.36 serves no such kind. */
export function kindType(gvk: GroupVersionKind): StructType | undefined {
  const { group, version, kind } = gvk;
  const own = kinds.get(group)?.get(version)?.get(kind);
  if (own !== undefined) return own;
  const type = findKind(gvk);
  if (type === undefined) return undefined; // Not kept: there is no bound to what clients name.
  const versions = kinds.get(group) ?? new Map<string, Map<string, StructType>>();
  kinds.set(group, versions);
  const byKind = versions.get(version) ?? new Map<string, StructType>();
  versions.set(version, byKind.set(kind, type));
  return type;
}

function findKind(gvk: GroupVersionKind): StructType | undefined {
  const own = `${packageOf(gvk.group)}/${gvk.version}.${gvk.kind}`;
  const name = typeRows[own] === undefined ? `meta/v1.${gvk.kind}` : own;
  if (typeRows[name] === undefined) return undefined;
  if (name !== own && !META_KINDS.has(gvk.kind)) return undefined;
  const row = rowOf(name);
  if (row.underlying !== undefined && name !== 'core/v1.List') return undefined;
  const struct = structType(name);
  return struct.hasTypeMeta || gvk.kind === 'WatchEvent' ? struct : undefined;
}
