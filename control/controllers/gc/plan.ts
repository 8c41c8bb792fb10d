/**
 * What the garbage collector does about one object, given what became of its owners. Pure; gc.ts asks
 * the server and acts. Rules are upstream's: one living owner keeps an object; an owner that waits for
 * its dependents has them deleted in the foreground; cycles are broken by giving up blocking.
 */
import type { OwnerReference } from '#base/kube/api/meta-v1.gen.ts';
import { blocks, FOREGROUND, type GraphNode, isDeletingDependents, ORPHAN } from './graph.ts';

export interface Owners {
  /** Exist and are not waiting for dependents. */
  readonly solid: readonly OwnerReference[];
  /** Do not exist (any more, or under this uid). */
  readonly dangling: readonly OwnerReference[];
  /** Are being deleted in the foreground. */
  readonly waiting: readonly OwnerReference[];
}

export type Policy = 'Background' | 'Foreground' | 'Orphan';

export type ItemPlan =
  | { readonly kind: 'keep' }
  /** Drop these references; others keep the object. */
  | { readonly kind: 'dropOwners'; readonly uids: readonly string[] }
  /** `unblock`: first let go of the owners, which wait for a cycle through this object. */
  | { readonly kind: 'delete'; readonly policy: Policy; readonly unblock: boolean };

export function planItem(
  finalizers: readonly string[],
  owners: Owners,
  dependents: readonly GraphNode[],
): ItemPlan {
  const { solid, dangling, waiting } = owners;
  if (solid.length > 0) {
    const uids = [...dangling, ...waiting].map((ref) => ref.uid);
    return uids.length === 0 ? { kind: 'keep' } : { kind: 'dropOwners', uids };
  }
  if (dangling.length === 0 && waiting.length === 0) return { kind: 'keep' };
  if (waiting.length > 0 && dependents.length > 0) {
    const unblock = dependents.some(isDeletingDependents);
    return { kind: 'delete', policy: 'Foreground', unblock };
  }
  // What the object's own deleter asked for stands.
  const policy = finalizers.includes(ORPHAN)
    ? 'Orphan'
    : finalizers.includes(FOREGROUND)
      ? 'Foreground'
      : 'Background';
  return { kind: 'delete', policy, unblock: false };
}

/** Dependents that a foreground deletion of `uid` still waits for. */
export function blockingDependents(uid: string, dependents: readonly GraphNode[]): GraphNode[] {
  return dependents.filter((dependent) => blocks(dependent, uid));
}
