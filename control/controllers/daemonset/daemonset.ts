/** The daemonset controller: one pod of the template on every node that suits it. */
import type { ControllerRevision, DaemonSet, DaemonSetStatus } from '#base/kube/api/apps-v1.gen.ts';
import type { Node, Pod } from '#base/kube/api/core-v1.gen.ts';
import { controllerrevisions, daemonsets, nodes } from '#base/kube/api/resources.gen.ts';
import { isKubeError } from '#base/kube/client.ts';
import type { Informer } from '#base/kube/informer.ts';
import {
  controllerOf,
  isDeleting,
  jsonEqual,
  jsonEquivalent,
  keyOf,
  newControllerRef,
} from '#base/kube/metadata.ts';
import { compileLabelSelector } from '#base/kube/selectors.ts';
import type { WorkQueue } from '#base/kube/work-queue.ts';
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
import { nextAvailableInMs } from '../shared/pods.ts';
import { ensureRevision, REVISION_LABEL, trimHistory } from '../shared/revisions.ts';
import { FailureBackoff } from './failure-backoff.ts';
import {
  type DaemonPlan,
  daemonLabels,
  daemonSpec,
  type DaemonView,
  groupByNode,
  hasHash,
  planDaemonStatus,
  planPlacement,
  planRollout,
  targetNode,
} from './plan.ts';

const COMPONENT = 'daemonset-controller';

export const daemonSetController: Controller = {
  name: 'daemonset-controller',
  run: (context, signal) => new Driver(context).run(signal),
};

