/** The daemonset controller: one pod of the template on every node that suits it. */
import type { ControllerRevision, DaemonSet, DaemonSetStatus } from '#base/kube/api/apps-v1.gen.ts';
import type { Node, Pod } from '#base/kube/api/core-v1.gen.ts';
import { controllerrevisions, daemonsets, nodes, pods } from '#base/kube/api/resources.gen.ts';
import { isKubeError } from '#base/kube/client.ts';
import type { Informer } from '#base/kube/informer.ts';
import {
  controllerOf,
  isControlledBy,
  isDeleting,
  jsonEqual,
  jsonEquivalent,
  keyOf,
  newControllerRef,
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
import {
  createPod,
  deletePod,
  isNamespaceTerminating,
  podFromTemplate,
  slowStart,
} from '../shared/pod-control.ts';
import { availableInMs } from '../shared/pods.ts';
import { ensureRevision, REVISION_LABEL, trimHistory } from '../shared/revisions.ts';
import {
  type DaemonPlan,
  daemonSpec,
  type DaemonView,
  hasHash,
  planDaemonStatus,
  planPlacement,
  planRollout,
  targetNode,
} from './plan.ts';

const COMPONENT = 'daemonset-controller';
const BY_CONTROLLER = 'controllerUid';

export const daemonSetController: Controller = {
  name: 'daemonset-controller',
  run: (context, signal) => new Driver(context).run(signal),
};

class Driver {
  readonly #context: ControllerContext;
  readonly #sets: Informer<DaemonSet>;
  readonly #pods: Informer<Pod>;
  readonly #nodes: Informer<Node>;
  readonly #revisions: Informer<ControllerRevision>;
  readonly #expectations = new Expectations();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#sets = context.informers.informer(daemonsets);
    this.#pods = context.informers.informer(pods);
    this.#nodes = context.informers.informer(nodes);
    this.#revisions = context.informers.informer(controllerrevisions);
    this.#pods.store.addIndex(BY_CONTROLLER, podsByController);
  }

  run(signal: AbortSignal): Promise<void> {
    return runQueueController(
      this.#context,
      {
        name: 'daemonset-controller',
        workers: 2,
        informers: [this.#sets, this.#pods, this.#nodes, this.#revisions],
        subscribe: (queue) => this.#subscribe(queue),
        sync: (key, stop) => this.#sync(key, stop),
      },
      signal,
    );
  }

  #subscribe(queue: WorkQueue): Disposable[] {
    const add = (ds: DaemonSet) => queue.add(keyOf(ds));
    const addAll = () => this.#sets.store.list().forEach(add);
    const observe = (pod: Pod, event: 'added' | 'changed' | 'deleted') => {
      const ds = this.#ownerOf(pod);
      if (ds !== undefined) {
        const key = keyOf(ds);
        if (event === 'added' && !isDeleting(pod)) this.#expectations.creationObserved(key);
        if (event === 'deleted' || isDeleting(pod)) {
          this.#expectations.deletionObserved(key, pod.metadata.uid);
        }
        queue.add(key);
      } else if (controllerOf(pod) === undefined && event !== 'deleted') {
        for (const candidate of this.#sets.store.list(pod.metadata.namespace)) {
          const selector = compileLabelSelector(candidate.spec.selector);
          if (!selector.isEmpty && selector.matches(pod.metadata.labels)) add(candidate);
        }
      }
    };
    const addOwner = (revision: ControllerRevision) => {
      const ref = controllerOf(revision);
      if (ref?.kind === 'DaemonSet') queue.add(`${revision.metadata.namespace}/${ref.name}`);
    };
    return [
      this.#sets.addHandler({ onAdd: add, onUpdate: add, onDelete: add }),
      this.#pods.addHandler({
        onAdd: (pod) => observe(pod, 'added'),
        onUpdate: (pod, old) => {
          const before = this.#ownerOf(old);
          if (before !== undefined && before !== this.#ownerOf(pod)) add(before);
          observe(pod, 'changed');
        },
        onDelete: (pod) => observe(pod, 'deleted'),
      }),
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

  #ownerOf(pod: Pod): DaemonSet | undefined {
    const ref = controllerOf(pod);
    if (ref === undefined || ref.kind !== 'DaemonSet') return undefined;
    const ds = this.#sets.store.get(pod.metadata.namespace, ref.name);
    return ds?.metadata.uid === ref.uid ? ds : undefined;
  }

  async #sync(key: string, signal: AbortSignal): Promise<number | void> {
    const ds = this.#sets.store.getByKey(key);
    if (ds === undefined) {
      this.#expectations.forget(key);
      return undefined;
    }
    const selector = compileLabelSelector(ds.spec.selector);
    if (!canManage(selector, ds.spec.template) || isDeleting(ds)) return undefined;
    const { client, clock } = this.#context;
    const isCacheCurrent = this.#expectations.isSatisfied(key, clock.nowMs());
    const revisions = this.#revisions.store
      .list(ds.metadata.namespace)
      .filter((revision) => isControlledBy(revision, ds));
    const current = await ensureRevision(client, daemonsets, ds, revisions, signal);
    const hash = current.update.metadata.labels?.[REVISION_LABEL] ?? '';
    const owned = await this.#claim(ds, signal);
    const view: DaemonView = {
      ds,
      nodes: this.#nodes.store.list(),
      podsByNode: byNode(owned),
      hash,
    };
    if (isCacheCurrent) {
      const placement = planPlacement(view, clock.nowMs());
      const isSettled = placement.create.length + placement.remove.length === 0;
      await this.#apply(
        key,
        view,
        isSettled ? planRollout(view, clock.nowMs()) : placement,
        signal,
      );
      const inUse = (revision: ControllerRevision) => {
        const label = revision.metadata.labels?.[REVISION_LABEL] ?? '';
        return label === hash || owned.some((pod) => hasHash(pod, label));
      };
      await trimHistory(client, ds, current.all, inUse, signal);
    }
    await this.#writeStatus(
      ds,
      planDaemonStatus(view, current.collisionCount, clock.nowMs()),
      signal,
    );
    const waits = owned
      .map((pod) => availableInMs(pod, ds.spec.minReadySeconds ?? 0, clock.nowMs()))
      .filter((ms) => ms !== undefined);
    return waits.length === 0 ? undefined : Math.min(...waits) + 1;
  }

  #claim(ds: DaemonSet, signal: AbortSignal): Promise<Pod[]> {
    const own = this.#pods.store.byIndex(BY_CONTROLLER, ds.metadata.uid);
    const orphans = this.#pods.store
      .byIndex(BY_CONTROLLER, '')
      .filter((pod) => pod.metadata.namespace === ds.metadata.namespace);
    return claimObjects(
      {
        client: this.#context.client,
        ownerResource: daemonsets,
        owner: ds,
        resource: pods,
        selector: compileLabelSelector(ds.spec.selector),
        candidates: [...own, ...orphans],
      },
      signal,
    );
  }

  async #apply(
    key: string,
    view: DaemonView,
    plan: DaemonPlan,
    signal: AbortSignal,
  ): Promise<void> {
    const { ds, hash } = view;
    const nowMs = this.#context.clock.nowMs();
    for (const pod of plan.failed) {
      const { name, namespace } = pod.metadata;
      const message = `Found failed daemon pod ${namespace}/${name} on node ${pod.spec.nodeName}, will try to kill it`;
      const event = { type: 'Warning' as const, reason: 'FailedDaemonPod', message };
      this.#context.events.record(ds, { ...event, component: COMPONENT });
    }
    // One kind at a time: expectations hold either.
    if (plan.remove.length > 0) {
      const uids = plan.remove.map((pod) => pod.metadata.uid);
      this.#expectations.expectDeletions(key, uids, nowMs);
      const results = await Promise.allSettled(
        plan.remove.map((pod) => deletePod(this.#context, COMPONENT, ds, pod, signal)),
      );
      signal.throwIfAborted();
      const rejected = results.find((result) => result.status === 'rejected');
      if (rejected !== undefined) {
        this.#expectations.forget(key);
        throw rejected.reason;
      }
      return;
    }
    if (plan.create.length === 0) return;
    this.#expectations.expectCreations(key, plan.create.length, nowMs);
    const result = await slowStart(plan.create.length, (i) => {
      const draft = podFromTemplate(ds, newControllerRef(daemonsets, ds), ds.spec.template);
      const labels = { ...draft.metadata.labels, [REVISION_LABEL]: hash };
      const spec = daemonSpec(draft.spec, plan.create[i]);
      const pod = { ...draft, metadata: { ...draft.metadata, labels }, spec };
      return createPod(this.#context, COMPONENT, ds, pod, signal);
    });
    this.#expectations.creationObserved(key, plan.create.length - result.succeeded);
    signal.throwIfAborted();
    if (result.error !== undefined && !isNamespaceTerminating(result.error)) throw result.error;
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

function byNode(owned: readonly Pod[]): Map<string, Pod[]> {
  const map = new Map<string, Pod[]>();
  for (const pod of owned) {
    const name = targetNode(pod);
    const list = map.get(name);
    if (list === undefined) map.set(name, [pod]);
    else list.push(pod);
  }
  return map;
}

/** The server leaves out counts that are zero. */
function withoutZeros(status: DaemonSetStatus | undefined): object {
  return Object.fromEntries(Object.entries(status ?? {}).filter(([, value]) => value !== 0));
}
