/**
 * Where upstream's published Go modules lie on this machine, and how facts are written to the
 * repository. Called by gen-facts only; `make gen` and the product never look here.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** The release that Bareboat follows; every fact in facts/ is of these two tags. */
const STAGING_VERSION = 'v0.36.3';
const KUBERNETES_VERSION = 'v1.36.3';

export interface Module {
  readonly name: string;
  readonly version: string;
  /** `h1:` hash of the module zip, as in go.sum. */
  readonly sum: string;
  readonly folder: string;
}

/** A Go module in the module cache; throws when it is not there (`go mod download NAME@VERSION`). */
export function findModule(name: string): Module {
  const version = name === 'k8s.io/kubernetes' ? KUBERNETES_VERSION : STAGING_VERSION;
  const cache = execFileSync('go', ['env', 'GOMODCACHE'], { encoding: 'utf8' }).trim();
  const folder = join(cache, `${name}@${version}`);
  if (!existsSync(folder)) {
    throw new Error(`cannot find ${folder}: run go mod download ${name}@${version}`);
  }
  const hash = join(cache, 'cache/download', name, '@v', `${version}.ziphash`);
  return { name, version, sum: readFileSync(hash, 'utf8').trim(), folder };
}

/** Writes rows as JSON, a row per line, so that a new release shows as a readable diff. */
export function writeFacts(
  path: string,
  modules: readonly Module[],
  tables: Readonly<Record<string, readonly unknown[]>>,
): void {
  const source = modules.map((m) => `${m.name} ${m.version} ${m.sum}`).join(', ');
  const parts = Object.entries(tables).map(([name, rows]) => {
    const lines = rows.map((row) => JSON.stringify(row)).join(',\n');
    return `${JSON.stringify(name)}: [\n${lines}\n]`;
  });
  const text = `{"source": ${JSON.stringify(source)},\n${parts.join(',\n')}\n}\n`;
  writeFileSync(path, text);
}
