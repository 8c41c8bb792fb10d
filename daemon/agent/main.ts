/**
 * The agent process: kubelet, container runtime, pod network, service proxy, DNS. Composition root; start
 * it as `node daemon/agent/main.ts CONFIG.json`. SIGTERM ends it and leaves containers, addresses and
 * rules as they are: the next agent goes on with them.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { RealClock } from '#base/clock.ts';
import { saveCodeCache } from '#base/code-cache.ts';
import { errorText } from '#base/errors.ts';
import { type Cidr, parseCidr } from '#base/ip.ts';
import { endpointslices, services } from '#base/kube/api/resources.gen.ts';
import type { KubeClient } from '#base/kube/client.ts';
import { HttpsTransport } from '#base/kube/https-transport.ts';
import { InformerFactory } from '#base/kube/informer-factory.ts';
import { createKubeClient } from '#base/kube/kube-client.ts';
import { FdLog, type Log } from '#base/log.ts';
import { TaskScope } from '#base/task-scope.ts';
import { ClusterDns } from '#net/dns/dns.ts';
import { BridgePodNetwork } from '#net/pod/pod.ts';
import { ServiceProxy } from '#net/proxy/proxy.ts';
import { runKubelet } from '../kubelet/kubelet.ts';
import { NodeShutdown } from '../kubelet/node/node-shutdown.ts';
import { openRuntime, type Runtime } from '../runtime/runtime.ts';
import { type AgentConfig, readAgentConfig } from './config.ts';
import { serveMachineSocket } from '#base/protocol/serve-socket.ts';
import { resumeShutdown } from './end-pods.ts';
import { agentServices } from './machine-services.ts';
import { ownership, runNodeSettings } from './node-settings.ts';

const VERSIONS = { kubelet: 'v1.36.0+bareboat.0.1.0', runtime: 'bareboat://0.1.0' };

const clock = new RealClock();

function client(config: AgentConfig, name: 'kubelet' | 'node-settings' | 'proxy'): KubeClient {
  const file = (suffix: string) => ({ file: join(config.pkiDir, `${name}.${suffix}`) });
  const transport = new HttpsTransport({
    server: config.apiServer,
    ca: { file: join(config.pkiDir, 'ca.crt') },
    cert: file('crt'),
    key: file('key'),
  });
  return createKubeClient(transport, { userAgent: `${name}/bareboat` });
}

function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (parsed === undefined) throw new Error(`'${text}' is no address range`);
  return parsed;
}

async function serve(
  config: AgentConfig,
  {
    runtime,
    shutdown,
    log,
    stop,
  }: {
    runtime: Runtime;
    shutdown: NodeShutdown;
    log: Log;
    stop: AbortSignal;
  },
): Promise<void> {
  await using tasks = new TaskScope(stop);
  const pki = (name: string) => join(config.pkiDir, name);
  const { nodeName, clusterDns, clusterDomain } = config;
  const dns = typeof clusterDns === 'string' ? [clusterDns] : clusterDns;
  const settings = { labels: config.labels, taints: config.taints };
  tasks.spawn('kubelet', (signal) =>
    runKubelet(
      {
        client: client(config, 'kubelet'),
        runtime: runtime.containers,
        images: runtime.images,
        clock,
        log: log.child('kubelet'),
      },
      {
        nodeName,
        nodeIPs: [config.nodeIp],
        dataDir: config.dataDir,
        logDir: config.podLogDir,
        clusterDns: dns,
        clusterDomain,
        server: {
          port: config.kubeletPort,
          caFile: pki('ca.crt'),
          certFile: pki('kubelet-serving.crt'),
          keyFile: pki('kubelet-serving.key'),
        },
        versions: VERSIONS,
        reserved: { cpuMilli: 0, ...config.reserved },
        registration: { ...settings, annotations: ownership(settings) },
        settings: config.kubelet,
        shortcomings: runtime.limitations,
        notReady: () => undefined,
        shutdown,
      },
      signal,
    ),
  );
  const settingsIo = { client: client(config, 'node-settings'), clock, log: log.child('settings') };
  tasks.spawn('node settings', (signal) =>
    runNodeSettings(settingsIo, { nodeName, settings }, signal),
  );
  const io = { client: client(config, 'proxy'), clock, log: log.child('proxy') };
  const factory = new InformerFactory(io);
  const podCidr = cidr(config.clusterPodCidr ?? config.podCidr);
  const serviceCidr = cidr(config.serviceCidr);
  const views = {
    services: factory.informer(services),
    endpointSlices: factory.informer(endpointslices),
  };
  const proxy = new ServiceProxy({
    ...io,
    ...views,
    family: podCidr.address.length === 4 ? 4 : 6,
    nodeName,
    podCidr,
    serviceCidrs: [serviceCidr],
    ownAddresses: dns,
  });
  for (const address of dns) {
    const ownCidrs = [podCidr, serviceCidr];
    const server = new ClusterDns({
      clock,
      log: log.child('dns'),
      ...views,
      clusterDomain,
      address,
      ownCidrs,
    });
    tasks.spawn(`DNS on ${address}`, (signal) => server.run(signal));
  }
  tasks.spawn('informers of the proxy', (signal) => factory.run(signal));
  tasks.spawn('service proxy', (signal) => proxy.run(signal));
  await tasks.join();
}

async function main(path: string): Promise<void> {
  const config = readAgentConfig(path);
  const log = new FdLog({ level: config.logLevel, area: 'agent' });
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.once(name, () => stop.abort(new Error(`stopped by ${name}`)));
  }
  process.umask(0o022);
  mkdirSync(config.dataDir, { recursive: true, mode: 0o711 });
  mkdirSync(config.podLogDir, { recursive: true, mode: 0o755 });
  using network = new BridgePodNetwork({
    log: log.child('network'),
    bridgeName: config.bridgeName,
    podCidr: cidr(config.podCidr),
    clusterCidr: cidr(config.clusterPodCidr ?? config.podCidr),
    allocationFile: join(config.dataDir, 'addresses.json'),
  });
  const { cgroupRoot, runcPath, conmonPath, registries } = config;
  await using runtime = await openRuntime(
    {
      dataDir: join(config.dataDir, 'runtime'),
      runDir: join(config.runDir, 'runtime'),
      cgroupRoot,
      runcPath,
      conmonPath,
      ...(registries === undefined
        ? {}
        : {
            registries: { mirrors: registries.mirrors ?? {}, insecure: registries.insecure ?? [] },
          }),
    },
    { network, clock, log: log.child('runtime') },
    stop.signal,
  );
  const shutdown = new NodeShutdown();
  const noteFile = join(config.runDir, 'ending');
  resumeShutdown(shutdown, noteFile);
  const services = agentServices({
    shutdown,
    noteFile,
    runtime: runtime.containers,
    images: runtime.images,
    clock,
    log,
  });
  const socket = await serveMachineSocket(config.socketPath, services);
  log.info('agent runs', { node: config.nodeName });
  saveCodeCache();
  try {
    await serve(config, { runtime, shutdown, log, stop: stop.signal });
  } catch (error) {
    if (!stop.signal.aborted) {
      log.error('agent ends', { error: errorText(error) });
      process.exitCode = 1;
    }
  } finally {
    socket.close();
    socket.closeAllConnections();
  }
}

const [, , configPath] = process.argv;
if (configPath === undefined) {
  process.stderr.write('usage: node daemon/agent/main.ts CONFIG.json\n');
  process.exit(2);
}
try {
  await main(configPath);
} catch (error) {
  // One line, the last: it is what the machine's events and status show of a process that ended.
  if (error instanceof Error) process.stderr.write(`${error.stack}\n`);
  process.stderr.write(`agent: ${errorText(error).replaceAll(/\s*\n\s*/g, '; ')}\n`);
  process.exit(1);
}
// Open connections would hold the process; everything that matters is on disk.
process.exit();
