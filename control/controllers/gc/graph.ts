/**
 * The garbage collector's view: every object with its owners, and the dependents of every owner, fed
 * by informers. An owner that is only known from references is absent here: whether it exists is asked
 * of the server. Pure.
 */
import type { OwnerReference } from '#base/kube/api/meta-v1.gen.ts';
import type { KubeObject } from '#base/kube/client.ts';
import { isDeleting } from '#base/kube/metadata.ts';
import type { DiscoveredResource } from '../shared/discovery.ts';

export const FOREGROUND = 'foregroundDeletion';
export const ORPHAN = 'orphan';

export interface GraphNode {
  readonly resource: DiscoveredResource;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly owners: readonly OwnerReference[];
  readonly isDeleting: boolean;
  readonly finalizers: readonly string[];
}

export function nodeOf(resource: DiscoveredResource, object: KubeObject): GraphNode {
  const { name, namespace = '', uid, ownerReferences = [], finalizers = [] } = object.metadata;
  const deleting = isDeleting(object);
  return {
    resource,
    namespace,
    name,
    uid,
    owners: ownerReferences,
    isDeleting: deleting,
    finalizers,
  };
}

/** Its dependents that block must go before it does. */
export function isDeletingDependents(node: GraphNode): boolean {
  return node.isDeleting && node.finalizers.includes(FOREGROUND);
}

export function isOrphaning(node: GraphNode): boolean {
  return node.isDeleting && node.finalizers.includes(ORPHAN);
}

/** A dependent stands in the way of an owner's foreground deletion. */
export function blocks(dependent: GraphNode, ownerUid: string): boolean {
  return dependent.owners.some((ref) => ref.uid === ownerUid && ref.blockOwnerDeletion === true);
}

export class Graph {
  readonly #nodes = new Map<string, GraphNode>();
  readonly #dependents = new Map<string, Set<string>>();

  get size(): number {
    return this.#nodes.size;
  }

  get(uid: string): GraphNode | undefined {
    return this.#nodes.get(uid);
  }

  dependentsOf(uid: string): GraphNode[] {
    const nodes: GraphNode[] = [];
    for (const dependent of this.#dependents.get(uid) ?? []) {
      const node = this.#nodes.get(dependent);
      if (node !== undefined) nodes.push(node);
    }
    return nodes;
  }

  put(node: GraphNode): GraphNode | undefined {
    const old = this.#nodes.get(node.uid);
    this.#nodes.set(node.uid, node);
    if (old !== undefined) this.#unlink(old);
    for (const { uid } of node.owners) {
      const dependents = this.#dependents.get(uid);
      if (dependents === undefined) this.#dependents.set(uid, new Set([node.uid]));
      else dependents.add(node.uid);
    }
    return old;
  }

  remove(uid: string): GraphNode | undefined {
    const old = this.#nodes.get(uid);
    if (old === undefined) return undefined;
    this.#nodes.delete(uid);
    this.#unlink(old);
    return old;
  }

  #unlink(node: GraphNode): void {
    for (const { uid } of node.owners) {
      const dependents = this.#dependents.get(uid);
      dependents?.delete(node.uid);
      if (dependents?.size === 0) this.#dependents.delete(uid);
    }
  }
}
