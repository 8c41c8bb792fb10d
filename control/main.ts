/**
 * The control process: API server on the main thread, store in a worker, scheduler and controllers
 * in another. `node control/main.ts CONFIG.json`. Ends in good order on SIGTERM; any part that
 * fails ends the process, and whoever supervises it starts it again from what the store kept.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Clock, RealClock } from '#base/clock.ts';
import { saveCodeCache } from '#base/code-cache.ts';
import { errorText } from '#base/errors.ts';
import { FdLog, type Log } from '#base/log.ts';
import { ApiServer, AuditFile, TlsFrontEnd } from '#control/api/api.ts';
import { serveMachineSocket } from '#base/protocol/serve-socket.ts';
import { TaskScope } from '#base/task-scope.ts';
import { BackupSchedule, openEtcdStore, startStoreWorker } from '#control/store/store.ts';
import type { EtcdIo, OwnStore, Store } from '#control/store/store.ts';
import { answerLine } from './answer-line.ts';
import { STORE_DIR, parseControlConfig } from './config.ts';
import type { ControlConfig } from './config.ts';
import { startControllers } from './controllers-worker.ts';
import { recoverCommand } from './recover-command.ts';
import { makeRestored, takeRestored } from './restored-store.ts';
import { storeServices } from './store-services.ts';

/** Requests under way take milliseconds; watches are ended, the rest (exec, proxies) is cut. */
const SHUTDOWN_GRACE_MS = 300;

/** For looking at every etcd endpoint; whoever supervises this process starts it again. */
const ETCD_OPEN_MS_MAX = 15_000;

async function main(): Promise<void> {
  const [path, ...more] = process.argv.slice(2);
  if (path === undefined) throw new Error('usage: main.ts CONFIG.json');
  const [snapshot = '', dataDir = ''] = more;
  if (path === '--restore') process.exit(await answerLine(() => makeRestored(snapshot, dataDir)));
  if (path === '--recover') process.exit(await answerLine(() => recoverCommand(more)));
  const config = parseControlConfig(readFileSync(path, 'utf8'));
  const log = new FdLog({ level: config.logLevel, area: 'control' });
  const clock = new RealClock();
  const startMs = clock.monotonicMs();
  const pki = (name: string) => join(config.pkiDir, name);
  const storeFailed = Promise.withResolvers<never>();
  const { store, own } = await openStore(config, { clock, log, onFailure: storeFailed.reject });
  const ends = new AbortController();
  // Before the API server starts, which waits for the store: it may have lost its quorum.
  const keeping =
    own === undefined ? undefined : keepStore(own, { config, clock, log }, ends.signal);
  keeping?.catch(() => {}); // It is looked at below.
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
  const failed = Promise.race([
    api.join(),
    controllers.failed,
    storeFailed.promise,
    ...(keeping === undefined ? [] : [keeping]),
  ]);
  const why = await Promise.race([stopped, failed.then(() => 'a task ended')]);
  log.info('control stops', { why });
  api.beginShutdown();
  ends.abort(new Error('control stops'));
  await Promise.all([controllers.stop(), frontEnd.close(SHUTDOWN_GRACE_MS), api.stop()]);
  await keeping;
  await audit?.close();
  await store.close();
}

/** The own store in a worker, or the external etcd that the configuration names. */
async function openStore(
  config: ControlConfig,
  io: EtcdIo,
): Promise<{ readonly store: Store; readonly own?: OwnStore }> {
  const { etcd, logLevel } = config;
  if (etcd === undefined) {
    const { onFailure } = io;
    const network = config.store;
    takeRestored(config.dataDir);
    const dataDir = join(config.dataDir, STORE_DIR);
    const settings = config.storeSettings ?? {};
    const options = { dataDir, settings, network, logLevel, onFailure };
    // SIGTERM ends the process at once before it serves.
    const own = await startStoreWorker(options, new AbortController().signal);
    return { store: own, own };
  }
  const { endpoints, prefix, ...tls } = etcd;
  const deadline = io.clock.deadline(ETCD_OPEN_MS_MAX, new AbortController().signal);
  const store = await openEtcdStore(
    { endpoints, prefix, tls },
    { ...io, log: io.log.child('store') },
    deadline.signal,
  ).finally(() => deadline[Symbol.dispose]());
  return { store };
}

/** Serves the own store's part of the machine API, and takes its snapshots, until the signal. */
async function keepStore(
  store: OwnStore,
  { config, clock, log }: { config: ControlConfig; clock: Clock; log: Log },
  signal: AbortSignal,
): Promise<void> {
  await using tasks = new TaskScope(signal);
  const { socketPath, backup, dataDir } = config;
  if (socketPath !== undefined) {
    const server = await serveMachineSocket(socketPath, storeServices(store));
    signal.addEventListener('abort', () => {
      server.close();
      server.closeAllConnections();
    });
  }
  if (backup !== undefined && backup.everyHours > 0) {
    const dir = join(dataDir, 'backups');
    const parts = { store, dir, settings: backup, clock, log: log.child('backup') };
    tasks.spawn('snapshots', (stop) => new BackupSchedule(parts).run(stop));
  }
  await new Promise<void>((resolve) => {
    if (tasks.signal.aborted) resolve();
    tasks.signal.addEventListener('abort', () => resolve());
  });
  await tasks.join();
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
