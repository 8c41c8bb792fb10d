/** An API server of ours and chosen controllers in this process, for tests; no scheduler, no kubelet. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MessageChannel } from 'node:worker_threads';
import { RealClock } from '#base/clock.ts';
import type { KubeClient, KubeObject } from '#base/kube/client.ts';
import { serviceaccounts } from '#base/kube/api/resources.gen.ts';
import { createKubeClient } from '#base/kube/kube-client.ts';
import { PortTransport } from '#base/kube/port-transport.ts';
import { silentLog } from '#base/log.ts';
import { GROUP_MASTERS } from '#control/api/api.ts';
import {
  makeTestCluster,
  startTestServer,
  type TestClient,
  testClient,
} from '#control/api/testing/test-server.ts';
import { type RunOptions, runControllers } from '#control/controllers/run.ts';

export interface ControlPlane {
  readonly client: KubeClient;
  readonly signal: AbortSignal;
  /** Requests over HTTPS, as others than the controllers. */
  readonly https: TestClient;
  stop(): Promise<void>;
}

/** With namespace `default` and its service account. */
export async function startControlPlane(
  controllers: RunOptions['controllers'],
  more: Parameters<typeof makeTestCluster>[0] = {},
): Promise<ControlPlane> {
  const stop = new AbortController();
  const { signal } = stop;
  const cluster = await makeTestCluster(more);
  const server = await startTestServer(cluster);
  const { port1, port2 } = new MessageChannel();
  const user = { name: 'admin', uid: '', groups: [GROUP_MASTERS], extra: {} };
  const serving = server.api.servePort(port1, user);
  const client = createKubeClient(new PortTransport(port2), { userAgent: 'test' });
  await client.create(
    serviceaccounts,
    {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 'default', namespace: 'default' },
    },
    signal,
  );
  const config = {
    podCidr: '10.244.0.0/16',
    serviceCidr: '10.96.0.0/16',
    readRootCa: () => cluster.files.ca.certificate,
    readRootCaKey: () => cluster.files.ca.key,
    readServiceAccountKey: () => readFileSync(join(cluster.files.pkiDir, 'sa.key'), 'utf8'),
  };
  const clock = new RealClock();
  const running = runControllers(
    { client, clock, log: silentLog, config, controllers, component: 'test' },
    signal,
  ).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
  return {
    client,
    signal,
    https: testClient(cluster, server.port),
    async stop() {
      stop.abort(new Error('test is over'));
      await running;
      serving[Symbol.dispose]();
      port1.close();
      await server.stop();
      await cluster.close();
    },
  };
}

/** Of a kind for which a test writes little: what is missing the server fills in or refuses. */
export function partial<T extends KubeObject>(object: object): T {
  return object as T; // The server checks it.
}
