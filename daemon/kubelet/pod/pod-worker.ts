/**
 * Drives one pod from its first sight to its last trace. Every wake-up (API change, runtime event,
 * probe verdict, end of an operation, timer) makes one step: look, plan, start operations, send the
 * status. Steps are synchronous and never overlap; operations run beside each other.
 */
import { errorText } from '#base/errors.ts';
import type { ObjectReference, Pod, PodStatus } from '#base/kube/api/core-v1.gen.ts';
import { objectReference } from '#base/kube/metadata.ts';
import type { PodObjects } from '../api/objects.ts';
import { PodStatusWriter } from '../api/status-writer.ts';
import { PodTokens } from '../api/tokens.ts';
import type { ReferencedObjects } from '../container/env.ts';
import type { FieldFacts } from '../container/fields.ts';
import { qosClass } from '../container/resources.ts';
import { findContainer, latestSandbox } from '../lifecycle/containers.ts';
import {
  completeOperation,
  forgetWaits,
  hasEnded,
  isStill,
  planPod,
} from '../lifecycle/lifecycle.ts';
import {
  EMPTY_MEMORY,
  type Notice,
  type Operation,
  operationKey,
  type Outcome,
  type PodMemory,
  type PodView,
  type Verdict,
} from '../lifecycle/model.ts';
import { podStatus } from '../lifecycle/status.ts';
import { ContainerProbes } from '../probe/container-probes.ts';
import { PodPaths, podName } from '../volume/paths.ts';
import { PodVolumes } from '../volume/pod-volumes.ts';
import type { PodIo } from './io.ts';
import { LastWordsReader } from './last-words-reader.ts';
import { PodOperations } from './operations.ts';

/** Labels, tokens and whatever a lost wake-up left are looked at again this often. */
const REFRESH_MS = 60_000;
/** Upstream's immediateEvictionGracePeriodSeconds. */
const EVICTION_GRACE_MS = 1_000;
/** Upstream's words (pkg/kubelet/nodeshutdown). */
const NODE_SHUTDOWN: Verdict = {
  reason: 'Terminated',
  message: 'Pod was terminated in response to imminent node shutdown.',
  disruption: true,
};

interface Running {
  readonly op: Operation;
  readonly stop: AbortController;
}

