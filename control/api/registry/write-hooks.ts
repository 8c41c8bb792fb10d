/**
 * What some kinds must claim or release in the same transaction as their own write: cluster IPs and
 * node ports of Services, the time to live of Events. Called after the kind's prepareFor hooks and
 * before validation, which then sees what was allocated.
 */
import type { KubeObject } from '#base/kube/client.ts';
import type { WriteContext } from './admission.ts';
import type { Extra } from './object-storage.ts';
import type { ServedResource } from './served-resource.ts';

/**
 * Claims of one kind. Called again, with the same object, when a claim was lost to another write.
 */
export interface KindHooks {
  /** May fill fields of `object` in place. */
  onCreate?(object: KubeObject, context: WriteContext): Extra | Promise<Extra>;
  onUpdate?(object: KubeObject, old: KubeObject, context: WriteContext): Extra | Promise<Extra>;
  onDelete?(object: KubeObject): Extra;
}

const NOTHING: Extra = { compare: [], operations: [] };

/** Hooks by storage prefix (`core/services`). */
export class WriteHooks {
  readonly #kinds: ReadonlyMap<string, KindHooks>;

  constructor(kinds: ReadonlyMap<string, KindHooks>) {
    this.#kinds = kinds;
  }

  async onCreate(
    resource: ServedResource,
    object: KubeObject,
    context: WriteContext,
  ): Promise<Extra> {
    return (await this.#kinds.get(resource.storagePrefix)?.onCreate?.(object, context)) ?? NOTHING;
  }

  async onUpdate(
    at: { resource: ServedResource; subresource: string },
    object: KubeObject,
    old: KubeObject,
    context: WriteContext,
  ): Promise<Extra> {
    const { resource, subresource } = at;
    if (subresource !== '') return NOTHING;
    const kind = this.#kinds.get(resource.storagePrefix);
    return (await kind?.onUpdate?.(object, old, context)) ?? NOTHING;
  }

  onDelete(resource: ServedResource, old: KubeObject): Extra {
    return this.#kinds.get(resource.storagePrefix)?.onDelete?.(old) ?? NOTHING;
  }
}
