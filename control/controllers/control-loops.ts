/**
 * Everything that decides in the control plane beside the API server: the controllers and the
 * scheduler, over shared informers. The scheduler writes under an identity of its own. Called by
 * worker.ts and main.ts. Public face of control/controllers for control/main.ts.
 */
import type { Clock } from '#base/clock.ts';
import type { KubeClient } from '#base/kube/client.ts';
import type { Log } from '#base/log.ts';
import { runScheduler } from '#control/scheduler/scheduler.ts';
import { allControllers } from './controllers.ts';
import { keepRunning, runControllers } from './run.ts';
import type { Controller, ControllerConfig } from './shared/controller.ts';

export interface ControlLoopsOptions {
  /** As system:kube-controller-manager in group system:masters. */
  readonly controllersClient: KubeClient;
  /** As system:kube-scheduler. */
  readonly schedulerClient: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly config: ControllerConfig;
}

function schedulerTask(client: KubeClient): Controller {
  return {
    name: 'scheduler',
    run: ({ informers, events, clock, log }, signal) =>
      runScheduler({ client, informers, events, clock, log, random: Math.random }, signal),
  };
}

/** Runs until aborted. */
export function runControlLoops(options: ControlLoopsOptions, signal: AbortSignal): Promise<never> {
  const { clock, config } = options;
  const log = options.log.child('controllers');
  const run = {
    client: options.controllersClient,
    clock,
    log,
    config,
    controllers: [schedulerTask(options.schedulerClient), ...allControllers],
    component: 'controller-manager',
  };
  return keepRunning('controllers', { clock, log }, signal, (stop) => runControllers(run, stop));
}
