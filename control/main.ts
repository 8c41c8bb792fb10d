/**
 * The control process: API server on the main thread, store in a worker, scheduler and controllers
 * in another. `node control/main.ts CONFIG.json`. Ends in good order on SIGTERM; any part that
 * fails ends the process, and whoever supervises it starts it again from what the store kept.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RealClock } from '#base/clock.ts';
import { saveCodeCache } from '#base/code-cache.ts';
import { errorText } from '#base/errors.ts';
import { FdLog } from '#base/log.ts';
import { ApiServer, AuditFile, TlsFrontEnd } from '#control/api/api.ts';
import { openEtcdStore, startStoreWorker } from '#control/store/store.ts';
import type { EtcdIo, Store } from '#control/store/store.ts';
import { parseControlConfig } from './config.ts';
import type { ControlConfig } from './config.ts';
import { startControllers } from './controllers-worker.ts';

/** Requests under way take milliseconds; watches are ended, the rest (exec, proxies) is cut. */
const SHUTDOWN_GRACE_MS = 300;

/** For looking at every etcd endpoint; whoever supervises this process starts it again. */
const ETCD_OPEN_MS_MAX = 15_000;

async function main(): Promise<void> {
  const [path] = process.argv.slice(2);
  if (path === undefined) throw new Error('usage: main.ts CONFIG.json');
  const config = parseControlConfig(readFileSync(path, 'utf8'));
  const log = new FdLog({ level: config.logLevel, area: 'control' });
  const clock = new RealClock();
  const startMs = clock.monotonicMs();
  const pki = (name: string) => join(config.pkiDir, name);
  const storeFailed = Promise.withResolvers<never>();
  const store = await openStore(config, { clock, log, onFailure: storeFailed.reject });
  const audit =
    config.audit === undefined ? undefined : new AuditFile(config.audit, log.child('audit'));
  const api = new ApiServer({
    config: {
      nodeName: config.nodeName,
      advertiseAddress: config.advertiseAddress,
      advertisePort: config.listen.port,
      serviceCidr: config.serviceCidr,
      nodePortRange: config.nodePortRange,
      serviceAccountIssuer: `https://kubernetes.default.svc.${config.clusterDomain}`,
      version: config.version,
      requestMemoryBytes: config.requestMemoryBytes,
    },
    keys: {
      serviceAccountKey: readFileSync(pki('sa.key'), 'utf8'),
      clientCa: readFileSync(pki('ca.crt'), 'utf8'),
      frontProxyCa: readIfPresent(pki('front-proxy-ca.crt')),
      kubelet: {
        certificate: pki('kubelet-client.crt'),
        key: pki('kubelet-client.key'),
        ca: pki('ca.crt'),
      },
    },
    store,
    clock,
    log: log.child('api'),
    audit,
  });
  await api.start();
  const frontEnd = new TlsFrontEnd({
    files: { certificate: pki('server.crt'), key: pki('server.key'), clientCa: pki('ca.crt') },
    log: log.child('api'),
    handle: (request) => api.handle(request),
  });
  const port = await frontEnd.listen(config.listen);
  const startedMs = Math.round(clock.monotonicMs() - startMs);
  log.info('API server is serving', { port, startedMs });
  saveCodeCache();
  const controllers = startControllers({ api, config, log });

  const stopped = new Promise<string>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => resolve(name));
  });
  const failed = Promise.race([api.join(), controllers.failed, storeFailed.promise]);
  const why = await Promise.race([stopped, failed.then(() => 'a task ended')]);
  log.info('control stops', { why });
  api.beginShutdown();
  await Promise.all([controllers.stop(), frontEnd.close(SHUTDOWN_GRACE_MS), api.stop()]);
  await audit?.close();
  await store.close();
}

/** The own store in a worker, or the external etcd that the configuration names. */
function openStore(config: ControlConfig, io: EtcdIo): Promise<Store> {
  const { etcd, dataDir, logLevel } = config;
  if (etcd === undefined) {
    const { onFailure } = io;
    const network = config.store;
    return startStoreWorker({ dataDir: join(dataDir, 'store'), network, logLevel, onFailure });
  }
  const { endpoints, prefix, ...tls } = etcd;
  const deadline = io.clock.deadline(ETCD_OPEN_MS_MAX, new AbortController().signal);
  return openEtcdStore(
    { endpoints, prefix, tls },
    { ...io, log: io.log.child('store') },
    deadline.signal,
  ).finally(() => deadline[Symbol.dispose]());
}

function readIfPresent(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // Without an aggregator CA nothing is published about it.
  }
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`control failed: ${errorText(error)}\n`);
    if (error instanceof Error) process.stderr.write(`${error.stack}\n`);
    process.exit(1);
  },
);
