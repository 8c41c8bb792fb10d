/**
 * The scheduler: takes pods without a node from the queue, decides (decide.ts), counts the pod on its
 * node at once and binds in the background. Pods that fit nowhere get a condition and an event, and
 * are tried again when something happened that could help. Public face of control/scheduler.
 *
 * Invariant: a pod that the watch or an assumption puts on a node is counted there exactly once.
 */
import type { Node, Pod } from '#base/kube/api/core-v1.gen.ts';
import type { PodDisruptionBudget } from '#base/kube/api/policy-v1.gen.ts';
import { namespaces, nodes, poddisruptionbudgets, pods } from '#base/kube/api/resources.gen.ts';
import type { Clock } from '#base/clock.ts';
import { errorText } from '#base/errors.ts';
import { isKubeError, type KubeClient } from '#base/kube/client.ts';
import type { EventRecorder } from '#base/kube/event-recorder.ts';
import type { InformerFactory } from '#base/kube/informer-factory.ts';
import { findCondition, formatTime, isDeleting, jsonEqual } from '#base/kube/metadata.ts';
import type { Log } from '#base/log.ts';
import { TaskScope } from '#base/task-scope.ts';
import { Cluster } from './cluster.ts';
import { type Decision, decide } from './decide.ts';
import { podFacts, type PodFacts } from './pod-facts.ts';
import { failureText, planPreemption } from './preempt.ts';
import { type ClusterEvent, SchedulingQueue } from './queue.ts';

export { findUntolerated, isCordonedFor, matchesNodeAffinity, tolerates } from './node-match.ts';
export { podLimits, podRequests } from './pod-facts.ts';

export const SCHEDULER_NAME = 'default-scheduler';

/** Bindings and status writes under way; beyond it decisions wait. */
const WRITES_MAX = 100;
/** Decisions between two looks at what the watches brought. */
const DECISIONS_PER_TURN = 64;

export interface SchedulerIo {
  readonly client: KubeClient;
  readonly informers: InformerFactory;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
}

export async function runScheduler(io: SchedulerIo, signal: AbortSignal): Promise<void> {
  await new Scheduler(io).run(signal);
}

class Scheduler {
  readonly #io: SchedulerIo;
  readonly #cluster = new Cluster();
  readonly #queue = new SchedulingQueue();
  /** Pods bound or being bound by us whose assignment the watch has not shown yet. */
  readonly #assumed = new Set<string>();
  /** Pods that others were evicted for, by uid: their place is kept from pods that matter less. */
  readonly #nominated = new Map<string, { facts: PodFacts; nodeName: string }>();
  #budgets: () => PodDisruptionBudget[] = () => [];
  #startIndex = 0;
  #writes = 0;
  #wake: (() => void) | undefined;

  constructor(io: SchedulerIo) {
    this.#io = io;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { informers } = this.#io;
    const podInformer = informers.informer(pods);
    const nodeInformer = informers.informer(nodes);
    const namespaceInformer = informers.informer(namespaces);
    // Not waited for: it only makes preemption more considerate.
    const budgetInformer = informers.informer(poddisruptionbudgets);
    this.#budgets = () => budgetInformer.store.list();
    using stack = new DisposableStack();
    stack.use(
      namespaceInformer.addHandler({
        onAdd: (ns) => this.#cluster.setNamespaceLabels(ns.metadata.name, ns.metadata.labels ?? {}),
        onUpdate: (ns, old) => {
          this.#cluster.setNamespaceLabels(ns.metadata.name, ns.metadata.labels ?? {});
          if (!jsonEqual(ns.metadata.labels, old.metadata.labels)) this.#happened('namespace');
        },
        onDelete: (ns) => this.#cluster.setNamespaceLabels(ns.metadata.name, undefined),
      }),
    );
    stack.use(
      nodeInformer.addHandler({
        onAdd: (node) => this.#nodeChanged(node, undefined),
        onUpdate: (node, old) => this.#nodeChanged(node, old),
        onDelete: (node) => {
          this.#cluster.removeNode(node.metadata.name);
          this.#happened('node');
        },
      }),
    );
    stack.use(
      podInformer.addHandler({
        onAdd: (pod) => this.#podChanged(pod, undefined),
        onUpdate: (pod, old) => this.#podChanged(pod, old),
        onDelete: (pod) => this.#podGone(pod),
      }),
    );
    await Promise.all(
      [podInformer, nodeInformer, namespaceInformer].map((one) => one.waitForSync(signal)),
    );
    await using tasks = new TaskScope(signal);
    tasks.spawn('decide', (stop) => this.#loop(tasks, stop));
    await tasks.join();
  }

  #happened(event: ClusterEvent): void {
    this.#queue.happened(event, this.#io.clock.monotonicMs());
    this.#wake?.();
  }