export class PodWorker {
  readonly uid: string;
  readonly #io: PodIo;
  readonly #finished: () => void;
  readonly #paths: PodPaths;
  readonly #volumes: PodVolumes;
  readonly #tokens: PodTokens;
  readonly #writer: PodStatusWriter;
  readonly #probes: ContainerProbes;
  readonly #operations: PodOperations;
  readonly #running = new Map<string, Running>();
  readonly #lastWords: LastWordsReader;
  /** Whatever the pod refers to now. */
  readonly #anyObjects: ReferencedObjects = {
    configMap: (name, signal) => this.#objects.configMap(name, signal),
    secret: (name, signal) => this.#objects.secret(name, signal),
  };
  #objects: PodObjects;
  #pod: Pod;
  #removed = false;
  #memory: PodMemory = EMPTY_MEMORY;
  #status: PodStatus;
  #woken = false;
  #done = false;
  #refreshing = false;
  #refreshWanted = false;
  #timer: AbortController | undefined;

  constructor(
    io: PodIo,
    pod: Pod,
    options: { verdict?: Verdict | undefined; finished: () => void },
  ) {
    this.uid = pod.metadata.uid;
    this.#io = io;
    this.#pod = pod;
    this.#finished = options.finished;
    this.#status = pod.status ?? {};
    if (options.verdict !== undefined) this.#memory = { ...EMPTY_MEMORY, verdict: options.verdict };
    this.#paths = new PodPaths(io.settings, podName(pod));
    this.#tokens = new PodTokens(io);
    this.#objects = io.objects.use(pod);
    this.#volumes = new PodVolumes({
      mounter: io.mounter,
      paths: this.#paths,
      sources: {
        objects: this.#anyObjects,
        facts: () => this.#facts(),
        token: (request, signal) => this.#tokens.get(this.#pod, request, signal),
      },
    });
    this.#writer = new PodStatusWriter(io, pod);
    this.#lastWords = new LastWordsReader({
      ...io,
      paths: this.#paths,
      pod: () => this.#pod,
      changed: () => this.wake(),
    });
    this.#probes = new ContainerProbes({
      ...io,
      notice: (notice) => this.#notice(notice),
      changed: () => this.wake(),
    });
    this.#operations = new PodOperations({
      ...io,
      paths: this.#paths,
      volumes: this.#volumes,
      podObjects: this.#anyObjects,
      writer: this.#writer,
      scene: () => ({ ...this.#records(), pod: this.#pod, facts: this.#facts() }),
      notice: (notice) => this.#notice(notice),
    });
  }

  get pod(): Pod {
    return this.#pod;
  }

  /** As last computed: what /pods shows, and what admission counts. */
  get status(): PodStatus {
    return this.#status;
  }

  /** Nothing of it will run again. */
  get ended(): boolean {
    return hasEnded(this.#look(), this.#memory);
  }

  /** It has ended, and its volumes and its network are gone. */
  get isReleased(): boolean {
    const isReady = this.#records().sandboxes.some(({ state }) => state === 'ready');
    return this.ended && this.#memory.volumesReleased && !isReady;
  }

  /** The API knows how it ended: nothing of it is needed here any more. */
  get isForgettable(): boolean {
    const { phase } = this.#pod.status ?? {};
    return this.isReleased && (phase === 'Succeeded' || phase === 'Failed');
  }

  get paths(): PodPaths {
    return this.#paths;
  }

  get objectKeys(): ReadonlySet<string> {
    return this.#objects.keys;
  }

  /** The API has a new version of the pod. */
  update(pod: Pod): void {
    const changed = pod.metadata.generation !== this.#pod.metadata.generation;
    const refresh =
      changed ||
      JSON.stringify([pod.metadata.labels, pod.metadata.annotations]) !==
        JSON.stringify([this.#pod.metadata.labels, this.#pod.metadata.annotations]);
    this.#pod = pod;
    this.#writer.observe(pod);
    if (changed) this.#useObjects();
    if (refresh) this.#memory = forgetWaits(this.#memory);
    if (refresh) this.#refreshVolumes();
    this.wake();
  }

  /** The object is gone from the API. */
  remove(): void {
    this.#removed = true;
    this.wake();
  }

  /** The node ends the pod: it will be Failed. False when it is ending anyway. */
  fail(verdict: Verdict): boolean {
    if (this.#memory.verdict !== undefined || this.#memory.endingSinceMs !== undefined)
      return false;
    this.#judge(verdict);
    return true;
  }

  /** The node needs what the pod holds, at once: also of one that is taking its time to end. */
  evict(verdict: Verdict): boolean {
    const { metadata } = this.#pod;
    const quick = { ...verdict, graceMs: EVICTION_GRACE_MS };
    if (metadata.deletionTimestamp === undefined) return this.fail(quick);
    if (this.#memory.verdict !== undefined || this.ended) return false;
    this.#judge(quick);
    return true;
  }

  #judge(verdict: Verdict): void {
    this.#memory = { ...this.#memory, verdict };
    const { reason, message } = verdict;
    this.#notice({ type: 'Warning', reason, message });
    this.wake();
  }

  /**
   * The node goes down: what runs stops within the grace of the pod and `graceMsMax`, nothing starts. A
   * pod that would not be started again as a whole is Failed, as upstream does, so that its owner
   * replaces it; one that has not run yet waits for its node.
   */
  endWithNode(graceMsMax: number): void {
    const known = this.#memory.nodeEnd?.graceMsMax ?? graceMsMax;
    this.#memory = { ...this.#memory, nodeEnd: { graceMsMax: Math.min(known, graceMsMax) } };
    const hasRun = this.#records().containers.length > 0;
    const isRestarted = (this.#pod.spec.restartPolicy ?? 'Always') === 'Always';
    if (hasRun && !isRestarted) this.fail(NODE_SHUTDOWN);
    this.wake();
  }

  /** Nothing of it runs, nor is being started, and its status has been told to the writer. */
  get isStill(): boolean {
    const { initContainerStatuses = [], containerStatuses = [] } = this.#status;
    const told = [...initContainerStatuses, ...containerStatuses];
    return isStill(this.#look()) && told.every(({ state }) => state?.running === undefined);
  }

  /** Resolves when the API has the newest status, or the pod is gone. */
  flush(): Promise<void> {
    return this.#writer.flush();
  }

  /** An object that the pod refers to has changed. */
  objectChanged(): void {
    this.#memory = forgetWaits(this.#memory);
    this.#refreshVolumes();
    this.wake();
  }

  /** Asks for a step soon; many wakes make one step. */
  wake(): void {
    if (this.#woken || this.#done) return;
    this.#woken = true;
    queueMicrotask(() => {
      this.#woken = false;
      if (!this.#done && !this.#io.tasks.signal.aborted) this.#step();
    });
  }

  #useObjects(): void {
    const fresh = this.#io.objects.use(this.#pod);
    this.#objects[Symbol.dispose]();
    this.#objects = fresh;
  }

  #records() {
    const { runtime } = this.#io;
    return {
      sandboxes: runtime.listSandboxes().filter((s) => s.podUid === this.uid),
      containers: runtime.listContainers().filter((c) => c.podUid === this.uid),
    };
  }

  #view(): PodView {
    return { ...this.#look(), resizeRefusal: this.#io.mayResize(this.#pod) };
  }

  /** The pod by itself; what other pods ask of this one must not ask others again. */
  #look(): PodView {
    const { sandboxes, containers } = this.#records();
    const byId = new Map(containers.map((c) => [c.id, c]));
    return {
      pod: this.#withStartTime(),
      removed: this.#removed,
      sandboxes,
      containers,
      probe: (id) => {
        const container = byId.get(id);
        return container === undefined
          ? { started: false, ready: false, failed: undefined }
          : this.#probes.verdict(this.#pod, container);
      },
      inFlight: [...this.#running.values()].map((r) => r.op),
      nowMs: this.#io.clock.nowMs(),
    };
  }

  /** The deadline counts from our start time, also before the server has heard of it. */
  #withStartTime(): Pod {
    const { status } = this.#pod;
    if (status?.startTime !== undefined || this.#status.startTime === undefined) return this.#pod;
    return { ...this.#pod, status: { ...status, startTime: this.#status.startTime } };
  }

  #facts(): FieldFacts {
    const { nodeName, hostIPs, allocatable } = this.#io.node;
    const podIPs =
      this.#pod.spec.hostNetwork === true
        ? hostIPs
        : (latestSandbox(this.#records().sandboxes)?.ips ?? []);
    return { nodeName, hostIPs, allocatable, podIPs };
  }

  #step(): void {
    this.#timer?.abort(new Error('a step was made'));
    const before = this.#view();
    if (this.#lastWords.listen(before.containers)) return;
    const plan = planPod(before, this.#memory);
    this.#memory = plan.memory;
    for (const notice of plan.notices) this.#notice(notice);
    for (const key of plan.cancel)
      this.#running.get(key)?.stop.abort(new Error('not wanted any more'));
    for (const op of plan.start) this.#begin(op);
    const view = this.#view();
    this.#syncProbes(view);
    this.#sendStatus(this.#view());
    if (plan.done) this.#finish();
    else this.#setTimer(plan.wakeAtMs);
  }

  #begin(op: Operation): void {
    const key = operationKey(op);
    this.#running.get(key)?.stop.abort(new Error('replaced'));
    const running: Running = { op, stop: new AbortController() };
    this.#running.set(key, running);
    const { name, namespace } = this.#pod.metadata;
    this.#io.log.debug('operation', { pod: `${namespace}/${name}`, operation: key });
    this.#io.tasks.spawn(`${key} of pod ${namespace}/${name}`, async (signal) => {
      const either = AbortSignal.any([signal, running.stop.signal]);
      const outcome = await this.#operations.execute(op, either);
      signal.throwIfAborted();
      this.#end(running, outcome);
    });
  }

  #end(running: Running, outcome: Outcome): void {
    const key = operationKey(running.op);
    if (this.#running.get(key) === running) this.#running.delete(key);
    const nowMs = this.#io.clock.nowMs();
    this.#memory = completeOperation(this.#memory, running.op, { outcome, nowMs });
    this.wake();
  }

  #syncProbes(view: PodView): void {
    const { endingSinceMs, nodeEnd } = this.#memory;
    const ending = endingSinceMs !== undefined || nodeEnd !== undefined;
    const { containers } = view;
    this.#probes.sync({ pod: this.#pod, podIP: this.#facts().podIPs[0] ?? '', containers, ending });
  }

  #sendStatus(view: PodView): void {
    this.#status = podStatus({
      view,
      memory: this.#memory,
      ended: hasEnded(view, this.#memory),
      previous: this.#status,
      hostIPs: this.#io.node.hostIPs,
      qosClass: this.#status.qosClass ?? qosClass(this.#pod),
      terminationMessage: (id) => this.#lastWords.get(id),
      image: (id) => {
        const image = this.#io.images.find(id);
        if (image === undefined) return undefined;
        return { name: image.tags[0] ?? image.id, id: image.digests[0] ?? image.id };
      },
    });
    if (!this.#removed) this.#writer.send(this.#status);
  }

  #setTimer(wakeAtMs: number | undefined): void {
    const timer = new AbortController();
    this.#timer = timer;
    const nowMs = this.#io.clock.nowMs();
    const waitMs = Math.min(Math.max((wakeAtMs ?? Infinity) - nowMs, 1), REFRESH_MS);
    this.#io.tasks.spawn('pod timer', async (signal) => {
      try {
        await this.#io.clock.sleep(waitMs, AbortSignal.any([signal, timer.signal]));
      } catch (error) {
        if (timer.signal.aborted) return; // A step came first.
        throw error;
      }
      if (waitMs === REFRESH_MS) this.#refreshVolumes();
      this.wake();
    });
  }

  /** Brings volumes up to date with the API; at most one at a time, and one after it. */
  #refreshVolumes(): void {
    if (!this.#memory.volumesMounted || this.#memory.endingSinceMs !== undefined) return;
    this.#refreshWanted = true;
    if (this.#refreshing) return;
    this.#refreshing = true;
    this.#io.tasks.spawn('refresh volumes', async (signal) => {
      while (this.#refreshWanted && this.#memory.endingSinceMs === undefined) {
        this.#refreshWanted = false;
        await this.#refreshOnce(signal);
      }
      this.#refreshing = false;
    });
  }

  async #refreshOnce(signal: AbortSignal): Promise<void> {
    const pod = this.#pod;
    try {
      await this.#volumes.refresh(pod, signal);
    } catch (error) {
      signal.throwIfAborted();
      // The last content stays; the next change or the timer tries again.
      this.#io.log.info('volume not refreshed', {
        pod: `${pod.metadata.namespace}/${pod.metadata.name}`,
        error: errorText(error),
      });
    }
  }

  #notice(notice: Notice): void {
    const { type, reason, message } = notice;
    this.#io.events.record(this.#about(notice.container), { type, reason, message });
  }

  /** Events of a container point at its place in the pod. */
  #about(container: string | undefined): ObjectReference {
    const reference = objectReference(this.#pod);
    const found = container === undefined ? undefined : findContainer(this.#pod, container);
    if (found === undefined) return reference;
    const list =
      found.role === 'main'
        ? 'containers'
        : found.role === 'ephemeral'
          ? 'ephemeralContainers'
          : 'initContainers';
    return { ...reference, fieldPath: `spec.${list}{${container}}` };
  }

  #finish(): void {
    this.#done = true;
    this.#probes.stop();
    this.#objects[Symbol.dispose]();
    this.#io.tasks.spawn('remove logs', async () => {
      try {
        await this.#operations.removeLogs();
      } catch (error) {
        this.#io.log.warn('logs not removed', { error: errorText(error) });
      }
    });
    this.#finished();
  }
}
