/**
 * One pass over one Deployment: brings its new ReplicaSet into being and all of them to the sizes that
 * plan.ts wants, then writes status and revision. Called by deployment.ts with what the cache shows.
 */
import type { Deployment, DeploymentStatus, ReplicaSet } from '#base/kube/api/apps-v1.gen.ts';
import { deployments, replicasets } from '#base/kube/api/resources.gen.ts';
import { type Draft, isKubeError } from '#base/kube/client.ts';
import {
  controllerOf,
  findCondition,
  isDeleting,
  jsonEqual,
  jsonEquivalent,
  newControllerRef,
} from '#base/kube/metadata.ts';
import type { Pod } from '#base/kube/api/core-v1.gen.ts';
import type { ControllerContext } from '../shared/controller.ts';
import { templateHash } from '../shared/hash.ts';
import { isNamespaceTerminating } from '../shared/pod-control.ts';
import {
  isScaling,
  planCleanup,
  planRecreate,
  planRolling,
  planScale,
  type Scale,
} from './plan.ts';
import {
  equalTemplates,
  findNewReplicaSet,
  HASH_LABEL,
  hasProgressDeadline,
  isComplete,
  isRollingUpdate,
  newReplicaSetAnnotations,
  newReplicaSetReplicas,
  replicasAnnotations,
  replicasOf,
  REVISION,
  revisionOf,
} from './rollout.ts';
import {
  deadlineInMs,
  newCondition,
  planPaused,
  planRolloutStatus,
  planStatus,
  putCondition,
  REASON,
} from './status.ts';

const COMPONENT = 'deployment-controller';

/** One pass over one Deployment; `#d` is a copy that follows what the pass writes. */
export class DeploymentSync {
  readonly #context: ControllerContext;
  readonly #podsOf: (uid: string) => readonly Pod[];
  #d: Deployment;
  #newSet: ReplicaSet | undefined;
  #oldSets: ReplicaSet[];
  constructor(
    context: ControllerContext,
    deployment: Deployment,
    sets: readonly ReplicaSet[],
    podsOf: (uid: string) => readonly Pod[],
  ) {
    this.#context = context;
    this.#d = deployment;
    this.#podsOf = podsOf;
    this.#newSet = findNewReplicaSet(deployment, sets);
    this.#oldSets = sets.filter((rs) => rs !== this.#newSet);
  }

  get #view() {
    return { deployment: this.#d, newSet: this.#newSet, oldSets: this.#oldSets };
  }

