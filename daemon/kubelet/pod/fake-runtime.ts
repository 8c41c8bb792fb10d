/**
 * The container runtime in memory, for tests of the drivers: records what it was asked, runs nothing.
 * Containers run until `exit` is called or they are stopped.
 */
import {
  type Container,
  type ContainerRuntime,
  type ContainerSpec,
  type ExecResult,
  type Image,
  type ImageService,
  RuntimeError,
  type Sandbox,
  type SandboxSpec,
} from '../../runtime/port.ts';

export class FakeRuntime implements ContainerRuntime {
  readonly calls: string[] = [];
  readonly specs: ContainerSpec[] = [];
  readonly #sandboxes = new Map<string, Sandbox>();
  readonly #containers = new Map<string, Container>();
  readonly #listeners = new Set<(change: { sandboxId: string; containerId?: string }) => void>();
  #next = 1;
  /** Answers of execSync, by command; exit code 0 otherwise. */
  readonly execExits = new Map<string, number>();

  async runSandbox(spec: SandboxSpec): Promise<Sandbox> {
    this.calls.push(`runSandbox ${spec.podName} #${spec.attempt}`);
    const sandbox: Sandbox = {
      ...spec,
      id: `s${this.#next++}`,
      state: 'ready',
      createdAtMs: Date.now(),
      ips: spec.namespaces.network === 'node' ? [] : [`10.0.0.${this.#next}`],
      netnsPath: '',
    };
    this.#sandboxes.set(sandbox.id, sandbox);
    this.#tell(sandbox.id);
    return sandbox;
  }

