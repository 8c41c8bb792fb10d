/**
 * OpenAPI v3 schemas of upstream's types, from the type tables: what kubectl explain, client-side
 * apply and validation read. Pure; used by openapi.ts.
 */
import { assertNever } from '#base/assert.ts';
import { formatApiVersion, type GroupVersionKind } from './gvk.ts';
import { groupRows } from './resources.gen.ts';
import {
  enumValues,
  type FieldInfo,
  packageOf,
  type StructType,
  type TypeRef,
  type UnionFacts,
} from './types.ts';

export type Schema = Readonly<Record<string, unknown>>;

/** Texts by schema name and by parameter name; absent ones leave no trace. */
export interface Descriptions {
  readonly types: Readonly<Record<string, readonly [string, Readonly<Record<string, string>>]>>;
  readonly parameters: Readonly<Record<string, string>>;
}

export const NO_DESCRIPTIONS: Descriptions = { types: {}, parameters: {} };

const PREFIXES: readonly (readonly [RegExp, string])[] = [
  [/^meta\//, 'io.k8s.apimachinery.pkg.apis.meta.'],
  [/^apiextensions\//, 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.'],
  [/^apiregistration\//, 'io.k8s.kube-aggregator.pkg.apis.apiregistration.'],
];

const NAMES: Readonly<Record<string, string>> = {
  'resource.Quantity': 'io.k8s.apimachinery.pkg.api.resource.Quantity',
  'intstr.IntOrString': 'io.k8s.apimachinery.pkg.util.intstr.IntOrString',
  'runtime.RawExtension': 'io.k8s.apimachinery.pkg.runtime.RawExtension',
  'runtime.Object': 'io.k8s.apimachinery.pkg.runtime.RawExtension',
};

/** `core/v1.Pod` -> `io.k8s.api.core.v1.Pod`. */
export function schemaName(type: string): string {
  const known = NAMES[type];
  if (known !== undefined) return known;
  for (const [pattern, prefix] of PREFIXES) {
    if (pattern.test(type)) return type.replace(pattern, prefix);
  }
  return `io.k8s.api.${type.replace('/', '.')}`;
}

export const schemaRef = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });

const RAW_OBJECT: Schema = { type: 'object' };

/** Types whose JSON form is not their Go form. */
const SPECIAL: Readonly<Record<string, Schema>> = {
  'resource.Quantity': { oneOf: [{ type: 'string' }, { type: 'number' }] },
  'intstr.IntOrString': {
    oneOf: [{ type: 'integer' }, { type: 'string' }],
    format: 'int-or-string',
  },
  'meta/v1.Time': { type: 'string', format: 'date-time' },
  'meta/v1.MicroTime': { type: 'string', format: 'date-time' },
  'meta/v1.Duration': { type: 'string' },
  'meta/v1.FieldsV1': RAW_OBJECT,
  'runtime.RawExtension': RAW_OBJECT,
  'apiextensions/v1.JSON': {},
  'apiextensions/v1.JSONSchemaPropsOrBool': {},
  'apiextensions/v1.JSONSchemaPropsOrArray': {},
  'apiextensions/v1.JSONSchemaPropsOrStringArray': {},
};

const SPECIAL_KINDS: Partial<Record<TypeRef['kind'], string>> = {
  quantity: 'resource.Quantity',
  intOrString: 'intstr.IntOrString',
  time: 'meta/v1.Time',
  microTime: 'meta/v1.MicroTime',
  duration: 'meta/v1.Duration',
  schemaOrBool: 'apiextensions/v1.JSONSchemaPropsOrBool',
  schemaOrArray: 'apiextensions/v1.JSONSchemaPropsOrArray',
  schemaOrStrings: 'apiextensions/v1.JSONSchemaPropsOrStringArray',
};

const RAW_TYPES: Readonly<Record<string, string>> = {
  'v1.FieldsV1': 'meta/v1.FieldsV1',
  'v1.JSON': 'apiextensions/v1.JSON',
};

/** The name of the schema of its own that a type has; undefined for what stands inline. */
function ownName(ref: TypeRef): string | undefined {
  if (ref.kind === 'struct') return ref.struct.name;
  if (ref.kind === 'raw') return RAW_TYPES[ref.go] ?? 'runtime.RawExtension';
  return SPECIAL_KINDS[ref.kind];
}

/** What Go's zero value is as a default; undefined where upstream states none. */
function zeroDefault(ref: TypeRef): unknown {
  switch (ref.kind) {
    case 'string':
      return '';
    case 'bool':
      return false;
    case 'int32':
    case 'int64':
    case 'float64':
      return 0;
    case 'struct':
      return {};
    default:
      return undefined;
  }
}

/** Collects the schemas that a document needs. */
export class SchemaBuilder {
  readonly schemas = new Map<string, Schema>();
  readonly #descriptions: Descriptions;

  constructor(descriptions: Descriptions) {
    this.#descriptions = descriptions;
  }

  /** A reference to the schema of a type, which is added with all that it needs. */
  refTo(type: string, struct?: StructType): Schema {
    const name = schemaName(type);
    if (!this.schemas.has(name)) {
      this.schemas.set(name, {}); // Types may contain themselves.
      const special = SPECIAL[type];
      const description = this.#descriptions.types[name]?.[0];
      const schema = special ?? (struct === undefined ? {} : this.#struct(struct));
      this.schemas.set(name, { ...(description ? { description } : {}), ...schema });
    }
    return schemaRef(name);
  }

  #struct(struct: StructType): Schema {
    const texts = this.#descriptions.types[schemaName(struct.name)]?.[1] ?? {};
    const fields = struct.fields.toSorted((a, b) => (a.json < b.json ? -1 : 1));
    const properties = Object.fromEntries(
      fields.map((f) => [f.json, this.#property(f, texts[f.json])]),
    );
    const required = struct.fields.filter(isRequired).map((f) => f.json);
    const kinds = kindsOf(struct);
    return {
      type: 'object',
      ...(required.length === 0 ? {} : { required }),
      ...(fields.length === 0 ? {} : { properties }),
      ...(struct.isAtomic ? { 'x-kubernetes-map-type': 'atomic' } : {}),
      ...(struct.union === undefined ? {} : { 'x-kubernetes-unions': [unionOf(struct.union)] }),
      ...(kinds.length === 0 ? {} : { 'x-kubernetes-group-version-kind': kinds }),
    };
  }

  #property(field: FieldInfo, text: string | undefined): Schema {
    const { ref, extras } = field;
    const values = ref.kind === 'string' && ref.named ? enumValues(ref.named) : undefined;
    const description = text && values ? `${text}\n\n${enumText(values)}` : text;
    const marked: unknown = extras.default === undefined ? undefined : JSON.parse(extras.default);
    const isPlain = !field.isPointer && (ref.kind === 'struct' || !field.omitsEmpty);
    const byDefault = marked ?? (isPlain ? zeroDefault(ref) : undefined);
    const name = ownName(ref);
    const type = name === undefined ? this.#inline(ref) : this.#reference(name, ref);
    const rest = {
      ...(byDefault === undefined ? {} : { default: byDefault }),
      ...(description ? { description } : {}),
      ...(values === undefined ? {} : { enum: values }),
      ...extensions(field),
    };
    if (name === undefined) return { ...rest, ...type };
    // A reference stands alone: what else is said of the field goes around it.
    return Object.keys(rest).length === 0 ? type : { ...rest, allOf: [type] };
  }

  #reference(name: string, ref: TypeRef): Schema {
    return this.refTo(name, ref.kind === 'struct' ? ref.struct : undefined);
  }

  #element(ref: TypeRef): Schema {
    const name = ownName(ref);
    const values = ref.kind === 'string' && ref.named ? enumValues(ref.named) : undefined;
    const byDefault = zeroDefault(ref);
    const rest = byDefault === undefined ? {} : { default: byDefault };
    if (name === undefined) {
      return { ...this.#inline(ref), ...rest, ...(values === undefined ? {} : { enum: values }) };
    }
    const type = this.#reference(name, ref);
    return byDefault === undefined ? type : { ...rest, allOf: [type] };
  }

  #inline(ref: TypeRef): Schema {
    switch (ref.kind) {
      case 'string':
        return { type: 'string' };
      case 'bool':
        return { type: 'boolean' };
      case 'int32':
      case 'int64':
        return { type: 'integer', format: ref.kind };
      case 'float64':
        return { type: 'number', format: 'double' };
      case 'bytes':
        return { type: 'string', format: 'byte' };
      case 'any':
        return {};
      case 'list':
        return { type: 'array', items: this.#element(ref.item) };
      case 'map':
        return { type: 'object', additionalProperties: this.#element(ref.value) };
      case 'struct':
      case 'raw':
      case 'quantity':
      case 'intOrString':
      case 'time':
      case 'microTime':
      case 'duration':
      case 'schemaOrBool':
      case 'schemaOrArray':
      case 'schemaOrStrings':
        return schemaRef(schemaName(ownName(ref) ?? ref.go));
      default:
        return assertNever(ref);
    }
  }
}

function enumText(values: readonly string[]): string {
  return `Possible enum values:\n${values.map((v) => ` - \`${JSON.stringify(v)}\``).join('\n')}`;
}

function isRequired(field: FieldInfo): boolean {
  if (field.isMarkedOptional) return false;
  return field.isMarkedRequired || !(field.omitsEmpty || field.omitsZero);
}

function extensions({ extras, ref }: FieldInfo): Schema {
  const { listType, listMapKeys, mapType, patchStrategy, patchMergeKey } = extras;
  return {
    ...(listMapKeys === undefined ? {} : { 'x-kubernetes-list-map-keys': listMapKeys }),
    ...(listType === undefined ? {} : { 'x-kubernetes-list-type': listType }),
    ...(mapType === undefined ? {} : { 'x-kubernetes-map-type': mapType }),
    ...(patchMergeKey === undefined ? {} : { 'x-kubernetes-patch-merge-key': patchMergeKey }),
    ...(patchStrategy === undefined || ref.kind === 'any'
      ? {}
      : { 'x-kubernetes-patch-strategy': patchStrategy }),
  };
}

function unionOf({ discriminator, members }: UnionFacts): Schema {
  return {
    ...(discriminator === undefined ? {} : { discriminator }),
    'fields-to-discriminateBy': members,
  };
}

/** Kinds of every group version share one type. */
const SHARED_KINDS = new Set(['DeleteOptions', 'WatchEvent']);
const UNVERSIONED = new Set([
  'Status',
  'APIVersions',
  'APIGroupList',
  'APIGroup',
  'APIResourceList',
]);

/** The group, version and kind that a type is, for clients that look a kind up. */
function kindsOf(struct: StructType): readonly GroupVersionKind[] {
  const dot = struct.name.lastIndexOf('.');
  const kind = struct.name.slice(dot + 1);
  if (struct.name === `meta/v1.${kind}`) {
    if (UNVERSIONED.has(kind)) return [{ group: '', kind, version: 'v1' }];
    if (!SHARED_KINDS.has(kind)) return [];
    return groupRows
      .flatMap((g) => g.versions.map((version) => ({ group: g.name, kind, version })))
      .toSorted((a, b) => (formatApiVersion(a) < formatApiVersion(b) ? -1 : 1));
  }
  if (!struct.hasTypeMeta) return [];
  const [folder = '', version = ''] = struct.name.slice(0, dot).split('/');
  const group = groupRows.find((g) => packageOf(g.name) === folder);
  return group === undefined ? [] : [{ group: group.name, kind, version }];
}
