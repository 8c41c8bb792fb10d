/**
 * Sandboxes: a pod's namespaces, network, shared memory and cgroup, without any pause container.
 *
 *   <data>/sandboxes/<id>/record.json   written when the sandbox is whole
 *   <run>/s/<id>/ns/{net,ipc,uts,pid}   bind mounts that keep the namespaces
 *   <run>/s/<id>/{shm,hostname}         mounted into containers
 *
 * Invariant: a sandbox is listed only between its record's writing and its removal. Network first
 * detached, then namespaces released, so that no address is given twice.
 */
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { hostname as hostHostname } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import { isErrno } from '#base/errors.ts';
import { mountsBelow, unmountMaybe } from '#base/linux/mounts.ts';
import { MS, mount } from '#base/linux/syscall.ts';
import type { Log } from '#base/log.ts';
import type { PodNetwork } from '#net/pod/port.ts';
import type { Cgroups } from './cgroup.ts';
import { bootId, processStart } from './host.ts';
import { CGROUP_LEAVE_MS_MAX } from './limits.ts';
import { createNamespaces, type PinnedNamespace, removeNamespaces } from './namespaces.ts';
import { type NamespacePaths, NEW_NAMESPACE } from './oci/spec.ts';
import { startHolder, writeHolderProgram } from './pid-holder.ts';
import { type CgroupResources, RuntimeError, type Sandbox, type SandboxSpec } from './port.ts';
import type { Turns } from './serial.ts';
import { type ProcessName, RecordStore, type SandboxRecord, sandboxOf } from './records.ts';

const HOST_SHM = '/dev/shm';

export interface SandboxOptions {
  readonly dataDir: string;
  readonly runDir: string;
  /** Absolute, from the cgroup mount; `cgroupParent`s are below. */
  readonly cgroupRoot: string;
  readonly cgroups: Cgroups;
  readonly network: PodNetwork;
  readonly clock: Clock;
  readonly log: Log;
  readonly turns: Turns;
}

export class Sandboxes {
  readonly #options: SandboxOptions;
  readonly #records: RecordStore<SandboxRecord>;
  readonly #onChange: (sandboxId: string) => void;
  readonly #holderProgram: string;
  readonly #turns: Turns;

