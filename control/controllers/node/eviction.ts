/**
 * The taint eviction controller: pods that do not tolerate a NoExecute taint of their node are
 * deleted, at once or when their tolerationSeconds are over. `evictionAtMs` decides; pure.
 */
import type { Node, Pod } from '#base/kube/api/core-v1.gen.ts';
import { nodes, pods } from '#base/kube/api/resources.gen.ts';
import { isKubeError } from '#base/kube/client.ts';
import { formatTime, isDeleting, jsonEqual, keyOf, parseTime } from '#base/kube/metadata.ts';
import { tolerates } from '#control/scheduler/scheduler.ts';
import {
  type Controller,
  type ControllerContext,
  runQueueController,
} from '../shared/controller.ts';
import { isPodTerminal } from '../shared/pods.ts';
import { PODS_BY_NODE, podsByNode } from './lifecycle.ts';

/**
 * When the pod must leave; undefined = it may stay. `seenMs` is when the taints were first noticed, for
 * those that do not say themselves when they were added.
 */
export function evictionAtMs(pod: Pod, node: Node, seenMs: number): number | undefined {
  let atMs: number | undefined;
  for (const taint of node.spec?.taints ?? []) {
    if (taint.effect !== 'NoExecute') continue;
    const matching = (pod.spec.tolerations ?? []).filter((t) => tolerates(t, taint));
    if (matching.length === 0) return 0;
    const limits = matching.map((t) => t.tolerationSeconds).filter((s) => s !== undefined);
    if (limits.length === 0) continue; // Tolerated for ever.
    const sinceMs = parseTime(taint.timeAdded) ?? seenMs;
    const untilMs = sinceMs + Math.max(0, Math.min(...limits)) * 1000;
    if (atMs === undefined || untilMs < atMs) atMs = untilMs;
  }
  return atMs;
}

export const taintEvictionController: Controller = {
  name: 'taint-eviction-controller',
  run: async (context, signal) => {
    const nodeInformer = context.informers.informer(nodes);
    const podInformer = context.informers.informer(pods);
    podInformer.store.addIndex(PODS_BY_NODE, podsByNode);
    /** Pod key to when its node was first seen tainted. */
    const seen = new Map<string, number>();
    await runQueueController(
      context,
      {
        name: 'taint-eviction-controller',
        workers: 4,
        informers: [nodeInformer, podInformer],
        subscribe: (queue) => {
          const addNode = (node: Node) => {
            for (const pod of podInformer.store.byIndex(PODS_BY_NODE, node.metadata.name)) {
              queue.add(keyOf(pod));
            }
          };
          const addPod = (pod: Pod) => {
            if (isTainted(nodeInformer.store.getByKey(pod.spec.nodeName ?? '')))
              queue.add(keyOf(pod));
          };
          return [
            nodeInformer.addHandler({
              onAdd: addNode,
              onUpdate: (node, old) => {
                if (!jsonEqual(node.spec?.taints, old.spec?.taints)) addNode(node);
              },
            }),
            podInformer.addHandler({
              onAdd: addPod,
              onUpdate: (pod, old) => {
                const isSame =
                  pod.spec.nodeName === old.spec.nodeName &&
                  jsonEqual(pod.spec.tolerations, old.spec.tolerations);
                if (!isSame) addPod(pod);
              },
              onDelete: (pod) => seen.delete(keyOf(pod)),
            }),
          ];
        },
        sync: async (key, stop) => {
          const pod = podInformer.store.getByKey(key);
          const node = nodeInformer.store.getByKey(pod?.spec.nodeName ?? '');
          if (pod === undefined || isDeleting(pod) || isPodTerminal(pod) || !isTainted(node)) {
            seen.delete(key);
            return undefined;
          }
          const nowMs = context.clock.nowMs();
          const seenMs = seen.get(key) ?? nowMs;
          seen.set(key, seenMs);
          const atMs = evictionAtMs(pod, node, seenMs);
          if (atMs === undefined) return undefined;
          if (atMs > nowMs) return atMs - nowMs;
          await evict(context, pod, stop);
          return undefined;
        },
      },
      signal,
    );
  },
};

function isTainted(node: Node | undefined): node is Node {
  return node?.spec?.taints?.some((taint) => taint.effect === 'NoExecute') ?? false;
}

async function evict(context: ControllerContext, pod: Pod, signal: AbortSignal): Promise<void> {
  const { name, namespace, uid } = pod.metadata;
  context.events.record(pod, {
    type: 'Normal',
    reason: 'TaintManagerEviction',
    message: `Marking for deletion Pod ${namespace}/${name}`,
    component: 'taint-eviction-controller',
  });
  await deleteDisrupted(
    context,
    pod,
    { reason: 'DeletionByTaintManager', message: 'Taint manager: deleting due to NoExecute taint' },
    { preconditions: { uid } },
    signal,
  );
}

/** Marks the pod as a disruption's target, then deletes it. */
export async function deleteDisrupted(
  context: ControllerContext,
  pod: Pod,
  why: { readonly reason: string; readonly message: string; readonly phase?: 'Failed' },
  options: { preconditions?: { uid: string }; gracePeriodSeconds?: number },
  signal: AbortSignal,
): Promise<void> {
  const { name, namespace, uid } = pod.metadata;
  const { reason, message, phase } = why;
  const condition = {
    type: 'DisruptionTarget',
    status: 'True',
    reason,
    message,
    lastTransitionTime: formatTime(context.clock.nowMs()),
  };
  const status = { conditions: [condition], ...(phase === undefined ? {} : { phase }) };
  const at = { name, namespace };
  try {
    await context.client.patch(
      pods,
      { ...at, subresource: 'status' },
      { type: 'strategic', body: { metadata: { uid }, status } },
      signal,
    );
    await context.client.delete(pods, at, options, signal);
  } catch (error) {
    if (!isKubeError(error, 'NotFound', 'Conflict')) throw error; // Gone, or replaced by another.
  }
}
