/**
 * All pods of this node: one worker for each pod that the API has bound here, from its first sight
 * until its last trace. Admission happens once, at first sight of a pod that has not run yet. At
 * start, what the runtime or the disk has of pods that the API does not know is taken down, logs too.
 */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { errorText, isErrno } from '#base/errors.ts';
import type { Node, Pod } from '#base/kube/api/core-v1.gen.ts';
import type { Informer } from '#base/kube/informer.ts';
import type { PressureType } from '../eviction/signals.ts';
import type { ResizeRefusal, Verdict } from '../lifecycle/model.ts';
import { refuse, refuseResize } from '../node/admission.ts';
import { podDirectory, podsDirectory, uidOfLogDirectory } from '../volume/paths.ts';
import { podDirectories, removePodDirectory } from '../volume/pod-volumes.ts';
import type { PodIo } from './io.ts';
import { PodWorker } from './pod-worker.ts';

const ORPHAN_LOOK_MS = 60_000;
/** Upstream's SystemCriticalPriority: pods of at least this end last. */
const CRITICAL_PRIORITY = 2_000_000_000;
/** Of the grace of a node that goes down, kept for critical pods: upstream's usual third, bounded. */
const CRITICAL_MS_MAX = 10_000;
/** Beyond the grace: SIGKILL and the records of it take their time. */
const KILL_MS = 3_000;
const FLUSH_MS = 2_000;
const LOOK_MS = 50;

export class PodManager {
  readonly #io: PodIo;
  readonly #informer: Informer<Pod>;
  readonly #node: () => Node | undefined;
  readonly #pressures: () => readonly PressureType[];
  /** By UID. */
  readonly #workers = new Map<string, PodWorker>();
  /** The node goes down: nothing starts any more, and what stops has so much time. */
  #endGraceMs: number | undefined;

  constructor(
    io: Omit<PodIo, 'mayResize'>,
    informer: Informer<Pod>,
    facts: { node: () => Node | undefined; pressures: () => readonly PressureType[] },
  ) {
    this.#io = { ...io, mayResize: (pod) => this.#refuseResize(pod) };
    this.#informer = informer;
    this.#node = facts.node;
    this.#pressures = facts.pressures;
  }

  get workers(): IterableIterator<PodWorker> {
    return this.#workers.values();
  }

  /** The worker of a pod by name, the newest if a name was used again. */
  find(namespace: string, name: string, uid?: string): PodWorker | undefined {
    return [...this.#workers.values()].findLast(
      ({ pod }) =>
        pod.metadata.name === name &&
        pod.metadata.namespace === namespace &&
        (uid === undefined || pod.metadata.uid === uid),
    );
  }

