/**
 * Puts the served resources together: facts of every stored resource joined with the rules declared
 * in ../resources, one watch cache for each place of storage, and conversions where two resources
 * share one.
 */
import { type ResourceFacts, resources } from '#control/schema/schema.ts';
import { ResourceCache } from '../cache/resource-cache.ts';
import type { ResourceRules, TableRules } from '../resource.ts';
import { resourceRules } from '../resources/resources.ts';
import { eventConversion } from './convert-events.ts';
import { autoscalerConversion } from './convert-autoscalers.ts';
import { kindDefaults } from './kind-defaults.ts';
import { genericScale } from './generic-scale.ts';
import { type Conversion, ServedResource, ServedResources } from './served-resource.ts';

/** Resources that are stored as another one. */
const SHARED: Readonly<Record<string, { group: string; version: string; conversion: Conversion }>> =
  {
    'events.k8s.io/v1/events': { group: '', version: 'v1', conversion: eventConversion },
    'autoscaling/v1/horizontalpodautoscalers': {
      group: 'autoscaling',
      version: 'v2',
      conversion: autoscalerConversion,
    },
  };

export function isStored(facts: ResourceFacts): boolean {
  return facts.verbs.includes('get') && facts.verbs.includes('create');
}

function prefixOf(group: string, resource: string): string {
  return `${group === '' ? 'core' : group}/${resource}`;
}

/** Rows are made of served objects, and rules know the stored form. */
function tableOfStored(
  table: TableRules | undefined,
  conversion: Conversion,
): { readonly table?: TableRules } {
  if (table === undefined) return {};
  const row: TableRules['row'] = (object, nowMs) => table.row(conversion.toStorage(object), nowMs);
  return { table: { columns: table.columns, row } };
}

export interface Installed {
  readonly resources: ServedResources;
  /** By storage prefix, for the CacheHub. */
  readonly caches: ReadonlyMap<string, ResourceCache>;
}

export function installResources(): Installed {
  const rules = new Map<string, ResourceRules>();
  for (const one of resourceRules) rules.set(`${one.group}/${one.version}/${one.resource}`, one);
  const caches = new Map<string, ResourceCache>();
  const cacheOf = (prefix: string, own: ResourceRules): ResourceCache => {
    const known = caches.get(prefix);
    if (known !== undefined) return known;
    const made = new ResourceCache((object) => own.selectableFields?.(object) ?? {});
    caches.set(prefix, made);
    return made;
  };
  const all: ServedResource[] = [];
  for (const facts of resources) {
    if (!isStored(facts)) continue;
    const { group, version, resource, kind } = facts;
    const path = `${group}/${version}/${resource}`;
    const shared = SHARED[path];
    const stored = shared ?? { group, version, conversion: undefined };
    const prefix = prefixOf(stored.group, resource);
    // Rules see the stored form, also those of a name for it that is stricter (new events).
    const declared = rules.get(path) ?? rules.get(`${stored.group}/${stored.version}/${resource}`);
    const own: ResourceRules = {
      ...kindDefaults(prefix),
      ...(facts.subresources.some((s) => s.name === 'scale') ? { scale: genericScale } : {}),
      ...(declared ?? { group, version, resource }),
      ...(shared === undefined ? {} : tableOfStored(declared?.table, shared.conversion)),
    };
    all.push(
      new ServedResource({
        declaration: { facts, rules: own },
        storagePrefix: prefix,
        storageKind: { group: stored.group, version: stored.version, kind },
        conversion: stored.conversion,
        cache: cacheOf(prefix, own),
      }),
    );
  }
  return { resources: new ServedResources(all), caches };
}
