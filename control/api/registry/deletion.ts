/**
 * Deletion of an object: preconditions, admission, then what delete-plan.ts decides, which is to mark it
 * while grace or finalizers keep it, or to take it away. Part of the registry.
 */
import type { KubeObject } from '#base/kube/client.ts';
import { withResourceVersion } from '../cache/cached-object.ts';
import { notFound } from '../errors.ts';
import type { AdmissionChain, WriteContext } from './admission.ts';
import { formatStored } from './codec.ts';
import {
  checkPreconditions,
  type DeleteOptions,
  planDelete,
  validateDeleteOptions,
} from './delete-plan.ts';
import type { ObjectStorage } from './object-storage.ts';
import type { ServedResource } from './served-resource.ts';
import { type Current, done, lost, type Outcome, parseCurrent, settle } from './settle.ts';
import type { WriteHooks } from './write-hooks.ts';

export interface Deleted {
  readonly json: Buffer;
  readonly revision: number;
  readonly object: KubeObject;
  /** False while grace or finalizers keep the object. */
  readonly removed: boolean;
}

/** Names an object. */
export interface ObjectAt {
  readonly resource: ServedResource;
  readonly namespace: string;
  readonly name: string;
}

export class Deletion {
  readonly #storage: ObjectStorage;
  readonly #admission: AdmissionChain;
  readonly #hooks: WriteHooks;

  constructor(parts: { storage: ObjectStorage; admission: AdmissionChain; hooks: WriteHooks }) {
    this.#storage = parts.storage;
    this.#admission = parts.admission;
    this.#hooks = parts.hooks;
  }

  /** Throws ApiError 404 without the object, 409 when a precondition does not hold. */
  async run(at: ObjectAt, options: DeleteOptions, context: WriteContext): Promise<Deleted> {
    const { resource, namespace, name } = at;
    validateDeleteOptions(options);
    const { groupResource, cache } = resource;
    let admitted = false;
    const first = cache.get(resource.key(namespace, name));
    return await settle({ groupResource, name }, first, async (current) => {
      if (current === undefined) throw notFound(groupResource, name);
      const old = parseCurrent(current);
      // Upstream names the kind, not the resource, in these conflicts.
      const of = { group: resource.facts.group, resource: resource.facts.kind };
      checkPreconditions(old, options, of);
      if (!admitted) await this.#admit(at, old, options, context);
      admitted = true;
      return await this.#commit(at, { current, old }, options, context);
    });
  }

  async #admit(
    at: ObjectAt,
    old: KubeObject,
    options: DeleteOptions,
    context: WriteContext,
  ): Promise<void> {
    const rest = { subresource: '', object: undefined, old, context };
    await this.#admission.validate({ operation: 'DELETE', ...at, ...rest });
    const isDecided =
      options.propagationPolicy !== undefined || options.orphanDependents !== undefined;
    const warnings = at.resource.rules.warningsOnDelete?.(old, context) ?? [];
    if (!isDecided) for (const text of warnings) context.warn(text);
  }

  async #commit(
    at: ObjectAt,
    seen: { current: Current; old: KubeObject },
    options: DeleteOptions,
    context: WriteContext,
  ): Promise<Outcome<Deleted>> {
    const { resource, namespace, name } = at;
    const { current, old } = seen;
    const { revision } = current;
    const store = { key: resource.storeKey(resource.key(namespace, name)), revision };
    const plan = planDelete(parseCurrent(current), resource.rules, options, context.nowMs);
    const keep = (json: Buffer, newRevision: number, object: KubeObject) =>
      done({ json, revision: newRevision, object, removed: false });
    if (plan.kind === 'pending') return keep(current.json, revision, old);
    if (plan.kind === 'mark') {
      const value = formatStored(plan.object);
      const json = withResourceVersion(value, revision);
      if (context.dryRun || json.equals(current.json)) return keep(json, revision, plan.object);
      const marked = { ...store, isDeleting: true };
      const result = await this.#storage.update(marked, value, context.signal);
      if (result.kind !== 'written') return lost(result);
      return keep(withResourceVersion(value, result.revision), result.revision, plan.object);
    }
    const gone = { json: current.json, object: old, removed: true };
    if (context.dryRun) return done({ ...gone, revision });
    const extra = this.#hooks.onDelete(resource, old);
    const result = await this.#storage.delete(store, context.signal, extra);
    return result.kind === 'written' ? done({ ...gone, revision: result.revision }) : lost(result);
  }
}
