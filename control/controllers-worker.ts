/**
 * Starts the worker thread of scheduler and controllers and gives it a port to the API server, over
 * which it acts as a member of system:masters.
 */
import { existsSync } from 'node:fs';
import { MessageChannel, Worker } from 'node:worker_threads';
import type { Log } from '#base/log.ts';
import { type ApiServer, GROUP_MASTERS } from '#control/api/api.ts';
import type { ControlConfig } from './config.ts';

export interface ControllersHandle {
  /** Rejects when the worker died. */
  readonly failed: Promise<never>;
  stop(): Promise<void>;
}

const CONTROLLERS = {
  name: 'system:kube-controller-manager',
  uid: '',
  groups: [GROUP_MASTERS, 'system:authenticated'],
  extra: {},
};
const STOP_MS = 1_000;

export function startControllers(parts: {
  api: ApiServer;
  config: ControlConfig;
  log: Log;
}): ControllersHandle {
  const file = new URL('./controllers/worker.ts', import.meta.url);
  if (!existsSync(file)) {
    return { failed: new Promise<never>(() => {}), stop: () => Promise.resolve() };
  }
  const { api, config, log } = parts;
  const { port1, port2 } = new MessageChannel();
  const served = api.servePort(port1, CONTROLLERS);
  const worker = new Worker(file, {
    workerData: { config, port: port2 },
    transferList: [port2],
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
      served[Symbol.dispose]();
      port1.close();
    },
  };
}
