/**
 * Controllers (and the scheduler) as a process of their own, against any API server:
 * `node control/controllers/main.ts --kubeconfig FILE [--root-ca FILE] [--sa-key FILE]`.
 * For tests against upstream's API server; on a node worker.ts runs them inside `control`.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { RealClock } from '#base/clock.ts';
import { HttpsTransport } from '#base/kube/https-transport.ts';
import { loadKubeconfig } from '#base/kube/kubeconfig.ts';
import { createKubeClient } from '#base/kube/kube-client.ts';
import { FdLog, type LogLevel } from '#base/log.ts';
import { runControlLoops } from './control-loops.ts';

const { values } = parseArgs({
  options: {
    kubeconfig: { type: 'string' },
    'root-ca': { type: 'string' },
    'sa-key': { type: 'string' },
    'pod-cidr': { type: 'string', default: '10.244.0.0/16' },
    'service-cidr': { type: 'string', default: '10.96.0.0/16' },
    'log-level': { type: 'string', default: 'info' },
  },
});

if (values.kubeconfig === undefined) {
  process.stderr.write('usage: main.ts --kubeconfig FILE [--root-ca FILE] [--sa-key FILE]\n');
  process.exit(2);
}

const connection = loadKubeconfig(values.kubeconfig);
const transport = new HttpsTransport(connection);
const client = (userAgent: string) => createKubeClient(transport, { userAgent });
const rootCa = values['root-ca'];
const serviceAccountKey = values['sa-key'];
const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.on(name, () => stop.abort(new Error(`received ${name}`)));
}
const readCa = () => {
  if (rootCa !== undefined) return readFileSync(rootCa, 'utf8');
  return 'file' in connection.ca ? readFileSync(connection.ca.file, 'utf8') : connection.ca.pem;
};
try {
  await runControlLoops(
    {
      controllersClient: client('kube-controller-manager/v1.36.3'),
      schedulerClient: client('kube-scheduler/v1.36.3'),
      clock: new RealClock(),
      log: new FdLog({ level: values['log-level'] as LogLevel }), // An unknown one logs all.
      config: {
        podCidr: values['pod-cidr'],
        serviceCidr: values['service-cidr'],
        readRootCa: readCa,
        readServiceAccountKey:
          serviceAccountKey === undefined
            ? undefined
            : () => readFileSync(serviceAccountKey, 'utf8'),
      },
    },
    stop.signal,
  );
} catch (error) {
  if (!stop.signal.aborted) throw error;
} finally {
  await transport.close();
}
