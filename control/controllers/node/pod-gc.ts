/**
 * The pod garbage collector: every 20 s it deletes pods of nodes that no longer exist, deleted pods
 * that never reached a node, pods on nodes declared out of service, and the oldest finished pods beyond
 * a threshold. `planPodGc` decides; pure.
 */
import type { Node, Pod } from '#base/kube/api/core-v1.gen.ts';
import { nodes, pods } from '#base/kube/api/resources.gen.ts';
import { errorText } from '#base/errors.ts';
import { isKubeError } from '#base/kube/client.ts';
import { isDeleting } from '#base/kube/metadata.ts';
import type { Controller, ControllerContext } from '../shared/controller.ts';
import { deleteIfThere } from '../shared/delete.ts';
import { isPodTerminal } from '../shared/pods.ts';
import { deleteDisrupted } from './eviction.ts';
import { readyStatus } from './plan.ts';

const INTERVAL_MS = 20_000;
const TERMINATED_MAX = 12_500;
/** A node must be missing in two looks before its pods are taken for orphans. */
const OUT_OF_SERVICE = 'node.kubernetes.io/out-of-service';

export type PodGcReason = 'orphaned' | 'unscheduled' | 'outOfService' | 'terminated';

export function planPodGc(
  all: readonly Pod[],
  nodeOf: (name: string) => Node | undefined,
  missingBefore: ReadonlySet<string>,
): { pod: Pod; reason: PodGcReason }[] {
  const plans: { pod: Pod; reason: PodGcReason }[] = [];
  const terminated: Pod[] = [];
  for (const pod of all) {
    const nodeName = pod.spec.nodeName ?? '';
    const node = nodeOf(nodeName);
    if (nodeName === '') {
      if (isDeleting(pod)) plans.push({ pod, reason: 'unscheduled' });
    } else if (node === undefined) {
      if (missingBefore.has(nodeName)) plans.push({ pod, reason: 'orphaned' });
    } else if (isDeleting(pod) && isOutOfService(node)) {
      plans.push({ pod, reason: 'outOfService' });
    }
    if (isPodTerminal(pod) && !isDeleting(pod)) terminated.push(pod);
  }
  terminated
    .sort((a, b) => (a.metadata.creationTimestamp < b.metadata.creationTimestamp ? -1 : 1))
    .slice(0, Math.max(0, terminated.length - TERMINATED_MAX))
    .forEach((pod) => plans.push({ pod, reason: 'terminated' }));
  return plans;
}

function isOutOfService(node: Node): boolean {
  const isTainted = node.spec?.taints?.some((taint) => taint.key === OUT_OF_SERVICE) ?? false;
  return isTainted && readyStatus(node) !== 'True';
}

export const podGarbageCollector: Controller = {
  name: 'pod-garbage-collector-controller',
  run: async (context, signal) => {
    const nodeInformer = context.informers.informer(nodes);
    const podInformer = context.informers.informer(pods);
    await Promise.all([nodeInformer.waitForSync(signal), podInformer.waitForSync(signal)]);
    let missing: ReadonlySet<string> = new Set();
    for (;;) {
      await context.clock.sleep(INTERVAL_MS, signal);
      const nodeOf = (name: string) => nodeInformer.store.getByKey(name);
      const all = podInformer.store.list();
      const confirmed = await confirmMissing(context, missing, signal);
      for (const { pod, reason } of planPodGc(all, nodeOf, confirmed)) {
        try {
          await collect(context, pod, reason, signal);
        } catch (error) {
          signal.throwIfAborted();
          const facts = { pod: pod.metadata.name, reason, error: errorText(error) };
          context.log.warn('pod not collected', facts); // The next look tries again.
        }
      }
      missing = new Set(
        all.map((pod) => pod.spec.nodeName ?? '').filter((name) => name !== '' && !nodeOf(name)),
      );
    }
  },
};

/** Of nodes missing in the cache, those that the server does not know either. */
async function confirmMissing(
  context: ControllerContext,
  names: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<Set<string>> {
  const confirmed = new Set<string>();
  for (const name of names) {
    try {
      await context.client.get(nodes, { name }, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (isKubeError(error, 'NotFound')) confirmed.add(name);
    }
  }
  return confirmed;
}

async function collect(
  context: ControllerContext,
  pod: Pod,
  reason: PodGcReason,
  signal: AbortSignal,
): Promise<void> {
  const { uid } = pod.metadata;
  const options = { gracePeriodSeconds: 0, preconditions: { uid } };
  if (reason === 'orphaned' && !isPodTerminal(pod)) {
    const why = { reason: 'DeletionByPodGC', message: 'PodGC: node no longer exists' };
    await deleteDisrupted(context, pod, { ...why, phase: 'Failed' }, options, signal);
    return;
  }
  await deleteIfThere(context.client, { resource: pods, at: pod.metadata, options }, signal);
}
