/**
 * Extracts from upstream's sources the shape of the internal types that show in error texts: upstream
 * prints "immutable" values and diffs from them, with Go's names, in the order of declaration.
 *
 *   node control/api/resources/generate/gen-internal-types.ts   (needs the Go modules; see gen-facts)
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findModule } from '#control/schema/generate/upstream.ts';

type Field = readonly [name: string, type: string];

const ROOTS = ['PodSpec', 'PodTemplateSpec', 'EphemeralContainer', 'PersistentVolumeClaimSpec'];
const BATCH_ROOTS = ['PodFailurePolicy', 'SuccessPolicy'];

/** `name type` of each field; an embedded struct has an empty name. */
function parseStructs(source: string): Map<string, Field[]> {
  const structs = new Map<string, Field[]>();
  for (const match of source.matchAll(/^type (\w+) struct \{\n([\s\S]*?)^\}/gm)) {
    const fields: Field[] = [];
    for (const line of (match[2] ?? '').split('\n')) {
      const text = line
        .replace(/\/\/.*$/, '')
        .replace(/`.*$/, '')
        .trim();
      if (text === '') continue;
      const [first = '', ...rest] = text.split(/\s+/);
      if (rest.length === 0) fields.push(['', first]);
      else for (const name of [first.replace(/,$/, '')]) fields.push([name, rest.join(' ')]);
    }
    structs.set(match[1] ?? '', fields);
  }
  return structs;
}

/** Named types that are not structs: strings, numbers, maps. */
function parseAliases(source: string): Map<string, string> {
  const aliases = new Map<string, string>();
  for (const match of source.matchAll(/^type (\w+) ((?!struct)\S+)$/gm)) {
    aliases.set(match[1] ?? '', match[2] ?? '');
  }
  return aliases;
}

const module = findModule('k8s.io/kubernetes');
const read = (group: string): string =>
  readFileSync(join(module.folder, `pkg/apis/${group}/types.go`), 'utf8');
const core = read('core');
const batch = read('batch').replaceAll('api.', '');
const structs = new Map([...parseStructs(core), ...parseStructs(batch)]);
const aliases = new Map([...parseAliases(core), ...parseAliases(batch)]);

function resolve(type: string): string {
  if (type.startsWith('*')) return `*${resolve(type.slice(1))}`;
  if (type.startsWith('[]')) return `[]${resolve(type.slice(2))}`;
  const target = aliases.get(type);
  if (target !== undefined) return resolve(target);
  return type;
}

function baseOf(type: string): string {
  return type.replace(/^[*[\]]+/, '');
}

const table: Record<string, readonly Field[]> = {};

function visit(name: string): void {
  const fields = structs.get(name);
  if (fields === undefined || table[name] !== undefined) return;
  const resolved = fields.map(([field, type]): Field => [field, resolve(type)]);
  table[name] = resolved;
  for (const [, type] of resolved) visit(baseOf(type));
}

for (const root of [...ROOTS, ...BATCH_ROOTS]) visit(root);
const names = Object.keys(table).toSorted();
const rows = names.map((name) => `  ${name}: ${JSON.stringify(table[name])},`);
const head = `// Generated from k8s.io/kubernetes ${module.version} pkg/apis/{core,batch}/types.go by control/api/resources/generate. Do not edit.`;
const text = `${head}\n\nexport const internalTypes: Readonly<\n  Record<string, readonly (readonly [name: string, type: string])[]>\n> = {\n${rows.join('\n')}\n};\n`;
writeFileSync(new URL('../internal-types.gen.ts', import.meta.url), text);
