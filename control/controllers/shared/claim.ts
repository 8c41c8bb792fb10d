/**
 * Adoption and release: which objects an owner manages, which orphans it takes over and which it lets
 * go, by controllerRef and selector. `planClaim` decides; `claimObjects` patches what it decided.
 */
import { type KubeObject, isKubeError, type KubeClient, type Resource } from '#base/kube/client.ts';
import { controllerOf, isDeleting, newControllerRef } from '#base/kube/metadata.ts';
import type { LabelMatcher } from '#base/kube/selectors.ts';

/**
 * False when the owner would not know its own pods again: it would create new ones without end. The
 * server's validation forbids that; this is the second lock.
 */
export function canManage(
  selector: LabelMatcher,
  template: { metadata?: { labels?: Record<string, string> | undefined } | undefined },
): boolean {
  return selector.requirements.length > 0 && selector.matches(template.metadata?.labels);
}

export interface ClaimPlan<T> {
  readonly owned: T[];
  readonly adopt: T[];
  readonly release: T[];
}

export function planClaim<T extends KubeObject>(
  owner: KubeObject,
  selector: LabelMatcher,
  candidates: readonly T[],
  canAdopt: (object: T) => boolean = () => true,
): ClaimPlan<T> {
  const plan: ClaimPlan<T> = { owned: [], adopt: [], release: [] };
  for (const object of candidates) {
    const ref = controllerOf(object);
    const matches = selector.matches(object.metadata.labels);
    if (ref !== undefined) {
      if (ref.uid !== owner.metadata.uid) continue;
      if (matches) plan.owned.push(object);
      else if (!isDeleting(owner)) plan.release.push(object);
      continue;
    }
    if (isDeleting(owner) || isDeleting(object) || !matches || !canAdopt(object)) continue;
    plan.adopt.push(object);
  }
  return plan;
}

export interface ClaimOptions<O extends KubeObject, T extends KubeObject> {
  readonly client: KubeClient;
  readonly ownerResource: Resource<O>;
  readonly owner: O;
  readonly resource: Resource<T>;
  readonly selector: LabelMatcher;
  readonly candidates: readonly T[];
  readonly canAdopt?: ((object: T) => boolean) | undefined;
  /** Added to what is adopted and taken from what is released. */
  readonly finalizer?: string | undefined;
}

/** Adopts and releases; returns what the owner manages now. */
export async function claimObjects<O extends KubeObject, T extends KubeObject>(
  options: ClaimOptions<O, T>,
  signal: AbortSignal,
): Promise<T[]> {
  const { client, ownerResource, owner, resource, selector, candidates } = options;
  const plan = planClaim(owner, selector, candidates, options.canAdopt);
  if (plan.adopt.length > 0 && (await isStillThere(client, ownerResource, owner, signal))) {
    const ref = newControllerRef(ownerResource, owner);
    for (const object of plan.adopt) {
      const { name, namespace, uid } = object.metadata;
      const finalizers = options.finalizer === undefined ? {} : { finalizers: [options.finalizer] };
      const body = { metadata: { ownerReferences: [ref], uid, ...finalizers } };
      try {
        const adopted = await client.patch(
          resource,
          { name, namespace },
          { type: 'strategic', body },
          signal,
        );
        plan.owned.push(adopted);
      } catch (error) {
        if (!isKubeError(error, 'NotFound', 'Invalid')) throw error; // Gone, or owned by another now.
      }
    }
  }
  for (const object of plan.release) {
    const { name, namespace, uid } = object.metadata;
    const finalizers =
      options.finalizer === undefined
        ? {}
        : { '$deleteFromPrimitiveList/finalizers': [options.finalizer] };
    const drop = [{ $patch: 'delete', uid: owner.metadata.uid }];
    const body = { metadata: { ownerReferences: drop, uid, ...finalizers } };
    try {
      await client.patch(resource, { name, namespace }, { type: 'strategic', body }, signal);
    } catch (error) {
      if (!isKubeError(error, 'NotFound', 'Invalid')) throw error; // Gone, or no reference left.
    }
  }
  return plan.owned;
}

/** The cache may be behind: nothing is adopted for an owner that is deleted on the server. */
async function isStillThere<O extends KubeObject>(
  client: KubeClient,
  resource: Resource<O>,
  owner: O,
  signal: AbortSignal,
): Promise<boolean> {
  const { name, namespace, uid } = owner.metadata;
  try {
    const fresh = await client.get(resource, { name, namespace }, signal);
    return fresh.metadata.uid === uid && !isDeleting(fresh);
  } catch (error) {
    if (isKubeError(error, 'NotFound')) return false;
    throw error;
  }
}
