/**
 * Derives from facts/resources.gen.json the client's tokens (base/kube/api/resources.gen.ts) and the
 * server's table of what it serves (control/schema/resources.gen.ts): the versions on by default,
 * which are the stable ones.
 */
import type { GroupFact, ResourceFact } from './extract-resources.ts';

export interface ResourceFacts {
  readonly source: string;
  readonly groups: readonly GroupFact[];
  readonly resources: readonly ResourceFact[];
}

const isStable = (version: string): boolean => /^v\d+$/.test(version);

/** `apps-v1` for apps/v1: the file of base/kube/api that holds the group version's types. */
export function typesFile(group: string, version: string): string {
  return `${group === '' ? 'core' : (group.split('.')[0] ?? group)}-${version}`;
}

/**
 * The exported name of a token: the plural; where two group versions share it, the one that comes
 * first (core, or the preferred version) has it, and others append group and version.
 */
function tokenNames(resources: readonly ResourceFact[]): Map<ResourceFact, string> {
  const names = new Map<ResourceFact, string>();
  const taken = new Map<string, ResourceFact>();
  const capital = (s: string): string => s.charAt(0).toUpperCase() + s.slice(1);
  for (const r of resources) {
    const first = taken.get(r.resource);
    if (first === undefined) {
      taken.set(r.resource, r);
      names.set(r, r.resource);
    } else {
      const group = first.group === r.group ? '' : capital(r.group.split('.')[0] ?? '');
      names.set(r, `${r.resource}${group}${capital(r.version)}`);
    }
  }
  return names;
}

export function emitTokens(facts: ResourceFacts): string {
  const served = facts.resources.filter((r) => isStable(r.version));
  const names = tokenNames(served);
  const kindCount = Map.groupBy(served, (r) => r.kind);
  const imports = new Map<string, string[]>();
  const lines: string[] = [];
  for (const r of served) {
    const file = typesFile(r.group, r.version);
    const name = names.get(r) ?? r.resource;
    const shared = (kindCount.get(r.kind)?.length ?? 0) > 1;
    const alias = shared
      ? `${r.kind}${file.replace(/(^|-)(\w)/g, (_, __, c) => c.toUpperCase())}`
      : r.kind;
    const list = imports.get(file) ?? [];
    list.push(shared ? `${r.kind} as ${alias}` : r.kind);
    imports.set(file, list);
    lines.push(
      `export const ${name}: Resource<${alias}> = {\n` +
        `  group: '${r.group}',\n  version: '${r.version}',\n  resource: '${r.resource}',\n` +
        `  kind: '${r.kind}',\n  namespaced: ${r.namespaced},\n};\n`,
    );
  }
  const head = [...imports]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([file, kinds]) => `import type { ${kinds.sort().join(', ')} } from './${file}.gen.ts';`);
  return (
    `// Generated from ${facts.source} api/discovery by control/schema/generate. Do not edit.\n` +
    `import type { Resource } from '../client.ts';\n${head.join('\n')}\n\n${lines.join('\n')}`
  );
}

export function emitResourceTable(facts: ResourceFacts): string {
  const groups = facts.groups
    .map((g) => ({ name: g.name, versions: g.versions.filter(isStable) }))
    .filter((g) => g.versions.length > 0);
  const rows = facts.resources.filter((r) => isStable(r.version));
  const lines = (list: readonly unknown[]): string =>
    list.map((row) => `  ${JSON.stringify(row)},\n`).join('');
  return (
    `// Generated from ${facts.source} api/discovery by control/schema/generate. Do not edit.\n` +
    `import type { GroupRow, ResourceRow } from './resources.ts';\n\n` +
    `export const groupRows: readonly GroupRow[] = [\n${lines(groups)}];\n\n` +
    `export const resourceRows: readonly ResourceRow[] = [\n${lines(rows)}];\n`
  );
}
