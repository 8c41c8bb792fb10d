/**
 * Keeps the Node object and its Lease in the API true: registers the node, looks every 10 s and
 * writes the status when it says something new or 5 min have passed, renews the lease every 10 s.
 * Failures are tried again; the node controller marks a node that stays silent.
 */
import type { Clock } from '#base/clock.ts';
import { errorText } from '#base/errors.ts';
import { leases, nodes } from '#base/kube/api/resources.gen.ts';
import type {
  Node,
  NodeCondition,
  NodeStatus,
  ObjectReference,
} from '#base/kube/api/core-v1.gen.ts';
import { isKubeError, type KubeClient } from '#base/kube/client.ts';
import type { EventRecorder } from '#base/kube/event-recorder.ts';
import { formatMicroTime, jsonEqual } from '#base/kube/metadata.ts';
import type { Log } from '#base/log.ts';
import type { ImageService } from '../../runtime/port.ts';
import type { PressureType } from '../eviction/signals.ts';
import {
  type NodeInput,
  newNode,
  nodeConditions,
  nodeLabels,
  nodeStatus,
  statusChanged,
  transitions,
} from './node-status.ts';

const LOOK_MS = 10_000;
const WRITE_MS_MAX = 300_000;
const LEASE_MS = 10_000;
const LEASE_SECONDS = 40;
const RETRY_MS = 1_000;
const LEASE_NAMESPACE = 'kube-node-lease';

export interface ReporterIo {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly images: ImageService;
  readonly events: EventRecorder;
  readonly pressures: () => readonly PressureType[];
  readonly notReady: () => string | undefined;
  readonly shortcomings: readonly string[];
}

export class NodeReporter {
  readonly #io: ReporterIo;
  readonly #input: NodeInput;
  #node: Node | undefined;
  #writtenAtMs = 0;
  #wake: (() => void) | undefined;
  #toldBoot = '';
  #wasUnschedulable = false;

  constructor(io: ReporterIo, input: NodeInput) {
    this.#io = io;
    this.#input = input;
  }

  /** As last written or read; undefined before the registration. */
  get node(): Node | undefined {
    return this.#node;
  }

  /** Looks again at once: something about readiness changed. */
  wake(): void {
    this.#wake?.();
  }

  /** Resolves when the node is registered with a first status. */
  async register(signal: AbortSignal): Promise<void> {
    for (;;) {
      try {
        await this.#report(signal);
        return;
      } catch (error) {
        signal.throwIfAborted();
        this.#io.log.warn('node not registered yet', { error: errorText(error) });
        await this.#io.clock.sleep(RETRY_MS, signal);
      }
    }
  }

