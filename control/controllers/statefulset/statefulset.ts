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
import { must } from '#base/assert.ts';
import { errorText } from '#base/errors.ts';
import { isKubeError } from '#base/kube/client.ts';
import type { Informer } from '#base/kube/informer.ts';
import { isControlledBy, jsonEquivalent } from '#base/kube/metadata.ts';
import { compileLabelSelector } from '#base/kube/selectors.ts';
import { canManage } from '../shared/claim.ts';
import {
  type Controller,
  type ControllerContext,
  runQueueController,
} from '../shared/controller.ts';
import { OwnedPods } from '../shared/owned-pods.ts';
import { isNamespaceTerminating } from '../shared/pod-control.ts';
import { nextAvailableInMs } from '../shared/pods.ts';
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

export const statefulSetController: Controller = {
  name: 'statefulset-controller',
  run: (context, signal) => new Driver(context).run(signal),
};

class Driver {
  readonly #context: ControllerContext;
  readonly #owned: OwnedPods<StatefulSet>;
  readonly #revisions: Informer<ControllerRevision>;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#owned = new OwnedPods(context, {
      resource: statefulsets,
      selectorOf: (set) => compileLabelSelector(set.spec.selector),
    });
    this.#revisions = context.informers.informer(controllerrevisions);
  }

  run(signal: AbortSignal): Promise<void> {
    return runQueueController(
      this.#context,
      {
        name: 'statefulset-controller',
        workers: 5,
        informers: [this.#owned.owners, this.#owned.pods, this.#revisions],
        subscribe: (queue) => this.#owned.watch(queue),
        sync: (key, stop) => this.#sync(key, stop),
      },
      signal,
    );
  }

  async #sync(key: string, signal: AbortSignal): Promise<number | void> {
    const set = this.#owned.owners.store.getByKey(key);
    if (set === undefined) return undefined;
    const selector = compileLabelSelector(set.spec.selector);
    if (!canManage(selector, set.spec.template)) return undefined;
    const { client, clock } = this.#context;
    const isCacheCurrent = this.#owned.expectations.isSatisfied(key, clock.nowMs());
    const revisions = this.#revisions.store
      .list(set.metadata.namespace)
      .filter((revision) => isControlledBy(revision, set));
    const canAdopt = (pod: Pod) => ordinalOf(set, pod.metadata.name) !== undefined;
    const owned = await this.#owned.claim(set, { canAdopt }, signal);
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
    return nextAvailableInMs(owned, set.spec.minReadySeconds ?? 0, clock.nowMs());
  }

  /** Takes the steps; returns the first failure. */
  async #take(
    key: string,
    view: SetView,
    revisions: readonly ControllerRevision[],
    steps: readonly Step[],
    signal: AbortSignal,
  ): Promise<unknown> {
    // Deletions first: expectations hold one kind at a time, and the rest follows in the next pass.
    const deletions = steps.filter((step) => step.kind === 'delete');
    const creations = steps.filter((step) => step.kind === 'create');
    const victims = deletions.map(({ pod }) => pod);
    const { error } =
      victims.length > 0
        ? await this.#owned.remove(key, victims, (_, i) =>
            this.#deletePod(view.set, must(deletions[i], 'step'), signal),
          )
        : await this.#owned.create(key, creations.length, (i) =>
            this.#createPod(view.set, revisions, must(creations[i], 'step'), signal),
          );
    signal.throwIfAborted();
    return isNamespaceTerminating(error) ? undefined : error;
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
