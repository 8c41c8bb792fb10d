/** The statefulset controller: takes the steps that plan.ts allows, and writes the status. */
import type {
  ControllerRevision,
  StatefulSet,
  StatefulSetStatus,
} from '#base/kube/api/apps-v1.gen.ts';
import type { Pod } from '#base/kube/api/core-v1.gen.ts';
import {
  controllerrevisions,
  persistentvolumeclaims,
  pods,
  statefulsets,
} from '#base/kube/api/resources.gen.ts';
import { errorText } from '#base/errors.ts';
import { isKubeError } from '#base/kube/client.ts';
import type { Informer } from '#base/kube/informer.ts';
import {
  controllerOf,
  isControlledBy,
  isDeleting,
  jsonEquivalent,
  keyOf,
} from '#base/kube/metadata.ts';
import { compileLabelSelector } from '#base/kube/selectors.ts';
import type { WorkQueue } from '#base/kube/work-queue.ts';
import { podsByController } from '../replicaset/replicaset.ts';
import { canManage, claimObjects } from '../shared/claim.ts';
import {
  type Controller,
  type ControllerContext,
  runQueueController,
} from '../shared/controller.ts';
import { Expectations } from '../shared/expectations.ts';
import { isNamespaceTerminating } from '../shared/pod-control.ts';
import { availableInMs } from '../shared/pods.ts';
import { ensureRevision, templateOf, trimHistory } from '../shared/revisions.ts';
import {
  ordinalOf,
  planSetStatus,
  planSteps,
  revisionOfPod,
  type SetView,
  type Step,
} from './plan.ts';
import { scaledClaimNames, setClaims, setPod } from './pod.ts';

const COMPONENT = 'statefulset-controller';
const BY_CONTROLLER = 'controllerUid';

export const statefulSetController: Controller = {
  name: 'statefulset-controller',
  run: (context, signal) => new Driver(context).run(signal),
};

