/**
 * The garbage collector: watches every resource that can be listed, watched and deleted, keeps the
 * owner graph, and deletes what no owner keeps (background), what an owner's foreground deletion waits
 * for, or cuts the ties (orphan). Absence of an owner is believed only from the server itself.
 */
import type { OwnerReference } from '#base/kube/api/meta-v1.gen.ts';
import { errorText } from '#base/errors.ts';
import { isKubeError, type KubeObject } from '#base/kube/client.ts';
import type { Informer } from '#base/kube/informer.ts';
import { runWorkers, WorkQueue } from '#base/kube/work-queue.ts';
import { TaskScope } from '#base/task-scope.ts';
import { DELETE_CONCURRENCY_MAX } from '../limits.ts';
import type { Controller, ControllerContext } from '../shared/controller.ts';
import { deleteIfThere } from '../shared/delete.ts';
import { type DiscoveredResource, discoverResources } from '../shared/discovery.ts';
import {
  FOREGROUND,
  Graph,
  type GraphNode,
  isDeletingDependents,
  isOrphaning,
  nodeOf,
  ORPHAN,
} from './graph.ts';
import { blockingDependents, type Owners, planItem } from './plan.ts';

/** New kinds are found within this time. */
const DISCOVERY_MS = 30_000;
const SYNC_MS_MAX = 30_000;
/** How soon to ask again whether all dependents are known. */
const NOT_WHOLE_MS = 1_000;
/** Nobody owns events, and there are many. */
const IGNORED = new Set(['events.', 'events.events.k8s.io']);

export const garbageCollector: Controller = {
  name: 'garbage-collector-controller',
  run: (context, signal) => new Collector(context).run(signal),
};

function resourceKey(r: { group: string; resource: string }): string {
  return `${r.resource}.${r.group}`;
}

