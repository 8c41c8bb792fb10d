/**
 * The pods of the owners of one kind (ReplicaSets, StatefulSets, DaemonSets, Jobs): whose a pod is,
 * which owners to look at when pods change, adoption and release, and what was created or deleted and
 * is not in the cache yet. One for each controller that creates pods.
 */
import type { Pod } from '#base/kube/api/core-v1.gen.ts';
import { pods } from '#base/kube/api/resources.gen.ts';
import type { KubeObject, Resource } from '#base/kube/client.ts';
import type { Informer } from '#base/kube/informer.ts';
import { controllerOf, isDeleting, keyOf } from '#base/kube/metadata.ts';
import type { LabelMatcher } from '#base/kube/selectors.ts';
import type { WorkQueue } from '#base/kube/work-queue.ts';
import { type ClaimOptions, claimObjects } from './claim.ts';
import type { ControllerContext } from './controller.ts';
import { Expectations } from './expectations.ts';
import { type BatchResult, slowStart } from './pod-control.ts';

const BY_CONTROLLER = 'controllerUid';

/** The pods of the cache by the uid of their controller, '' for none. */
export function podsByController(informer: Informer<Pod>): (uid: string) => Pod[] {
  informer.store.addIndex(BY_CONTROLLER, (pod: Pod) => [controllerOf(pod)?.uid ?? '']);
  return (uid) => informer.store.byIndex(BY_CONTROLLER, uid);
}

export interface OwnerKind<T extends KubeObject> {
  readonly resource: Resource<T>;
  readonly selectorOf: (owner: T) => LabelMatcher;
}

export class OwnedPods<T extends KubeObject> {
  readonly owners: Informer<T>;
  readonly pods: Informer<Pod>;
  /** By key of the owner. */
  readonly expectations = new Expectations();
  /** Pods that name the owner as their controller; with '' those that have none. */
  readonly byController: (uid: string) => Pod[];
  readonly #context: ControllerContext;
  readonly #kind: OwnerKind<T>;

  constructor(context: ControllerContext, kind: OwnerKind<T>) {
    this.#context = context;
    this.#kind = kind;
    this.owners = context.informers.informer(kind.resource);
    this.pods = context.informers.informer(pods);
    this.byController = podsByController(this.pods);
  }

  /** Queues owners that change, and those whose pods do, or that may adopt one. */
  watch(queue: WorkQueue): Disposable[] {
    const add = (owner: T) => queue.add(keyOf(owner));
    const changed = (pod: Pod) => {
      const owner = this.ownerOf(pod);
      if (owner !== undefined) {
        if (isDeleting(pod)) this.#deletionSeen(owner, pod);
        add(owner);
      } else if (controllerOf(pod) === undefined && !isDeleting(pod))
        this.#matching(pod).forEach(add);
    };
    return [
      this.owners.addHandler({
        onAdd: add,
        onUpdate: add,
        onDelete: (owner) => {
          // Its successor by that name has nothing to wait for.
          this.expectations.forget(keyOf(owner));
          add(owner);
        },
      }),
      this.pods.addHandler({
        onAdd: (pod) => {
          const owner = this.ownerOf(pod);
          if (owner !== undefined) this.expectations.creationObserved(keyOf(owner));
          changed(pod);
        },
        onUpdate: (pod, old) => {
          const before = this.ownerOf(old);
          if (before !== undefined && before !== this.ownerOf(pod)) add(before);
          changed(pod);
        },
        onDelete: (pod) => {
          const owner = this.ownerOf(pod);
          if (owner === undefined) return;
          this.#deletionSeen(owner, pod);
          add(owner);
        },
      }),
    ];
  }

  #deletionSeen(owner: T, pod: Pod): void {
    this.expectations.deletionObserved(keyOf(owner), pod.metadata.uid);
  }

  /** Owners that would adopt the pod. */
  #matching(pod: Pod): T[] {
    const { namespace, labels } = pod.metadata;
    return this.owners.store.list(namespace).filter((owner) => {
      const selector = this.#kind.selectorOf(owner);
      return !selector.isEmpty && selector.matches(labels);
    });
  }

  /** The owner that a pod names as its controller, if it is the one that is there. */
  ownerOf(pod: Pod): T | undefined {
    const ref = controllerOf(pod);
    if (ref === undefined || ref.kind !== this.#kind.resource.kind) return undefined;
    const owner = this.owners.store.get(pod.metadata.namespace, ref.name);
    return owner?.metadata.uid === ref.uid ? owner : undefined;
  }

  /** Creates `count` pods of the owner with that key, a few first (slowStart). */
  async create(
    key: string,
    count: number,
    create: (index: number) => Promise<unknown>,
  ): Promise<BatchResult> {
    this.expectations.expectCreations(key, count, this.#context.clock.nowMs());
    const result = await slowStart(count, create);
    this.expectations.creationObserved(key, count - result.succeeded);
    return result;
  }

  /** Deletes pods of the owner with that key, all at once; those deleted, and the first failure. */
  async remove(
    key: string,
    victims: readonly Pod[],
    remove: (pod: Pod, index: number) => Promise<unknown>,
  ): Promise<{ readonly removed: Pod[]; readonly error: unknown }> {
    const uids = victims.map((pod) => pod.metadata.uid);
    this.expectations.expectDeletions(key, uids, this.#context.clock.nowMs());
    const results = await Promise.allSettled(victims.map(remove));
    const removed = victims.filter((_, i) => results[i]?.status === 'fulfilled');
    for (const { metadata } of victims.filter((pod) => !removed.includes(pod))) {
      this.expectations.deletionObserved(key, metadata.uid);
    }
    const rejected = results.find((result) => result.status === 'rejected');
    return { removed, error: rejected?.reason };
  }

  /** Adopts and releases; what `owner` manages then, pods that end and that are finished among them. */
  claim(
    owner: T,
    options: Pick<ClaimOptions<T, Pod>, 'canAdopt' | 'finalizer'>,
    signal: AbortSignal,
  ): Promise<Pod[]> {
    const { uid, namespace } = owner.metadata;
    const orphans = this.byController('').filter((pod) => pod.metadata.namespace === namespace);
    return claimObjects(
      {
        client: this.#context.client,
        ownerResource: this.#kind.resource,
        owner,
        resource: pods,
        selector: this.#kind.selectorOf(owner),
        candidates: [...this.byController(uid), ...orphans],
        ...options,
      },
      signal,
    );
  }
}
