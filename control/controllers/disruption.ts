/**
 * The disruption controller: keeps the status of PodDisruptionBudgets, by which the API server decides
 * on evictions. `planBudget` counts; pure.
 */
import type { Deployment, ReplicaSet, StatefulSet } from '#base/kube/api/apps-v1.gen.ts';
import type { Pod, ReplicationController } from '#base/kube/api/core-v1.gen.ts';
import type { OwnerReference } from '#base/kube/api/meta-v1.gen.ts';
import type {
  PodDisruptionBudget,
  PodDisruptionBudgetStatus,
} from '#base/kube/api/policy-v1.gen.ts';
import {
  deployments,
  poddisruptionbudgets,
  pods,
  replicasets,
  replicationcontrollers,
  statefulsets,
} from '#base/kube/api/resources.gen.ts';
import type { Informer } from '#base/kube/informer.ts';
import {
  controllerOf,
  formatTime,
  isDeleting,
  jsonEquivalent,
  keyOf,
  parseTime,
  setCondition,
} from '#base/kube/metadata.ts';
import { compileLabelSelector } from '#base/kube/selectors.ts';
import {
  type Controller,
  type ControllerContext,
  runQueueController,
} from './shared/controller.ts';
import { scaledValue } from './shared/int-or-percent.ts';
import { isPodReady, isPodTerminal } from './shared/pods.ts';

/** An eviction that was granted this long ago and whose pod is still there has failed. */
const DISRUPTED_MS_MAX = 120_000;

export interface BudgetFacts {
  readonly pdb: PodDisruptionBudget;
  /** Pods that the selector matches. */
  readonly pods: readonly Pod[];
  /** Sum of the replicas that the pods' controllers want. */
  readonly expectedScale: number;
  readonly nowMs: number;
}

export interface BudgetPlan {
  readonly status: PodDisruptionBudgetStatus;
  /** When the oldest granted eviction is given up, if there is one. */
  readonly againMs: number | undefined;
}

export function planBudget({ pdb, pods: matching, expectedScale, nowMs }: BudgetFacts): BudgetPlan {
  const { minAvailable, maxUnavailable } = pdb.spec ?? {};
  const living = matching.filter((pod) => !isPodTerminal(pod));
  let expected = living.length;
  let desired = 0;
  if (maxUnavailable !== undefined) {
    expected = expectedScale;
    desired = Math.max(0, expected - scaledValue(maxUnavailable, expected, 'up'));
  } else if (typeof minAvailable === 'number') {
    desired = minAvailable;
  } else if (minAvailable !== undefined) {
    expected = expectedScale;
    desired = scaledValue(minAvailable, expected, 'up');
  }
  const disrupted: Record<string, string> = {};
  let againMs: number | undefined;
  for (const [name, time] of Object.entries(pdb.status?.disruptedPods ?? {})) {
    const pod = matching.find((candidate) => candidate.metadata.name === name);
    const leftMs = (parseTime(time) ?? 0) + DISRUPTED_MS_MAX - nowMs;
    if (pod === undefined || isDeleting(pod) || leftMs <= 0) continue;
    disrupted[name] = time;
    againMs = Math.min(againMs ?? Infinity, leftMs);
  }
  const healthy = living.filter(
    (pod) => !isDeleting(pod) && disrupted[pod.metadata.name] === undefined && isPodReady(pod),
  ).length;
  const allowed = expected <= 0 ? 0 : Math.max(0, healthy - desired);
  const generation = pdb.metadata.generation ?? 0;
  const conditions = setCondition(pdb.status?.conditions, {
    type: 'DisruptionAllowed',
    status: allowed > 0 ? 'True' : 'False',
    reason: allowed > 0 ? 'SufficientPods' : 'InsufficientPods',
    message: '',
    observedGeneration: generation,
    lastTransitionTime: formatTime(nowMs),
  });
  return {
    againMs,
    status: {
      observedGeneration: generation,
      disruptedPods: disrupted,
      disruptionsAllowed: allowed,
      currentHealthy: healthy,
      desiredHealthy: desired,
      expectedPods: expected,
      conditions,
    },
  };
}

export const disruptionController: Controller = {
  name: 'disruption-controller',
  run: (context, signal) => new Driver(context).run(signal),
};

