/**
 * Derives base/kube/api/GROUP-VERSION.gen.ts, the TypeScript types of API objects, from the schemas
 * that the type tables give. Loaded after the tables are written: it runs the product's own code.
 *
 * Optional fields may be undefined; what the server always fills in (metadata, spec, status of a
 * kind; name, uid, resourceVersion, creationTimestamp of metadata) is required.
 */
import { openApiV3 } from '../openapi.ts';
import { NO_DESCRIPTIONS, SchemaBuilder } from '../openapi-schema.ts';
import { structType } from '../types.ts';
import { typesFile } from './emit-resources.ts';

interface Schema {
  readonly $ref?: string;
  readonly allOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly type?: string;
  readonly items?: Schema;
  readonly additionalProperties?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly 'x-kubernetes-group-version-kind'?: readonly {
    readonly group: string;
    readonly version: string;
    readonly kind: string;
  }[];
}

const SPECIAL: Readonly<Record<string, string>> = {
  'io.k8s.apimachinery.pkg.api.resource.Quantity': 'string',
  'io.k8s.apimachinery.pkg.util.intstr.IntOrString': 'number | string',
  'io.k8s.apimachinery.pkg.runtime.RawExtension': 'unknown',
};

/** Types that stand for any JSON. */
const ANY_JSON = /^(?:FieldsV1|Patch|JSON|JSONSchemaPropsOr\w+)$/;

/** Every kind has these; a server fills them in. */
const FILLED_IN = ['name', 'uid', 'resourceVersion', 'creationTimestamp'];

interface Place {
  readonly file: string;
  readonly name: string;
}

function place(schemaName: string): Place {
  const dot = schemaName.lastIndexOf('.');
  const [version = '', group = ''] = schemaName.slice(0, dot).split('.').toReversed();
  const file = group === 'core' ? typesFile('', version) : typesFile(group, version);
  return { file, name: schemaName.slice(dot + 1) };
}

/** Of the discovery documents above group versions, which have no OpenAPI of their own here. */
const DISCOVERY_TYPES = ['APIGroupList', 'APIVersions', 'GroupResource'];

function allSchemas(): Map<string, Schema> {
  const api = openApiV3();
  const builder = new SchemaBuilder(NO_DESCRIPTIONS);
  for (const name of DISCOVERY_TYPES) {
    builder.refTo(`meta/v1.${name}`, structType(`meta/v1.${name}`));
  }
  const schemas = new Map<string, Schema>(builder.schemas);
  for (const path of api.paths) {
    const own = api.document(path)?.components['schemas'] as Record<string, Schema>; // By openApiV3.
    for (const [name, schema] of Object.entries(own)) schemas.set(name, schema);
  }
  return schemas;
}

/** The TypeScript type of a scalar schema that has a name of its own (Time, Duration). */
function scalarType(schema: Schema): string | undefined {
  if (schema.properties !== undefined || schema.type === 'object') return undefined;
  if (schema.type === 'integer' || schema.type === 'number') return 'number';
  if (schema.type === 'boolean') return 'boolean';
  return schema.type === undefined ? undefined : 'string';
}

class FileWriter {
  readonly file: string;
  readonly #schemas: ReadonlyMap<string, Schema>;
  readonly #imports = new Map<string, Set<string>>();

  constructor(file: string, schemas: ReadonlyMap<string, Schema>) {
    this.file = file;
    this.#schemas = schemas;
  }

  write(source: string, names: readonly string[]): string {
    const bodies = names.map((name) => this.#type(name)).join('');
    const imports = [...this.#imports.keys()].toSorted().map((file) => {
      const list = [...(this.#imports.get(file) ?? [])].toSorted().join(', ');
      return `import type { ${list} } from './${file}.gen.ts';\n`;
    });
    const head = `// Generated from ${source} types.go by control/schema/generate. Do not edit.\n`;
    return `${head}${imports.join('')}${bodies}`;
  }

  #type(schemaName: string): string {
    const schema = this.#schemas.get(schemaName) ?? {};
    const { name } = place(schemaName);
    const scalar = scalarType(schema);
    if (scalar !== undefined) return `\nexport type ${name} = ${scalar};\n`;
    if (schema.properties === undefined) {
      const type = ANY_JSON.test(name) ? 'unknown' : 'Record<string, unknown>';
      return `\nexport type ${name} = ${type};\n`;
    }
    return `\nexport interface ${name} {\n${this.#fields(name, schema)}}\n`;
  }

  #fields(name: string, schema: Schema): string {
    const properties = schema.properties ?? {};
    const kinds = schema['x-kubernetes-group-version-kind'] ?? [];
    const isKind = kinds.length === 1 || ['DeleteOptions', 'WatchEvent'].includes(name);
    const metadata = JSON.stringify(properties['metadata'] ?? {});
    const isObject = isKind && metadata.includes('.ObjectMeta"');
    const isList = isKind && metadata.includes('.ListMeta"') && 'items' in properties;
    const required = new Set(schema.required);
    if (isObject) for (const field of ['metadata', 'spec', 'status']) required.add(field);
    if (isList) required.add('metadata');
    if (name === 'ObjectMeta') for (const field of FILLED_IN) required.add(field);
    if (isObject || isList) for (const field of ['kind', 'apiVersion']) required.add(field);
    return Object.entries(properties)
      .map(([field, property]) => {
        let type = this.#reference(property);
        const kind = kinds.length === 1 ? kinds[0] : undefined;
        if (kind !== undefined && field === 'kind') type = `'${kind.kind}'`;
        if (kind !== undefined && field === 'apiVersion') {
          type = `'${kind.group === '' ? '' : `${kind.group}/`}${kind.version}'`;
        }
        const key = /^[A-Za-z_$][\w$]*$/.test(field) ? field : `'${field}'`;
        return required.has(field) ? `  ${key}: ${type};\n` : `  ${key}?: ${type} | undefined;\n`;
      })
      .join('');
  }

  #reference(schema: Schema): string {
    const target = schema.allOf?.[0] ?? schema;
    if (target.$ref !== undefined) return this.#named(target.$ref.split('/').at(-1) ?? '');
    switch (target.type) {
      case 'array': {
        const item = this.#reference(target.items ?? {});
        return /[ |]/.test(item) ? `(${item})[]` : `${item}[]`;
      }
      case 'object': {
        const value = target.additionalProperties;
        return `Record<string, ${value === undefined ? 'unknown' : this.#reference(value)}>`;
      }
      case 'integer':
      case 'number':
        return 'number';
      case 'boolean':
        return 'boolean';
      case 'string':
        return 'string';
      default:
        return 'unknown';
    }
  }

  #named(schemaName: string): string {
    const special = SPECIAL[schemaName];
    if (special !== undefined) return special;
    const { file, name } = place(schemaName);
    if (file !== this.file) {
      const list = this.#imports.get(file) ?? new Set();
      this.#imports.set(file, list.add(name));
    }
    return name;
  }
}

/** File path from the repository's root, and text. */
export function emitApiTypes(source: string): Map<string, string> {
  const schemas = allSchemas();
  const named = [...schemas.keys()].filter((name) => SPECIAL[name] === undefined);
  const files = Map.groupBy(named, (name) => place(name).file);
  const out = new Map<string, string>();
  for (const [file, names] of files) {
    const sorted = names.toSorted((a, b) => (place(a).name < place(b).name ? -1 : 1));
    out.set(`base/kube/api/${file}.gen.ts`, new FileWriter(file, schemas).write(source, sorted));
  }
  return out;
}