class Driver {
  readonly #context: ControllerContext;
  readonly #sets: Informer<StatefulSet>;
  readonly #pods: Informer<Pod>;
  readonly #revisions: Informer<ControllerRevision>;
  readonly #expectations = new Expectations();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#sets = context.informers.informer(statefulsets);
    this.#pods = context.informers.informer(pods);
    this.#revisions = context.informers.informer(controllerrevisions);
    this.#pods.store.addIndex(BY_CONTROLLER, podsByController);
  }

  run(signal: AbortSignal): Promise<void> {
    return runQueueController(
      this.#context,
      {
        name: 'statefulset-controller',
        workers: 5,
        informers: [this.#sets, this.#pods, this.#revisions],
        subscribe: (queue) => this.#subscribe(queue),
        sync: (key, stop) => this.#sync(key, stop),
      },
      signal,
    );
  }

  #subscribe(queue: WorkQueue): Disposable[] {
    const add = (set: StatefulSet) => queue.add(keyOf(set));
    const observe = (pod: Pod, isNew: boolean, isGone: boolean) => {
      const set = this.#ownerOf(pod);
      if (set !== undefined) {
        const key = keyOf(set);
        if (isNew) this.#expectations.creationObserved(key);
        if (isGone || isDeleting(pod)) this.#expectations.deletionObserved(key, pod.metadata.uid);
        queue.add(key);
      } else if (controllerOf(pod) === undefined) {
        for (const candidate of this.#sets.store.list(pod.metadata.namespace)) {
          const selector = compileLabelSelector(candidate.spec.selector);
          if (!selector.isEmpty && selector.matches(pod.metadata.labels)) add(candidate);
        }
      }
    };
    return [
      this.#sets.addHandler({ onAdd: add, onUpdate: add, onDelete: add }),
      this.#pods.addHandler({
        onAdd: (pod) => observe(pod, true, false),
        onUpdate: (pod, old) => {
          const before = this.#ownerOf(old);
          if (before !== undefined && before !== this.#ownerOf(pod)) add(before);
          observe(pod, false, false);
        },
        onDelete: (pod) => observe(pod, false, true),
      }),
    ];
  }

  #ownerOf(pod: Pod): StatefulSet | undefined {
    const ref = controllerOf(pod);
    if (ref === undefined || ref.kind !== 'StatefulSet') return undefined;
    const set = this.#sets.store.get(pod.metadata.namespace, ref.name);
    return set?.metadata.uid === ref.uid ? set : undefined;
  }

  async #sync(key: string, signal: AbortSignal): Promise<number | void> {
    const set = this.#sets.store.getByKey(key);
    if (set === undefined) {
      this.#expectations.forget(key);
      return undefined;
    }
    const selector = compileLabelSelector(set.spec.selector);
    if (!canManage(selector, set.spec.template)) return undefined;
    const { client, clock } = this.#context;
    const isCacheCurrent = this.#expectations.isSatisfied(key, clock.nowMs());
    const revisions = this.#revisions.store
      .list(set.metadata.namespace)
      .filter((revision) => isControlledBy(revision, set));
    const owned = await this.#claim(set, signal);
    const found = await ensureRevision(client, statefulsets, set, revisions, signal);
    const update = found.update.metadata.name;
    const known = set.status?.currentRevision ?? '';
    const current = found.all.some((one) => one.metadata.name === known) ? known : update;
    const view: SetView = { set, pods: owned, current, update };
    let failure: unknown;
    if (isCacheCurrent) {
      failure = await this.#take(key, view, found.all, planSteps(view, clock.nowMs()), signal);
    }
    const { collisionCount } = found;
    const status = planSetStatus({ view, collisionCount, nowMs: clock.nowMs() });
    await this.#writeStatus(set, status, signal);
    if (failure !== undefined) throw failure;
    const names = new Set([current, update, ...owned.map(revisionOfPod)]);
    const inUse = (revision: ControllerRevision) => names.has(revision.metadata.name);
    await trimHistory(client, set, found.all, inUse, signal);
    const waits = owned
      .map((pod) => availableInMs(pod, set.spec.minReadySeconds ?? 0, clock.nowMs()))
      .filter((ms) => ms !== undefined);
    return waits.length === 0 ? undefined : Math.min(...waits) + 1;
  }

  #claim(set: StatefulSet, signal: AbortSignal): Promise<Pod[]> {
    const own = this.#pods.store.byIndex(BY_CONTROLLER, set.metadata.uid);
    const orphans = this.#pods.store
      .byIndex(BY_CONTROLLER, '')
      .filter((pod) => pod.metadata.namespace === set.metadata.namespace);
    return claimObjects(
      {
        client: this.#context.client,
        ownerResource: statefulsets,
        owner: set,
        resource: pods,
        selector: compileLabelSelector(set.spec.selector),
        candidates: [...own, ...orphans],
        canAdopt: (pod) => ordinalOf(set, pod.metadata.name) !== undefined,
      },
      signal,
    );
  }

  /** Takes the steps; returns the first failure. */
  async #take(
    key: string,
    view: SetView,
    revisions: readonly ControllerRevision[],
    steps: readonly Step[],
    signal: AbortSignal,
  ): Promise<unknown> {
    const nowMs = this.#context.clock.nowMs();
    // Deletions first: expectations hold one kind at a time, and the rest follows in the next pass.
    const deletions = steps.filter((step) => step.kind === 'delete');
    const creations = steps.filter((step) => step.kind === 'create');
    let results: PromiseSettledResult<void>[];
    if (deletions.length > 0) {
      const uids = deletions.map(({ pod }) => pod.metadata.uid);
      this.#expectations.expectDeletions(key, uids, nowMs);
      results = await Promise.allSettled(
        deletions.map((step) => this.#deletePod(view.set, step, signal)),
      );
    } else {
      this.#expectations.expectCreations(key, creations.length, nowMs);
      results = await Promise.allSettled(
        creations.map(async (step) => {
          try {
            await this.#createPod(view.set, revisions, step, signal);
          } catch (error) {
            this.#expectations.creationObserved(key);
            throw error;
          }
        }),
      );
    }
    signal.throwIfAborted();
    const rejected = results.find((result) => result.status === 'rejected');
    if (rejected !== undefined && deletions.length > 0) this.#expectations.forget(key);
    if (rejected === undefined || isNamespaceTerminating(rejected.reason)) return undefined;
    return rejected.reason;
  }

  async #createPod(
    set: StatefulSet,
    revisions: readonly ControllerRevision[],
    step: Step & { kind: 'create' },
    signal: AbortSignal,
  ): Promise<void> {
    const revision = revisions.find((one) => one.metadata.name === step.revision);
    const template = revision === undefined ? set.spec.template : templateOf(revision);
    const draft = setPod(set, template, step.ordinal, step.revision);
    const { name = '' } = draft.metadata;
    try {
      for (const claim of setClaims(set, step.ordinal)) {
        await this.#context.client.create(persistentvolumeclaims, claim, signal).catch((error) => {
          if (!isKubeError(error, 'AlreadyExists')) throw error; // From an earlier life of the pod.
        });
      }
      await this.#context.client.create(pods, draft, signal);
    } catch (error) {
      signal.throwIfAborted();
      const message = `create Pod ${name} in StatefulSet ${set.metadata.name} failed error: ${errorText(error)}`;
      this.#event(set, 'Warning', 'FailedCreate', message);
      throw error;
    }
    const message = `create Pod ${name} in StatefulSet ${set.metadata.name} successful`;
    this.#event(set, 'Normal', 'SuccessfulCreate', message);
  }

  async #deletePod(
    set: StatefulSet,
    { pod, why }: Step & { kind: 'delete' },
    signal: AbortSignal,
  ): Promise<void> {
    const { name, namespace, uid } = pod.metadata;
    if (why === 'recreate') {
      const message = `StatefulSet ${namespace}/${set.metadata.name} is recreating ${pod.status?.phase?.toLowerCase()} Pod ${name}`;
      this.#event(set, 'Warning', `Recreating${pod.status?.phase}Pod`, message);
    }
    try {
      const preconditions = { uid };
      await this.#context.client.delete(pods, { name, namespace }, { preconditions }, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (isKubeError(error, 'NotFound')) return; // Gone already.
      const message = `delete Pod ${name} in StatefulSet ${set.metadata.name} failed error: ${errorText(error)}`;
      this.#event(set, 'Warning', 'FailedDelete', message);
      throw error;
    }
    const message = `delete Pod ${name} in StatefulSet ${set.metadata.name} successful`;
    this.#event(set, 'Normal', 'SuccessfulDelete', message);
    if (why !== 'scale') return;
    for (const claim of scaledClaimNames(set, ordinalOf(set, name) ?? 0)) {
      await this.#context.client
        .delete(persistentvolumeclaims, { name: claim, namespace }, {}, signal)
        .catch((error) => {
          if (!isKubeError(error, 'NotFound')) throw error; // Gone already.
        });
    }
  }

  #event(set: StatefulSet, type: 'Normal' | 'Warning', reason: string, message: string): void {
    this.#context.events.record(set, { type, reason, message, component: COMPONENT });
  }

  async #writeStatus(
    set: StatefulSet,
    status: StatefulSetStatus,
    signal: AbortSignal,
  ): Promise<void> {
    if (jsonEquivalent(withoutZeros(set.status), withoutZeros(status))) return;
    try {
      await this.#context.client.updateStatus(statefulsets, { ...set, status }, signal);
    } catch (error) {
      if (!isKubeError(error, 'NotFound')) throw error; // Deleted meanwhile.
    }
  }
}

/** The server leaves out counts that are zero. */
function withoutZeros(status: StatefulSetStatus | undefined): object {
  return Object.fromEntries(Object.entries(status ?? {}).filter(([, value]) => value !== 0));
}
