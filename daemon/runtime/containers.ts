/**
 * Containers through their life: created (root filesystem and spec) → running (conmon, runc) → exited.
 * A container's record changes only inside its own queue (`#serial`), so start, stop, exit and removal
 * never interleave; waiting for an exit happens outside of it. After a restart `adopt` finds what runs.
 */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { availableParallelism, constants } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import { errorText, isErrno } from '#base/errors.ts';
import { removeTree } from '#base/linux/remove-tree.ts';
import type { Log } from '#base/log.ts';
import type { TaskScope } from '#base/task-scope.ts';
import { removeBundle } from './bundle.ts';
import type { Cgroups } from './cgroup.ts';
import { type Conmon, conmonPid, sawOom } from './conmon.ts';
import { makeContainer } from './container-create.ts';
import { ExitWatcher, readExits } from './exits.ts';
import { bootId, processStart } from './host.ts';
import type { ImageStore } from './image/image-store.ts';
import { CREATE_MS_MAX, RUNC_COUNT_MIN } from './limits.ts';
import { ociResources } from './oci/resources.ts';
import type { HostFacts } from './oci/spec.ts';
import { type ContainerResources, type ContainerSpec, RuntimeError } from './port.ts';
import { type ContainerRecord, type ProcessName, RecordStore } from './records.ts';
import type { Runc } from './runc.ts';
import type { Sandboxes } from './sandboxes.ts';
import { Gate, Serial, type Turns } from './serial.ts';
import { signalNumber } from './signals.ts';
import { Waiters } from './waiters.ts';

export interface ContainersOptions {
  readonly dataDir: string;
  readonly runDir: string;
  readonly runc: Runc;
  readonly conmon: Conmon;
  readonly cgroups: Cgroups;
  readonly images: ImageStore;
  readonly sandboxes: Sandboxes;
  readonly host: HostFacts;
  readonly clock: Clock;
  readonly log: Log;
  readonly turns: Turns;
  /** Owns the work that exits cause. */
  readonly tasks: TaskScope;
}

/** Exit code of a container that never ran, as containerd reports it. */
const START_ERROR_EXIT_CODE = 128;
/** Exit code of a container whose end nobody saw. */
const UNKNOWN_EXIT_CODE = 255;

export class Containers implements Disposable {
  readonly #options: ContainersOptions;
  readonly #records: RecordStore<ContainerRecord>;
  readonly #serial = new Serial();
  readonly #gate = new Gate(Math.max(RUNC_COUNT_MIN, availableParallelism()));
  readonly #exitDir: string;
  readonly #bundles: string;
  readonly #bootId = bootId();
  readonly #onChange: (change: { sandboxId: string; containerId: string }) => void;
  readonly #waiters = new Waiters();
  #watcher: ExitWatcher | undefined;