  async runStatus(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#pause(signal);
      try {
        await this.#report(signal);
      } catch (error) {
        signal.throwIfAborted();
        this.#io.log.warn('node status not written', { error: errorText(error) });
      }
    }
  }

  async runLease(signal: AbortSignal): Promise<void> {
    for (;;) {
      let waitMs = LEASE_MS;
      try {
        await this.#renewLease(signal);
      } catch (error) {
        signal.throwIfAborted();
        this.#io.log.warn('node lease not renewed', { error: errorText(error) });
        waitMs = RETRY_MS;
      }
      await this.#io.clock.sleep(waitMs, signal);
    }
  }

  async #pause(signal: AbortSignal): Promise<void> {
    const stop = new AbortController();
    this.#wake = () => stop.abort(new Error('woken'));
    try {
      await this.#io.clock.sleep(LOOK_MS, AbortSignal.any([signal, stop.signal]));
    } catch (error) {
      if (!stop.signal.aborted) throw error;
    }
  }

  async #report(signal: AbortSignal): Promise<void> {
    const node = await this.#labelled(await this.#getOrCreate(signal), signal);
    const previous = node.status ?? {};
    const nowMs = this.#io.clock.nowMs();
    const conditions = nodeConditions({
      pressures: this.#io.pressures(),
      notReady: this.#io.notReady(),
      shortcomings: this.#io.shortcomings,
      previous: previous.conditions ?? [],
      nowMs,
    });
    const images = this.#io.images.list();
    const status = nodeStatus(this.#input, { previous, conditions, images });
    this.#tell(previous, conditions);
    this.#tellSchedulable(node);
    const due = nowMs - this.#writtenAtMs >= WRITE_MS_MAX;
    if (!due && !statusChanged(previous, status)) {
      this.#node = node;
      return;
    }
    this.#node = await this.#io.client.patch(
      nodes,
      { name: this.#input.nodeName, subresource: 'status' },
      { type: 'strategic', body: { status: changedFields(previous, status) } },
      signal,
    );
    this.#writtenAtMs = nowMs;
  }

  async #getOrCreate(signal: AbortSignal): Promise<Node> {
    try {
      return await this.#io.client.get(nodes, { name: this.#input.nodeName }, signal);
    } catch (error) {
      if (!isKubeError(error, 'NotFound')) throw error;
    }
    this.#io.log.info('registering node', { node: this.#input.nodeName });
    return this.#io.client.create(nodes, newNode(this.#input), signal);
  }

  async #labelled(node: Node, signal: AbortSignal): Promise<Node> {
    const wanted = nodeLabels(this.#input);
    const missing = Object.entries(wanted).filter(([k, v]) => node.metadata.labels?.[k] !== v);
    if (missing.length === 0) return node;
    const body = { metadata: { labels: Object.fromEntries(missing) } };
    const at = { name: this.#input.nodeName };
    return this.#io.client.patch(nodes, at, { type: 'strategic', body }, signal);
  }

  /** Events for what is new, in upstream's words. */
  #tell(before: NodeStatus, after: readonly NodeCondition[]): void {
    const { nodeName, machine } = this.#input;
    const record = (type: 'Normal' | 'Warning', reason: string, message: string) =>
      this.#io.events.record(nodeReference(nodeName), { type, reason, message });
    const oldBoot = before.nodeInfo?.bootID ?? '';
    if (oldBoot !== '' && oldBoot !== machine.bootId && oldBoot !== this.#toldBoot) {
      this.#toldBoot = oldBoot; // Once, however often the status cannot be written.
      const message = `Node ${nodeName} has been rebooted, boot id: ${machine.bootId}`;
      record('Warning', 'Rebooted', message);
    }
    for (const reason of transitions(before.conditions ?? [], after)) {
      record('Normal', reason, `Node ${nodeName} status is now: ${reason}`);
    }
  }

  #tellSchedulable({ spec }: Node): void {
    const isUnschedulable = spec?.unschedulable === true;
    if (isUnschedulable === this.#wasUnschedulable) return;
    this.#wasUnschedulable = isUnschedulable;
    const reason = isUnschedulable ? 'NodeNotSchedulable' : 'NodeSchedulable';
    const message = `Node ${this.#input.nodeName} status is now: ${reason}`;
    const about = nodeReference(this.#input.nodeName);
    this.#io.events.record(about, { type: 'Normal', reason, message });
  }

  async #renewLease(signal: AbortSignal): Promise<void> {
    const name = this.#input.nodeName;
    const at = { name, namespace: LEASE_NAMESPACE };
    const spec = {
      holderIdentity: name,
      leaseDurationSeconds: LEASE_SECONDS,
      renewTime: formatMicroTime(this.#io.clock.nowMs()),
    };
    try {
      await this.#io.client.patch(leases, at, { type: 'merge', body: { spec } }, signal);
    } catch (error) {
      if (!isKubeError(error, 'NotFound')) throw error;
      await this.#createLease(spec, signal);
    }
  }

  /** Owned by the node, so that it goes with it. */
  async #createLease(spec: object, signal: AbortSignal): Promise<void> {
    const name = this.#input.nodeName;
    const uid = this.#node?.metadata.uid;
    const owner = uid === undefined ? [] : [{ apiVersion: 'v1', kind: 'Node', name, uid }];
    await this.#io.client.create(
      leases,
      {
        apiVersion: 'coordination.k8s.io/v1',
        kind: 'Lease',
        metadata: { name, namespace: LEASE_NAMESPACE, ownerReferences: owner },
        spec,
      },
      signal,
    );
  }
}

/** What events of a kubelet are about: by upstream's custom its UID is its name. */
export function nodeReference(name: string): ObjectReference {
  return { apiVersion: 'v1', kind: 'Node', name, uid: name };
}

/** Fields that differ; conditions merge by type, so only the kubelet's own are touched. */
function changedFields(before: object, after: object): Record<string, unknown> {
  const old = new Map(Object.entries(before));
  return Object.fromEntries(
    Object.entries(after).filter(([key, value]) => !jsonEqual(old.get(key), value)),
  );
}
