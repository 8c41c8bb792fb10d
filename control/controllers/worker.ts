/**
 * Entry of the worker thread that control/main.ts starts for controllers and scheduler. It gets two
 * MessagePorts, one per identity, and speaks the Kubernetes API over them (base/kube/port-transport.ts).
 * The message `stop` ends it in order.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { must } from '#base/assert.ts';
import { RealClock } from '#base/clock.ts';
import { createKubeClient } from '#base/kube/kube-client.ts';
import { PortTransport } from '#base/kube/port-transport.ts';
import { FdLog, type LogLevel } from '#base/log.ts';
import { runControlLoops } from './control-loops.ts';

/** What control/main.ts passes as workerData. */
export interface ControllersWorkerData {
  /** Requests on it act as system:kube-controller-manager, group system:masters. */
  readonly controllersPort: MessagePort;
  /** Requests on it act as system:kube-scheduler. */
  readonly schedulerPort: MessagePort;
  readonly pkiDir: string;
  readonly podCidr: string;
  readonly serviceCidr: string;
  readonly logLevel: LogLevel;
}

const data = workerData as ControllersWorkerData; // By contract with control/main.ts.
const stop = new AbortController();
must(parentPort, 'worker.ts runs in a worker thread').on('message', (message: unknown) => {
  if (message === 'stop') stop.abort(new Error('control stops'));
});
const client = (port: MessagePort, userAgent: string) =>
  createKubeClient(new PortTransport(port), { userAgent });
try {
  await runControlLoops(
    {
      controllersClient: client(data.controllersPort, 'kube-controller-manager/v1.36.3'),
      schedulerClient: client(data.schedulerPort, 'kube-scheduler/v1.36.3'),
      clock: new RealClock(),
      log: new FdLog({ level: data.logLevel }),
      config: {
        podCidr: data.podCidr,
        serviceCidr: data.serviceCidr,
        readRootCa: () => readFileSync(join(data.pkiDir, 'ca.crt'), 'utf8'),
        readRootCaKey: () => readFileSync(join(data.pkiDir, 'ca.key'), 'utf8'),
        readServiceAccountKey: () => readFileSync(join(data.pkiDir, 'sa.key'), 'utf8'),
      },
    },
    stop.signal,
  );
} catch (error) {
  if (!stop.signal.aborted) throw error;
} finally {
  data.controllersPort.close();
  data.schedulerPort.close();
  parentPort?.close();
}