  constructor(
    options: ContainersOptions,
    onChange: (change: { sandboxId: string; containerId: string }) => void,
  ) {
    this.#options = options;
    this.#onChange = onChange;
    this.#records = new RecordStore(join(options.dataDir, 'containers'));
    this.#exitDir = join(options.runDir, 'exits');
    mkdirSync(this.#exitDir, { recursive: true, mode: 0o700 });
    this.#bundles = join(options.runDir, 'c');
    mkdirSync(this.#bundles, { recursive: true, mode: 0o711 });
  }

  [Symbol.dispose](): void {
    this.#watcher?.[Symbol.dispose]();
  }

  list(): readonly ContainerRecord[] {
    return this.#records.all();
  }

  get(id: string): ContainerRecord | undefined {
    return this.#records.get(id);
  }

  must(id: string): ContainerRecord {
    const record = this.#records.get(id);
    if (record === undefined) throw new RuntimeError('NOT_FOUND', `no container ${id}`);
    return record;
  }

  bundle(id: string): string {
    return join(this.#bundles, id);
  }

  /** Holds what the container wrote (rootfs.ts). */
  upperDirectory(id: string): string {
    return join(this.#records.dir(id), 'upper');
  }

  cgroupPath(record: ContainerRecord): string {
    return join(record.podCgroup, record.id);
  }

  /** Chain ids of the layers under any container. */
  *layersInUse(): Iterable<string> {
    for (const record of this.#records.all()) yield* record.layers;
  }

  /** Finds what an earlier process left; starts to watch for exits. */
  async adopt(signal: AbortSignal): Promise<void> {
    const { runc, log } = this.#options;
    const orphans = new Set([...this.#records.load(), ...readdirSync(this.#bundles)]);
    const states = new Map((await runc.list(signal)).map((state) => [state.id, state]));
    for (const id of states.keys()) orphans.add(id);
    for (const id of orphans) {
      if (this.#records.get(id) !== undefined) continue;
      try {
        await this.#erase(id, signal);
      } catch (error) {
        signal.throwIfAborted();
        // What one container left must not keep the node from running the others.
        log.error('rest of a container not removed', { id, error });
      }
    }
    this.#watcher = new ExitWatcher(this.#exitDir, () => this.#readExits());
    for (const record of this.#records.all()) {
      const status = states.get(record.id)?.status;
      if (record.state !== 'created' || record.process === undefined) continue;
      if (status === 'created' || status === 'creating') {
        await runc.delete(record.id, signal); // Its program never ran: it is still to be started.
        rmSync(join(this.#exitDir, record.id), { force: true });
        this.#records.put({ ...record, process: undefined });
      } else {
        // Started, and the process before us died before it could say so; it may have ended since.
        this.#running(record, record.process);
        log.info('container found started', { id: record.id });
      }
    }
    this.#readExits();
  }

  async create(spec: ContainerSpec): Promise<ContainerRecord> {
    return await this.#options.turns.run(() => {
      const record = makeContainer({
        ...this.#options,
        bundles: this.#bundles,
        find: (id) => this.must(id),
        spec,
      });
      this.#put(record);
      return record;
    });
  }

  async start(id: string, signal: AbortSignal): Promise<void> {
    await this.#serial.run(id, async () => {
      const record = this.must(id);
      if (record.state !== 'created') {
        throw new RuntimeError('START_FAILED', `container ${id} is ${record.state}`);
      }
      using deadline = this.#options.clock.deadline(CREATE_MS_MAX, signal);
      try {
        await this.#gate.run(() => this.#startProcess(record, deadline.signal));
      } catch (error) {
        await this.#cleanUp(record);
        const startError = errorText(error);
        this.#exited(record, { exitCode: START_ERROR_EXIT_CODE, startError });
        throw new RuntimeError('START_FAILED', startError); // The text has all causes.
      }
    });
  }

  /** Resolves when it has exited. A container that never ran counts as ended by the stop. */
  async stop(id: string, graceSeconds: number, signal: AbortSignal): Promise<void> {
    await this.#serial.run(id, () => {
      const record = this.#records.get(id);
      if (record?.state === 'created') this.#exited(record, { exitCode: 137 });
      return Promise.resolve();
    });
    const record = this.#records.get(id);
    if (record?.state !== 'running') return;
    if (graceSeconds > 0) {
      this.#kill(record, signalNumber(record.stopSignal));
      if (await this.#exitWithin(id, graceSeconds * 1000, signal)) return;
    }
    // The kernel may take its time over a process in the middle of disk I/O: ask again, for ever.
    for (;;) {
      this.#kill(record, constants.signals.SIGKILL);
      if (await this.#exitWithin(id, 10_000, signal)) return;
      this.#options.log.warn('container does not end', { id });
    }
  }

  async remove(id: string, signal: AbortSignal): Promise<void> {
    if (this.#records.get(id)?.state === 'running') await this.stop(id, 0, signal);
    await this.#serial.run(id, async () => {
      const record = this.#records.get(id);
      if (record === undefined) return;
      // The record first: what is left without one is removed at the next start. In memory it goes last:
      // its layers are in use until then, and what failed is tried again.
      rmSync(join(this.#records.dir(id), 'record.json'), { force: true });
      await this.#erase(id, signal);
      await removeLogs(record.logPath);
      this.#records.forget(id);
      this.#changed(record);
    });
  }

  async update(id: string, resources: ContainerResources, signal: AbortSignal): Promise<void> {
    await this.#serial.run(id, async () => {
      const record = this.must(id);
      if (record.state === 'running') {
        const { runc, cgroups } = this.#options;
        const { devices: _, ...limits } = ociResources(resources, cgroups.version);
        await runc.update(id, limits, signal);
      }
      this.#put({ ...record, spec: { ...record.spec, resources } });
    });
  }

  async #startProcess(record: ContainerRecord, signal: AbortSignal): Promise<void> {
    const pid = await this.#spawn(record, signal);
    // A process that has ended already has no start time; its exit file will tell.
    const name = { pid, start: processStart(pid) ?? 0 };
    this.#records.put({ ...record, process: name }); // Before it runs: see adopt().
    await this.#options.runc.start(record.id, name, signal);
    this.#running(record, name);
  }

  async #spawn(record: ContainerRecord, signal: AbortSignal): Promise<number> {
    const { conmon, cgroups } = this.#options;
    mkdirSync(dirname(record.logPath), { recursive: true, mode: 0o755 });
    const { tty, stdin, stdinOnce, name } = record.spec;
    return await conmon.create(
      {
        id: record.id,
        name,
        bundle: this.bundle(record.id),
        logPath: record.logPath,
        exitDir: this.#exitDir,
        tty,
        stdin,
        stdinOnce,
      },
      (pid) => cgroups.addMonitor(record.podCgroup, pid),
      signal,
    );
  }

  #readExits(): void {
    const exits = new Map(readExits(this.#exitDir).map((exit) => [exit.containerId, exit]));
    for (const exit of exits.values()) {
      this.#spawnTask(exit.containerId, async () => {
        const record = this.#records.get(exit.containerId);
        if (record?.state === 'running') await this.#finish(record, exit);
        rmSync(join(this.#exitDir, exit.containerId), { force: true });
      });
    }
    for (const record of this.#records.all()) {
      if (record.state !== 'running' || exits.has(record.id) || this.#isAlive(record)) continue;
      this.#spawnTask(record.id, async () => {
        const current = this.#records.get(record.id);
        if (current?.state !== 'running' || this.#monitorLives(current)) return;
        const exit = readExits(this.#exitDir).find((e) => e.containerId === record.id);
        await this.#finish(current, exit ?? { exitCode: UNKNOWN_EXIT_CODE });
      });
    }
  }

  #isAlive(record: ContainerRecord): boolean {
    const { process, bootId: boot } = record;
    return (
      process !== undefined && boot === this.#bootId && processStart(process.pid) === process.start
    );
  }

  /** A monitor that lives will still write the exit code. */
  #monitorLives(record: ContainerRecord): boolean {
    const pid = record.bootId === this.#bootId ? conmonPid(this.bundle(record.id)) : undefined;
    return pid !== undefined && this.#options.cgroups.hasMonitor(record.podCgroup, pid);
  }

  #spawnTask(id: string, task: () => Promise<void>): void {
    const { tasks, log } = this.#options;
    tasks.spawn(`exit of ${id}`, async () => {
      try {
        await this.#serial.run(id, task);
      } catch (error) {
        if (tasks.signal.aborted) return; // The next process will find it.
        log.error('exit not handled', { id, error }); // The next sweep tries again.
      }
    });
  }

  async #finish(
    record: ContainerRecord,
    exit: { exitCode: number; finishedAtMs?: number },
  ): Promise<void> {
    const { cgroups } = this.#options;
    const oomKilled =
      sawOom(this.bundle(record.id)) || cgroups.oomKillCount(this.cgroupPath(record)) > 0;
    this.#exited(record, { ...exit, oomKilled });
    await this.#cleanUp(record);
  }

  /** Ends what is left in its cgroup (a shared PID namespace keeps children) and runc's state. */
  async #cleanUp(record: ContainerRecord): Promise<void> {
    const { runc, log, tasks } = this.#options;
    try {
      await this.#gate.run(() => runc.delete(record.id, tasks.signal));
    } catch (error) {
      tasks.signal.throwIfAborted();
      log.warn('runc did not forget a container', { id: record.id, error });
    }
  }

