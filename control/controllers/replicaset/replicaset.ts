/**
 * The replicaset and replicationcontroller controllers: claim pods, create or delete what planReplicas
 * says, write the status. One generic driver; the two kinds differ in selector and resource only.
 */
import type { ReplicaSet, ReplicaSetStatus } from '#base/kube/api/apps-v1.gen.ts';
import type { Pod, ReplicationController } from '#base/kube/api/core-v1.gen.ts';
import { pods, replicasets, replicationcontrollers } from '#base/kube/api/resources.gen.ts';
import { isKubeError, type KubeObject, type Resource } from '#base/kube/client.ts';
import type { Informer } from '#base/kube/informer.ts';
import {
  controllerOf,
  isDeleting,
  jsonEquivalent,
  keyOf,
  newControllerRef,
} from '#base/kube/metadata.ts';
import { compileLabelSelector, compileLabelSet } from '#base/kube/selectors.ts';
import type { WorkQueue } from '#base/kube/work-queue.ts';
import { canManage, claimObjects } from '../shared/claim.ts';
import {
  type Controller,
  type ControllerContext,
  runQueueController,
} from '../shared/controller.ts';
import { Expectations } from '../shared/expectations.ts';
import {
  createPod,
  deletePod,
  isNamespaceTerminating,
  podFromTemplate,
  slowStart,
} from '../shared/pod-control.ts';
import { availableInMs, isPodActive } from '../shared/pods.ts';
import { type ManageFailure, planReplicas, planReplicaStatus, type ReplicaOwner } from './plan.ts';

interface Kind<T extends KubeObject> {
  readonly name: string;
  /** As in the events' source. */
  readonly component: string;
  readonly resource: Resource<T>;
  readonly ownerOf: (object: T) => ReplicaOwner;
}

export const replicaSetController: Controller = {
  name: 'replicaset-controller',
  run: (context, signal) =>
    new Driver<ReplicaSet>(context, {
      name: 'replicaset-controller',
      component: 'replicaset-controller',
      resource: replicasets,
      ownerOf: (rs) => ({
        selector: compileLabelSelector(rs.spec.selector),
        replicas: rs.spec.replicas ?? 1,
        minReadySeconds: rs.spec.minReadySeconds ?? 0,
        template: rs.spec.template ?? {},
        generation: rs.metadata.generation ?? 0,
        conditions: rs.status?.conditions ?? [],
      }),
    }).run(signal),
};

export const replicationController: Controller = {
  name: 'replicationcontroller-controller',
  run: (context, signal) =>
    new Driver<ReplicationController>(context, {
      name: 'replicationcontroller-controller',
      component: 'replication-controller',
      resource: replicationcontrollers,
      ownerOf: (rc) => ({
        // Its selector defaults to the labels of its template.
        selector: compileLabelSet(rc.spec.selector ?? rc.spec.template?.metadata?.labels),
        replicas: rc.spec.replicas ?? 1,
        minReadySeconds: rc.spec.minReadySeconds ?? 0,
        template: rc.spec.template ?? {},
        generation: rc.metadata.generation ?? 0,
        conditions: rc.status?.conditions ?? [],
      }),
    }).run(signal),
};

const BY_CONTROLLER = 'controllerUid';
export const podsByController = (pod: Pod): string[] => [controllerOf(pod)?.uid ?? ''];

class Driver<T extends ReplicaSet | ReplicationController> {
  readonly #context: ControllerContext;
  readonly #kind: Kind<T>;
  readonly #owners: Informer<T>;
  readonly #pods: Informer<Pod>;
  readonly #expectations = new Expectations();

  constructor(context: ControllerContext, kind: Kind<T>) {
    this.#context = context;
    this.#kind = kind;
    this.#owners = context.informers.informer(kind.resource);
    this.#pods = context.informers.informer(pods);
    this.#pods.store.addIndex(BY_CONTROLLER, podsByController);
  }

