/**
 * The container runtime of the node: public face of daemon/runtime. `openRuntime` finds what an
 * earlier process left (images, sandboxes, running containers; none is restarted) and returns the two
 * services of port.ts. The calling main.ts gives directories, binaries, network, clock and log.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import { diskUsage } from '#base/linux/disk-usage.ts';
import type { Log } from '#base/log.ts';
import { TaskScope } from '#base/task-scope.ts';
import type { PodNetwork } from '#net/pod/port.ts';
import { Attacher, controlMonitor } from './attach.ts';
import { Cgroups, parseCgroupLayout } from './cgroup.ts';
import { Conmon } from './conmon.ts';
import { Containers } from './containers.ts';
import { execTerminal } from './exec-terminal.ts';
import { execPiped, execSync, type ExecTarget } from './exec.ts';
import { observeHost } from './host.ts';
import { type HostFacts, planLimitations } from './oci/spec.ts';
import { ImageStore } from './image/image-store.ts';
import { type RegistryConfig, RegistryPuller } from './image/registry-puller.ts';
import {
  type CgroupResources,
  type Container,
  type ContainerResources,
  type ContainerRuntime,
  type ContainerSpec,
  type ContainerStats,
  type DiskUsage,
  type ExecResult,
  type ImageService,
  RuntimeError,
  type Sandbox,
  type SandboxSpec,
  type StreamRequest,
  type StreamSession,
} from './port.ts';
import { containerOf, type ContainerRecord } from './records.ts';
import { Runc } from './runc.ts';
import { Sandboxes } from './sandboxes.ts';
import { Serial, Turns } from './serial.ts';

export interface RuntimeConfig {
  /** Survives a reboot; on a file system that overlayfs can write to (ext4, xfs, tmpfs). */
  readonly dataDir: string;
  /** Does not (a tmpfs); short enough for socket names. */
  readonly runDir: string;
  /** Below the cgroup mount; `/` for the mount itself. */
  readonly cgroupRoot: string;
  readonly runcPath: string;
  readonly conmonPath: string;
  readonly registries?: Partial<RegistryConfig>;
}

export interface RuntimeIo {
  readonly network: PodNetwork;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Runtime extends AsyncDisposable {
  readonly containers: ContainerRuntime;
  readonly images: ImageService;
  /** What pods may ask for and this host cannot do, a sentence each; for node conditions. */
  readonly limitations: readonly string[];
}

export async function openRuntime(
  config: RuntimeConfig,
  io: RuntimeIo,
  signal: AbortSignal,
): Promise<Runtime> {
  for (const dir of [config.dataDir, config.runDir]) {
    mkdirSync(dir, { recursive: true, mode: 0o711 });
  }
  const tasks = new TaskScope(signal);
  const platform = { os: 'linux', architecture: process.arch === 'x64' ? 'amd64' : process.arch };
  const { mirrors = {}, insecure = [] } = config.registries ?? {};
  const { clock, log } = io;
  const images = await ImageStore.open({
    root: join(config.dataDir, 'images'),
    platform,
    puller: new RegistryPuller({ mirrors, insecure, platform, clock, log }),
    log,
  });
  const containers = new LinuxRuntime(config, { ...io, images, tasks });
  images.setLayersInUse(() => containers.layersInUse());
  await containers.adopt(signal);
  await images.sweep();
  const limitations = containers.limitations();
  for (const limitation of limitations) log.warn('this host is limited', { limitation });
  return {
    containers,
    images,
    limitations,
    async [Symbol.asyncDispose]() {
      containers[Symbol.dispose]();
      await tasks[Symbol.asyncDispose]();
    },
  };
}

class LinuxRuntime implements ContainerRuntime, Disposable {
  readonly #sandboxes: Sandboxes;
  readonly #containers: Containers;
  readonly #cgroups: Cgroups;
  readonly #clock: Clock;
  readonly #host: HostFacts;
  readonly #runc: Runc;
  readonly #conmon: Conmon;
  readonly #attacher = new Attacher();
  readonly #listeners = new Set<(change: { sandboxId: string; containerId?: string }) => void>();
  readonly #serial = new Serial();

  constructor(config: RuntimeConfig, io: RuntimeIo & { images: ImageStore; tasks: TaskScope }) {
    const layout = parseCgroupLayout(readFileSync('/proc/self/mountinfo', 'utf8'));
    if (layout === undefined) throw new RuntimeError('CREATE_FAILED', 'no cgroups are mounted');
    this.#clock = io.clock;
    this.#host = observeHost(layout.version);
    this.#cgroups = new Cgroups(layout, io.log);
    const { dataDir, runDir, cgroupRoot } = config;
    const { clock, log } = io;
    const turns = new Turns();
    const shared = { dataDir, runDir, cgroups: this.#cgroups, clock, log, turns };
    const emit = (change: { sandboxId: string; containerId?: string }): void => {
      for (const listener of this.#listeners) listener(change);
    };
    this.#sandboxes = new Sandboxes({ ...shared, cgroupRoot, network: io.network }, (sandboxId) =>
      emit({ sandboxId }),
    );
    this.#runc = new Runc({ path: config.runcPath, root: join(runDir, 'runc'), clock });
    this.#conmon = new Conmon({ path: config.conmonPath, runc: this.#runc, tmpDir: runDir });
    this.#containers = new Containers(
      {
        ...shared,
        runc: this.#runc,
        conmon: this.#conmon,
        images: io.images,
        sandboxes: this.#sandboxes,
        host: this.#host,
        tasks: io.tasks,
      },
      emit,
    );
  }