  get #nowMs(): number {
    return this.#context.clock.nowMs();
  }

  async run(signal: AbortSignal): Promise<number | void> {
    if (isDeleting(this.#d)) {
      await this.#writeStatus(planStatus(this.#view, this.#nowMs), signal);
      return undefined;
    }
    const paused = planPaused(this.#d, this.#nowMs);
    if (paused !== undefined) await this.#writeStatus(paused, signal);
    await this.#adoptNewSet(signal);
    if (this.#d.spec.paused === true || isScaling(this.#view)) {
      for (const scale of planScale(this.#view)) await this.#scale(scale, signal);
      if (this.#d.spec.paused === true) await this.#cleanUp(signal);
      await this.#writeStatus(planStatus(this.#view, this.#nowMs), signal);
      return undefined;
    }
    if (isRollingUpdate(this.#d)) await this.#rollOut(signal);
    else await this.#recreate(signal);
    const status = planRolloutStatus(this.#view, this.#nowMs);
    await this.#writeStatus(status, signal);
    return deadlineInMs(this.#d, status, this.#nowMs);
  }

  async #rollOut(signal: AbortSignal): Promise<void> {
    const newSet = this.#newSet ?? (await this.#createNewSet(signal));
    if (newSet === undefined) return;
    const scales = planRolling({ ...this.#view, newSet });
    for (const scale of scales) await this.#scale(scale, signal);
    if (scales.length === 0 && isComplete(this.#d, this.#d.status ?? {}))
      await this.#cleanUp(signal);
  }

  async #recreate(signal: AbortSignal): Promise<void> {
    const step = planRecreate(this.#view, this.#podsOf);
    if (step.kind === 'scale') {
      for (const scale of step.scales) await this.#scale(scale, signal);
      return;
    }
    if (step.kind === 'wait') return;
    const newSet = this.#newSet ?? (await this.#createNewSet(signal));
    if (newSet === undefined) return;
    await this.#scale({ set: newSet, replicas: replicasOf(this.#d), force: false }, signal);
    if (isComplete(this.#d, this.#d.status ?? {})) await this.#cleanUp(signal);
  }

  get #nextRevision(): bigint {
    let last = 0n;
    for (const revision of this.#oldSets.map(revisionOf)) if (revision > last) last = revision;
    return last + 1n;
  }

  /** Brings revision and annotations of an existing new ReplicaSet up to date. */
  async #adoptNewSet(signal: AbortSignal): Promise<void> {
    const rs = this.#newSet;
    if (rs === undefined) return;
    const old = rs.metadata.annotations ?? {};
    const annotations = newReplicaSetAnnotations(this.#d, old, this.#nextRevision);
    const minReadySeconds = this.#d.spec.minReadySeconds ?? 0;
    if (!jsonEqual(annotations, old) || (rs.spec.minReadySeconds ?? 0) !== minReadySeconds) {
      const next = {
        ...rs,
        metadata: { ...rs.metadata, annotations },
        spec: { ...rs.spec, minReadySeconds },
      };
      this.#newSet = await this.#context.client.update(replicasets, next, signal);
    }
    const name = rs.metadata.name;
    const found =
      hasProgressDeadline(this.#d) &&
      findCondition(this.#d.status?.conditions, 'Progressing') === undefined
        ? this.#progressing('True', REASON.found, `Found new replica set "${name}"`)
        : undefined;
    await this.#writeRevision(annotations[REVISION] ?? '', found, signal);
  }

  #progressing(status: string, reason: string, message: string): DeploymentStatus {
    const condition = newCondition({ type: 'Progressing', status, reason, message }, this.#nowMs);
    return { ...this.#d.status, conditions: putCondition(this.#d.status?.conditions, condition) };
  }

  /** Creates the ReplicaSet of the present template; undefined when that must be tried again. */
  async #createNewSet(signal: AbortSignal): Promise<ReplicaSet | undefined> {
    const draft = this.#draftNewSet();
    const replicas = draft.spec.replicas ?? 0;
    let created: ReplicaSet;
    try {
      created = await this.#context.client.create(replicasets, draft, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (isKubeError(error, 'AlreadyExists')) return this.#resolveCollision(draft, signal);
      if (isNamespaceTerminating(error)) return undefined;
      const text = error instanceof Error ? error.message : String(error);
      const message = `Failed to create new replica set "${draft.metadata.name}": ${text}`;
      if (hasProgressDeadline(this.#d)) {
        await this.#writeStatus(this.#progressing('False', REASON.createFailed, message), signal);
      }
      this.#event('Warning', REASON.createFailed, message);
      throw error;
    }
    this.#newSet = created;
    const { name } = created.metadata;
    if (replicas > 0) {
      this.#event(
        'Normal',
        'ScalingReplicaSet',
        `Scaled up replica set ${name} from 0 to ${replicas}`,
      );
    }
    const status = hasProgressDeadline(this.#d)
      ? this.#progressing('True', REASON.created, `Created new replica set "${name}"`)
      : undefined;
    await this.#writeRevision(created.metadata.annotations?.[REVISION] ?? '', status, signal);
    return created;
  }

  #draftNewSet(): Draft<ReplicaSet> {
    const d = this.#d;
    const hash = templateHash(d.spec.template, d.status?.collisionCount);
    const labels = { ...d.spec.template.metadata?.labels, [HASH_LABEL]: hash };
    const template = structuredClone(d.spec.template);
    const selector = structuredClone(d.spec.selector);
    return {
      apiVersion: 'apps/v1',
      kind: 'ReplicaSet',
      metadata: {
        name: `${d.metadata.name.slice(0, 253 - 1 - hash.length)}-${hash}`,
        namespace: d.metadata.namespace ?? '',
        ownerReferences: [newControllerRef(deployments, d)],
        labels,
        annotations: {
          ...newReplicaSetAnnotations(d, {}, this.#nextRevision),
          ...replicasAnnotations(d),
        },
      },
      spec: {
        replicas: newReplicaSetReplicas(d, this.#oldSets, 0),
        minReadySeconds: d.spec.minReadySeconds ?? 0,
        selector: { ...selector, matchLabels: { ...selector.matchLabels, [HASH_LABEL]: hash } },
        template: {
          ...template,
          metadata: { ...template.metadata, labels } as typeof template.metadata, // A partial one.
        },
      },
    };
  }

  /** The name is taken: by ourselves (the cache was behind), or by another template's hash. */
  async #resolveCollision(
    draft: Draft<ReplicaSet>,
    signal: AbortSignal,
  ): Promise<ReplicaSet | undefined> {
    const { name = '', namespace } = draft.metadata;
    const existing = await this.#context.client.get(replicasets, { name, namespace }, signal);
    const isOurs = controllerOf(existing)?.uid === this.#d.metadata.uid;
    if (isOurs && equalTemplates(existing.spec.template, this.#d.spec.template)) {
      this.#newSet = existing;
      return existing;
    }
    const collisionCount = (this.#d.status?.collisionCount ?? 0) + 1;
    await this.#writeStatus({ ...this.#d.status, collisionCount }, signal);
    throw new Error(`name ${name} is taken by another replica set`);
  }

  async #scale({ set, replicas, force }: Scale, signal: AbortSignal): Promise<void> {
    const from = replicasOf(set);
    if (from === replicas && !force) return;
    const annotations = { ...set.metadata.annotations, ...replicasAnnotations(this.#d) };
    if (from === replicas && jsonEqual(annotations, set.metadata.annotations)) return;
    const next = {
      ...set,
      metadata: { ...set.metadata, annotations },
      spec: { ...set.spec, replicas },
    };
    const updated = await this.#context.client.update(replicasets, next, signal);
    this.#replace(set, updated);
    if (from === replicas) return;
    const way = from < replicas ? 'up' : 'down';
    const message = `Scaled ${way} replica set ${set.metadata.name} from ${from} to ${replicas}`;
    this.#event('Normal', 'ScalingReplicaSet', message);
  }

  #replace(old: ReplicaSet, updated: ReplicaSet): void {
    if (this.#newSet?.metadata.uid === old.metadata.uid) this.#newSet = updated;
    else this.#oldSets = this.#oldSets.map((rs) => (rs === old ? updated : rs));
  }

  async #cleanUp(signal: AbortSignal): Promise<void> {
    for (const { metadata } of planCleanup(this.#d, this.#oldSets)) {
      const { name, namespace, uid } = metadata;
      try {
        const preconditions = { uid };
        await this.#context.client.delete(
          replicasets,
          { name, namespace },
          { preconditions },
          signal,
        );
      } catch (error) {
        if (!isKubeError(error, 'NotFound', 'Conflict')) throw error; // Gone already.
      }
    }
  }

  async #writeRevision(
    revision: string,
    status: DeploymentStatus | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const annotations = { ...this.#d.metadata.annotations, [REVISION]: revision };
    if (jsonEqual(annotations, this.#d.metadata.annotations) && status === undefined) return;
    this.#d = { ...this.#d, metadata: { ...this.#d.metadata, annotations } };
    await this.#putStatus(status ?? this.#d.status ?? {}, signal);
  }

  async #writeStatus(status: DeploymentStatus, signal: AbortSignal): Promise<void> {
    if (!jsonEquivalent(withoutZeros(this.#d.status), withoutZeros(status))) {
      await this.#putStatus(status, signal);
    }
  }

  async #putStatus(status: DeploymentStatus, signal: AbortSignal): Promise<void> {
    this.#d = await this.#context.client.updateStatus(deployments, { ...this.#d, status }, signal);
  }

  #event(type: 'Normal' | 'Warning', reason: string, message: string): void {
    this.#context.events.record(this.#d, { type, reason, message, component: COMPONENT });
  }
}

/** The server leaves out counts that are zero. */
function withoutZeros(status: DeploymentStatus | undefined): object {
  return Object.fromEntries(Object.entries(status ?? {}).filter(([, value]) => value !== 0));
}
