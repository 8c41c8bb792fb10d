/**
 * The replicaset and replicationcontroller controllers: claim pods, create or delete what planReplicas
 * says, write the status. One generic driver; the two kinds differ in selector and resource only.
 */
import type { ReplicaSet, ReplicaSetStatus } from '#base/kube/api/apps-v1.gen.ts';
import type { Pod, ReplicationController } from '#base/kube/api/core-v1.gen.ts';
import { replicasets, replicationcontrollers } from '#base/kube/api/resources.gen.ts';
import { isKubeError, type KubeObject, type Resource } from '#base/kube/client.ts';
import { controllerOf, isDeleting, jsonEquivalent, newControllerRef } from '#base/kube/metadata.ts';
import { compileLabelSelector, compileLabelSet } from '#base/kube/selectors.ts';
import { canManage } from '../shared/claim.ts';
import {
  type Controller,
  type ControllerContext,
  runQueueController,
} from '../shared/controller.ts';
import { OwnedPods } from '../shared/owned-pods.ts';
import {
  createPod,
  deletePod,
  isNamespaceTerminating,
  podFromTemplate,
} from '../shared/pod-control.ts';
import { isPodActive, nextAvailableInMs } from '../shared/pods.ts';
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

class Driver<T extends ReplicaSet | ReplicationController> {
  readonly #context: ControllerContext;
  readonly #kind: Kind<T>;
  readonly #owned: OwnedPods<T>;

  constructor(context: ControllerContext, kind: Kind<T>) {
    this.#context = context;
    this.#kind = kind;
    const selectorOf = (object: T) => kind.ownerOf(object).selector;
    this.#owned = new OwnedPods(context, { resource: kind.resource, selectorOf });
  }

  run(signal: AbortSignal): Promise<void> {
    return runQueueController(
      this.#context,
      {
        name: this.#kind.name,
        workers: 5,
        informers: [this.#owned.owners, this.#owned.pods],
        subscribe: (queue) => this.#owned.watch(queue),
        sync: (key, stop) => this.#sync(key, stop),
      },
      signal,
    );
  }

  async #sync(key: string, signal: AbortSignal): Promise<number | void> {
    const object = this.#owned.owners.store.getByKey(key);
    if (object === undefined) return undefined;
    const { clock } = this.#context;
    const owner = this.#kind.ownerOf(object);
    if (!canManage(owner.selector, owner.template)) return undefined;
    // Asked before the pods are read: what is expected then is in them.
    const isCacheCurrent = this.#owned.expectations.isSatisfied(key, clock.nowMs());
    const owned = await this.#owned.claim(object, { canAdopt: isPodActive }, signal);
    let failure: unknown;
    let failed: ManageFailure | undefined;
    if (isCacheCurrent && !isDeleting(object)) {
      [failed, failure] = await this.#manage(key, object, owner, owned, signal);
    }
    const status = planReplicaStatus(owner, owned, failed, clock.nowMs());
    await this.#writeStatus(object, status, signal);
    if (failure !== undefined) throw failure;
    return nextAvailableInMs(owned, owner.minReadySeconds, clock.nowMs());
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
      const result = await this.#owned.create(key, plan.count, () =>
        createPod(this.#context, component, object, draft, signal),
      );
      signal.throwIfAborted();
      if (result.error === undefined || isNamespaceTerminating(result.error)) {
        return [undefined, undefined];
      }
      return [{ kind: 'create', message: textOf(result.error) }, result.error];
    }
    if (plan.kind === 'delete') {
      const { error } = await this.#owned.remove(key, plan.pods, (pod) =>
        deletePod(this.#context, component, object, pod, signal),
      );
      signal.throwIfAborted();
      if (error !== undefined) return [{ kind: 'delete', message: textOf(error) }, error];
    }
    return [undefined, undefined];
  }

  /** Pods of all owners with the same controller: of a Deployment's other ReplicaSets too. */
  #related(object: T): Pod[] {
    const controller = controllerOf(object);
    const siblings =
      controller === undefined
        ? [object]
        : this.#owned.owners.store
            .list(object.metadata.namespace)
            .filter((sibling) => controllerOf(sibling)?.uid === controller.uid);
    return siblings.flatMap((sibling) => this.#owned.byController(sibling.metadata.uid));
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
