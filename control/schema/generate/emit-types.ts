/**
 * Derives control/schema/types.gen.ts from facts/types.gen.json: the types of the group versions
 * served by default and of what goes with them (options, statuses, reviews of webhooks).
 */
import type { GroupFact } from './extract-resources.ts';
import type { TypeFact } from './extract-types.ts';

/** Not resources, but sent or received: webhook reviews, aggregated discovery, options, raw bytes. */
const ALSO = ['meta/v1', 'runtime', 'types', 'admission/v1', 'apidiscovery/v2'];

/** `rbac.authorization.k8s.io` -> `rbac`: upstream's package folder of a group. */
export function packageGroup(group: string): string {
  return group === '' ? 'core' : (group.split('.')[0] ?? group);
}

export function servedPackages(groups: readonly GroupFact[]): Set<string> {
  const stable = groups.flatMap((g) =>
    g.versions.filter((v) => /^v\d+$/.test(v)).map((v) => `${packageGroup(g.name)}/${v}`),
  );
  return new Set([...stable, ...ALSO]);
}

/** One line a type; the fields stay JSON text, which costs nothing until the type is first used. */
export function emitTypes(
  source: string,
  types: readonly TypeFact[],
  packages: ReadonlySet<string>,
): string {
  const rows = types
    .filter((t) => packages.has(t.type.slice(0, t.type.lastIndexOf('.'))))
    .map((t) => {
      const { type, ...rest } = t;
      return `  '${type}': '${JSON.stringify(rest).replaceAll('\\', '\\\\').replaceAll("'", "\\'")}',\n`;
    });
  return (
    `// Generated from ${source} types.go by control/schema/generate. Do not edit.\n\n` +
    `/** TypeRow of types.ts as JSON text, by package and name. */\n` +
    `export const typeRows: Readonly<Record<string, string>> = {\n${rows.join('')}};\n`
  );
}