class Collector {
  readonly #context: ControllerContext;
  readonly #graph = new Graph();
  readonly #resources = new Map<string, DiscoveredResource>();
  readonly #informers: Informer<KubeObject>[] = [];
  readonly #subscriptions = new DisposableStack();
  /** The last discovery could read every group. */
  #isDiscovered = false;
  readonly #deletions: WorkQueue;
  readonly #orphans: WorkQueue;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#deletions = this.#subscriptions.use(new WorkQueue(context.clock));
    this.#orphans = this.#subscriptions.use(new WorkQueue(context.clock));
  }

  async run(signal: AbortSignal): Promise<void> {
    using _subscriptions = this.#subscriptions;
    await this.#discover(signal);
    const { log } = this.#context;
    await using tasks = new TaskScope(signal);
    tasks.spawn('discovery', async (stop) => {
      for (;;) {
        await this.#context.clock.sleep(DISCOVERY_MS, stop);
        await this.#discover(stop);
      }
    });
    tasks.spawn('deletions', (stop) =>
      runWorkers(
        {
          name: 'garbage-collector',
          queue: this.#deletions,
          workers: DELETE_CONCURRENCY_MAX,
          log,
          sync: (uid, inner) => this.#attemptToDelete(uid, inner),
        },
        stop,
      ),
    );
    tasks.spawn('orphans', (stop) =>
      runWorkers(
        {
          name: 'garbage-collector orphan',
          queue: this.#orphans,
          workers: 5,
          log,
          sync: (uid, inner) => this.#attemptToOrphan(uid, inner),
        },
        stop,
      ),
    );
    await tasks.join();
  }

  /** Subscribes to resources that are new, and waits a bounded time for their first state. */
  async #discover(signal: AbortSignal): Promise<void> {
    const { clock, client, informers, log } = this.#context;
    let discovery: Awaited<ReturnType<typeof discoverResources>>;
    try {
      discovery = await discoverResources(client, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (this.#resources.size === 0) throw error;
      this.#isDiscovered = false;
      log.warn('discovery failed', { error: errorText(error) }); // What is known goes on.
      return;
    }
    const added: Informer<KubeObject>[] = [];
    for (const resource of discovery.resources) {
      const key = resourceKey(resource);
      if (IGNORED.has(key) || this.#resources.has(key)) continue;
      if (!['list', 'watch', 'delete'].every((verb) => resource.verbs.has(verb))) continue;
      this.#resources.set(key, resource);
      const informer =
        informers.existing(resource) ?? informers.informer(resource, { metadataOnly: true });
      added.push(informer);
      this.#informers.push(informer);
      this.#subscriptions.use(
        informer.addHandler({
          onAdd: (object) => this.#changed(resource, object),
          onUpdate: (object) => this.#changed(resource, object),
          onDelete: (object) => this.#removed(object.metadata.uid),
        }),
      );
    }
    this.#isDiscovered = discovery.failures.length === 0;
    if (!this.#isDiscovered) log.warn('discovery is incomplete', { failures: discovery.failures });
    using deadline = clock.deadline(SYNC_MS_MAX, signal);
    await Promise.all(
      added.map(async (informer) => {
        try {
          await informer.waitForSync(deadline.signal);
        } catch {
          signal.throwIfAborted();
          // Its objects are not in the graph before it syncs: #isWhole tells.
          log.warn('resource does not sync', { resource: resourceKey(informer.resource) });
        }
      }),
    );
  }

  #changed(resource: DiscoveredResource, object: KubeObject): void {
    const node = nodeOf(resource, object);
    const old = this.#graph.put(node);
    if (isOrphaning(node)) {
      if (old === undefined || !isOrphaning(old)) this.#orphans.add(node.uid);
      return;
    }
    if (isDeletingDependents(node)) {
      if (old !== undefined && isDeletingDependents(old)) return;
      for (const dependent of this.#graph.dependentsOf(node.uid)) {
        this.#deletions.add(dependent.uid);
      }
      this.#deletions.add(node.uid);
      return;
    }
    // References that went away may end the waiting of a former owner.
    for (const { uid } of old?.owners ?? []) {
      const owner = this.#graph.get(uid);
      if (owner !== undefined && isDeletingDependents(owner)) this.#deletions.add(uid);
    }
    const isDoubtful = node.owners.some(({ uid }) => {
      const owner = this.#graph.get(uid);
      return owner === undefined || isDeletingDependents(owner);
    });
    if (isDoubtful) this.#deletions.add(node.uid);
  }

  #removed(uid: string): void {
    const node = this.#graph.remove(uid);
    for (const dependent of this.#graph.dependentsOf(uid)) this.#deletions.add(dependent.uid);
    for (const ref of node?.owners ?? []) {
      const owner = this.#graph.get(ref.uid);
      if (owner !== undefined && isDeletingDependents(owner)) this.#deletions.add(ref.uid);
    }
  }

  /** True when no dependent of any object can be missing from the graph. */
  get #isWhole(): boolean {
    return this.#isDiscovered && this.#informers.every((informer) => informer.hasSynced);
  }

  async #attemptToDelete(uid: string, signal: AbortSignal): Promise<number | void> {
    const node = this.#graph.get(uid);
    if (node === undefined) return undefined;
    if (isDeletingDependents(node)) return await this.#finishForeground(node, signal);
    if (node.isDeleting || node.owners.length === 0) return undefined;
    await this.#collect(node, signal);
    return undefined;
  }

  async #collect(node: GraphNode, signal: AbortSignal): Promise<void> {
    const { uid } = node;
    const latest = await this.#get(node, signal);
    if (latest === undefined) return; // Gone; its deletion will be told.
    const owners = await this.#classify(latest, node, signal);
    const dependents = this.#graph.dependentsOf(uid);
    const plan = planItem(latest.metadata.finalizers ?? [], owners, dependents);
    switch (plan.kind) {
      case 'keep':
        return;
      case 'dropOwners':
        await this.#dropOwners(node, latest, plan.uids, signal);
        return;
      case 'delete': {
        if (plan.unblock) await this.#unblock(node, latest, signal);
        const preconditions = plan.unblock
          ? { uid }
          : { uid, resourceVersion: latest.metadata.resourceVersion };
        const options = { propagationPolicy: plan.policy, preconditions };
        await deleteIfThere(
          this.#context.client,
          { resource: node.resource, at: node, options },
          signal,
        );
      }
    }
  }

  /** The finalizer goes when no dependent blocks; while some may be unknown, that is asked again. */
  async #finishForeground(node: GraphNode, signal: AbortSignal): Promise<number | void> {
    const blocking = blockingDependents(node.uid, this.#graph.dependentsOf(node.uid));
    if (blocking.length === 0) {
      if (!this.#isWhole) return NOT_WHOLE_MS;
      await this.#dropFinalizer(node, FOREGROUND, signal);
      return undefined;
    }
    for (const dependent of blocking) {
      if (!isDeletingDependents(dependent)) this.#deletions.add(dependent.uid);
    }
    return undefined;
  }

  async #get(node: GraphNode, signal: AbortSignal): Promise<KubeObject | undefined> {
    try {
      const latest = await this.#context.client.get(node.resource, node, signal);
      return latest.metadata.uid === node.uid ? latest : undefined;
    } catch (error) {
      if (isKubeError(error, 'NotFound')) return undefined;
      throw error;
    }
  }

  async #classify(latest: KubeObject, node: GraphNode, signal: AbortSignal): Promise<Owners> {
    const solid: OwnerReference[] = [];
    const dangling: OwnerReference[] = [];
    const waiting: OwnerReference[] = [];
    for (const ref of latest.metadata.ownerReferences ?? []) {
      const state = await this.#stateOfOwner(ref, node, signal);
      if (state === 'absent') dangling.push(ref);
      else if (state === 'waiting') waiting.push(ref);
      else solid.push(ref);
    }
    return { solid, dangling, waiting };
  }

  async #stateOfOwner(
    ref: OwnerReference,
    node: GraphNode,
    signal: AbortSignal,
  ): Promise<'solid' | 'waiting' | 'absent'> {
    const known = this.#graph.get(ref.uid);
    if (known !== undefined && (known.namespace === '' || known.namespace === node.namespace)) {
      return isDeletingDependents(known) ? 'waiting' : 'solid';
    }
    const resource = this.#resourceOf(ref);
    if (resource === undefined) return 'solid'; // An unknown kind is never taken for absent.
    if (resource.namespaced && node.namespace === '') {
      this.#context.events.record(
        {
          apiVersion: `${node.resource.group}/${node.resource.version}`.replace(/^\//, ''),
          kind: node.resource.kind,
          name: node.name,
          uid: node.uid,
        },
        {
          type: 'Warning',
          reason: 'OwnerRefInvalidNamespace',
          message: `ownerRef [${ref.apiVersion}/${ref.kind}, namespace: , name: ${ref.name}, uid: ${ref.uid}] does not exist in namespace ""`,
          component: 'garbage-collector-controller',
        },
      );
      return 'solid';
    }
    const namespace = resource.namespaced ? node.namespace : undefined;
    try {
      const owner = await this.#context.client.get(resource, { name: ref.name, namespace }, signal);
      if (owner.metadata.uid !== ref.uid) return 'absent';
      return isDeletingDependents(nodeOf(resource, owner)) ? 'waiting' : 'solid';
    } catch (error) {
      if (isKubeError(error, 'NotFound')) return 'absent';
      throw error;
    }
  }

  #resourceOf(ref: OwnerReference): DiscoveredResource | undefined {
    const slash = ref.apiVersion.indexOf('/');
    const group = slash === -1 ? '' : ref.apiVersion.slice(0, slash);
    for (const resource of this.#resources.values()) {
      if (resource.group === group && resource.kind === ref.kind) return resource;
    }
    return undefined;
  }

  #dropOwners(
    node: GraphNode,
    latest: KubeObject,
    uids: readonly string[],
    signal: AbortSignal,
  ): Promise<void> {
    const kept = (latest.metadata.ownerReferences ?? []).filter((ref) => !uids.includes(ref.uid));
    return this.#patchMetadata(node, latest, { ownerReferences: kept }, signal);
  }

  #unblock(node: GraphNode, latest: KubeObject, signal: AbortSignal): Promise<void> {
    const refs = (latest.metadata.ownerReferences ?? []).map((ref) =>
      ref.blockOwnerDeletion === true ? { ...ref, blockOwnerDeletion: false } : ref,
    );
    return this.#patchMetadata(node, latest, { ownerReferences: refs }, signal);
  }

  /** The merge patch holds the version it was made from: a change in between is a conflict. */
  async #patchMetadata(
    node: GraphNode,
    latest: KubeObject,
    change: object,
    signal: AbortSignal,
  ): Promise<void> {
    const { uid, resourceVersion } = latest.metadata;
    const body = { metadata: { uid, resourceVersion, ...change } };
    try {
      await this.#context.client.patch(node.resource, node, { type: 'merge', body }, signal);
    } catch (error) {
      if (!isKubeError(error, 'NotFound')) throw error; // Gone meanwhile.
    }
  }

  async #dropFinalizer(node: GraphNode, finalizer: string, signal: AbortSignal): Promise<void> {
    const latest = await this.#get(node, signal);
    if (latest === undefined) return;
    const old = latest.metadata.finalizers ?? [];
    if (!old.includes(finalizer)) return;
    const finalizers = old.filter((name) => name !== finalizer);
    await this.#patchMetadata(node, latest, { finalizers }, signal);
  }

  async #attemptToOrphan(uid: string, signal: AbortSignal): Promise<number | void> {
    const node = this.#graph.get(uid);
    if (node === undefined || !isOrphaning(node)) return undefined;
    // A dependent that is not known would keep its owner, and be collected after it.
    if (!this.#isWhole) return NOT_WHOLE_MS;
    const dependents = this.#graph.dependentsOf(uid);
    const results = await Promise.allSettled(
      dependents.map(async (dependent) => {
        const latest = await this.#get(dependent, signal);
        if (latest !== undefined) await this.#dropOwners(dependent, latest, [uid], signal);
      }),
    );
    signal.throwIfAborted();
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) {
      throw new Error(`orphaning dependents of ${node.name} failed`, { cause: failed.reason });
    }
    await this.#dropFinalizer(node, ORPHAN, signal);
    return undefined;
  }
}
