/**
 * The node lifecycle and node ipam controllers. Lifecycle: a node whose lease and status stand still
 * becomes Unknown; conditions become taints; pods of an unready node lose their Ready condition. Ipam:
 * every node gets a pod CIDR. A node is looked at when it changes and every five seconds.
 */
import type { Lease } from '#base/kube/api/coordination-v1.gen.ts';
import type { Node, Pod } from '#base/kube/api/core-v1.gen.ts';
import { leases, nodes, pods } from '#base/kube/api/resources.gen.ts';
import { isKubeError } from '#base/kube/client.ts';
import type { Informer } from '#base/kube/informer.ts';
import { findCondition, formatTime } from '#base/kube/metadata.ts';
import {
  type Controller,
  type ControllerContext,
  runQueueController,
} from '../shared/controller.ts';
import { isPodReady } from '../shared/pods.ts';
import {
  allocateSubnet,
  GRACE_MS,
  mayEvict,
  planTaints,
  planUnknown,
  readyStatus,
  STARTUP_GRACE_MS,
} from './plan.ts';

const MONITOR_MS = 5_000;
const NODE_PREFIX_LENGTH = 24;
const COMPONENT = 'node-controller';
export const PODS_BY_NODE = 'node';
export const podsByNode = (pod: Pod): string[] => [pod.spec.nodeName ?? ''];

export const nodeLifecycleController: Controller = {
  name: 'node-lifecycle-controller',
  run: (context, signal) => new Lifecycle(context).run(signal),
};

/** When a node last gave a sign of life, by our own clock: theirs may be wrong. */
interface Sign {
  readonly mark: string;
  readonly atMs: number;
}

class Lifecycle {
  readonly #context: ControllerContext;
  readonly #nodes: Informer<Node>;
  readonly #leases: Informer<Lease>;
  readonly #pods: Informer<Pod>;
  readonly #signs = new Map<string, Sign>();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#nodes = context.informers.informer(nodes);
    this.#leases = context.informers.informer(leases, { namespace: 'kube-node-lease' });
    this.#pods = context.informers.informer(pods);
    this.#pods.store.addIndex(PODS_BY_NODE, podsByNode);
  }

  run(signal: AbortSignal): Promise<void> {
    return runQueueController(
      this.#context,
      {
        name: 'node-lifecycle-controller',
        workers: 2,
        informers: [this.#nodes, this.#leases, this.#pods],
        subscribe: (queue) => [
          this.#nodes.addHandler({
            onAdd: (node) => {
              this.#event(
                node,
                'RegisteredNode',
                `Registered Node ${node.metadata.name} in Controller`,
              );
              queue.add(node.metadata.name);
            },
            onUpdate: (node) => queue.add(node.metadata.name),
            onDelete: (node) => {
              this.#signs.delete(node.metadata.name);
              this.#event(
                node,
                'RemovingNode',
                `Removing Node ${node.metadata.name} from Controller`,
              );
              // Who is left may now be all that there is.
              for (const other of this.#nodes.store.list()) queue.add(other.metadata.name);
            },
          }),
        ],
        sync: (name, stop) => this.#sync(name, stop),
      },
      signal,
    );
  }

  #event(node: Node, reason: string, text: string): void {
    const { name, uid } = node.metadata;
    const about = { apiVersion: 'v1', kind: 'Node', name, uid };
    const message = `Node ${name} event: ${text}`;
    this.#context.events.record(about, { type: 'Normal', reason, message, component: COMPONENT });
  }

  async #sync(name: string, signal: AbortSignal): Promise<number | void> {
    let node = this.#nodes.store.getByKey(name);
    if (node === undefined) return undefined;
    const { client, clock } = this.#context;
    if (this.#isSilent(node)) {
      const conditions = planUnknown(node, clock.nowMs());
      if (conditions !== undefined) {
        const status = { ...node.status, conditions };
        node = await client.updateStatus(nodes, { ...node, status }, signal);
      }
    }
    const taints = planTaints(node, mayEvict(this.#nodes.store.list()), clock.nowMs());
    if (taints !== undefined) {
      const { resourceVersion } = node.metadata;
      const body = { metadata: { resourceVersion }, spec: { taints } };
      node = await client.patch(nodes, { name }, { type: 'merge', body }, signal);
    }
    const ready = findCondition(node.status?.conditions, 'Ready');
    if (ready !== undefined && ready.status !== 'True') await this.#markPods(node, signal);
    return MONITOR_MS;
  }

  #isSilent(node: Node): boolean {
    const { name } = node.metadata;
    const nowMs = this.#context.clock.monotonicMs();
    const ready = findCondition(node.status?.conditions, 'Ready');
    const lease = this.#leases.store.get('kube-node-lease', name);
    // What we wrote ourselves is no sign of life.
    const posted = ready?.status === 'Unknown' ? '' : (ready?.lastHeartbeatTime ?? '');
    const mark = `${posted} ${lease?.spec?.renewTime ?? ''}`;
    const old = this.#signs.get(name);
    if (old === undefined || (old.mark !== mark && readyStatus(node) !== 'Unknown')) {
      this.#signs.set(name, { mark, atMs: nowMs });
      return false;
    }
    if (old.mark !== mark) this.#signs.set(name, { mark, atMs: nowMs });
    return nowMs - old.atMs > (ready === undefined ? STARTUP_GRACE_MS : GRACE_MS);
  }

  /** Endpoints must not lead to a node that is away. */
  async #markPods(node: Node, signal: AbortSignal): Promise<void> {
    const { client, clock, events } = this.#context;
    for (const pod of this.#pods.store.byIndex(PODS_BY_NODE, node.metadata.name)) {
      if (!isPodReady(pod)) continue;
      const lastTransitionTime = formatTime(clock.nowMs());
      const condition = { type: 'Ready', status: 'False', lastTransitionTime };
      const { name, namespace, uid } = pod.metadata;
      const body = { metadata: { uid }, status: { conditions: [condition] } };
      try {
        const at = { name, namespace, subresource: 'status' };
        await client.patch(pods, at, { type: 'strategic', body }, signal);
      } catch (error) {
        if (!isKubeError(error, 'NotFound', 'Conflict')) throw error; // Gone meanwhile.
        continue;
      }
      const message = 'Node is not ready';
      events.record(pod, {
        type: 'Warning',
        reason: 'NodeNotReady',
        message,
        component: COMPONENT,
      });
    }
  }
}

