/**
 * The namespace controller: empties a namespace that is being deleted, pods first, every resource
 * that discovery tells of, and takes its own finalizer away when nothing is left. Progress shows in
 * conditions. Called again by pods that go, and by a timer while objects finish gracefully.
 */
import type { Namespace, Pod } from '#base/kube/api/core-v1.gen.ts';
import { namespaces, pods } from '#base/kube/api/resources.gen.ts';
import { errorText } from '#base/errors.ts';
import { isKubeError, type KubeObject } from '#base/kube/client.ts';
import { collectionPath, formatQuery, objectPath } from '#base/kube/kube-client.ts';
import { isDeleting, parseTime } from '#base/kube/metadata.ts';
import {
  type Controller,
  type ControllerContext,
  runQueueController,
} from '../shared/controller.ts';
import { deleteIfThere } from '../shared/delete.ts';
import { type DiscoveredResource, discoverResources } from '../shared/discovery.ts';
import { type DeletionFacts, planDeletionStatus, type Remaining } from './plan.ts';

/** How long objects with finalizers are given before they are looked at again. */
const FINALIZER_WAIT_MS = 2_000;
const FINALIZER = 'kubernetes';

export const namespaceController: Controller = {
  name: 'namespace-controller',
  run: async (context, signal) => {
    const informer = context.informers.informer(namespaces);
    const podInformer = context.informers.informer(pods);
    await runQueueController(
      context,
      {
        name: 'namespace-controller',
        workers: 5,
        informers: [informer],
        subscribe: (queue) => {
          const add = (ns: Namespace) => {
            if (isDeleting(ns)) queue.add(ns.metadata.name);
          };
          const wake = (pod: Pod) => {
            const ns = informer.store.getByKey(pod.metadata.namespace ?? '');
            if (ns !== undefined) add(ns);
          };
          return [
            informer.addHandler({ onAdd: add, onUpdate: add }),
            podInformer.addHandler({ onDelete: wake }),
          ];
        },
        sync: (name, stop) => syncNamespace(context, name, stop),
      },
      signal,
    );
  },
};

async function syncNamespace(
  context: ControllerContext,
  name: string,
  signal: AbortSignal,
): Promise<number | void> {
  let ns: Namespace;
  try {
    ns = await context.client.get(namespaces, { name }, signal);
  } catch (error) {
    if (isKubeError(error, 'NotFound')) return undefined;
    throw error;
  }
  if (!isDeleting(ns) || !(ns.spec?.finalizers ?? []).includes(FINALIZER)) return undefined;
  const { facts, waitMs } = await deleteContent(context, ns, signal);
  const status = planDeletionStatus(ns.status ?? {}, facts, context.clock.nowMs());
  if (status !== undefined) {
    ns = await context.client.updateStatus(namespaces, { ...ns, status }, signal);
  }
  if (facts.discoveryFailures.length > 0 || facts.contentFailures.length > 0) {
    throw new Error([...facts.discoveryFailures, ...facts.contentFailures].join(', '));
  }
  if (facts.remaining.length > 0) return waitMs;
  const finalizers = (ns.spec?.finalizers ?? []).filter((finalizer) => finalizer !== FINALIZER);
  const path = objectPath(namespaces, { name, subresource: 'finalize' });
  await context.client.raw(
    { method: 'PUT', path, body: { ...ns, spec: { ...ns.spec, finalizers } } },
    signal,
  );
  return undefined;
}

async function deleteContent(
  context: ControllerContext,
  ns: Namespace,
  signal: AbortSignal,
): Promise<{ facts: DeletionFacts; waitMs: number }> {
  const { resources, failures } = await discoverResources(context.client, signal);
  const deletable = resources.filter((r) => r.namespaced && r.verbs.has('delete'));
  const contentFailures: string[] = [];
  const remaining: Remaining[] = [];
  let waitMs = FINALIZER_WAIT_MS;
  const empty = async (resource: DiscoveredResource) => {
    try {
      const left = await emptyResource(context, resource, ns, signal);
      if (left !== undefined) remaining.push(left);
    } catch (error) {
      signal.throwIfAborted();
      contentFailures.push(errorText(error));
    }
  };
  // Pods first: what they use (configuration, volumes, policies) must outlive them.
  const podResource = deletable.find((r) => r.group === '' && r.resource === 'pods');
  if (podResource !== undefined) await empty(podResource);
  if (remaining.length === 0) {
    await Promise.all(deletable.filter((r) => r !== podResource).map(empty));
  } else {
    const deletedMs = parseTime(ns.metadata.deletionTimestamp) ?? context.clock.nowMs();
    const graceMs = graceOf(await listObjects(context, pods, ns.metadata.name, signal)) * 1000;
    const leftMs = deletedMs + graceMs - context.clock.nowMs();
    waitMs = Math.max(FINALIZER_WAIT_MS, leftMs / 2);
  }
  return { facts: { discoveryFailures: failures, contentFailures, remaining }, waitMs };
}

function graceOf(objects: readonly KubeObject[]): number {
  const graces = objects.map((object) => (object as Pod).spec?.terminationGracePeriodSeconds ?? 0); // Pods.
  return Math.max(0, ...graces);
}

type Listed = { metadata: KubeObject['metadata'] } & KubeObject;

async function listObjects(
  context: ControllerContext,
  resource: DiscoveredResource | typeof pods,
  namespace: string,
  signal: AbortSignal,
): Promise<Listed[]> {
  const { items } = await context.client.list<KubeObject>(resource, { namespace }, signal);
  return items;
}

/** Deletes all objects of one resource; tells what is still there. */
async function emptyResource(
  context: ControllerContext,
  resource: DiscoveredResource,
  ns: Namespace,
  signal: AbortSignal,
): Promise<Remaining | undefined> {
  const { client } = context;
  const namespace = ns.metadata.name;
  const propagationPolicy = 'Background';
  if (resource.verbs.has('deletecollection')) {
    const path = collectionPath(resource, namespace) + formatQuery({ propagationPolicy });
    try {
      await client.raw({ method: 'DELETE', path }, signal);
    } catch (error) {
      // Another has just deleted one of them, or the resource is offered but not served.
      if (!isKubeError(error, 'NotFound', 'MethodNotAllowed')) throw error;
    }
  }
  if (!resource.verbs.has('list')) return undefined;
  let left = await listObjects(context, resource, namespace, signal);
  if (left.length > 0 && !resource.verbs.has('deletecollection')) {
    for (const { metadata } of left) {
      const at = { name: metadata.name, namespace };
      await deleteIfThere(client, { resource, at, options: { propagationPolicy } }, signal);
    }
    left = await listObjects(context, resource, namespace, signal);
  }
  if (left.length === 0) return undefined;
  const finalizers = new Map<string, number>();
  for (const { metadata } of left) {
    for (const name of metadata.finalizers ?? []) {
      finalizers.set(name, (finalizers.get(name) ?? 0) + 1);
    }
  }
  return { group: resource.group, resource: resource.resource, count: left.length, finalizers };
}
