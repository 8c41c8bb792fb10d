/**
 * Descriptions of types, fields and query parameters, from upstream's published OpenAPI documents
 * (API documentation, Apache-2.0). kubectl explain shows them; nothing else depends on them.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Module } from './upstream.ts';

interface Described {
  readonly description?: string;
}

interface Schema extends Described {
  readonly properties?: Readonly<Record<string, Described>>;
}

interface Operation {
  readonly parameters?: readonly (Described & { readonly name: string })[];
}

interface Document {
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
  readonly paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

/** By schema name: the type's own description, then its fields'. */
export type TypeDescriptions = readonly [type: string, fields: Readonly<Record<string, string>>];

function describeSchema(schema: Schema): TypeDescriptions {
  const fields = Object.entries(schema.properties ?? {})
    .map(([name, property]) => [name, property.description ?? ''] as const)
    .filter(([, text]) => text !== '');
  return [schema.description ?? '', Object.fromEntries(fields)];
}

function parametersOf(document: Document): [string, string][] {
  return Object.values(document.paths).flatMap((item) => {
    const shared = item as Operation; // A path item lists parameters like an operation.
    const operations = Object.entries(item)
      .filter(([method]) => method !== 'parameters')
      .map(([, operation]) => operation as Operation); // The rest are operations.
    return [shared, ...operations].flatMap((operation) =>
      (operation.parameters ?? []).map((p): [string, string] => [p.name, p.description ?? '']),
    );
  });
}

/** Writes the descriptions of the stable group versions, compressed. */
export function writeDescriptions(kubernetes: Module, path: string): void {
  const folder = join(kubernetes.folder, 'api/openapi-spec/v3');
  const types: Record<string, TypeDescriptions> = {};
  const parameters: Record<string, string> = {};
  for (const file of readdirSync(folder).filter((f) => /^apis?__.*v\d+_openapi\.json$/.test(f))) {
    const document: Document = JSON.parse(readFileSync(join(folder, file), 'utf8'));
    for (const [name, schema] of Object.entries(document.components.schemas)) {
      types[name] ??= describeSchema(schema);
    }
    for (const [name, text] of parametersOf(document)) {
      if (text !== '') parameters[name] ??= text;
    }
  }
  const source = `${kubernetes.name} ${kubernetes.version} ${kubernetes.sum}`;
  writeFileSync(path, gzipSync(JSON.stringify({ source, types, parameters }), { level: 9 }));
}
