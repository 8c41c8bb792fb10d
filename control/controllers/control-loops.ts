/**
 * Everything that decides in the control plane beside the API server: the controllers and the
 * scheduler, each group with a client (identity) of its own. Called by worker.ts and main.ts.
 */
import type { Clock } from '#base/clock.ts';
import type { KubeClient } from '#base/kube/client.ts';
import type { Log } from '#base/log.ts';
import { TaskScope } from '#base/task-scope.ts';
import { allControllers } from './controllers.ts';
import { keepRunning, runControllers } from './run.ts';
import type { ControllerConfig } from './shared/controller.ts';

export interface ControlLoopsOptions {
  readonly controllersClient: KubeClient;
  readonly schedulerClient: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly config: ControllerConfig;
}

export async function runControlLoops(
  options: ControlLoopsOptions,
  signal: AbortSignal,
): Promise<void> {
  const { clock, config } = options;
  const log = options.log.child('controllers');
  await using tasks = new TaskScope(signal);
  tasks.spawn('controllers', (stop) =>
    keepRunning('controllers', { clock, log }, stop, (inner) =>
      runControllers(
        {
          client: options.controllersClient,
          clock,
          log,
          config,
          controllers: allControllers,
          component: 'controller-manager',
        },
        inner,
      ),
    ),
  );
  await tasks.join();
}
