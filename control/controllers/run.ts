/**
 * Runs controllers side by side: each restarts alone, with back-off, when it fails; the informers and
 * the event writer are shared, and their failure ends the run (a handler broke: the state of every
 * controller is in doubt). Called by worker.ts and main.ts.
 */
import type { Clock } from '#base/clock.ts';
import { errorText } from '#base/errors.ts';
import { EventRecorder } from '#base/kube/event-recorder.ts';
import { InformerFactory } from '#base/kube/informer-factory.ts';
import type { KubeClient } from '#base/kube/client.ts';
import type { Log } from '#base/log.ts';
import { TaskScope } from '#base/task-scope.ts';
import { RESTART_BACKOFF_MS_MAX, RESTART_BACKOFF_MS_MIN } from './limits.ts';
import type { Controller, ControllerConfig } from './shared/controller.ts';

export interface RunOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly config: ControllerConfig;
  readonly controllers: readonly Controller[];
  /** Source of events whose controller names none. */
  readonly component: string;
}

/** Runs until aborted, or until what all share fails. */
export async function runControllers(options: RunOptions, signal: AbortSignal): Promise<void> {
  const { client, clock, log, config } = options;
  const informers = new InformerFactory({ client, clock, log });
  const events = new EventRecorder({ client, clock, log }, { component: options.component });
  await using tasks = new TaskScope(signal);
  tasks.spawn('informers', (stop) => informers.run(stop));
  tasks.spawn('events', (stop) => events.run(stop));
  for (const controller of options.controllers) {
    const context = { client, informers, clock, log: log.child(controller.name), events, config };
    tasks.spawn(controller.name, (stop) =>
      keepRunning(controller.name, { clock, log }, stop, (inner) => controller.run(context, inner)),
    );
  }
  await tasks.join();
}

/** Starts `run` again whenever it ends, after a back-off that ten quiet minutes reset. */
export async function keepRunning(
  name: string,
  io: { clock: Clock; log: Log },
  signal: AbortSignal,
  run: (signal: AbortSignal) => Promise<void>,
): Promise<never> {
  let backoffMs = RESTART_BACKOFF_MS_MIN;
  for (;;) {
    const startedMs = io.clock.monotonicMs();
    let failure = 'ended';
    try {
      await run(signal);
    } catch (error) {
      signal.throwIfAborted();
      failure = errorText(error);
    }
    signal.throwIfAborted();
    if (io.clock.monotonicMs() - startedMs > 600_000) backoffMs = RESTART_BACKOFF_MS_MIN;
    io.log.error('task failed, starting it again', { task: name, error: failure, backoffMs });
    await io.clock.sleep(backoffMs, signal);
    backoffMs = Math.min(backoffMs * 2, RESTART_BACKOFF_MS_MAX);
  }
}
