/**
 * The deployment controller: claims ReplicaSets, creates the one of the present template, sizes them
 * as plan.ts says, and writes status and revision. `kubectl rollout undo` changes the template back:
 * the old ReplicaSet is then the new one and gets the next revision.
 */
import type { Deployment, ReplicaSet } from '#base/kube/api/apps-v1.gen.ts';
import { deployments, pods, replicasets } from '#base/kube/api/resources.gen.ts';
import type { Informer } from '#base/kube/informer.ts';
import { controllerOf, keyOf } from '#base/kube/metadata.ts';
import { compileLabelSelector } from '#base/kube/selectors.ts';
import type { Pod } from '#base/kube/api/core-v1.gen.ts';
import type { WorkQueue } from '#base/kube/work-queue.ts';
import { DeploymentSync } from './sync.ts';
import { canManage, claimObjects } from '../shared/claim.ts';
import {
  type Controller,
  type ControllerContext,
  runQueueController,
} from '../shared/controller.ts';
import { podsByController } from '../shared/owned-pods.ts';
import { isRollingUpdate } from './rollout.ts';

const COMPONENT = 'deployment-controller';

export const deploymentController: Controller = {
  name: 'deployment-controller',
  run: (context, signal) => new Driver(context).run(signal),
};

class Driver {
  readonly #context: ControllerContext;
  readonly #deployments: Informer<Deployment>;
  readonly #sets: Informer<ReplicaSet>;
  readonly #pods: Informer<Pod>;
  readonly #podsOf: (uid: string) => Pod[];

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#deployments = context.informers.informer(deployments);
    this.#sets = context.informers.informer(replicasets);
    this.#pods = context.informers.informer(pods);
    this.#podsOf = podsByController(this.#pods);
  }

  run(signal: AbortSignal): Promise<void> {
    return runQueueController(
      this.#context,
      {
        name: COMPONENT,
        workers: 5,
        informers: [this.#deployments, this.#sets, this.#pods],
        subscribe: (queue) => this.#subscribe(queue),
        sync: (key, stop) => this.#sync(key, stop),
      },
      signal,
    );
  }

  #subscribe(queue: WorkQueue): Disposable[] {
    const add = (object: Deployment) => queue.add(keyOf(object));
    const addOwner = (rs: ReplicaSet) => {
      const owner = this.#ownerOf(rs);
      if (owner !== undefined) add(owner);
      else if (controllerOf(rs) === undefined) {
        for (const d of this.#deployments.store.list(rs.metadata.namespace)) {
          const selector = compileLabelSelector(d.spec.selector);
          if (!selector.isEmpty && selector.matches(rs.metadata.labels)) add(d);
        }
      }
    };
    return [
      this.#deployments.addHandler({ onAdd: add, onUpdate: add, onDelete: add }),
      this.#sets.addHandler({
        onAdd: addOwner,
        onUpdate: (rs, old) => {
          if (controllerOf(rs)?.uid !== controllerOf(old)?.uid) addOwner(old);
          addOwner(rs);
        },
        onDelete: addOwner,
      }),
      this.#pods.addHandler({
        // Recreate waits for the last pod to go; ReplicaSets tell of everything else.
        onDelete: (pod) => {
          const ref = controllerOf(pod);
          const rs =
            ref?.kind === 'ReplicaSet'
              ? this.#sets.store.get(pod.metadata.namespace, ref.name)
              : undefined;
          const d = rs === undefined ? undefined : this.#ownerOf(rs);
          if (d !== undefined && !isRollingUpdate(d)) add(d);
        },
      }),
    ];
  }

  #ownerOf(rs: ReplicaSet): Deployment | undefined {
    const ref = controllerOf(rs);
    if (ref === undefined || ref.kind !== 'Deployment') return undefined;
    const owner = this.#deployments.store.get(rs.metadata.namespace, ref.name);
    return owner?.metadata.uid === ref.uid ? owner : undefined;
  }

  async #sync(key: string, signal: AbortSignal): Promise<number | void> {
    const cached = this.#deployments.store.getByKey(key);
    if (cached === undefined) return undefined;
    if (compileLabelSelector(cached.spec.selector).isEmpty) {
      this.#event(
        cached,
        'Warning',
        'SelectingAll',
        'This deployment is selecting all pods. A non-empty selector is required.',
      );
      return undefined;
    }
    const selector = compileLabelSelector(cached.spec.selector);
    if (!canManage(selector, cached.spec.template)) return undefined;
    const sets = await claimObjects(
      {
        client: this.#context.client,
        ownerResource: deployments,
        owner: cached,
        resource: replicasets,
        selector,
        candidates: this.#sets.store.list(cached.metadata.namespace),
      },
      signal,
    );
    const sync = new DeploymentSync(this.#context, structuredClone(cached), sets, this.#podsOf);
    return await sync.run(signal);
  }

  #event(d: Deployment, type: 'Normal' | 'Warning', reason: string, message: string): void {
    this.#context.events.record(d, { type, reason, message, component: COMPONENT });
  }
}
