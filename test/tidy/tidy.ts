/**
 * The repository's own rules, checked on its text: imports point down, folders are entered through
 * their public face, pure code uses no clock and no chance, files stay small, no registry is named.
 * `node test/tidy/tidy.ts` prints each breach and fails.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
import { FILE_LINES_MAX, LAYERS, LONG_FILES, PURE, PURE_BANNED, REGISTRY_HOSTS } from './rules.ts';

export interface Breach {
  readonly file: string;
  readonly line: number;
  readonly text: string;
}

/** Breaches of all rules in `files` (path to content). */
export function findBreaches(files: ReadonlyMap<string, string>): Breach[] {
  return [...files].flatMap(([file, text]) => {
    const lines = text.split('\n');
    const found = [...findHosts(file, lines)];
    if (!file.endsWith('.ts')) return found;
    found.push(...findImports(file, lines));
    if (isPure(file)) found.push(...findImpure(file, lines));
    if (!file.endsWith('.gen.ts')) found.push(...findLong(file, lines));
    return found;
  });
}

function findImports(file: string, lines: readonly string[]): Breach[] {
  const own = file.split('/')[0] ?? '';
  const allowed = LAYERS[own];
  if (allowed === undefined) return [];
  return lines.flatMap((text, index) => {
    const target = /(?:from|import)\s*\(?'((?:#[a-z]+\/|\.)[^']+)'/.exec(text)?.[1];
    if (target === undefined) return [];
    const path = target.startsWith('#') ? target.slice(1) : normalize(join(dirname(file), target));
    const top = path.split('/')[0] ?? '';
    const line = index + 1;
    if (top !== own && !allowed.includes(top))
      return [{ file, line, text: `${own} must not import ${path}` }];
    if (/(^|\/)index\.ts$/.test(path)) return [{ file, line, text: 'no index.ts' }];
    return [];
  });
}

function isPure(file: string): boolean {
  return !/\.test\.ts$|\/generate\//.test(file) && PURE.some((prefix) => file.startsWith(prefix));
}

function findImpure(file: string, lines: readonly string[]): Breach[] {
  return lines.flatMap((text, index) => {
    const code = text.replace(/^\s*(\/?\*|\/\/).*/, '').replace(/\/\/ .*/, '');
    const banned = PURE_BANNED.find((pattern) => pattern.test(code));
    return banned === undefined
      ? []
      : [{ file, line: index + 1, text: `pure code must not use ${banned.source}` }];
  });
}

function findLong(file: string, lines: readonly string[]): Breach[] {
  const bound = LONG_FILES[file] ?? FILE_LINES_MAX;
  const count = lines.length - 1;
  if (count <= bound) return [];
  return [
    {
      file,
      line: count,
      text: `${count} lines, at most ${bound}: name the second subject and split`,
    },
  ];
}

function findHosts(file: string, lines: readonly string[]): Breach[] {
  if (basename(file) === 'rules.ts') return [];
  return lines.flatMap((text, index) => {
    const host = REGISTRY_HOSTS.find((name) => text.includes(name));
    return host === undefined
      ? []
      : [{ file, line: index + 1, text: `names a package registry: ${host}` }];
  });
}

if (import.meta.main) {
  const names = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], {
    encoding: 'utf8',
  });
  const textual = /\.(ts|json|md|c|h|proto|sh)$|(^|\/)(Makefile|setup|\.npmrc|run)$/;
  const files = new Map<string, string>();
  for (const name of names.split('\n')) {
    if (!textual.test(name) || name.includes('testdata/')) continue;
    try {
      files.set(name, readFileSync(name, 'utf8'));
    } catch {
      // Deleted in the work tree, still in the index: nothing to check.
    }
  }
  const breaches = findBreaches(files);
  for (const { file, line, text } of breaches) console.error(`${file}:${line}: ${text}`);
  console.log(`tidy: ${files.size} files, ${breaches.length} breaches`);
  process.exitCode = breaches.length === 0 ? 0 : 1;
}