  run(signal: AbortSignal): Promise<void> {
    return runQueueController(
      this.#context,
      {
        name: this.#kind.name,
        workers: 5,
        informers: [this.#owners, this.#pods],
        subscribe: (queue) => [this.#watchOwners(queue), this.#watchPods(queue)],
        sync: (key, stop) => this.#sync(key, stop),
      },
      signal,
    );
  }

  #watchOwners(queue: WorkQueue): Disposable {
    return this.#owners.addHandler({
      onAdd: (object) => queue.add(keyOf(object)),
      onUpdate: (object) => queue.add(keyOf(object)),
      onDelete: (object) => {
        this.#expectations.forget(keyOf(object));
        queue.add(keyOf(object));
      },
    });
  }

  #watchPods(queue: WorkQueue): Disposable {
    return this.#pods.addHandler({
      onAdd: (pod) => {
        if (isDeleting(pod)) {
          this.#podDeleted(queue, pod);
          return;
        }
        const owner = this.#ownerOf(pod);
        if (owner !== undefined) {
          this.#expectations.creationObserved(keyOf(owner));
          queue.add(keyOf(owner));
        } else if (controllerOf(pod) === undefined) this.#enqueueMatching(queue, pod);
      },
      onUpdate: (pod, old) => {
        if (isDeleting(pod)) {
          this.#podDeleted(queue, pod);
          return;
        }
        const owner = this.#ownerOf(pod);
        const oldOwner = this.#ownerOf(old);
        if (oldOwner !== undefined && oldOwner !== owner) queue.add(keyOf(oldOwner));
        if (owner !== undefined) queue.add(keyOf(owner));
        else if (controllerOf(pod) === undefined) this.#enqueueMatching(queue, pod);
      },
      onDelete: (pod) => this.#podDeleted(queue, pod),
    });
  }

  #podDeleted(queue: WorkQueue, pod: Pod): void {
    const owner = this.#ownerOf(pod);
    if (owner === undefined) return;
    this.#expectations.deletionObserved(keyOf(owner), pod.metadata.uid);
    queue.add(keyOf(owner));
  }

  #ownerOf(pod: Pod): T | undefined {
    const ref = controllerOf(pod);
    if (ref === undefined || ref.kind !== this.#kind.resource.kind) return undefined;
    const owner = this.#owners.store.get(pod.metadata.namespace, ref.name);
    return owner?.metadata.uid === ref.uid ? owner : undefined;
  }

  #enqueueMatching(queue: WorkQueue, pod: Pod): void {
    for (const owner of this.#owners.store.list(pod.metadata.namespace)) {
      const { selector } = this.#kind.ownerOf(owner);
      if (!selector.isEmpty && selector.matches(pod.metadata.labels)) queue.add(keyOf(owner));
    }
  }

  async #sync(key: string, signal: AbortSignal): Promise<number | void> {
    const object = this.#owners.store.getByKey(key);
    if (object === undefined) {
      this.#expectations.forget(key);
      return;
    }
    const { clock, client } = this.#context;
    const owner = this.#kind.ownerOf(object);
    if (!canManage(owner.selector, owner.template)) return undefined;
    // Asked before the pods are read: what is expected then is in them.
    const isCacheCurrent = this.#expectations.isSatisfied(key, clock.nowMs());
    const mine = this.#pods.store.byIndex(BY_CONTROLLER, object.metadata.uid);
    const orphans = this.#pods.store
      .byIndex(BY_CONTROLLER, '')
      .filter((pod) => pod.metadata.namespace === object.metadata.namespace && isPodActive(pod));
    const owned = await claimObjects(
      {
        client,
        ownerResource: this.#kind.resource,
        owner: object,
        resource: pods,
        selector: owner.selector,
        candidates: [...mine, ...orphans],
      },
      signal,
    );
    let failure: unknown;
    let failed: ManageFailure | undefined;
    if (isCacheCurrent && !isDeleting(object)) {
      [failed, failure] = await this.#manage(key, object, owner, owned, signal);
    }
    const status = planReplicaStatus(owner, owned, failed, clock.nowMs());
    await this.#writeStatus(object, status, signal);
    if (failure !== undefined) throw failure;
    const waits = owned
      .map((pod) => availableInMs(pod, owner.minReadySeconds, clock.nowMs()))
      .filter((ms) => ms !== undefined);
    return waits.length === 0 ? undefined : Math.min(...waits) + 1;
  }

  async #manage(
    key: string,
    object: T,
    owner: ReplicaOwner,
    owned: readonly Pod[],
    signal: AbortSignal,
  ): Promise<[ManageFailure | undefined, unknown]> {
    const nowMs = this.#context.clock.nowMs();
    const plan = planReplicas(owner, owned.filter(isPodActive), this.#related(object), nowMs);
    const { component } = this.#kind;
    if (plan.kind === 'create') {
      const draft = podFromTemplate(
        object,
        newControllerRef(this.#kind.resource, object),
        owner.template,
      );
      this.#expectations.expectCreations(key, plan.count, nowMs);
      const result = await slowStart(plan.count, () =>
        createPod(this.#context, component, object, draft, signal),
      );
      this.#expectations.creationObserved(key, plan.count - result.succeeded);
      signal.throwIfAborted();
      if (result.error === undefined || isNamespaceTerminating(result.error)) {
        return [undefined, undefined];
      }
      return [{ kind: 'create', message: textOf(result.error) }, result.error];
    }
    if (plan.kind === 'delete') {
      const uids = plan.pods.map((pod) => pod.metadata.uid);
      this.#expectations.expectDeletions(key, uids, nowMs);
      const results = await Promise.allSettled(
        plan.pods.map(async (pod) => {
          try {
            await deletePod(this.#context, component, object, pod, signal);
          } catch (error) {
            this.#expectations.deletionObserved(key, pod.metadata.uid);
            throw error;
          }
        }),
      );
      signal.throwIfAborted();
      const rejected = results.find((result) => result.status === 'rejected');
      if (rejected !== undefined) {
        return [{ kind: 'delete', message: textOf(rejected.reason) }, rejected.reason];
      }
    }
    return [undefined, undefined];
  }

  /** Pods of all owners with the same controller: of a Deployment's other ReplicaSets too. */
  #related(object: T): Pod[] {
    const controller = controllerOf(object);
    const siblings =
      controller === undefined
        ? [object]
        : this.#owners.store
            .list(object.metadata.namespace)
            .filter((sibling) => controllerOf(sibling)?.uid === controller.uid);
    return siblings.flatMap((sibling) =>
      this.#pods.store.byIndex(BY_CONTROLLER, sibling.metadata.uid),
    );
  }

  async #writeStatus(object: T, status: ReplicaSetStatus, signal: AbortSignal): Promise<void> {
    const old = object.status as ReplicaSetStatus | undefined; // RC's has the same fields.
    const isRc = object.kind === 'ReplicationController';
    const next: ReplicaSetStatus = isRc ? withoutTerminating(status) : status;
    if (jsonEquivalent(withoutZeros(old), withoutZeros(next))) return;
    try {
      await this.#context.client.updateStatus(
        this.#kind.resource,
        { ...object, status: next },
        signal,
      );
    } catch (error) {
      if (!isKubeError(error, 'NotFound')) throw error; // Deleted meanwhile.
    }
  }
}

function withoutTerminating(status: ReplicaSetStatus): ReplicaSetStatus {
  const { terminatingReplicas: _, ...rest } = status;
  return rest;
}

/** The server leaves out counts that are zero. */
function withoutZeros(status: ReplicaSetStatus | undefined): object {
  return Object.fromEntries(Object.entries(status ?? {}).filter(([, value]) => value !== 0));
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
