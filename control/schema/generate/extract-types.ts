/**
 * Facts about types: for every struct of upstream's API packages its fields in Go's order, with
 * JSON name, type, protobuf number, and the markers that decoding, patching and OpenAPI need.
 */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type GoConstant, type GoField, type GoType, parsePackage } from './go-source.ts';
import type { Module } from './upstream.ts';

/**
 * JSON name ('' = inlined), type, protobuf number (0 = none), flags, extras.
 * Types: `string bool int32 int64 float64 any []byte`, `pkg.Name`, with `*`, `[]`, `map[string]`.
 * Flags: o omitempty, z omitzero, p +optional, r +required, n +nullable.
 */
export type FieldFact = readonly [
  json: string,
  type: string,
  number: number,
  flags: string,
  extras?: FieldExtras,
];

export interface FieldExtras {
  /** JSON text of the `+default` marker. */
  default?: string;
  listType?: string;
  listMapKeys?: string[];
  mapType?: string;
  patchStrategy?: string;
  patchMergeKey?: string;
  /** `+k8s:format` and the like are not kept; these shape OpenAPI. */
  format?: string;
}

export interface UnionFact {
  readonly discriminator?: string;
  /** Go names of the members, by JSON name. */
  readonly members: Readonly<Record<string, string>>;
}

export interface TypeFact {
  /** `core/v1.Pod` */
  readonly type: string;
  /** Absent for named scalars, lists and maps. */
  readonly fields?: readonly FieldFact[];
  readonly underlying?: string;
  /** Values of a type marked `+enum`, sorted. */
  readonly enum?: readonly string[];
  /** `+structType=atomic` */
  readonly mapType?: string;
  /** `+union`: what OpenAPI says of it. */
  readonly union?: UnionFact;
}

function last(markers: readonly string[], name: string): string | undefined {
  return markers.findLast((m) => m.startsWith(`${name}=`))?.slice(name.length + 1);
}

/** JSON text of a `+default` marker; `ref(NAME)` is a constant of the package. */
function defaultText(marker: string, constants: readonly GoConstant[]): string {
  const name = /^ref\((\w+)\)$/.exec(marker)?.[1];
  if (name === undefined) return marker;
  const constant = constants.find((c) => c.name === name);
  if (constant === undefined) throw new Error(`no constant ${name}`);
  return JSON.stringify(constant.value);
}

function extrasOf(field: GoField, constants: readonly GoConstant[]): FieldExtras {
  const extras: FieldExtras = {};
  const { markers, tags } = field;
  const byDefault = last(markers, 'default');
  if (byDefault !== undefined) extras.default = defaultText(byDefault, constants);
  const listType = last(markers, 'listType') ?? last(markers, 'k8s:listType');
  if (listType !== undefined) extras.listType = listType;
  const keys = markers
    .filter((m) => /^(k8s:)?listMapKey=/.test(m))
    .map((m) => m.split('=')[1] ?? '');
  if (keys.length > 0) extras.listMapKeys = [...new Set(keys)];
  const mapType = last(markers, 'mapType') ?? last(markers, 'structType');
  if (mapType !== undefined) extras.mapType = mapType;
  if (tags['patchStrategy'] !== undefined) extras.patchStrategy = tags['patchStrategy'];
  if (tags['patchMergeKey'] !== undefined) extras.patchMergeKey = tags['patchMergeKey'];
  return extras;
}

function fieldFact(field: GoField, constants: readonly GoConstant[]): FieldFact | undefined {
  const tag = field.tags['json'];
  if (tag === undefined || tag === '-') return undefined;
  const [name = '', ...options] = tag.split(',');
  const number = Number(/^\w+,(\d+)/.exec(field.tags['protobuf'] ?? '')?.[1] ?? 0);
  const has = (...names: string[]): boolean => names.some((n) => field.markers.includes(n));
  const flags = [
    options.includes('omitempty') ? 'o' : '',
    options.includes('omitzero') ? 'z' : '',
    has('optional', 'k8s:optional') ? 'p' : '',
    has('required', 'k8s:required') ? 'r' : '',
    has('nullable') ? 'n' : '',
  ].join('');
  const extras = extrasOf(field, constants);
  const row = [name, field.type, number, flags] as const;
  return Object.keys(extras).length === 0 ? row : [...row, extras];
}

