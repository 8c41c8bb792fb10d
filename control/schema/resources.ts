/**
 * The resources that upstream v1.36 serves by default, as facts: names, scope, verbs, subresources.
 * Groups come in the order of /apis, the legacy group first. Read by the API server's installer,
 * discovery and OpenAPI.
 */
import { resourceRows } from './resources.gen.ts';

export interface GroupRow {
  readonly name: string;
  /** Preferred version first. */
  readonly versions: readonly string[];
}

/** As generated; absent = empty. */
export interface ResourceRow {
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
  readonly deleteReturnsObject?: true;
  readonly subresources?: readonly {
    readonly name: string;
    readonly kind: string;
    readonly group?: string;
    readonly version?: string;
    readonly verbs: readonly string[];
  }[];
}

export interface SubresourceFacts {
  readonly name: string;
  /** Kind of the subresource's body, of `group` and `version`. */
  readonly kind: string;
  readonly group: string;
  readonly version: string;
  readonly verbs: readonly string[];
  /** Discovery prints group and version only where upstream does. */
  readonly printsGroupVersion: boolean;
}

export interface ResourceFacts {
  readonly group: string;
  readonly version: string;
  /** Plural, lower case, as in the URL. */
  readonly resource: string;
  readonly singular: string;
  readonly kind: string;
  /** '' for kinds that are never listed (reviews, bindings). */
  readonly listKind: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  /** '' when nothing is stored. */
  readonly storageVersionHash: string;
  /** DELETE that removes at once answers with the object; other resources answer a Status. */
  readonly deleteReturnsObject: boolean;
  readonly subresources: readonly SubresourceFacts[];
}

function toFacts(row: ResourceRow): ResourceFacts {
  const { group, version } = row;
  return {
    group,
    version,
    resource: row.resource,
    singular: row.singular,
    kind: row.kind,
    listKind: row.verbs.includes('list') ? `${row.kind}List` : '',
    namespaced: row.namespaced,
    verbs: row.verbs,
    shortNames: row.shortNames ?? [],
    categories: row.categories ?? [],
    storageVersionHash: row.storageVersionHash ?? '',
    deleteReturnsObject: row.deleteReturnsObject ?? false,
    subresources: (row.subresources ?? []).map((s) => ({
      name: s.name,
      kind: s.kind,
      group: s.group ?? group,
      version: s.version ?? version,
      verbs: s.verbs,
      printsGroupVersion: s.version !== undefined,
    })),
  };
}

export const resources: readonly ResourceFacts[] = resourceRows.map(toFacts);