class Driver {
  readonly #context: ControllerContext;
  readonly #budgets: Informer<PodDisruptionBudget>;
  readonly #pods: Informer<Pod>;
  readonly #sets: Informer<ReplicaSet>;
  readonly #deployments: Informer<Deployment>;
  readonly #statefulSets: Informer<StatefulSet>;
  readonly #controllers: Informer<ReplicationController>;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#budgets = context.informers.informer(poddisruptionbudgets);
    this.#pods = context.informers.informer(pods);
    this.#sets = context.informers.informer(replicasets);
    this.#deployments = context.informers.informer(deployments);
    this.#statefulSets = context.informers.informer(statefulsets);
    this.#controllers = context.informers.informer(replicationcontrollers);
  }

  run(signal: AbortSignal): Promise<void> {
    return runQueueController(
      this.#context,
      {
        name: 'disruption-controller',
        workers: 1,
        informers: [
          this.#budgets,
          this.#pods,
          this.#sets,
          this.#deployments,
          this.#statefulSets,
          this.#controllers,
        ],
        subscribe: (queue) => {
          const add = (pdb: PodDisruptionBudget) => queue.add(keyOf(pdb));
          const addMatching = (pod: Pod) => {
            for (const pdb of this.#budgets.store.list(pod.metadata.namespace)) {
              if (this.#matches(pdb, pod)) add(pdb);
            }
          };
          const addNamespace = (object: { metadata: { namespace?: string | undefined } }) => {
            this.#budgets.store.list(object.metadata.namespace).forEach(add);
          };
          const scaled = { onUpdate: addNamespace };
          return [
            this.#budgets.addHandler({ onAdd: add, onUpdate: add }),
            this.#pods.addHandler({
              onAdd: addMatching,
              onUpdate: addMatching,
              onDelete: addMatching,
            }),
            this.#sets.addHandler(scaled),
            this.#deployments.addHandler(scaled),
            this.#statefulSets.addHandler(scaled),
            this.#controllers.addHandler(scaled),
          ];
        },
        sync: (key, stop) => this.#sync(key, stop),
      },
      signal,
    );
  }

  #matches(pdb: PodDisruptionBudget, pod: Pod): boolean {
    return compileLabelSelector(pdb.spec?.selector).matches(pod.metadata.labels);
  }

  async #sync(key: string, signal: AbortSignal): Promise<number | void> {
    const pdb = this.#budgets.store.getByKey(key);
    if (pdb === undefined || isDeleting(pdb)) return undefined;
    const matching = this.#pods.store
      .list(pdb.metadata.namespace)
      .filter((pod) => this.#matches(pdb, pod));
    const plan = planBudget({
      pdb,
      pods: matching,
      expectedScale: this.#expectedScale(matching),
      nowMs: this.#context.clock.nowMs(),
    });
    if (!jsonEquivalent(withoutZeros(pdb.status), withoutZeros(plan.status))) {
      await this.#context.client.updateStatus(
        poddisruptionbudgets,
        { ...pdb, status: plan.status },
        signal,
      );
    }
    return plan.againMs;
  }

  /** Replicas of every distinct controller of the pods; pods without one do not count. */
  #expectedScale(matching: readonly Pod[]): number {
    const scales = new Map<string, number>();
    for (const pod of matching) {
      const ref = controllerOf(pod);
      if (ref === undefined) continue;
      const found = this.#scaleOf(ref, pod.metadata.namespace);
      if (found !== undefined) scales.set(found.uid, found.replicas);
    }
    return [...scales.values()].reduce((sum, replicas) => sum + replicas, 0);
  }

  #scaleOf(
    ref: OwnerReference,
    namespace: string | undefined,
  ): { uid: string; replicas: number } | undefined {
    const stores = {
      ReplicaSet: this.#sets.store,
      StatefulSet: this.#statefulSets.store,
      ReplicationController: this.#controllers.store,
      Deployment: this.#deployments.store,
    };
    if (!Object.hasOwn(stores, ref.kind)) return undefined;
    const object = stores[ref.kind as keyof typeof stores].get(namespace, ref.name); // Checked above.
    if (object?.metadata.uid !== ref.uid) return undefined;
    const parent = ref.kind === 'ReplicaSet' ? controllerOf(object) : undefined;
    if (parent?.kind === 'Deployment') return this.#scaleOf(parent, namespace);
    return { uid: object.metadata.uid, replicas: object.spec.replicas ?? 1 };
  }
}

/** The server leaves out what is zero, except where the field is required. */
function withoutZeros(status: PodDisruptionBudgetStatus | undefined): object {
  return Object.fromEntries(Object.entries(status ?? {}).filter(([, value]) => value !== 0));
}