  [Symbol.dispose](): void {
    this.#containers[Symbol.dispose]();
    this.#attacher[Symbol.dispose]();
  }

  limitations(): readonly string[] {
    return planLimitations(this.#host, this.#cgroups.missingControllers());
  }

  layersInUse(): Iterable<string> {
    return this.#containers.layersInUse();
  }

  async adopt(signal: AbortSignal): Promise<void> {
    await this.#sandboxes.adopt(signal);
    await this.#containers.adopt(signal);
  }

  async runSandbox(spec: SandboxSpec, signal: AbortSignal): Promise<Sandbox> {
    return await this.#sandboxes.run(spec, signal);
  }

  async stopSandbox(sandboxId: string, signal: AbortSignal): Promise<void> {
    await this.#serial.run(sandboxId, async () => {
      // Those that are being started at this moment, too: `stop` waits for its turn.
      const mine = this.#inSandbox(sandboxId).filter((c) => c.state !== 'exited');
      await Promise.all(mine.map((c) => this.#containers.stop(c.id, 0, signal)));
      await this.#sandboxes.stop(sandboxId, signal);
    });
  }

  async removeSandbox(sandboxId: string, signal: AbortSignal): Promise<void> {
    await this.stopSandbox(sandboxId, signal);
    await this.#serial.run(sandboxId, async () => {
      for (const { id } of this.#inSandbox(sandboxId)) await this.#containers.remove(id, signal);
      await this.#sandboxes.remove(sandboxId, signal);
    });
  }

  listSandboxes(): readonly Sandbox[] {
    return this.#sandboxes.list();
  }

  async createContainer(spec: ContainerSpec, signal: AbortSignal): Promise<Container> {
    signal.throwIfAborted();
    return containerOf(await this.#containers.create(spec));
  }

  async startContainer(containerId: string, signal: AbortSignal): Promise<void> {
    await this.#containers.start(containerId, signal);
  }

  async stopContainer(id: string, graceSeconds: number, signal: AbortSignal): Promise<void> {
    await this.#containers.stop(id, graceSeconds, signal);
  }

  async removeContainer(containerId: string, signal: AbortSignal): Promise<void> {
    await this.#containers.remove(containerId, signal);
  }

  async updateSandbox(
    sandboxId: string,
    cgroup: CgroupResources,
    signal: AbortSignal,
  ): Promise<void> {
    signal.throwIfAborted();
    this.#sandboxes.updateCgroup(sandboxId, cgroup);
  }

  async updateResources(
    containerId: string,
    resources: ContainerResources,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#containers.update(containerId, resources, signal);
  }

  listContainers(): readonly Container[] {
    return this.#containers.list().map(containerOf);
  }

  onChange(listener: (change: { sandboxId: string; containerId?: string }) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  async execSync(
    containerId: string,
    argv: readonly string[],
    signal: AbortSignal,
  ): Promise<ExecResult> {
    return await execSync(this.#execTarget(containerId, argv), signal);
  }

  async exec(
    containerId: string,
    request: StreamRequest & { argv: readonly string[] },
    signal: AbortSignal,
  ): Promise<StreamSession> {
    const target = this.#execTarget(containerId, request.argv);
    if (!request.tty) return execPiped(target, request, signal);
    const { podCgroup } = this.#mustRun(containerId);
    const adopt = (pid: number) => this.#cgroups.addMonitor(podCgroup, pid);
    const how = { conmon: this.#conmon, attacher: this.#attacher, adopt };
    return await execTerminal({ ...target, ...how }, request, signal);
  }

  async attach(
    containerId: string,
    request: StreamRequest,
    signal: AbortSignal,
  ): Promise<StreamSession> {
    const record = this.#mustRun(containerId);
    const target = {
      containerId,
      bundle: this.#containers.bundle(containerId),
      tty: record.spec.tty,
      exited: this.#containers.exitCode(containerId),
    };
    return await this.#attacher.attach(target, request, signal);
  }

  reopenLog(containerId: string): void {
    if (this.#containers.get(containerId)?.state !== 'running') return;
    controlMonitor(this.#containers.bundle(containerId), '2 0 0\n');
  }

  stats(containerId: string): ContainerStats | undefined {
    const record = this.#containers.get(containerId);
    if (record?.state !== 'running') return undefined;
    return this.#cgroups.stats(this.#containers.cgroupPath(record), this.#clock.nowMs());
  }

  async writableLayer(containerId: string): Promise<DiskUsage> {
    return await diskUsage(this.#containers.upperDirectory(containerId));
  }

  #mustRun(containerId: string): ContainerRecord {
    const record = this.#containers.must(containerId);
    if (record.state === 'running') return record;
    throw new RuntimeError('NOT_FOUND', `container ${containerId} is not running`);
  }

  #execTarget(containerId: string, argv: readonly string[]): ExecTarget {
    this.#mustRun(containerId);
    const bundle = this.#containers.bundle(containerId);
    return { runc: this.#runc, containerId, bundle, argv };
  }

  #inSandbox(sandboxId: string): readonly { id: string; state: string }[] {
    return this.#containers.list().filter((record) => record.spec.sandboxId === sandboxId);
  }
}