  #running(record: ContainerRecord, process: ProcessName): void {
    const startedAtMs = this.#options.clock.nowMs();
    this.#put({ ...record, state: 'running', startedAtMs, process });
  }

  #exited(
    record: ContainerRecord,
    end: { exitCode: number; finishedAtMs?: number; oomKilled?: boolean; startError?: string },
  ): void {
    const ended: ContainerRecord = {
      ...record,
      state: 'exited',
      exitCode: end.exitCode,
      finishedAtMs: end.finishedAtMs ?? this.#options.clock.nowMs(),
      oomKilled: end.oomKilled ?? false,
      startError: end.startError,
    };
    if (!this.#records.putOrRemember(ended)) {
      this.#options.log.warn('end of a container is not on disk', { id: record.id });
    }
    this.#changed(ended);
  }

  #put(record: ContainerRecord): void {
    this.#records.put(record);
    this.#changed(record);
  }

  #changed(record: ContainerRecord): void {
    this.#waiters.wake(record.id);
    this.#onChange({ sandboxId: record.spec.sandboxId, containerId: record.id });
  }

  #runs(id: string): boolean {
    return this.#records.get(id)?.state === 'running';
  }

  /** Resolves when it no longer runs (true) or time is up (false). */
  async #exitWithin(id: string, ms: number, signal: AbortSignal): Promise<boolean> {
    using deadline = this.#options.clock.deadline(ms, signal);
    while (this.#runs(id) && !deadline.signal.aborted) {
      await this.#waiters.next(id, deadline.signal);
    }
    signal.throwIfAborted();
    return !this.#runs(id);
  }

  /** Resolves with the exit code when the container has ended. */
  async exitCode(id: string): Promise<number> {
    while (this.#runs(id)) await this.#waiters.next(id);
    return this.#records.get(id)?.exitCode ?? UNKNOWN_EXIT_CODE;
  }

  #kill(record: ContainerRecord, signal: number): void {
    const { process: name } = record;
    if (name === undefined || !this.#isAlive(record)) return;
    try {
      process.kill(name.pid, signal);
    } catch (error) {
      if (!isErrno(error, 'ESRCH')) throw error; // It has just ended.
    }
  }

  async #erase(id: string, signal: AbortSignal): Promise<void> {
    await this.#gate.run(() => this.#options.runc.delete(id, signal));
    await this.#options.turns.run(() => removeBundle(this.bundle(id)));
    rmSync(join(this.#exitDir, id), { force: true });
    await removeTree(this.#records.dir(id)); // Whatever it wrote: may be much.
  }
}

/** The log and what was rotated away from it (`0.log.20261123-053219`): runs are many, disks are not. */
async function removeLogs(path: string): Promise<void> {
  const [directory, name] = [dirname(path), basename(path)];
  try {
    for (const entry of await readdir(directory)) {
      if (entry !== name && !entry.startsWith(`${name}.`)) continue;
      await rm(join(directory, entry), { force: true });
    }
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error; // Gone with its pod, or never made.
  }
}
