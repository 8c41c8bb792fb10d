/**
 * OpenAPI v3 as the API server publishes it: one document a group version, and the index with their
 * hashes. Documents are made on demand and not kept: callers keep the encoded bytes.
 */
import { formatApiVersion } from './gvk.ts';
import { resourcePaths, versionPath } from './openapi-paths.ts';
import { type Descriptions, NO_DESCRIPTIONS, SchemaBuilder } from './openapi-schema.ts';
import { groupRows } from './resources.gen.ts';
import { resources } from './resources.ts';
import type { Serves } from './discovery.ts';

export interface OpenApiDocument {
  readonly openapi: string;
  readonly info: Readonly<Record<string, unknown>>;
  readonly paths: Readonly<Record<string, unknown>>;
  readonly components: Readonly<Record<string, unknown>>;
}

export interface OpenApi {
  /** `api/v1`, `apis/apps/v1`, ...: what stands behind /openapi/v3/. */
  readonly paths: readonly string[];
  /** Undefined when nothing of that path is served. */
  document(path: string): OpenApiDocument | undefined;
}

function sortKeys(entries: Iterable<readonly [string, unknown]>): Record<string, unknown> {
  return Object.fromEntries([...entries].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** OpenAPI v3 of what the server serves (all stable group versions when absent). */
export function openApiV3(
  serves: Serves = () => true,
  descriptions: Descriptions = NO_DESCRIPTIONS,
): OpenApi {
  const served = resources.filter((r) => serves(r.group, r.version, r.resource));
  const versions = groupRows.flatMap((g) =>
    g.versions
      .filter((version) => served.some((r) => r.group === g.name && r.version === version))
      .map((version) => ({ group: g.name, version })),
  );
  const byPath = new Map(
    versions.map((gv) => [`${gv.group === '' ? 'api' : 'apis'}/${formatApiVersion(gv)}`, gv]),
  );
  return {
    paths: [...byPath.keys()],
    document(path) {
      const gv = byPath.get(path);
      if (gv === undefined) return undefined;
      const schemas = new SchemaBuilder(descriptions);
      const paths = { ...versionPath(gv, schemas) };
      for (const r of served.filter((x) => x.group === gv.group && x.version === gv.version)) {
        const shown = r.subresources.filter((s) =>
          serves(r.group, r.version, `${r.resource}/${s.name}`),
        );
        Object.assign(paths, resourcePaths({ ...r, subresources: shown }, schemas, descriptions));
      }
      return {
        openapi: '3.0.0',
        info: { title: 'Kubernetes', version: 'v1.36.3' },
        paths: sortKeys(Object.entries(paths)),
        components: {
          schemas: sortKeys(schemas.schemas),
          securitySchemes: {
            BearerToken: {
              type: 'apiKey',
              description: 'Bearer Token authentication',
              name: 'authorization',
              in: 'header',
            },
          },
        },
      };
    },
  };
}

/** The index at /openapi/v3; `hashOf` gives the hash of a document's bytes by its path. */
export function openApiIndex(
  openApi: OpenApi,
  hashOf: (path: string) => string,
): { readonly paths: Readonly<Record<string, { readonly serverRelativeURL: string }>> } {
  const paths = openApi.paths.map((path) => [
    path,
    { serverRelativeURL: `/openapi/v3/${path}?hash=${hashOf(path)}` },
  ]);
  return { paths: Object.fromEntries(paths) };
}
