/**
 * The resource quota controller: recounts what each ResourceQuota limits, whenever an object of its
 * namespace comes, goes or changes, and writes status.hard and status.used. The counting itself is in
 * control/quota.
 */
import type { ResourceQuota } from '#base/kube/api/core-v1.gen.ts';
import {
  configmaps,
  persistentvolumeclaims,
  pods,
  replicationcontrollers,
  resourcequotas,
  secrets,
  services,
} from '#base/kube/api/resources.gen.ts';
import { isKubeError, type KubeObject, type Resource } from '#base/kube/client.ts';
import type { Informer } from '#base/kube/informer.ts';
import {
  canonicalQuantity,
  compareQuantities,
  formatQuantity,
  parseQuantity,
} from '#base/kube/quantity.ts';
import { jsonEqual, keyOf } from '#base/kube/metadata.ts';
import type { WorkQueue } from '#base/kube/work-queue.ts';
import { addUsage, formatUsed, isInScope, type Usage, usageOf } from '#control/quota/quota.ts';
import {
  type Controller,
  type ControllerContext,
  runQueueController,
} from './shared/controller.ts';
import { discoverResources } from './shared/discovery.ts';

const RECOUNT_MS = 60_000;
/** Of keys whose recount may raise what is used and never lower it. */
const RAISE_PREFIX = 'raise ';

export const resourceQuotaController: Controller = {
  name: 'resourcequota-controller',
  run: (context, signal) => new Driver(context).run(signal),
};

class Driver {
  readonly #context: ControllerContext;
  readonly #quotas: Informer<ResourceQuota>;
  /** By `RESOURCE.GROUP`; those of object counts are added as quotas name them. */
  readonly #counted = new Map<string, Informer<KubeObject>>();
  readonly #subscriptions = new DisposableStack();
  #queue: WorkQueue | undefined;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#quotas = context.informers.informer(resourcequotas);
    const { informers } = context;
    this.#count(informers.informer(pods));
    this.#count(informers.informer(services));
    this.#count(informers.informer(persistentvolumeclaims));
    this.#count(informers.informer(replicationcontrollers));
    this.#count(this.#quotas);
    this.#count(informers.informer(configmaps, { metadataOnly: true }));
    this.#count(informers.informer(secrets, { metadataOnly: true }));
  }

  #count<T extends KubeObject>(informer: Informer<T>): void {
    const { resource, group } = informer.resource;
    // Read only as KubeObject; usageOf() knows by the resource what it holds.
    this.#counted.set(`${resource}.${group}`, informer as unknown as Informer<KubeObject>);
  }

  async run(signal: AbortSignal): Promise<void> {
    using _subscriptions = this.#subscriptions;
    await runQueueController(
      this.#context,
      {
        name: 'resourcequota-controller',
        workers: 2,
        informers: [...this.#counted.values()],
        subscribe: (queue) => {
          this.#queue = queue;
          const add = (quota: ResourceQuota) => queue.add(keyOf(quota));
          const handlers = [...this.#counted.values()].map((one) => this.#follow(queue, one));
          const onUpdate = (quota: ResourceQuota, old: ResourceQuota) => {
            // Not for a status that admission has just charged: the cache may not show for what.
            if (!jsonEqual(quota.spec, old.spec)) add(quota);
          };
          return [this.#quotas.addHandler({ onAdd: add, onUpdate }), ...handlers];
        },
        sync: async (key, stop) => {
          const onlyRaise = key.startsWith(RAISE_PREFIX);
          const quota = this.#quotas.store.getByKey(
            onlyRaise ? key.slice(RAISE_PREFIX.length) : key,
          );
          if (quota === undefined) return undefined;
          await this.#sync(quota, onlyRaise, stop);
          return onlyRaise ? undefined : RECOUNT_MS;
        },
      },
      signal,
    );
  }

  /** Recounts the quotas of the namespace in which something happened. */
  #follow(queue: WorkQueue, informer: Informer<KubeObject>): Disposable {
    const each = (object: KubeObject, prefix: string) => {
      for (const quota of this.#quotas.store.list(object.metadata.namespace)) {
        queue.add(prefix + keyOf(quota));
      }
    };
    return informer.addHandler({
      onAdd: (object) => each(object, RAISE_PREFIX),
      onUpdate: (object, old) => {
        const usage = (of: KubeObject) => usageOf(informer.resource, of);
        if (!jsonEqual(show(usage(object)), show(usage(old)))) each(object, '');
      },
      onDelete: (object) => each(object, ''),
    });
  }

  /** `onlyRaise`: something was added, and admission may have charged more than the cache shows. */
  async #sync(quota: ResourceQuota, onlyRaise: boolean, signal: AbortSignal): Promise<void> {
    const hard = quota.spec?.hard ?? {};
    await this.#learn(Object.keys(hard), signal);
    const usage: Usage = new Map();
    for (const informer of this.#counted.values()) {
      for (const object of informer.store.list(quota.metadata.namespace)) {
        if (!isInScope(quota, informer.resource, object)) continue;
        addUsage(usage, usageOf(informer.resource, object));
      }
    }
    if (onlyRaise) {
      for (const [name, text] of Object.entries(quota.status?.used ?? {})) {
        const charged = parseQuantity(text);
        const counted = usage.get(name);
        if (counted === undefined || compareQuantities(charged, counted) > 0) {
          usage.set(name, charged);
        }
      }
    }
    const status = { hard, used: formatUsed(hard, usage) };
    const old = { hard: quota.status?.hard ?? {}, used: quota.status?.used ?? {} };
    if (
      jsonEqual(canonical(old.hard), canonical(hard)) &&
      jsonEqual(canonical(old.used), status.used)
    ) {
      return;
    }
    try {
      await this.#context.client.updateStatus(resourcequotas, { ...quota, status }, signal);
    } catch (error) {
      if (!isKubeError(error, 'NotFound')) throw error; // Deleted meanwhile.
    }
  }

  /** Starts to count resources that appear as `count/RESOURCE.GROUP` for the first time. */
  async #learn(names: readonly string[], signal: AbortSignal): Promise<void> {
    const wanted = names
      .filter((name) => name.startsWith('count/'))
      .map((name) => name.slice('count/'.length))
      .map((name) => (name.includes('.') ? name : `${name}.`))
      .filter((name) => !this.#counted.has(name));
    if (wanted.length === 0) return;
    const { resources } = await discoverResources(this.#context.client, signal);
    for (const resource of resources) {
      const key = `${resource.resource}.${resource.group}`;
      if (!wanted.includes(key) || !resource.namespaced) continue;
      if (!resource.verbs.has('list') || !resource.verbs.has('watch')) continue;
      const informer = this.#informerOf(resource);
      this.#counted.set(key, informer);
      await informer.waitForSync(signal);
      if (this.#queue !== undefined) this.#subscriptions.use(this.#follow(this.#queue, informer));
    }
    // A kind that is not served counts as zero.
  }

  #informerOf(resource: Resource<KubeObject>): Informer<KubeObject> {
    const { informers } = this.#context;
    return informers.existing(resource) ?? informers.informer(resource, { metadataOnly: true });
  }
}

function canonical(amounts: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(amounts).map(([name, text]) => [name, canonicalQuantity(text)]),
  );
}

function show(usage: Usage): Record<string, string> {
  return Object.fromEntries([...usage].map(([name, quantity]) => [name, formatQuantity(quantity)]));
}
