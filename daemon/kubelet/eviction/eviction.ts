/**
 * Keeps the node alive when it runs short of memory, disk or processes: says so in its conditions, takes no
 * pods, makes room by itself (records of pods that have ended, unused images), and at last evicts one pod
 * after the other. Pods that hold more of the disk than their own limits allow are evicted at any time. As
 * upstream's eviction manager (pkg/kubelet/eviction) with hard thresholds alone.
 */
import type { Clock } from '#base/clock.ts';
import { errorText } from '#base/errors.ts';
import type { Log } from '#base/log.ts';
import type { ContainerRuntime } from '../../runtime/port.ts';
import type { ImageGc } from '../image/image-gc.ts';
import type { Notice } from '../lifecycle/model.ts';
import type { Pressure } from '../node/node-facts.ts';
import type { PodWorker } from '../pod/pod-worker.ts';
import { readPodUsage } from './pod-usage.ts';
import { evictionMessage, hasDiskLimit, isCritical, overLimit, rank } from './rank.ts';
import {
  type LastSeen,
  type Observations,
  pressuresOf,
  type PressureType,
  seenNow,
  type Shortage,
  shortagesOf,
  type Thresholds,
} from './signals.ts';

const LOOK_MS = 10_000;
/** For an evicted pod to let go of what it holds, before the next is chosen. */
const CLEANUP_MS_MAX = 30_000;
const CLEANUP_LOOK_MS = 500;

export interface EvictionSettings {
  readonly thresholds: Thresholds;
  readonly transitionMs: number;
  /** What pods together may use. */
  readonly podsMemoryBytes: number;
}

export interface EvictionIo {
  readonly clock: Clock;
  readonly log: Log;
  readonly runtime: Pick<
    ContainerRuntime,
    'listContainers' | 'listSandboxes' | 'removeSandbox' | 'stats' | 'writableLayer'
  >;
  readonly imageGc: Pick<ImageGc, 'removeUnused'>;
  readonly pressure: () => Pressure;
  /** An event of the node. */
  readonly notice: (notice: Notice) => void;
}

/** Those that come into being after the conditions are first asked for. */
export interface Dependants {
  readonly workers: () => Iterable<PodWorker>;
  /** The conditions have changed. */
  readonly changed: () => void;
}

export class EvictionManager {
  readonly #io: EvictionIo;
  readonly #settings: EvictionSettings;
  #seen: LastSeen = {};
  #pressures: readonly PressureType[] = [];

  constructor(io: EvictionIo, settings: EvictionSettings) {
    this.#io = io;
    this.#settings = settings;
    this.#look();
  }

  /** The conditions of the node that hold. */
  get pressures(): readonly PressureType[] {
    return this.#pressures;
  }

  async run(dependants: Dependants, signal: AbortSignal): Promise<void> {
    for (;;) {
      try {
        const evicted = await this.step(dependants, signal);
        if (evicted.length > 0) {
          await this.#waitReleased(evicted, signal);
          continue;
        }
      } catch (error) {
        signal.throwIfAborted();
        this.#io.log.warn('node not relieved', { error: errorText(error) });
      }
      await this.#io.clock.sleep(LOOK_MS, signal);
    }
  }