export const nodeIpamController: Controller = {
  name: 'node-ipam-controller',
  run: async (context, signal) => {
    const informer = context.informers.informer(nodes);
    await runQueueController(
      context,
      {
        name: 'node-ipam-controller',
        workers: 1, // One at a time: what is taken is read from the cache and our own answers.
        informers: [informer],
        subscribe: (queue) => {
          const add = (node: Node) => {
            if ((node.spec?.podCIDR ?? '') === '') queue.add(node.metadata.name);
          };
          return [informer.addHandler({ onAdd: add, onUpdate: add })];
        },
        sync: (name, stop) => assignCidr(context, informer, name, stop),
      },
      signal,
    );
  },
};

async function assignCidr(
  context: ControllerContext,
  informer: Informer<Node>,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  const node = informer.store.getByKey(name);
  if (node === undefined || (node.spec?.podCIDR ?? '') !== '') return;
  // From the server: the cache may not show what was given out a moment ago.
  const { items } = await context.client.list(nodes, {}, signal);
  const current = items.find((item) => item.metadata.name === name);
  if (current === undefined || (current.spec?.podCIDR ?? '') !== '') return;
  const taken = new Set(items.flatMap((item) => item.spec?.podCIDRs ?? [item.spec?.podCIDR ?? '']));
  const cidr = allocateSubnet(context.config.podCidr, NODE_PREFIX_LENGTH, taken);
  if (cidr === undefined) {
    const message = `Node ${name} status is now: CIDRNotAvailable`;
    const event = { type: 'Normal' as const, reason: 'CIDRNotAvailable', message };
    context.events.record(node, { ...event, component: 'cidrAllocator' });
    throw new Error(`no subnet of ${context.config.podCidr} is left for node ${name}`);
  }
  const body = { spec: { podCIDR: cidr, podCIDRs: [cidr] } };
  await context.client.patch(nodes, { name }, { type: 'strategic', body }, signal);
}
