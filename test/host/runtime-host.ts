/** A runtime of its own for a host test: scratch directories, a network that gives no addresses. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RealClock } from '#base/clock.ts';
import { FdLog, silentLog } from '#base/log.ts';
import { Cgroups, parseCgroupLayout } from '#daemon/runtime/cgroup.ts';
import type {
  Container,
  ContainerRuntime,
  ContainerSpec,
  Sandbox,
  SandboxSpec,
} from '#daemon/runtime/port.ts';
import { openRuntime, type Runtime, type RuntimeConfig } from '#daemon/runtime/runtime.ts';
import type { PodNetwork } from '#net/pod/port.ts';

export const RUNC = process.env['BAREBOAT_RUNC'] ?? '/usr/bin/runc';
export const CONMON = process.env['BAREBOAT_CONMON'] ?? '/usr/bin/conmon';

/** Why these tests cannot run here; undefined when they can. */
export function cannotRun(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root';
  for (const path of [RUNC, CONMON, '/bin/busybox']) {
    if (!existsSync(path)) return `needs ${path}`;
  }
  return undefined;
}

/** Gives no addresses, and fails when told to. */
export class NoNetwork implements PodNetwork {
  failWith: Error | undefined;

  attach(): Promise<{ ips: readonly string[] }> {
    return this.failWith === undefined
      ? Promise.resolve({ ips: [] })
      : Promise.reject(this.failWith);
  }
  detach(): Promise<void> {
    return Promise.resolve();
  }
  retain(): Promise<void> {
    return Promise.resolve();
  }
}

export class TestHost implements AsyncDisposable {
  readonly root = mkdtempSync(join(tmpdir(), 'bareboat-rt-'));
  readonly config: RuntimeConfig;
  readonly network = new NoNetwork();
  readonly #stop = new AbortController();

  constructor(given: Partial<RuntimeConfig> = {}) {
    this.config = {
      dataDir: join(this.root, 'data'),
      runDir: join(this.root, 'run'),
      cgroupRoot: `/bareboat-test-${process.pid}`,
      runcPath: RUNC,
      conmonPath: CONMON,
      ...given,
    };
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  async open(): Promise<Runtime> {
    const log = new FdLog({ level: 'error' });
    const io = { network: this.network, clock: new RealClock(), log };
    return await openRuntime(this.config, io, this.signal);
  }

  /** Removes what a test left, as a fresh process would. */
  async [Symbol.asyncDispose](): Promise<void> {
    await using runtime = await this.open();
    for (const { id } of runtime.containers.listSandboxes()) {
      await runtime.containers.removeSandbox(id, this.signal);
    }
    const layout = parseCgroupLayout(readFileSync('/proc/self/mountinfo', 'utf8'));
    if (layout !== undefined) new Cgroups(layout, silentLog).remove(this.config.cgroupRoot);
    await runtime[Symbol.asyncDispose]();
    rmSync(this.root, { recursive: true, force: true });
  }
}

export async function* bytes(data: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < data.length; at += 65_536) yield data.subarray(at, at + 65_536);
}

export async function text(source: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

/** Waits for a condition; throws after `ms`. */
export async function until(what: string, condition: () => boolean, ms = 10_000): Promise<void> {
  const end = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`timed out waiting until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export function sandboxSpec(logDirectory: string, given: Partial<SandboxSpec> = {}): SandboxSpec {
  return {
    podUid: 'uid-1',
    podName: 'test',
    podNamespace: 'default',
    attempt: 0,
    hostname: 'test-pod',
    namespaces: { network: 'pod', pid: 'container', ipc: 'pod' },
    sysctls: {},
    cgroupParent: 'kubepods/poduid-1',
    cgroup: { cpuShares: 102 },
    logDirectory,
    portMappings: [],
    labels: { app: 'test' },
    ...given,
  };
}

export function containerSpec(sandboxId: string, given: Partial<ContainerSpec>): ContainerSpec {
  return {
    sandboxId,
    name: 'main',
    attempt: 0,
    imageId: 'busybox',
    image: 'busybox',
    command: [],
    args: [],
    workingDir: '',
    env: [],
    mounts: [],
    security: {
      supplementalGroups: [],
      supplementalGroupsPolicy: 'Merge',
      privileged: false,
      readOnlyRootfs: false,
      noNewPrivileges: false,
      addCapabilities: [],
      dropCapabilities: [],
      seccomp: 'Unconfined',
      maskedPaths: ['/proc/kcore'],
      readonlyPaths: ['/proc/sys'],
    },
    resources: {},
    tty: false,
    stdin: false,
    stdinOnce: false,
    logPath: 'main/0.log',
    labels: {},
    annotations: {},
    ...given,
  };
}

export function find(containers: ContainerRuntime, id: string): Container {
  const container = containers.listContainers().find((c) => c.id === id);
  if (container === undefined) throw new Error(`no container ${id}`);
  return container;
}

export function logOf(containers: ContainerRuntime, id: string): string {
  const path = find(containers, id).logPath;
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

/** What was written, from a log in CRI format: a line ends where its tag is F. */
export function output(log: string): string {
  return log.replace(/^\S+ \S+ ([FP]) (.*)\n/gm, (_, tag, text) =>
    tag === 'F' ? `${text}\n` : text,
  );
}

export function collect(source: AsyncIterable<Uint8Array>): {
  text(): string;
  done: Promise<void>;
} {
  let text = '';
  const done = (async () => {
    for await (const chunk of source) text += Buffer.from(chunk).toString('utf8');
  })();
  return { text: () => text, done };
}

/** Creates and starts a container of the sandbox; its log is `<name>/0.log`. */
export async function runContainer(
  containers: ContainerRuntime,
  sandbox: Sandbox,
  given: Partial<ContainerSpec>,
): Promise<string> {
  const { signal } = new AbortController();
  const name = given.name ?? 'main';
  const spec = containerSpec(sandbox.id, { logPath: `${name}/0.log`, ...given });
  const { id } = await containers.createContainer(spec, signal);
  await containers.startContainer(id, signal);
  return id;
}
