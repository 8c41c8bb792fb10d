/**
 * The kubelet: public face of this folder. Registers the node and keeps its status, runs the pods
 * that are bound to it, serves logs, exec and metrics. The agent's main.ts gives it its ports.
 *
 * `run` returns only with the abort reason or a failure. Aborting leaves containers running: the
 * next kubelet finds them again through the runtime.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import type { KubeletSettings } from '#base/kubelet-settings.ts';
import { nodes, pods, services } from '#base/kube/api/resources.gen.ts';
import type { KubeClient } from '#base/kube/client.ts';
import { EventRecorder } from '#base/kube/event-recorder.ts';
import { InformerFactory } from '#base/kube/informer-factory.ts';
import type { Log } from '#base/log.ts';
import { TaskScope } from '#base/task-scope.ts';
import type { ContainerRuntime, ImageService } from '../runtime/port.ts';
import { WatchedObjects } from './api/objects.ts';
import { EvictionManager } from './eviction/eviction.ts';
import { ImageGc } from './image/image-gc.ts';
import { ImagePuller } from './image/image-puller.ts';
import type { Notice } from './lifecycle/model.ts';
import { rotateLogs } from './log/log-rotator.ts';
import { readMachineFacts, readPressure } from './node/node-facts.ts';
import { NodeReporter, nodeReference } from './node/node-reporter.ts';
import type { NodeShutdown } from './node/node-shutdown.ts';
import { allocatableOf, type NodeInput } from './node/node-status.ts';
import { evictionBytes, evictionSettings, imageGcPolicy } from './settings.ts';
import type { PodIo } from './pod/io.ts';
import { PodManager } from './pod/pod-manager.ts';
import { Prober } from './probe/prober.ts';
import { Access } from './server/access.ts';
import { KubeletServer, type ServerFiles } from './server/kubelet-server.ts';
import { LinuxMounter } from './volume/mounter.ts';

/** Upstream's message of the Ready condition. */
const SHUTTING_DOWN = 'node is shutting down';

export interface KubeletOptions {
  readonly nodeName: string;
  /** Primary address first. */
  readonly nodeIPs: readonly string[];
  /** Below it: pods/. */
  readonly dataDir: string;
  /** Container logs: NAMESPACE_NAME_UID/CONTAINER/ATTEMPT.log. */
  readonly logDir: string;
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  readonly server: { readonly port: number } & ServerFiles;
  readonly versions: { readonly kubelet: string; readonly runtime: string };
  /** Kept back for the system. */
  readonly reserved: { readonly cpuMilli: number; readonly memoryBytes: number };
  /** What the Node begins with; afterwards others keep it. */
  readonly registration?: NodeInput['registration'];
  readonly settings: KubeletSettings;
  /** What this machine cannot enforce; shown in the Ready condition. */
  readonly shortcomings: readonly string[];
  /** Why pods cannot run now, if so: shown as Ready = False. */
  readonly notReady: () => string | undefined;
  readonly shutdown: NodeShutdown;
}

export interface KubeletIo {
  readonly client: KubeClient;
  readonly runtime: ContainerRuntime;
  readonly images: ImageService;
  readonly clock: Clock;
  readonly log: Log;
}

/** Runs until aborted. */
export async function runKubelet(
  io: KubeletIo,
  options: KubeletOptions,
  signal: AbortSignal,
): Promise<void> {
  await using tasks = new TaskScope(signal);
  const { nodeName } = options;
  mkdirSync(join(options.dataDir, 'pods'), { recursive: true, mode: 0o750 });
  const events = new EventRecorder(io, { component: 'kubelet', host: nodeName });
  const notice = (event: Notice) => events.record(nodeReference(nodeName), event);
  const pressure = () => readPressure(options.dataDir);
  const input = nodeInput(options);
  const disk = () => {
    const { diskBytes, diskAvailableBytes } = pressure();
    return { capacityBytes: diskBytes, availableBytes: diskAvailableBytes };
  };
  const imageGc = new ImageGc({ ...io, disk, notice }, imageGcPolicy(options.settings));
  const eviction = new EvictionManager(
    { ...io, imageGc, pressure, notice },
    evictionSettings(options.settings, input),
  );
  const reporter = new NodeReporter(
    {
      ...io,
      events,
      pressures: () => eviction.pressures,
      notReady: () => (options.shutdown.graceMs !== undefined ? SHUTTING_DOWN : options.notReady()),
      shortcomings: options.shortcomings,
    },
    input,
  );
  tasks.spawn('events', (stop) => events.run(stop));
  await reporter.register(tasks.signal);
  // Not before: an event for an API that is not there yet would be lost.
  notice({ type: 'Normal', reason: 'Starting', message: 'Starting kubelet.' });
  tasks.spawn('node status', (stop) => reporter.runStatus(stop));
  tasks.spawn('node lease', (stop) => reporter.runLease(stop));

  const factory = new InformerFactory(io);
  const podInformer = factory.informer(pods, { fieldSelector: `spec.nodeName=${nodeName}` });
  const serviceInformer = factory.informer(services);
  const nodeInformer = factory.informer(nodes, { fieldSelector: `metadata.name=${nodeName}` });
  tasks.spawn('informers', (stop) => factory.run(stop));
  await factory.waitForSync(tasks.signal);

  const objects = new WatchedObjects({ ...io, tasks });
  tasks.spawn('referenced objects', (stop) => objects.run(stop));
  const podIo: Omit<PodIo, 'mayResize'> = {
    ...io,
    mounter: new LinuxMounter(),
    puller: new ImagePuller(io),
    prober: new Prober(io),
    objects,
    events,
    services: () => serviceInformer.store.list(),
    node: {
      nodeName,
      hostIPs: options.nodeIPs,
      allocatable: allocatableOf(input),
      memoryBytes: input.machine.memoryBytes,
    },
    settings: {
      ...options,
      hostsFile: '/etc/hosts',
      resolvConf: '/etc/resolv.conf',
    },
    tasks,
  };
  const manager = new PodManager(podIo, podInformer, {
    node: () => nodeInformer.store.get(undefined, nodeName) ?? reporter.node,
    pressures: () => eviction.pressures,
  });
  const { shutdown } = options;
  if (shutdown.graceMs !== undefined) manager.hold(shutdown.graceMs);
  tasks.spawn('pods', (stop) => manager.run(stop));
  tasks.spawn('node shutdown', async (stop) => {
    await podInformer.waitForSync(stop);
    const graceMs = await shutdown.begun(stop);
    reporter.wake(); // The scheduler must not send what was ended elsewhere back to here.
    shutdown.finish(await manager.endWithNode(graceMs, stop));
  });
  const dependants = { workers: () => manager.workers, changed: () => reporter.wake() };
  tasks.spawn('eviction', (stop) => eviction.run(dependants, stop));
  tasks.spawn('image collection', (stop) => imageGc.run(stop));
  tasks.spawn('log rotation', (stop) => rotateLogs(io, stop));
  await using server = new KubeletServer(
    {
      ...io,
      manager,
      access: new Access({ ...io, nodeName }),
      pressure,
      nodeName,
    },
    options.server,
  );
  await server.listen(options.server.port);
  io.log.info('kubelet serves', { port: options.server.port });
  await tasks.join();
}

function nodeInput(options: KubeletOptions): NodeInput {
  const machine = readMachineFacts(options.dataDir);
  return {
    nodeName: options.nodeName,
    addresses: options.nodeIPs,
    kubeletPort: options.server.port,
    machine,
    evictionBytes: evictionBytes(options.settings, machine),
    versions: options.versions,
    reserved: options.reserved,
    registration: options.registration,
  };
}
