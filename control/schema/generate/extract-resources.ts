/**
 * Facts about resources: groups, versions, names, scope, verbs, subresources, short names, taken
 * from upstream's recorded discovery documents (api/discovery/*.json of k8s.io/kubernetes).
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Module } from './upstream.ts';

/** One group in the order of /apis; the legacy group '' comes first. Preferred version first. */
export interface GroupFact {
  readonly name: string;
  readonly versions: readonly string[];
}

/** Kind with group and version only where they differ from the resource's own. */
export interface SubresourceFact {
  readonly name: string;
  readonly kind: string;
  readonly group?: string;
  readonly version?: string;
  readonly verbs: readonly string[];
}

export interface ResourceFact {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly singular: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
  readonly storageVersionHash?: string;
  /** From OpenAPI: DELETE answers with the object, not with a Status. */
  readonly deleteReturnsObject?: true;
  readonly subresources?: readonly SubresourceFact[];
}

interface ApiResource {
  readonly name: string;
  readonly singularName: string;
  readonly kind: string;
  readonly group?: string;
  readonly version?: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
  readonly storageVersionHash?: string;
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'));
}

function subresourcesOf(parent: ApiResource, all: readonly ApiResource[]): SubresourceFact[] {
  return all
    .filter((r) => r.name.startsWith(`${parent.name}/`))
    .map((r) => ({
      name: r.name.slice(parent.name.length + 1),
      kind: r.kind,
      ...(r.group === undefined ? {} : { group: r.group }),
      ...(r.version === undefined ? {} : { version: r.version }),
      verbs: r.verbs,
    }));
}

/** Plurals of the resources whose DELETE answers 200 with the object itself. */
function deletesReturningObjects(folder: string, group: string, version: string): Set<string> {
  const name = group === '' ? `api__${version}` : `apis__${group}__${version}`;
  const document = readJson(join(folder, `${name}_openapi.json`)) as {
    paths: Record<string, { delete?: { responses: Record<string, unknown> } }>;
  }; // Recorded document.
  const plurals = Object.entries(document.paths).flatMap(([path, item]) => {
    const plural = /\/(\w+)\/\{name\}$/.exec(path)?.[1];
    const answer = JSON.stringify(item.delete?.responses['200'] ?? null);
    const isObject = answer !== 'null' && !answer.includes('meta.v1.Status');
    return plural !== undefined && isObject ? [plural] : [];
  });
  return new Set(plurals);
}

function readResources(module: Module, group: string, version: string): ResourceFact[] {
  const folder = join(module.folder, 'api/discovery');
  const specs = join(module.folder, 'api/openapi-spec/v3');
  const returning = deletesReturningObjects(specs, group, version);
  const name = group === '' ? `api__${version}.json` : `apis__${group}__${version}.json`;
  const document = readJson(join(folder, name)) as { resources: ApiResource[] }; // Recorded reply.
  return document.resources
    .filter((r) => !r.name.includes('/'))
    .map((r) => {
      const subresources = subresourcesOf(r, document.resources);
      return {
        group,
        version,
        resource: r.name,
        singular: r.singularName,
        kind: r.kind,
        namespaced: r.namespaced,
        verbs: r.verbs,
        ...(r.shortNames === undefined ? {} : { shortNames: r.shortNames }),
        ...(r.categories === undefined ? {} : { categories: r.categories }),
        ...(r.storageVersionHash === undefined ? {} : { storageVersionHash: r.storageVersionHash }),
        ...(returning.has(r.name) ? { deleteReturnsObject: true as const } : {}),
        ...(subresources.length === 0 ? {} : { subresources }),
      };
    });
}

/** All groups and resources that upstream can serve, whether or not on by default. */
export function extractResources(kubernetes: Module): {
  groups: GroupFact[];
  resources: ResourceFact[];
} {
  const folder = join(kubernetes.folder, 'api/discovery');
  if (!existsSync(folder)) throw new Error(`no recorded discovery in ${folder}`);
  const apis = readJson(join(folder, 'apis.json')) as {
    groups: { name: string; versions: { version: string }[] }[];
  }; // Recorded reply.
  const groups: GroupFact[] = [{ name: '', versions: ['v1'] }];
  for (const g of apis.groups) {
    groups.push({ name: g.name, versions: g.versions.map((v) => v.version) });
  }
  const resources = groups.flatMap((g) =>
    g.versions.flatMap((version) => readResources(kubernetes, g.name, version)),
  );
  return { groups, resources };
}