  /** Looks once, and does what is needed; the pods that it evicted. */
  async step(dependants: Dependants, signal: AbortSignal): Promise<readonly PodWorker[]> {
    const before = this.#pressures.join();
    const shortages = this.#look();
    if (this.#pressures.join() !== before) dependants.changed();
    const workers = [...dependants.workers()];
    const overLimits = await this.#evictOverLimits(workers);
    if (overLimits.length > 0) return overLimits;
    const [shortage] = shortages;
    if (shortage === undefined) return [];
    const { resource, signal: name } = shortage;
    this.#io.log.warn('node is short of a resource', { resource, signal: name });
    this.#io.notice({
      type: 'Warning',
      reason: 'EvictionThresholdMet',
      message: `Attempting to reclaim ${resource}`,
    });
    if (isOfDisk(shortage)) {
      await this.#makeRoom(workers, signal);
      if (shortagesOf(this.#settings.thresholds, this.#observe()).length === 0) return [];
    }
    return await this.#evictOne(workers, shortage);
  }

  /** Brings the conditions up to date. */
  #look(): readonly Shortage[] {
    const { thresholds, transitionMs } = this.#settings;
    const nowMs = this.#io.clock.monotonicMs();
    const shortages = shortagesOf(thresholds, this.#observe());
    this.#seen = seenNow(this.#seen, shortages, nowMs);
    this.#pressures = pressuresOf(this.#seen, transitionMs, nowMs);
    return shortages;
  }

  #observe(): Observations {
    const { runtime } = this.#io;
    const now = this.#io.pressure();
    const disk = { available: now.diskAvailableBytes, capacity: now.diskBytes };
    // File systems without a fixed number of inodes report none.
    const inodes = now.inodes > 0 ? { available: now.inodesFree, capacity: now.inodes } : undefined;
    const capacity = this.#settings.podsMemoryBytes;
    const used = runtime
      .listContainers()
      .reduce((sum, { id }) => sum + (runtime.stats(id)?.memoryWorkingSetBytes ?? 0), 0);
    return {
      'memory.available': { available: now.memoryAvailableBytes, capacity: now.memoryBytes },
      'allocatableMemory.available': { available: Math.max(0, capacity - used), capacity },
      'nodefs.available': disk,
      'imagefs.available': disk,
      ...(inodes && { 'nodefs.inodesFree': inodes, 'imagefs.inodesFree': inodes }),
      'pid.available': { available: now.pidsFree, capacity: now.pidsMax },
    };
  }

  async #evictOverLimits(workers: readonly PodWorker[]): Promise<PodWorker[]> {
    const evicted: PodWorker[] = [];
    for (const worker of workers.filter(({ ended, pod }) => !ended && hasDiskLimit(pod))) {
      const usage = await readPodUsage(this.#io, worker, { disk: true });
      const message = overLimit({ pod: worker.pod, usage });
      if (message !== undefined && this.#evict(worker, message, {})) evicted.push(worker);
    }
    return evicted;
  }

  /** What can go without anybody missing it: what ended pods left, and unused images. */
  async #makeRoom(workers: readonly PodWorker[], signal: AbortSignal): Promise<void> {
    const { runtime, imageGc } = this.#io;
    const left = new Set(workers.filter((w) => w.isForgettable).map(({ uid }) => uid));
    for (const { id, podUid } of runtime.listSandboxes()) {
      if (left.has(podUid)) await runtime.removeSandbox(id, signal);
    }
    await imageGc.removeUnused(signal);
  }

  /** At most one at a time: each takes a load off the node. */
  async #evictOne(
    workers: readonly PodWorker[],
    shortage: Shortage,
  ): Promise<readonly PodWorker[]> {
    const candidates = [];
    for (const worker of workers.filter(({ ended }) => !ended)) {
      const usage = await readPodUsage(this.#io, worker, { disk: isOfDisk(shortage) });
      candidates.push({ worker, pod: worker.pod, usage });
    }
    for (const candidate of rank(candidates, shortage.resource)) {
      const message = evictionMessage(candidate, shortage);
      if (this.#evict(candidate.worker, message, { disruption: true })) return [candidate.worker];
    }
    this.#io.log.warn('no pod can be evicted', { signal: shortage.signal });
    return [];
  }

  #evict(worker: PodWorker, message: string, why: { disruption?: true }): boolean {
    if (isCritical(worker.pod)) return false;
    const { namespace, name } = worker.pod.metadata;
    this.#io.log.warn('evicting a pod', { pod: `${namespace}/${name}`, message });
    return worker.evict({ reason: 'Evicted', message, ...why });
  }

  async #waitReleased(workers: readonly PodWorker[], signal: AbortSignal): Promise<void> {
    const { clock } = this.#io;
    const endMs = clock.monotonicMs() + CLEANUP_MS_MAX;
    while (workers.some((worker) => !worker.isReleased) && clock.monotonicMs() < endMs) {
      await clock.sleep(CLEANUP_LOOK_MS, signal);
    }
  }
}

function isOfDisk({ resource }: Shortage): boolean {
  return resource === 'ephemeral-storage' || resource === 'inodes';
}
