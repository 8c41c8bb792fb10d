/**
 * Starts the worker thread of scheduler and controllers and gives it two ports to the API server: what
 * comes over the first acts as the controller manager, a member of system:masters, what comes over the
 * second as the scheduler.
 */
import { MessageChannel, Worker } from 'node:worker_threads';
import type { Log } from '#base/log.ts';
import { type ApiServer, GROUP_MASTERS } from '#control/api/api.ts';
import type { ControlConfig } from './config.ts';

export interface ControllersHandle {
  /** Rejects when the worker died. */
  readonly failed: Promise<never>;
  stop(): Promise<void>;
}

/** Whom the requests on each port come from. */
const IDENTITIES = {
  controllers: identity('system:kube-controller-manager', [GROUP_MASTERS]),
  scheduler: identity('system:kube-scheduler', []),
};

function identity(name: string, groups: readonly string[]) {
  return { name, uid: '', groups: [...groups, 'system:authenticated'], extra: {} };
}

const STOP_MS = 1_000;

export function startControllers(parts: {
  api: ApiServer;
  config: ControlConfig;
  log: Log;
}): ControllersHandle {
  const { api, config, log } = parts;
  const controllers = new MessageChannel();
  const scheduler = new MessageChannel();
  const served = [
    api.servePort(controllers.port1, IDENTITIES.controllers),
    api.servePort(scheduler.port1, IDENTITIES.scheduler),
  ];
  const worker = new Worker(new URL('./controllers/worker.ts', import.meta.url), {
    workerData: {
      controllersPort: controllers.port2,
      schedulerPort: scheduler.port2,
      pkiDir: config.pkiDir,
      podCidr: config.podCidr,
      serviceCidr: config.serviceCidr,
      logLevel: config.logLevel,
    },
    transferList: [controllers.port2, scheduler.port2],
    name: 'controllers',
  });
  let stopping = false;
  const failed = new Promise<never>((_resolve, reject) => {
    worker.on('error', (error) => reject(new Error('controllers failed', { cause: error })));
    worker.on('exit', (code) => {
      if (!stopping) reject(new Error(`controllers ended with code ${code}`));
    });
  });
  log.info('controllers started');
  return {
    failed,
    async stop() {
      stopping = true;
      const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
      worker.postMessage('stop');
      const timer = setTimeout(() => {
        worker.terminate().catch((error: unknown) => log.warn('cannot end controllers', { error }));
      }, STOP_MS);
      await exited;
      clearTimeout(timer);
      for (const port of served) port[Symbol.dispose]();
      controllers.port1.close();
      scheduler.port1.close();
    },
  };
}