  /** Runs until aborted. The informer must be running. */
  async run(signal: AbortSignal): Promise<void> {
    await this.#informer.waitForSync(signal);
    using _pods = this.#informer.addHandler({
      onAdd: (pod) => this.#seen(pod),
      onUpdate: (pod) => this.#seen(pod),
      onDelete: (pod) => this.#workers.get(pod.metadata.uid)?.remove(),
    });
    using _runtime = this.#io.runtime.onChange((change) => this.#runtimeChanged(change.sandboxId));
    using _objects = this.#io.objects.onChange((key) => {
      for (const worker of this.#workers.values()) {
        if (worker.objectKeys.has(key)) worker.objectChanged();
      }
    });
    for (;;) {
      await this.#removeOrphans(signal);
      await this.#io.clock.sleep(ORPHAN_LOOK_MS, signal);
    }
  }

  /** The node goes down: pods that are seen from here on are not started. */
  hold(graceMs: number): void {
    this.#endGraceMs ??= graceMs;
  }

  /**
   * Ends all pods with grace: first ordinary ones, then critical ones, together within `graceMs`.
   * Resolves when nothing runs and the API knows, or when the time is over; tells what still runs.
   */
  async endWithNode(graceMs: number, signal: AbortSignal): Promise<readonly Pod[]> {
    this.hold(graceMs);
    const criticalMs = Math.min(CRITICAL_MS_MAX, graceMs / 3);
    const isCritical = ({ pod }: PodWorker) => (pod.spec.priority ?? 0) >= CRITICAL_PRIORITY;
    const ordinary = [...this.#workers.values()].filter((worker) => !isCritical(worker));
    await this.#endWorkers(ordinary, graceMs - criticalMs, signal);
    const critical = [...this.#workers.values()].filter(isCritical);
    await this.#endWorkers(critical, criticalMs, signal);
    const all = [...this.#workers.values()];
    const flushed = Promise.all(all.map((worker) => worker.flush()));
    await Promise.race([flushed, this.#io.clock.sleep(FLUSH_MS, signal)]);
    return all.filter((worker) => !worker.isStill).map((worker) => worker.pod);
  }

  async #endWorkers(workers: readonly PodWorker[], graceMs: number, signal: AbortSignal) {
    const { clock } = this.#io;
    const endMs = clock.monotonicMs() + graceMs + KILL_MS;
    for (const worker of workers) worker.endWithNode(graceMs);
    while (workers.some((worker) => !worker.isStill) && clock.monotonicMs() < endMs) {
      await clock.sleep(LOOK_MS, signal);
    }
  }

  #seen(pod: Pod): void {
    const known = this.#workers.get(pod.metadata.uid);
    if (known !== undefined) {
      known.update(pod);
      return;
    }
    // A name that is used again: what was there before is gone from the API.
    for (const worker of this.#workers.values()) {
      const { metadata } = worker.pod;
      if (metadata.name === pod.metadata.name && metadata.namespace === pod.metadata.namespace) {
        worker.remove();
      }
    }
    const { uid } = pod.metadata;
    const verdict = this.#admit(pod);
    const finished = () => this.#workers.delete(uid);
    const worker = new PodWorker(this.#io, pod, { verdict, finished });
    this.#workers.set(uid, worker);
    if (verdict !== undefined) {
      const { reason, message } = verdict;
      this.#io.events.record(pod, { type: 'Warning', reason, message });
    }
    if (this.#endGraceMs !== undefined) worker.endWithNode(this.#endGraceMs);
    worker.wake();
  }

  /** A pod that has run here before, or is ending anyway, is not asked again. */
  #admit(pod: Pod): Verdict | undefined {
    const node = this.#node();
    const { phase, startTime } = pod.status ?? {};
    if (node === undefined || startTime !== undefined || phase === 'Failed') return undefined;
    if (pod.metadata.deletionTimestamp !== undefined) return undefined;
    if (this.#io.runtime.listSandboxes().some((s) => s.podUid === pod.metadata.uid))
      return undefined;
    const { allocatable } = this.#io.node;
    const pressures = this.#pressures();
    return refuse({ pod, others: this.#others(pod), node, allocatable, pressures });
  }

  /** Pods that hold resources, but for this one. */
  #others(pod: Pod): Pod[] {
    return [...this.#workers.values()]
      .filter((w) => !w.ended && w.uid !== pod.metadata.uid)
      .map((w) => w.pod);
  }

  #refuseResize(pod: Pod): ResizeRefusal | undefined {
    // Asked at every step of every pod; only a pod that was changed since it began can be resized.
    if ((pod.metadata.generation ?? 1) <= 1) return undefined;
    const { allocatable } = this.#io.node;
    return refuseResize({ pod, others: this.#others(pod), allocatable });
  }

  #runtimeChanged(sandboxId: string): void {
    const sandbox = this.#io.runtime.listSandboxes().find((s) => s.id === sandboxId);
    if (sandbox !== undefined) this.#workers.get(sandbox.podUid)?.wake();
    // A sandbox that is gone cannot be asked whose it was.
    else for (const worker of this.#workers.values()) worker.wake();
  }

  async #removeOrphans(signal: AbortSignal): Promise<void> {
    const { runtime, settings, mounter } = this.#io;
    for (const sandbox of runtime.listSandboxes()) {
      if (this.#workers.has(sandbox.podUid)) continue;
      await this.#try('remove orphaned sandbox', async () => {
        await runtime.stopSandbox(sandbox.id, signal);
        await runtime.removeSandbox(sandbox.id, signal);
      });
    }
    for (const name of await logDirectories(settings.logDir)) {
      const uid = uidOfLogDirectory(name);
      if (uid === undefined || this.#workers.has(uid)) continue;
      if (runtime.listSandboxes().some((sandbox) => sandbox.podUid === uid)) continue;
      await this.#try('remove orphaned logs', () =>
        rm(join(settings.logDir, name), { recursive: true, force: true }),
      );
    }
    for (const uid of await podDirectories(podsDirectory(settings.dataDir))) {
      if (this.#workers.has(uid)) continue;
      await this.#try('remove orphaned pod directory', () =>
        removePodDirectory(mounter, podDirectory(settings.dataDir, uid)),
      );
    }
    signal.throwIfAborted();
  }

  /** One that cannot be removed must not keep the others; the next round tries again. */
  async #try(what: string, run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      if (this.#io.tasks.signal.aborted) throw error;
      this.#io.log.warn(`cannot ${what}`, { error: errorText(error) });
    }
  }
}

async function logDirectories(logDir: string): Promise<string[]> {
  try {
    return await readdir(logDir);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return []; // No pod has run yet.
    throw error;
  }
}
