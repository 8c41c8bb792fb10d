/**
 * Reads what the facts need out of gofmt'ed Go source: struct types with field tags and comment
 * markers, named types, string constants. No Go parser: upstream's API packages keep one form, and
 * gen-facts checks the result against upstream's recorded objects.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface GoField {
  /** '' for an embedded field. */
  readonly name: string;
  /** As written, with package aliases resolved: `[]*core/v1.Container`. */
  readonly type: string;
  readonly tags: Readonly<Record<string, string>>;
  /** Comment lines starting with `+`, without it. */
  readonly markers: readonly string[];
}

export interface GoType {
  readonly name: string;
  readonly markers: readonly string[];
  /** Of a struct. */
  readonly fields?: readonly GoField[];
  /** Of any other type: `string`, `[]string`; `=` in front of the target of an alias. */
  readonly underlying?: string;
}

export interface GoConstant {
  readonly name: string;
  readonly type: string;
  readonly value: string;
  /** The constant of another package that gives the value: `core/v1.IPv4Protocol`. */
  readonly from?: string;
}

export interface GoPackage {
  readonly types: readonly GoType[];
  /** Typed string constants. */
  readonly constants: readonly GoConstant[];
}

/** `k8s.io/api/apps/v1` -> `apps/v1`; packages outside the API keep their last part. */
export function shortPackage(path: string): string {
  const api = /^k8s\.io\/api\/(.+)$/.exec(path)?.[1];
  if (api !== undefined) return api;
  const apis = /\/pkg\/apis\/(.+)$/.exec(path)?.[1];
  if (apis !== undefined) return apis;
  return path.slice(path.lastIndexOf('/') + 1);
}

const BUILT_IN = new Set(['string', 'bool', 'int32', 'int64', 'float64', 'byte', 'int', 'any']);

function parseImports(text: string): Map<string, string> {
  const imports = new Map<string, string>();
  const block = /^import \(\n([\s\S]*?)^\)/m.exec(text)?.[1] ?? '';
  const single = /^import (.*".+")$/m.exec(text)?.[1] ?? '';
  for (const line of [single, ...block.split('\n')]) {
    const match = /^\s*(?:(\w+)\s+)?"([^"]+)"/.exec(line);
    const path = match?.[2];
    if (path === undefined) continue;
    imports.set(match?.[1] ?? path.slice(path.lastIndexOf('/') + 1), shortPackage(path));
  }
  return imports;
}

function resolveType(type: string, imports: ReadonlyMap<string, string>, here: string): string {
  // A name stands at the start, behind `*` or `]`, or as the key of a map.
  return type
    .replace('interface{}', 'any')
    .replace(/(^|[*\]]|map\[)(?:(\w+)\.)?(\w+)(?=$|\])/g, (all, before, alias, name: string) => {
      if (alias !== undefined) return `${before}${imports.get(alias) ?? alias}.${name}`;
      return BUILT_IN.has(name) ? all : `${before}${here}.${name}`;
    });
}

function parseTags(text: string): Record<string, string> {
  const tags: Record<string, string> = {};
  for (const [, name = '', value = ''] of text.matchAll(/(\w+):"([^"]*)"/g)) tags[name] = value;
  return tags;
}

const markersOf = (comments: readonly string[]): string[] =>
  comments.filter((c) => c.startsWith('+')).map((c) => c.slice(1));

/** Splits a file into types and constants; `here` is the package's short name. */
function parseFile(text: string, here: string): GoPackage {
  const imports = parseImports(text);
  const types: GoType[] = [];
  const constants: GoConstant[] = [];
  let comments: string[] = [];
  /** The comment block before the last blank line: type markers often stand there. */
  let earlier: string[] = [];
  let struct: { name: string; markers: string[]; fields: GoField[] } | undefined;
  for (const line of text.split('\n')) {
    const comment = /^\s*\/\/ ?(.*)$/.exec(line)?.[1];
    if (comment !== undefined) {
      comments.push(comment.trim());
      continue;
    }
    if (struct !== undefined) {
      const field = /^\t(?:(\w+)\s+)?([\w.*[\]{}]+)\s+`(.+)`/.exec(line);
      if (line === '}') {
        types.push(struct);
        struct = undefined;
      } else if (field !== null) {
        const [, name = '', type = '', tags = ''] = field;
        const resolved = resolveType(type, imports, here);
        struct.fields.push({
          name,
          type: resolved,
          tags: parseTags(tags),
          markers: markersOf(comments),
        });
      }
    } else if (/^type \w+ struct *\{\}$/.test(line)) {
      types.push({ name: line.split(' ')[1] ?? '', markers: markersOf(comments), fields: [] });
    } else if (/^type \w+ struct \{$/.test(line)) {
      const markers = markersOf([...earlier, ...comments]);
      struct = { name: line.split(' ')[1] ?? '', markers, fields: [] };
    } else {
      const named = /^type (\w+) (=?)\s*([\w.*[\]]+)(?:\s*\/\/.*)?$/.exec(line);
      if (named !== null) {
        const underlying = `${named[2]}${resolveType(named[3] ?? '', imports, here)}`;
        types.push({
          name: named[1] ?? '',
          markers: markersOf([...earlier, ...comments]),
          underlying,
        });
      }
      const constant = /^(?:const |\t)(\w+)\s+(\w+)\s*=\s*"([^"]*)"/.exec(line);
      if (constant !== null) {
        const [, name = '', type = '', value = ''] = constant;
        constants.push({ name, type: `${here}.${type}`, value });
      }
      const converted = /^\t(\w+)\s*=\s*(\w+)\((?:"([^"]*)"|(\w+)\.(\w+))\)/.exec(line);
      if (converted !== null) {
        const [, name = '', type = '', value = '', alias, other = ''] = converted;
        const from = alias === undefined ? undefined : `${imports.get(alias) ?? alias}.${other}`;
        constants.push({ name, type: `${here}.${type}`, value, ...(from ? { from } : {}) });
      }
    }
    if (line === '' || line === '//') earlier = comments;
    else earlier = [];
    comments = [];
  }
  return { types, constants };
}

/** All non-test, non-generated Go files of a package folder. */
export function parsePackage(folder: string, here: string): GoPackage {
  const files = readdirSync(folder)
    .filter((f) => f.endsWith('.go') && !f.endsWith('_test.go'))
    .filter((f) => !f.startsWith('zz_generated') && !f.startsWith('generated.pb'))
    .sort();
  const parsed = files.map((f) => parseFile(readFileSync(join(folder, f), 'utf8'), here));
  return {
    types: parsed.flatMap((p) => p.types),
    constants: parsed.flatMap((p) => p.constants),
  };
}
