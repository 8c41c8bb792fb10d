/**
 * The documents of legacy discovery (/api, /apis, /apis/GROUP, /api/v1, /apis/GROUP/VERSION), from
 * the resource facts. Clients build their REST mappings from these. Called by the API server.
 */
import { formatApiVersion } from './gvk.ts';
import { type GroupRow, type ResourceFacts, resources } from './resources.ts';
import { groupRows } from './resources.gen.ts';

/** An APIVersions, APIGroupList, APIGroup or APIResourceList. */
export type Document = Readonly<Record<string, unknown>>;

/** Documents of legacy discovery, as upstream answers them; undefined = no such group (version). */
export interface Discovery {
  /** /api, without serverAddressByClientCIDRs. */
  readonly legacyVersions: Document;
  /** /apis */
  readonly groups: Document;
  /** /apis/GROUP */
  group(group: string): Document | undefined;
  /** /api/v1 ('' as group) and /apis/GROUP/VERSION */
  groupVersion(group: string, version: string): Document | undefined;
}

/** Whether the server serves a resource, or `resource/subresource`. */
export type Serves = (group: string, version: string, resource: string) => boolean;

interface GroupVersionForDiscovery {
  readonly groupVersion: string;
  readonly version: string;
}

function groupEntry(row: GroupRow): Readonly<Record<string, unknown>> {
  const versions: GroupVersionForDiscovery[] = row.versions.map((version) => ({
    groupVersion: formatApiVersion({ group: row.name, version }),
    version,
  }));
  return { name: row.name, versions, preferredVersion: versions[0] };
}

function resourceEntries(r: ResourceFacts, serves: Serves): Readonly<Record<string, unknown>>[] {
  const own = {
    name: r.resource,
    singularName: r.singular,
    namespaced: r.namespaced,
    kind: r.kind,
    verbs: r.verbs,
    ...(r.shortNames.length === 0 ? {} : { shortNames: r.shortNames }),
    ...(r.categories.length === 0 ? {} : { categories: r.categories }),
    ...(r.storageVersionHash === '' ? {} : { storageVersionHash: r.storageVersionHash }),
  };
  const subresources = r.subresources
    .filter((s) => serves(r.group, r.version, `${r.resource}/${s.name}`))
    .map((s) => ({
      name: `${r.resource}/${s.name}`,
      singularName: '',
      namespaced: r.namespaced,
      ...(s.printsGroupVersion && s.group !== '' ? { group: s.group } : {}),
      ...(s.printsGroupVersion ? { version: s.version } : {}),
      kind: s.kind,
      verbs: s.verbs,
    }));
  return [own, ...subresources];
}

/** Discovery limited to what the server serves (all stable group versions when absent). */
export function discovery(serves: Serves = () => true): Discovery {
  const served = resources.filter((r) => serves(r.group, r.version, r.resource));
  const groups = groupRows
    .map((row) => ({
      name: row.name,
      versions: row.versions.filter((v) =>
        served.some((r) => r.group === row.name && r.version === v),
      ),
    }))
    .filter((row) => row.versions.length > 0);
  const named = groups.filter((row) => row.name !== '');
  return {
    legacyVersions: {
      kind: 'APIVersions',
      versions: groups.find((row) => row.name === '')?.versions ?? [],
    },
    groups: { kind: 'APIGroupList', apiVersion: 'v1', groups: named.map(groupEntry) },
    group(name) {
      const row = named.find((g) => g.name === name);
      return row && { kind: 'APIGroup', apiVersion: 'v1', ...groupEntry(row) };
    },
    groupVersion(group, version) {
      const own = served.filter((r) => r.group === group && r.version === version);
      if (own.length === 0) return undefined;
      return {
        kind: 'APIResourceList',
        // Upstream's legacy group leaves its own version out.
        ...(group === '' ? {} : { apiVersion: 'v1' }),
        groupVersion: formatApiVersion({ group, version }),
        resources: own.flatMap((r) => resourceEntries(r, serves)),
      };
    },
  };
}