class Driver {
  readonly #context: ControllerContext;
  readonly #owned: OwnedPods<DaemonSet>;
  readonly #nodes: Informer<Node>;
  readonly #revisions: Informer<ControllerRevision>;
  readonly #failures = new FailureBackoff();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#owned = new OwnedPods(context, {
      resource: daemonsets,
      selectorOf: (ds) => compileLabelSelector(ds.spec.selector),
    });
    this.#nodes = context.informers.informer(nodes);
    this.#revisions = context.informers.informer(controllerrevisions);
  }

  run(signal: AbortSignal): Promise<void> {
    return runQueueController(
      this.#context,
      {
        name: 'daemonset-controller',
        workers: 2,
        informers: [this.#owned.owners, this.#owned.pods, this.#nodes, this.#revisions],
        subscribe: (queue) => this.#subscribe(queue),
        sync: (key, stop) => this.#sync(key, stop),
      },
      signal,
    );
  }

  #subscribe(queue: WorkQueue): Disposable[] {
    const addAll = () => {
      for (const ds of this.#owned.owners.store.list()) queue.add(keyOf(ds));
    };
    const addOwner = (revision: ControllerRevision) => {
      const ref = controllerOf(revision);
      if (ref?.kind === 'DaemonSet') queue.add(`${revision.metadata.namespace}/${ref.name}`);
    };
    return [
      ...this.#owned.watch(queue),
      this.#nodes.addHandler({
        onAdd: addAll,
        onUpdate: (node, old) => {
          const isSame =
            jsonEqual(node.spec, old.spec) && jsonEqual(node.metadata.labels, old.metadata.labels);
          if (!isSame) addAll();
        },
        onDelete: addAll,
      }),
      this.#revisions.addHandler({ onDelete: addOwner }),
    ];
  }

  async #sync(key: string, signal: AbortSignal): Promise<number | void> {
    const ds = this.#owned.owners.store.getByKey(key);
    if (ds === undefined) return undefined;
    const selector = compileLabelSelector(ds.spec.selector);
    if (!canManage(selector, ds.spec.template) || isDeleting(ds)) return undefined;
    const { client, clock } = this.#context;
    const isCacheCurrent = this.#owned.expectations.isSatisfied(key, clock.nowMs());
    const revisions = this.#revisions;
    const io = { client, resource: daemonsets, revisions, hashLabel: REVISION_LABEL };
    const current = await ensureRevision(io, ds, signal);
    const hash = current.update.metadata.labels?.[REVISION_LABEL] ?? '';
    const owned = await this.#owned.claim(ds, {}, signal);
    const view: DaemonView = {
      ds,
      nodes: this.#nodes.store.list(),
      podsByNode: groupByNode(owned),
      hash,
    };
    let failure: unknown;
    let waitMs = nextAvailableInMs(owned, ds.spec.minReadySeconds ?? 0, clock.nowMs());
    if (isCacheCurrent) {
      const placement = planPlacement(view, this.#failureWaitMs(ds), clock.nowMs());
      const isSettled = placement.create.length + placement.remove.length === 0;
      const plan = isSettled ? planRollout(view, clock.nowMs()) : placement;
      failure = await this.#apply(key, view, plan, signal);
      waitMs = least(waitMs, placement.waitMs);
    }
    const { collisionCount } = current;
    const facts = { collisionCount, isManaged: isCacheCurrent, nowMs: clock.nowMs() };
    await this.#writeStatus(ds, planDaemonStatus(view, facts), signal);
    if (failure !== undefined) throw failure;
    if (isCacheCurrent) {
      const inUse = (revision: ControllerRevision) => {
        const label = revision.metadata.labels?.[REVISION_LABEL] ?? '';
        return label === hash || owned.some((pod) => hasHash(pod, label));
      };
      await trimHistory(client, ds, current.all, inUse, signal);
    }
    return waitMs;
  }

  #failureWaitMs(ds: DaemonSet): (nodeName: string) => number {
    const nowMs = this.#context.clock.nowMs();
    this.#failures.prune(nowMs);
    return (nodeName) => this.#failures.leftMs(`${ds.metadata.uid}/${nodeName}`, nowMs);
  }

  /** Tells of pods that ended and are about to be replaced. */
  #reportEnded(ds: DaemonSet, ended: readonly Pod[]): void {
    for (const pod of ended) {
      const { name, namespace } = pod.metadata;
      const node = targetNode(pod);
      const hasFailed = pod.status?.phase === 'Failed';
      if (hasFailed) {
        this.#failures.replaced(`${ds.metadata.uid}/${node}`, this.#context.clock.nowMs());
      }
      const event = hasFailed
        ? {
            type: 'Warning' as const,
            reason: 'FailedDaemonPod',
            message: `Found failed daemon pod ${namespace}/${name} on node ${node}, will try to kill it`,
          }
        : {
            type: 'Normal' as const,
            reason: 'SucceededDaemonPod',
            message: `Found succeeded daemon pod ${namespace}/${name} on node ${node}, will try to delete it`,
          };
      this.#context.events.record(ds, { ...event, component: COMPONENT });
    }
  }

  /** Acts; returns the first failure. */
  async #apply(
    key: string,
    view: DaemonView,
    plan: DaemonPlan,
    signal: AbortSignal,
  ): Promise<unknown> {
    const { ds, hash } = view;
    this.#reportEnded(ds, plan.ended);
    // One kind at a time: expectations hold either.
    if (plan.remove.length > 0) {
      const { error } = await this.#owned.remove(key, plan.remove, (pod) =>
        deletePod(this.#context, COMPONENT, ds, pod, signal),
      );
      signal.throwIfAborted();
      return error;
    }
    if (plan.create.length === 0) return undefined;
    const result = await this.#owned.create(key, plan.create.length, (i) => {
      const draft = podFromTemplate(ds, newControllerRef(daemonsets, ds), ds.spec.template);
      const labels = { ...draft.metadata.labels, ...daemonLabels(ds, hash) };
      const spec = daemonSpec(draft.spec, plan.create[i]);
      const pod = { ...draft, metadata: { ...draft.metadata, labels }, spec };
      return createPod(this.#context, COMPONENT, ds, pod, signal);
    });
    signal.throwIfAborted();
    return isNamespaceTerminating(result.error) ? undefined : result.error;
  }

  async #writeStatus(ds: DaemonSet, status: DaemonSetStatus, signal: AbortSignal): Promise<void> {
    if (jsonEquivalent(withoutZeros(ds.status), withoutZeros(status))) return;
    try {
      await this.#context.client.updateStatus(daemonsets, { ...ds, status }, signal);
    } catch (error) {
      if (!isKubeError(error, 'NotFound')) throw error; // Deleted meanwhile.
    }
  }
}

function least(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined ? b : b === undefined ? a : Math.min(a, b);
}

/** The server leaves out counts that are zero. */
function withoutZeros(status: DaemonSetStatus | undefined): object {
  return Object.fromEntries(Object.entries(status ?? {}).filter(([, value]) => value !== 0));
}
