/** The statefulset controller: takes the steps that plan.ts allows, and writes the status. */
import type {
  ControllerRevision,
  StatefulSet,
  StatefulSetStatus,
} from '#base/kube/api/apps-v1.gen.ts';
import type { PersistentVolumeClaim, Pod } from '#base/kube/api/core-v1.gen.ts';
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
import { isDeleting, jsonEquivalent } from '#base/kube/metadata.ts';
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
import { isStaleClaim, planClaimOwners } from './claims.ts';
import {
  ordinalOf,
  planSetStatus,
  planSteps,
  revisionOfPod,
  type SetView,
  type Step,
} from './plan.ts';
import { claimName, setClaims, setPod } from './pod.ts';

const COMPONENT = 'statefulset-controller';
const HASH_LABEL = 'controller.kubernetes.io/hash';
/** How often to look whether claims of an earlier pod have gone. */
const STALE_CLAIM_MS = 1_000;

export const statefulSetController: Controller = {
  name: 'statefulset-controller',
  run: (context, signal) => new Driver(context).run(signal),
};

class Driver {
  readonly #context: ControllerContext;
  readonly #owned: OwnedPods<StatefulSet>;
  readonly #revisions: Informer<ControllerRevision>;
  readonly #claims: Informer<PersistentVolumeClaim>;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#owned = new OwnedPods(context, {
      resource: statefulsets,
      selectorOf: (set) => compileLabelSelector(set.spec.selector),
    });
    this.#revisions = context.informers.informer(controllerrevisions);
    this.#claims = context.informers.informer(persistentvolumeclaims);
  }

  run(signal: AbortSignal): Promise<void> {
    return runQueueController(
      this.#context,
      {
        name: 'statefulset-controller',
        workers: 5,
        informers: [this.#owned.owners, this.#owned.pods, this.#revisions, this.#claims],
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
    const canAdopt = (pod: Pod) => ordinalOf(set, pod.metadata.name) !== undefined;
    const owned = await this.#owned.claim(set, { canAdopt }, signal);
    const revisions = this.#revisions;
    const io = { client, resource: statefulsets, revisions, hashLabel: HASH_LABEL };
    const found = await ensureRevision(io, set, signal);
    const update = found.update.metadata.name;
    const known = set.status?.currentRevision ?? '';
    const current = found.all.some((one) => one.metadata.name === known) ? known : update;
    let isClaimStale = false;
    const hasStaleClaim = (ordinal: number) => {
      const podName = `${set.metadata.name}-${ordinal}`;
      const isStale = this.#claimsOf(set, ordinal).some((c) => isStaleClaim(set, podName, c));
      isClaimStale ||= isStale;
      return isStale;
    };
    const view: SetView = { set, pods: owned, current, update, hasStaleClaim };
    let failure: unknown;
    if (isCacheCurrent) {
      // Pods go only when their claims know whether to go with them.
      if (!isDeleting(set)) failure = await failureOf(this.#keepClaims(set, owned, signal));
      signal.throwIfAborted();
      const steps = failure === undefined ? planSteps(view, clock.nowMs()) : [];
      failure ??= await this.#take(key, view, found.all, steps, signal);
    }
    const { collisionCount } = found;
    const status = planSetStatus({ view, collisionCount, nowMs: clock.nowMs() });
    await this.#writeStatus(set, status, signal);
    if (failure !== undefined) throw failure;
    const names = new Set([current, update, ...owned.map(revisionOfPod)]);
    const inUse = (revision: ControllerRevision) => names.has(revision.metadata.name);
    await trimHistory(client, set, found.all, inUse, signal);
    if (isClaimStale) return STALE_CLAIM_MS;
    return nextAvailableInMs(owned, set.spec.minReadySeconds ?? 0, clock.nowMs());
  }

  /** The claims of an ordinal, as the cache has them. */
  #claimsOf(set: StatefulSet, ordinal: number): PersistentVolumeClaim[] {
    return (set.spec.volumeClaimTemplates ?? [])
      .map((template) => claimName(set, template, ordinal))
      .map((name) => this.#claims.store.get(set.metadata.namespace, name))
      .filter((claim) => claim !== undefined);
  }

  /** Gives claims the owners that the retention policy wants, before their pods may go. */
  async #keepClaims(set: StatefulSet, owned: readonly Pod[], signal: AbortSignal): Promise<void> {
    for (const pod of owned) {
      const ordinal = ordinalOf(set, pod.metadata.name);
      if (ordinal === undefined) continue;
      if (pod.status?.phase === 'Pending') await this.#createClaims(set, ordinal, signal);
      for (const claim of this.#claimsOf(set, ordinal)) {
        const ownerReferences = planClaimOwners(set, pod, claim);
        if (ownerReferences === undefined) continue;
        const metadata = { ...claim.metadata, ownerReferences };
        await this.#context.client.update(persistentvolumeclaims, { ...claim, metadata }, signal);
      }
    }
  }

  /** Creates the claims of an ordinal that are not there; one that is going away is a failure. */
  async #createClaims(set: StatefulSet, ordinal: number, signal: AbortSignal): Promise<void> {
    for (const draft of setClaims(set, ordinal)) {
      const { name = '' } = draft.metadata;
      const existing = this.#claims.store.get(set.metadata.namespace, name);
      if (existing !== undefined) {
        if (isDeleting(existing)) throw new Error(`pvc ${name} is being deleted`);
        continue;
      }
      try {
        await this.#context.client.create(persistentvolumeclaims, draft, signal);
      } catch (error) {
        if (!isKubeError(error, 'AlreadyExists')) throw error; // The cache is behind.
      }
    }
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
      await this.#createClaims(set, step.ordinal, signal);
      await this.#context.client.create(pods, draft, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (isKubeError(error, 'AlreadyExists')) throw error; // The cache is behind: no news.
      const message = `Create Pod ${name} in StatefulSet ${set.metadata.name} failed error: ${errorText(error)}`;
      this.#event(set, 'Warning', 'FailedCreate', message);
      throw error;
    }
    const message = `Create Pod ${name} in StatefulSet ${set.metadata.name} successful`;
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
      const message = `Delete Pod ${name} in StatefulSet ${set.metadata.name} failed error: ${errorText(error)}`;
      this.#event(set, 'Warning', 'FailedDelete', message);
      throw error;
    }
    const message = `Delete Pod ${name} in StatefulSet ${set.metadata.name} successful`;
    this.#event(set, 'Normal', 'SuccessfulDelete', message);
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

function failureOf(work: Promise<void>): Promise<unknown> {
  return work.then(
    () => undefined,
    (error: unknown) => error,
  );
}

/** The server leaves out counts that are zero. */
function withoutZeros(status: StatefulSetStatus | undefined): object {
  return Object.fromEntries(Object.entries(status ?? {}).filter(([, value]) => value !== 0));
}