  constructor(options: SandboxOptions, onChange: (sandboxId: string) => void) {
    this.#options = options;
    this.#onChange = onChange;
    this.#turns = options.turns;
    this.#records = new RecordStore(join(options.dataDir, 'sandboxes'));
    mkdirSync(join(options.runDir, 's'), { recursive: true, mode: 0o700 });
    this.#holderProgram = join(options.runDir, 'pid-holder');
    rmSync(this.#holderProgram, { force: true }); // Running ones keep their own file.
    writeHolderProgram(this.#holderProgram);
  }

  /** Finds what an earlier process left; what is not whole any more becomes notReady or is undone. */
  async adopt(signal: AbortSignal): Promise<void> {
    const orphans = this.#records.load();
    const leftovers = readdirSync(join(this.#options.runDir, 's'));
    for (const id of [...orphans, ...leftovers]) {
      if (this.#records.get(id) !== undefined) continue;
      try {
        await this.#undo(id, signal);
      } catch (error) {
        signal.throwIfAborted();
        // What one pod left must not keep the node from running the others.
        this.#options.log.error('rest of a sandbox not removed', { id, error });
      }
    }
    for (const record of this.#records.all()) {
      if (record.state === 'ready' && !this.#isWhole(record)) {
        this.#options.log.warn('sandbox lost its namespaces', { id: record.id });
        this.#release(record.id, record.holder);
        this.#ended(record);
      }
    }
    const ready = this.#records.all().filter((record) => record.state === 'ready');
    await this.#options.network.retain(new Set(ready.map((record) => record.id)), signal);
  }

  list(): readonly Sandbox[] {
    return this.#records.all().map(sandboxOf);
  }

  get(id: string): SandboxRecord | undefined {
    return this.#records.get(id);
  }

  async run(spec: SandboxSpec, signal: AbortSignal): Promise<Sandbox> {
    signal.throwIfAborted();
    const { runDir, clock, network } = this.#options;
    const id = randomBytes(32).toString('hex');
    const onPodNetwork = spec.namespaces.network === 'pod';
    try {
      const holder = await this.#turns.run(() => this.#make(id, spec));
      const netnsPath = onPodNetwork ? join(runDir, 's', id, 'ns/net') : '';
      const hostPorts = spec.portMappings.filter((port) => port.hostPort > 0);
      const { ips } = onPodNetwork
        ? await network.attach({ sandboxId: id, netnsPath, hostPorts }, signal)
        : { ips: [] };
      const createdAtMs = clock.nowMs();
      const state = 'ready';
      this.#records.put({ id, spec, state, createdAtMs, bootId: bootId(), ips, netnsPath, holder });
    } catch (error) {
      const whole = new AbortController().signal; // Also when the caller gave up.
      await this.#undo(id, whole);
      await this.#removeCgroup(spec.cgroupParent, whole);
      if (error instanceof RuntimeError) throw error;
      throw new RuntimeError('CREATE_FAILED', `cannot make sandbox of pod ${spec.podName}`, {
        cause: error,
      });
    }
    this.#onChange(id);
    return sandboxOf(this.#records.get(id) as SandboxRecord); // Put above.
  }

  /** The limits of the pod as a whole, now and in the record. */
  updateCgroup(id: string, cgroup: CgroupResources): void {
    const record = this.#records.get(id);
    if (record === undefined) throw new RuntimeError('NOT_FOUND', `no sandbox ${id}`);
    this.#options.cgroups.setResources(this.cgroupPath(record.spec.cgroupParent), cgroup);
    this.#records.put({ ...record, spec: { ...record.spec, cgroup } });
  }

  /** Its containers are stopped already. */
  async stop(id: string, signal: AbortSignal): Promise<void> {
    const record = this.#records.get(id);
    if (record === undefined || record.state === 'notReady') return;
    await this.#options.network.detach(id, signal);
    await this.#turns.run(() => this.#release(id, record.holder));
    this.#ended(record);
    this.#onChange(id);
  }

  #ended(record: SandboxRecord): void {
    if (this.#records.putOrRemember({ ...record, state: 'notReady' })) return;
    this.#options.log.warn('end of a sandbox is not on disk', { id: record.id });
  }

  /** Stopped, its containers removed. */
  async remove(id: string, signal: AbortSignal): Promise<void> {
    const record = this.#records.get(id);
    if (record === undefined) return;
    rmSync(join(this.#options.runDir, 's', id), { recursive: true, force: true });
    rmSync(this.#records.dir(id), { recursive: true, force: true });
    this.#records.forget(id);
    this.#onChange(id);
    await this.#removeCgroup(record.spec.cgroupParent, signal);
  }

  /** Unless another attempt of the pod lives in it. Monitors take a moment to leave. */
  async #removeCgroup(cgroupParent: string, signal: AbortSignal): Promise<void> {
    const { cgroups, clock, log } = this.#options;
    const endMs = clock.monotonicMs() + CGROUP_LEAVE_MS_MAX;
    for (;;) {
      if (this.#records.all().some((other) => other.spec.cgroupParent === cgroupParent)) return;
      if (cgroups.remove(this.cgroupPath(cgroupParent))) return;
      if (clock.monotonicMs() > endMs) break;
      await clock.sleep(10, signal);
    }
    log.warn('processes stay in the cgroup of a removed pod', { cgroupParent });
  }

  cgroupPath(cgroupParent: string): string {
    return join('/', this.#options.cgroupRoot, cgroupParent);
  }

  hostnameOf(record: SandboxRecord): string {
    return this.#hostname(record.spec);
  }

  /** What containers of the sandbox mount and join. */
  paths(record: SandboxRecord): { shm: string; hostname: string; namespaces: NamespacePaths } {
    const dir = join(this.#options.runDir, 's', record.id);
    const { network, ipc, pid } = record.spec.namespaces;
    return {
      shm: ipc === 'pod' ? join(dir, 'shm') : HOST_SHM,
      hostname: join(dir, 'hostname'),
      namespaces: {
        network: network === 'pod' ? join(dir, 'ns/net') : undefined,
        uts: network === 'pod' ? join(dir, 'ns/uts') : undefined,
        ipc: ipc === 'pod' ? join(dir, 'ns/ipc') : undefined,
        pid: pid === 'pod' ? join(dir, 'ns/pid') : pid === 'container' ? NEW_NAMESPACE : undefined,
      },
    };
  }

  /** Everything but the network; the holder of a shared PID namespace, if there is to be one. */
  #make(id: string, spec: SandboxSpec): SandboxRecord['holder'] {
    const { runDir, cgroups } = this.#options;
    const dir = join(runDir, 's', id);
    mkdirSync(this.#records.dir(id), { mode: 0o700 }); // From here on, adopt() would undo it.
    cgroups.create(this.cgroupPath(spec.cgroupParent), spec.cgroup);
    createNamespaces({
      kinds: pinnedKinds(spec),
      dir: join(dir, 'ns'),
      hostname: spec.hostname,
      sysctls: spec.sysctls,
    });
    if (spec.namespaces.ipc === 'pod') mountShm(join(dir, 'shm'), 'size=64m');
    else if (!existsSync(HOST_SHM)) mountShm(HOST_SHM, 'size=50%'); // Of a host without any.
    let holder: SandboxRecord['holder'];
    if (spec.namespaces.pid === 'pod') {
      holder = startHolder(this.#holderProgram, join(dir, 'ns/pid'));
      writeFileSync(join(dir, 'holder.json'), JSON.stringify(holder));
      cgroups.addMonitor(this.cgroupPath(spec.cgroupParent), holder.pid);
    }
    writeFileSync(join(dir, 'hostname'), `${this.#hostname(spec)}\n`);
    chmodSync(join(dir, 'hostname'), 0o644);
    return holder;
  }

  #hostname(spec: SandboxSpec): string {
    return spec.namespaces.network === 'node' ? hostHostname() : spec.hostname;
  }

  #isWhole(record: SandboxRecord): boolean {
    if (record.bootId !== bootId()) return false;
    const { holder, spec } = record;
    if (holder !== undefined && processStart(holder.pid) !== holder.start) return false;
    const dir = join(this.#options.runDir, 's', record.id);
    const mounted = new Set(mountsBelow(dir));
    return pinnedKinds(spec).every((kind) => mounted.has(join(dir, 'ns', kind)));
  }

  #release(id: string, holder: SandboxRecord['holder']): void {
    const dir = join(this.#options.runDir, 's', id);
    removeNamespaces(join(dir, 'ns'));
    unmountMaybe(join(dir, 'shm'));
    if (holder !== undefined && processStart(holder.pid) === holder.start) {
      process.kill(holder.pid, 'SIGKILL');
    }
  }

  /** Takes back whatever was made of a sandbox that has no record. */
  async #undo(id: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#options.network.detach(id, signal);
    } catch (error) {
      signal.throwIfAborted();
      this.#options.log.warn('network of a dead sandbox not released', { id, error });
    }
    this.#release(id, readHolder(join(this.#options.runDir, 's', id)));
    rmSync(join(this.#options.runDir, 's', id), { recursive: true, force: true });
    rmSync(this.#records.dir(id), { recursive: true, force: true });
  }
}

function readHolder(dir: string): ProcessName | undefined {
  try {
    return JSON.parse(readFileSync(join(dir, 'holder.json'), 'utf8')) as ProcessName; // Ours.
  } catch (error) {
    if (isErrno(error, 'ENOENT') || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** On the host network a pod has the host's name too, as upstream. */
function pinnedKinds(spec: SandboxSpec): readonly PinnedNamespace[] {
  const kinds: PinnedNamespace[] = [];
  if (spec.namespaces.network === 'pod') kinds.push('net', 'uts');
  if (spec.namespaces.ipc === 'pod') kinds.push('ipc');
  return kinds;
}

function mountShm(path: string, size: string): void {
  mkdirSync(path, { recursive: true });
  const flags = MS.NOSUID | MS.NODEV | MS.NOEXEC;
  mount({ source: 'shm', target: path, type: 'tmpfs', flags, data: `mode=1777,${size}` });
}
