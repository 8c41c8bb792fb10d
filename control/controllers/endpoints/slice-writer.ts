/**
 * The EndpointSlices that one controller keeps, by Service: which there are, writing what was planned,
 * and knowing what of it the cache does not show yet, from which a plan would write the same twice.
 * Both controllers of slices use it, each with its own value of the managed-by label.
 */
import type { EndpointSlice } from '#base/kube/api/discovery-v1.gen.ts';
import { endpointslices } from '#base/kube/api/resources.gen.ts';
import type { KubeClient } from '#base/kube/client.ts';
import type { Informer } from '#base/kube/informer.ts';
import { keyOf } from '#base/kube/metadata.ts';
import type { WorkQueue } from '#base/kube/work-queue.ts';
import { deleteIfThere } from '../shared/delete.ts';
import { isNamespaceTerminating } from '../shared/pod-control.ts';
import { MANAGED_BY_LABEL, SERVICE_NAME_LABEL, type SlicePlan } from './model.ts';

/** How long a write may stay unseen before the cache is believed again: it may have been deleted. */
const BEHIND_MS = 2_000;

export class SliceWriter {
  readonly #client: KubeClient;
  readonly #slices: Informer<EndpointSlice>;
  readonly #managedBy: string;
  /** Generations by key of the slice, by key of the Service; those of one sync each. */
  readonly #written = new Map<string, Map<string, number>>();

  constructor(client: KubeClient, slices: Informer<EndpointSlice>, managedBy: string) {
    this.#client = client;
    this.#slices = slices;
    this.#managedBy = managedBy;
  }

  /** Queues the Service of every slice of ours that changes. */
  watch(queue: WorkQueue): Disposable {
    const add = (slice: EndpointSlice) => {
      const name = slice.metadata.labels?.[SERVICE_NAME_LABEL];
      if (name !== undefined && this.#isOurs(slice)) {
        queue.add(`${slice.metadata.namespace}/${name}`);
      }
    };
    return this.#slices.addHandler({ onAdd: add, onUpdate: add, onDelete: add });
  }

  /** Our slices of a Service, as the cache has them. */
  slicesOf(key: string): EndpointSlice[] {
    const [namespace, name] = key.split('/');
    return this.#slices.store
      .list(namespace)
      .filter(
        (slice) => slice.metadata.labels?.[SERVICE_NAME_LABEL] === name && this.#isOurs(slice),
      );
  }

  /** Milliseconds after which to come again, while the cache lacks what was written last. */
  behindMs(key: string): number | undefined {
    const written = this.#written.get(key);
    if (written === undefined) return undefined;
    this.#written.delete(key);
    const isMissing = [...written].some(([name, generation]) => {
      const cached = this.#slices.store.getByKey(name);
      return (cached?.metadata.generation ?? -1) < generation;
    });
    return isMissing ? BEHIND_MS : undefined;
  }

  forget(key: string): void {
    this.#written.delete(key);
  }

  async write(key: string, plan: SlicePlan, signal: AbortSignal): Promise<void> {
    const written = new Map<string, number>();
    const note = (slice: EndpointSlice) => {
      written.set(keyOf(slice), slice.metadata.generation ?? 0);
      this.#written.set(key, written);
    };
    try {
      for (const draft of plan.create)
        note(await this.#client.create(endpointslices, draft, signal));
      for (const slice of plan.update)
        note(await this.#client.update(endpointslices, slice, signal));
    } catch (error) {
      if (!isNamespaceTerminating(error)) throw error;
    }
    for (const { metadata: at } of plan.remove) {
      await deleteIfThere(this.#client, { resource: endpointslices, at }, signal);
    }
  }

  #isOurs({ metadata }: EndpointSlice): boolean {
    return metadata.labels?.[MANAGED_BY_LABEL] === this.#managedBy;
  }
}