function unionFact(type: GoType): UnionFact | undefined {
  if (!type.markers.includes('union')) return undefined;
  const jsonName = (f: GoField): string => (f.tags['json'] ?? '').split(',')[0] ?? '';
  const isDiscriminator = (f: GoField): boolean => f.markers.includes('unionDiscriminator');
  const fields = type.fields ?? [];
  const discriminator = fields.find(isDiscriminator);
  const members = fields.filter((f) => !isDiscriminator(f)).map((f) => [jsonName(f), f.name]);
  return {
    ...(discriminator === undefined ? {} : { discriminator: jsonName(discriminator) }),
    members: Object.fromEntries(members),
  };
}

function typeFact(
  here: string,
  type: GoType,
  constants: readonly GoConstant[],
): TypeFact | undefined {
  const name = `${here}.${type.name}`;
  if (type.fields === undefined) {
    const values = constants.filter((c) => c.type === name).map((c) => c.value);
    const isEnum = type.markers.includes('enum') && values.length > 0;
    const underlying = type.underlying ?? 'any';
    return {
      type: name,
      underlying,
      ...(isEnum ? { enum: [...new Set(values)].toSorted() } : {}),
    };
  }
  const fields = type.fields.map((f) => fieldFact(f, constants)).filter((f) => f !== undefined);
  if (fields.length === 0 && type.fields.length > 0) return undefined; // Not an API type.
  const mapType = last(type.markers, 'structType') ?? last(type.markers, 'mapType');
  const union = unionFact(type);
  return {
    type: name,
    fields,
    ...(mapType === undefined ? {} : { mapType }),
    ...(union === undefined ? {} : { union }),
  };
}

/** `values` keeps what packages read earlier define, by package and name. */
function extractPackage(folder: string, here: string, values: Map<string, string>): TypeFact[] {
  const parsed = parsePackage(folder, here);
  const { types } = parsed;
  const constants = parsed.constants
    .map((c) => ({ ...c, value: c.from === undefined ? c.value : (values.get(c.from) ?? '') }))
    .filter((c) => c.from === undefined || c.value !== '');
  for (const c of constants) values.set(`${here}.${c.name}`, c.value);
  return types
    .map((t) => typeFact(here, t, constants))
    .filter((t) => t !== undefined)
    .sort((a, b) => (a.type < b.type ? -1 : 1));
}

function apiPackages(api: Module): string[] {
  return readdirSync(api.folder)
    .filter((group) => group !== 'testdata' && statSync(join(api.folder, group)).isDirectory())
    .flatMap((group) =>
      readdirSync(join(api.folder, group))
        .filter((version) => /^v\d/.test(version))
        .map((version) => `${group}/${version}`),
    )
    .sort();
}

/** All types of all API packages at this release, whether served by default or not. */
export function extractTypes(modules: {
  api: Module;
  apimachinery: Module;
  apiextensions: Module;
  aggregator: Module;
}): TypeFact[] {
  const pkg = (module: Module, path: string): string => join(module.folder, 'pkg', path);
  const values = new Map<string, string>();
  const extract = (folder: string, here: string): TypeFact[] =>
    extractPackage(folder, here, values);
  const runtime = ['runtime.TypeMeta', 'runtime.RawExtension', 'runtime.Unknown'];
  return [
    ...extract(pkg(modules.apimachinery, 'types'), 'types'),
    ...extract(pkg(modules.apimachinery, 'runtime'), 'runtime').filter((t) =>
      runtime.includes(t.type),
    ),
    ...extract(pkg(modules.apimachinery, 'apis/meta/v1'), 'meta/v1'),
    ...apiPackages(modules.api).flatMap((p) => extract(join(modules.api.folder, p), p)),
    ...extract(pkg(modules.apiextensions, 'apis/apiextensions/v1'), 'apiextensions/v1'),
    ...extract(pkg(modules.aggregator, 'apis/apiregistration/v1'), 'apiregistration/v1'),
  ];
}