  #nodeChanged(node: Node, old: Node | undefined): void {
    this.#cluster.putNode(node);
    // Heartbeats change conditions only, and would try every parked pod again.
    const isSame =
      old !== undefined &&
      jsonEqual(node.spec, old.spec) &&
      jsonEqual(node.metadata.labels, old.metadata.labels) &&
      jsonEqual(node.status?.allocatable, old.status?.allocatable);
    if (!isSame) this.#happened('node');
  }

  #podChanged(pod: Pod, old: Pod | undefined): void {
    const { uid } = pod.metadata;
    const phase = pod.status?.phase;
    if (phase === 'Succeeded' || phase === 'Failed') {
      this.#podGone(pod);
      return;
    }
    const nodeName = pod.spec.nodeName ?? '';
    const isSame =
      old !== undefined &&
      old.metadata.generation === pod.metadata.generation &&
      isDeleting(old) === isDeleting(pod) &&
      jsonEqual(old.metadata.labels, pod.metadata.labels) &&
      jsonEqual(old.spec, pod.spec);
    if (nodeName !== '') {
      this.#queue.remove(uid);
      this.#assumed.delete(uid);
      this.#nominated.delete(uid);
      if (isSame && this.#cluster.nodeOf(uid) === nodeName) return;
      this.#cluster.putPod(podFacts(pod), nodeName);
      this.#happened('podPlaced');
      return;
    }
    const isOurs = (pod.spec.schedulerName ?? SCHEDULER_NAME) === SCHEDULER_NAME;
    const isGated = (pod.spec.schedulingGates ?? []).length > 0;
    if (!isOurs || isDeleting(pod) || isGated) {
      this.#queue.remove(uid);
      return;
    }
    if (this.#assumed.has(uid)) return;
    if (isSame) {
      this.#queue.refresh(pod);
      return;
    }
    this.#queue.put(podFacts(pod), this.#io.clock.monotonicMs());
    this.#wake?.();
  }

  #podGone(pod: Pod): void {
    const { uid } = pod.metadata;
    this.#queue.remove(uid);
    this.#assumed.delete(uid);
    this.#nominated.delete(uid);
    if (this.#cluster.nodeOf(uid) === undefined) return;
    this.#cluster.removePod(uid);
    this.#happened('podGone');
  }

  async #loop(tasks: TaskScope, signal: AbortSignal): Promise<never> {
    const { clock } = this.#io;
    let turn = 0;
    for (;;) {
      signal.throwIfAborted();
      const nowMs = clock.monotonicMs();
      const facts = this.#writes < WRITES_MAX ? this.#queue.next(nowMs) : undefined;
      if (facts === undefined) {
        await this.#waitForWork(nowMs, signal);
        turn = 0;
        continue;
      }
      this.#scheduleOne(facts, tasks);
      turn++;
      if (turn % DECISIONS_PER_TURN === 0) await clock.sleep(0, signal);
    }
  }

  #waitForWork(nowMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = new AbortController();
      const finish = () => {
        this.#wake = undefined;
        signal.removeEventListener('abort', onAbort);
        timer.abort(new Error('woken'));
      };
      const onAbort = () => {
        finish();
        reject(signal.reason);
      };
      this.#wake = () => {
        finish();
        resolve();
      };
      signal.addEventListener('abort', onAbort, { once: true });
      const atMs = this.#queue.wakeAtMs();
      if (atMs === undefined) return;
      this.#io.clock.sleep(Math.max(1, atMs - nowMs), timer.signal).then(
        () => this.#wake?.(),
        () => undefined, // Woken before.
      );
    });
  }

  #scheduleOne(facts: PodFacts, tasks: TaskScope): void {
    const decision = this.#decide(facts);
    this.#startIndex = decision.nextIndex;
    if (decision.kind === 'node') {
      this.#nominated.delete(facts.uid);
      this.#cluster.putPod(facts, decision.nodeName);
      this.#assumed.add(facts.uid);
      this.#write(tasks, (signal) => this.#bind(facts, decision.nodeName, signal));
      return;
    }
    this.#queue.failed(facts.uid, decision.plugins, this.#io.clock.monotonicMs());
    const { rejections } = decision;
    const budgets = this.#budgets();
    const preemption = planPreemption({
      facts,
      cluster: this.#cluster,
      rejections,
      budgets,
      nominatedNodeName: this.#nominated.get(facts.uid)?.nodeName,
    });
    if (preemption.kind === 'none') {
      const message =
        rejections.size === 0
          ? decision.message
          : failureText(decision.message, preemption.message);
      this.#write(tasks, (signal) =>
        this.#reportFailure(facts.pod, 'Unschedulable', message, signal),
      );
      return;
    }
    const { nodeName, victims } = preemption;
    this.#nominated.set(facts.uid, { facts, nodeName });
    this.#write(tasks, async (signal) => {
      await this.#reportFailure(facts.pod, 'Unschedulable', decision.message, signal, nodeName);
      for (const victim of victims) await this.#evict(victim.pod, facts.pod, nodeName, signal);
    });
  }

  /** Decides with nominated pods that matter as much or more counted in their places. */
  #decide(facts: PodFacts): Decision {
    const kept = [...this.#nominated.values()].filter(
      (other) => other.facts.uid !== facts.uid && other.facts.priority >= facts.priority,
    );
    for (const other of kept) this.#cluster.putPod(other.facts, other.nodeName);
    try {
      const options = { startIndex: this.#startIndex, random: this.#io.random };
      return decide(facts, this.#cluster, options);
    } finally {
      for (const other of kept) this.#cluster.removePod(other.facts.uid);
    }
  }

  async #evict(victim: Pod, by: Pod, nodeName: string, signal: AbortSignal): Promise<void> {
    const { name, namespace, uid } = victim.metadata;
    const { client, clock, events } = this.#io;
    const condition = {
      type: 'DisruptionTarget',
      status: 'True',
      reason: 'PreemptionByScheduler',
      message: `${SCHEDULER_NAME}: preempting to accommodate a higher priority pod`,
      lastTransitionTime: formatTime(clock.nowMs()),
    };
    try {
      await client.patch(
        pods,
        { name, namespace, subresource: 'status' },
        { type: 'strategic', body: { metadata: { uid }, status: { conditions: [condition] } } },
        signal,
      );
      await client.delete(pods, { name, namespace }, { preconditions: { uid } }, signal);
    } catch (error) {
      signal.throwIfAborted();
      // Gone already, or the pod is tried again and finds its victims anew.
      this.#io.log.debug('victim not evicted', { pod: name, error: errorText(error) });
      return;
    }
    const message = `Preempted by pod ${by.metadata.uid} on node ${nodeName}`;
    const event = { type: 'Normal' as const, reason: 'Preempted', message };
    events.record(victim, { ...event, component: SCHEDULER_NAME });
  }

  #write(tasks: TaskScope, run: (signal: AbortSignal) => Promise<void>): void {
    this.#writes++;
    tasks.spawn('write', async (signal) => {
      try {
        await run(signal);
      } finally {
        this.#writes--;
        this.#wake?.();
      }
    });
  }

  async #bind(facts: PodFacts, nodeName: string, signal: AbortSignal): Promise<void> {
    const { name, namespace = '', uid } = facts.pod.metadata;
    try {
      await this.#io.client.createSubresource(
        pods,
        { name, namespace, subresource: 'binding' },
        {
          apiVersion: 'v1',
          kind: 'Binding',
          metadata: { name, namespace, uid },
          target: { apiVersion: 'v1', kind: 'Node', name: nodeName },
        },
        signal,
      );
      this.#queue.remove(uid);
      this.#io.events.record(facts.pod, {
        type: 'Normal',
        reason: 'Scheduled',
        message: `Successfully assigned ${namespace}/${name} to ${nodeName}`,
        component: SCHEDULER_NAME,
      });
    } catch (error) {
      signal.throwIfAborted();
      await this.#bindFailed(facts, error, signal);
    }
  }

  async #bindFailed(facts: PodFacts, error: unknown, signal: AbortSignal): Promise<void> {
    const { uid } = facts.pod.metadata;
    // Still assumed: the watch has not said otherwise meanwhile.
    if (this.#assumed.delete(uid)) {
      this.#cluster.removePod(uid);
      this.#happened('podGone');
    }
    if (isKubeError(error, 'NotFound')) {
      this.#queue.remove(uid); // Deleted before it was bound; the watch will say so, or has.
      return;
    }
    this.#queue.failed(uid, new Set(), this.#io.clock.monotonicMs());
    this.#io.log.warn('binding failed', { pod: facts.pod.metadata.name, error: errorText(error) });
    await this.#reportFailure(facts.pod, 'SchedulerError', errorText(error), signal);
  }

  async #reportFailure(
    pod: Pod,
    reason: 'Unschedulable' | 'SchedulerError',
    message: string,
    signal: AbortSignal,
    nominatedNodeName?: string,
  ): Promise<void> {
    const { events, client, clock } = this.#io;
    const component = SCHEDULER_NAME;
    events.record(pod, { type: 'Warning', reason: 'FailedScheduling', message, component });
    const old = findCondition(pod.status?.conditions, 'PodScheduled');
    const isTold = old?.status === 'False' && old.reason === reason && old.message === message;
    if (isTold && nominatedNodeName === undefined) return;
    const lastTransitionTime =
      old?.status === 'False' ? old.lastTransitionTime : formatTime(clock.nowMs());
    const condition = {
      type: 'PodScheduled',
      status: 'False',
      reason,
      message,
      lastTransitionTime,
    };
    const { name, namespace } = pod.metadata;
    try {
      await client.patch(
        pods,
        { name, namespace, subresource: 'status' },
        {
          type: 'strategic',
          body: {
            status: {
              conditions: [condition],
              ...(nominatedNodeName === undefined ? {} : { nominatedNodeName }),
            },
          },
        },
        signal,
      );
    } catch (error) {
      signal.throwIfAborted();
      // The pod is tried again in any case, and the condition written then.
      this.#io.log.debug('condition not written', { pod: name, error: errorText(error) });
    }
  }
}
