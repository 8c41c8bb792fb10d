/**
 * What every controller is made of: the ports it may use, and the loop that runs one queue of keys
 * against handlers of informers. A controller is a function that runs until aborted; whatever it
 * subscribed to is released when it ends, so that it can be started again.
 */
import type { Clock } from '#base/clock.ts';
import type { KubeClient } from '#base/kube/client.ts';
import type { EventRecorder } from '#base/kube/event-recorder.ts';
import type { InformerFactory } from '#base/kube/informer-factory.ts';
import { runWorkers, WorkQueue } from '#base/kube/work-queue.ts';
import type { Log } from '#base/log.ts';

/** The part of the control process's CONFIG.json that controllers read. */
export interface ControllerConfig {
  readonly podCidr: string;
  readonly serviceCidr: string;
  /** PEM of the cluster CA, read anew at each use. */
  readonly readRootCa: () => string;
  /** PEM of its private key; absent = nothing is signed. */
  readonly readRootCaKey?: (() => string) | undefined;
  /** PEM of the private key that signs service-account tokens; absent = no token secrets. */
  readonly readServiceAccountKey?: (() => string) | undefined;
}

export interface ControllerContext {
  readonly client: KubeClient;
  readonly informers: InformerFactory;
  readonly clock: Clock;
  readonly log: Log;
  readonly events: EventRecorder;
  readonly config: ControllerConfig;
}

export interface Controller {
  /** Upstream's name of it, as in `--controllers`. */
  readonly name: string;
  run(context: ControllerContext, signal: AbortSignal): Promise<void>;
}

interface Syncable {
  waitForSync(signal: AbortSignal): Promise<void>;
}

export interface QueueController {
  readonly name: string;
  readonly workers: number;
  /** All must have synced before the first key is handled. */
  readonly informers: readonly Syncable[];
  /** Adds handlers that fill the queue. */
  readonly subscribe: (queue: WorkQueue) => readonly Disposable[];
  readonly sync: (key: string, signal: AbortSignal) => Promise<number | void>;
}

export async function runQueueController(
  context: ControllerContext,
  spec: QueueController,
  signal: AbortSignal,
): Promise<void> {
  using stack = new DisposableStack();
  const queue = stack.use(new WorkQueue(context.clock));
  for (const subscription of spec.subscribe(queue)) stack.use(subscription);
  await Promise.all(spec.informers.map((informer) => informer.waitForSync(signal)));
  const { name, workers, sync } = spec;
  await runWorkers({ name, queue, workers, log: context.log, sync }, signal);
}
