/**
 * A resource that this server serves: its declaration, where it is stored, and its watch cache. Two
 * versions or groups that share storage (events, horizontal pod autoscalers) share the cache; the
 * one that is not stored converts on the way in and out.
 */
import type { KubeObject } from '#base/kube/client.ts';
import type { GroupVersionKind, ResourceFacts } from '#control/schema/schema.ts';
import type { ResourceCache } from '../cache/resource-cache.ts';
import type { GroupKind, GroupResource } from '../errors.ts';
import type { ResourceDeclaration, ResourceRules } from '../resource.ts';

export interface Conversion {
  toStorage(object: KubeObject): KubeObject;
  fromStorage(object: KubeObject): KubeObject;
  /** Field label of selectors in the storage version, where it has another name. */
  storageField?(field: string): string;
}

export class ServedResource implements ResourceDeclaration {
  readonly facts: ResourceFacts;
  readonly rules: ResourceRules;
  /** Below /registry/: `apps/deployments`. */
  readonly storagePrefix: string;
  /** Kind under which objects are stored. */
  readonly storageKind: GroupVersionKind;
  readonly conversion: Conversion | undefined;
  readonly cache: ResourceCache;

  constructor(parts: {
    declaration: ResourceDeclaration;
    storagePrefix: string;
    storageKind: GroupVersionKind;
    conversion?: Conversion | undefined;
    cache: ResourceCache;
  }) {
    this.facts = parts.declaration.facts;
    this.rules = parts.declaration.rules;
    this.storagePrefix = parts.storagePrefix;
    this.storageKind = parts.storageKind;
    this.conversion = parts.conversion;
    this.cache = parts.cache;
  }

  get groupResource(): GroupResource {
    return { group: this.facts.group, resource: this.facts.resource };
  }

  get groupKind(): GroupKind {
    return { group: this.facts.group, kind: this.facts.kind };
  }

  get gvk(): GroupVersionKind {
    const { group, version, kind } = this.facts;
    return { group, version, kind };
  }

  get listGvk(): GroupVersionKind {
    const { group, version, listKind } = this.facts;
    return { group, version, kind: listKind };
  }

  /** Key of the watch cache: `namespace/name`, or `name`. */
  key(namespace: string, name: string): string {
    return this.facts.namespaced ? `${namespace}/${name}` : name;
  }

  storeKey(key: string): string {
    return `/registry/${this.storagePrefix}/${encodeKey(key)}`;
  }

  /** An object in the served version, from one in the storage version. */
  fromStorage(object: KubeObject): KubeObject {
    return this.conversion === undefined ? object : this.conversion.fromStorage(object);
  }

  toStorage(object: KubeObject): KubeObject {
    return this.conversion === undefined ? object : this.conversion.toStorage(object);
  }

  hasSubresource(name: string): boolean {
    return this.facts.subresources.some((s) => s.name === name);
  }
}

/** Names are ASCII but for a few kinds; the store's keys are bytes in latin1. */
function encodeKey(key: string): string {
  // oxlint-disable-next-line no-control-regex -- the range is what the store takes as it is
  return /^[\x00-\x7f]*$/.test(key) ? key : Buffer.from(key, 'utf8').toString('latin1');
}

/** Index of served resources by URL. */
export class ServedResources {
  readonly #byPath = new Map<string, ServedResource>();
  readonly all: readonly ServedResource[];

  constructor(all: readonly ServedResource[]) {
    this.all = all;
    for (const one of all) {
      const { group, version, resource } = one.facts;
      this.#byPath.set(`${group}/${version}/${resource}`, one);
    }
  }

  find(group: string, version: string, resource: string): ServedResource | undefined {
    return this.#byPath.get(`${group}/${version}/${resource}`);
  }

  /** The resource of a kind that the server itself relies on. */
  must(group: string, version: string, resource: string): ServedResource {
    const found = this.find(group, version, resource);
    if (found === undefined) throw new Error(`no resource ${group}/${version}/${resource}`);
    return found;
  }
}
