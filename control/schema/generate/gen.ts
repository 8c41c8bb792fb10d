/**
 * `make gen`: derives every generated source file from the committed facts, without Go.
 * `--check` writes nothing and fails when a file is out of date (part of `make check`).
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { isErrno } from '#base/errors.ts';
import { emitResourceTable, emitTokens, type ResourceFacts } from './emit-resources.ts';
import { emitTypes, servedPackages } from './emit-types.ts';
import type { TypeFact } from './extract-types.ts';

const schemaFolder = join(import.meta.dirname, '..');
const root = join(schemaFolder, '../..');

function readFacts(name: string): unknown {
  return JSON.parse(readFileSync(join(schemaFolder, 'facts', name), 'utf8'));
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return ''; // Not generated yet: counts as out of date.
    throw error;
  }
}

const check = process.argv.includes('--check');
let staleCount = 0;

/** Paths are from the repository's root. */
function update(files: ReadonlyMap<string, string>): void {
  for (const [path, text] of files) {
    const file = join(root, path);
    if (readIfThere(file) === text) continue;
    staleCount += 1;
    console.log(`${check ? 'out of date' : 'written'}: ${relative(process.cwd(), file)}`);
    if (!check) writeFileSync(file, text);
  }
}

const resources = readFacts('resources.gen.json') as ResourceFacts; // Written by gen-facts.
const types = readFacts('types.gen.json') as { source: string; types: TypeFact[] }; // Likewise.
const packages = servedPackages(resources.groups);
update(
  new Map([
    ['base/kube/api/resources.gen.ts', emitTokens(resources)],
    ['control/schema/resources.gen.ts', emitResourceTable(resources)],
    ['control/schema/types.gen.ts', emitTypes(types.source, types.types, packages)],
  ]),
);
// This one runs on the tables just written.
const { emitApiTypes } = await import('./emit-api-types.ts');
update(emitApiTypes(types.source));
if (check && staleCount > 0) process.exitCode = 1;