  async stopSandbox(id: string): Promise<void> {
    this.calls.push('stopSandbox');
    for (const c of this.#containers.values()) if (c.sandboxId === id) this.#end(c, 137);
    const sandbox = this.#sandboxes.get(id);
    if (sandbox !== undefined) this.#sandboxes.set(id, { ...sandbox, state: 'notReady' });
    this.#tell(id);
  }

  async removeSandbox(id: string): Promise<void> {
    this.calls.push('removeSandbox');
    this.#sandboxes.delete(id);
    for (const c of this.#containers.values())
      if (c.sandboxId === id) this.#containers.delete(c.id);
    this.#tell(id);
  }

  async updateSandbox(): Promise<void> {
    this.calls.push('updateSandbox');
  }

  listSandboxes(): readonly Sandbox[] {
    return [...this.#sandboxes.values()];
  }

  async createContainer(spec: ContainerSpec): Promise<Container> {
    this.calls.push(`createContainer ${spec.name} #${spec.attempt}`);
    this.specs.push(spec);
    const sandbox = this.#sandboxes.get(spec.sandboxId);
    if (sandbox === undefined) throw new RuntimeError('NOT_FOUND', 'no such sandbox');
    const container: Container = {
      ...spec,
      id: `c${this.#next++}`,
      podUid: sandbox.podUid,
      state: 'created',
      createdAtMs: Date.now(),
      startedAtMs: undefined,
      finishedAtMs: undefined,
      exitCode: undefined,
      signal: undefined,
      oomKilled: false,
      startError: undefined,
      pid: undefined,
      logPath: `/nowhere/${spec.logPath}`,
      user: undefined,
    };
    this.#containers.set(container.id, container);
    this.#tell(container.sandboxId, container.id);
    return container;
  }

  async startContainer(id: string): Promise<void> {
    const container = this.#get(id);
    this.calls.push(`startContainer ${container.name}`);
    this.#containers.set(id, { ...container, state: 'running', startedAtMs: Date.now() });
    this.#tell(container.sandboxId, id);
  }

  async stopContainer(id: string, graceSeconds: number): Promise<void> {
    const container = this.#get(id);
    this.calls.push(`stopContainer ${container.name} ${Math.round(graceSeconds)}s`);
    this.#end(container, 143);
  }

  async removeContainer(id: string): Promise<void> {
    this.calls.push('removeContainer');
    this.#containers.delete(id);
  }

  async updateResources(): Promise<void> {
    this.calls.push('updateResources');
  }

  listContainers(): readonly Container[] {
    return [...this.#containers.values()];
  }

  onChange(listener: (change: { sandboxId: string; containerId?: string }) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  async execSync(_id: string, argv: readonly string[]): Promise<ExecResult> {
    const command = argv.join(' ');
    this.calls.push(`exec ${command}`);
    const exitCode = this.execExits.get(command) ?? 0;
    return { exitCode, stdout: new Uint8Array(), stderr: new Uint8Array() };
  }

  exec(): never {
    throw new RuntimeError('NOT_FOUND', 'the fake has no streams');
  }

  attach(): never {
    throw new RuntimeError('NOT_FOUND', 'the fake has no streams');
  }

  reopenLog(): void {
    this.calls.push('reopenLog');
  }

  stats(): undefined {
    return undefined;
  }

  /** By container name. */
  readonly written = new Map<string, number>();

  async writableLayer(id: string): Promise<{ bytes: number; inodes: number }> {
    return { bytes: this.written.get(this.#get(id).name) ?? 0, inodes: 0 };
  }

  /** The newest container of this name ends. */
  exit(name: string, exitCode: number): void {
    const container = [...this.#containers.values()].findLast((c) => c.name === name);
    if (container !== undefined) this.#end(container, exitCode);
  }

  #get(id: string): Container {
    const container = this.#containers.get(id);
    if (container === undefined) throw new RuntimeError('NOT_FOUND', `no container ${id}`);
    return container;
  }

  #end(container: Container, exitCode: number): void {
    const current = this.#containers.get(container.id);
    if (current === undefined || current.state === 'exited') return;
    const ended = { ...current, state: 'exited' as const, exitCode, finishedAtMs: Date.now() };
    this.#containers.set(container.id, ended);
    this.#tell(container.sandboxId, container.id);
  }

  #tell(sandboxId: string, containerId?: string): void {
    const change = containerId === undefined ? { sandboxId } : { sandboxId, containerId };
    for (const listener of this.#listeners) listener(change);
  }
}

/** Images by name; those in `remote` can be pulled. */
export class FakeImages implements ImageService {
  readonly pulls: string[] = [];
  readonly #local = new Set<string>();
  readonly #remote: ReadonlySet<string>;

  constructor(names: { readonly local: readonly string[]; readonly remote: readonly string[] }) {
    for (const name of names.local) this.#local.add(name);
    this.#remote = new Set(names.remote);
  }

  find(reference: string): Image | undefined {
    const name = reference.replace(/^id-of-/, '');
    return this.#local.has(name) ? image(name) : undefined;
  }

  list(): readonly Image[] {
    return [...this.#local].map(image);
  }

  async pull(reference: string): Promise<Image> {
    this.pulls.push(reference);
    if (!this.#remote.has(reference)) throw new RuntimeError('IMAGE_NOT_FOUND', 'not found');
    this.#local.add(reference);
    return image(reference);
  }

  importArchive(): Promise<never> {
    throw new RuntimeError('IMAGE_INVALID', 'the fake imports nothing');
  }

  async remove(reference: string): Promise<number> {
    return this.#local.delete(reference.replace(/^id-of-/, '')) ? 1 : 0;
  }

  async collect(): Promise<void> {}

  usage(): { bytes: number; inodes: number } {
    return { bytes: 0, inodes: 0 };
  }
}

function image(name: string): Image {
  return {
    id: `id-of-${name}`,
    tags: [name],
    digests: [],
    sizeBytes: 1,
    addedAtMs: 0,
    pinned: false,
    config: {
      user: '',
      env: [],
      entrypoint: ['/x'],
      cmd: [],
      workingDir: '',
      stopSignal: '',
      volumes: [],
      labels: {},
    },
  };
}
