/**
 * A development node for the tests of one file, driven by unmodified kubectl. The node is the
 * checkout's: one at a time. Tests run in the order in which they stand.
 */
import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { unmountMaybe } from '#base/linux/mounts.ts';
import { mount } from '#base/linux/syscall.ts';
import { type ArchiveRequest, writeArchive } from '#image/archive.ts';
import { busyboxEntries } from '#image/busybox.ts';
import { ensureKubectl } from '#image/kubectl.ts';
import { type DevIdentity, devIdentity } from '#test/dev/identity.ts';
import { down, up } from '#test/dev/launch.ts';
import { nodeProcesses } from '#test/dev/traces.ts';

const OUTPUT_BYTES_MAX = 64 << 20;
const COMMAND_MS = 60_000;
const WAIT_MS = 60_000;

export const CHECKOUT = dirname(dirname(import.meta.dirname));
/** The image that is always there. */
export const BUSYBOX = 'localhost/busybox:test';

export interface Ended {
  /** The exit code, or the signal's name. */
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

/** Folders whose files the node's root tree is made of. */
const ROOT_SOURCES = ['base', 'net', 'daemon', 'control', 'image', 'test/dev', 'package-lock.json'];

/** Makes the root tree, unless no source has changed since a test made it. */
function makeRoot(): void {
  const stamp = join(CHECKOUT, 'out/root.made-for-tests');
  const files = ROOT_SOURCES.flatMap((source) => {
    const path = join(CHECKOUT, source);
    const below = statSync(path).isDirectory() ? readdirSync(path, { recursive: true }) : [];
    return [path, ...below.map((name) => join(path, String(name)))]; // Names are no buffers.
  });
  const changedAtMs = Math.max(...files.map((file) => statSync(file).mtimeMs));
  if (existsSync(stamp) && statSync(stamp).mtimeMs > changedAtMs) return;
  const startedAt = new Date();
  execFileSync(process.execPath, ['--no-warnings', join(CHECKOUT, 'image/make-root.ts')]);
  writeFileSync(stamp, '');
  utimesSync(stamp, startedAt, startedAt); // What changes meanwhile counts as newer.
}

/** Why a development node cannot run here; undefined when it can. */
export function cannotRun(): string | undefined {
  return process.getuid?.() === 0 ? undefined : 'a development node needs root';
}

/** In memory: what lies below /var in the node. */
function mountDisk({ dir }: DevIdentity, bytes: number): void {
  const target = join(dir, 'var');
  mkdirSync(target, { recursive: true });
  mount({ source: 'tmpfs', target, type: 'tmpfs', data: `mode=755,size=${bytes}` });
}

function releaseDisk({ dir }: DevIdentity): void {
  unmountMaybe(join(dir, 'var'));
}

export class TestNode implements AsyncDisposable {
  readonly identity: DevIdentity;
  readonly scratch: string;
  readonly kubectlPath: string;

  constructor(parts: { identity: DevIdentity; scratch: string; kubectlPath: string }) {
    this.identity = parts.identity;
    this.scratch = parts.scratch;
    this.kubectlPath = parts.kubectlPath;
  }

  /**
   * Starts it with nothing of an earlier run; imports busybox and `images`. With `disk` it has one of its own, of
   * so many bytes, and settings of the kubelet that mind it.
   */
  static async start(
    images: readonly ArchiveRequest[] = [],
    disk?: { readonly bytes: number; readonly kubelet: object },
  ): Promise<TestNode> {
    const identity = devIdentity(CHECKOUT);
    const scratch = mkdtempSync(join(tmpdir(), 'bareboat-host-'));
    const kubectlPath = await ensureKubectl();
    await down(identity);
    makeRoot();
    const busybox = { names: [BUSYBOX], entries: busyboxEntries(), config: { Cmd: ['sh'] } };
    const archives: string[] = [];
    for (const [index, image] of [busybox, ...images].entries()) {
      const path = join(scratch, `${index}.tar`);
      await writeArchive(image, path);
      archives.push(path);
    }
    releaseDisk(identity);
    rmSync(identity.dir, { recursive: true, force: true });
    if (disk !== undefined) mountDisk(identity, disk.bytes);
    await up(identity, archives, disk?.kubelet);
    return new TestNode({ identity, scratch, kubectlPath });
  }

  get kubeconfig(): string {
    return join(this.identity.dir, 'kubeconfig');
  }

  get environment(): NodeJS.ProcessEnv {
    return { ...process.env, KUBECONFIG: this.kubeconfig };
  }

  /** Runs kubectl to its end, whatever that is. */
  run(
    args: readonly string[],
    options: { input?: string; timeoutMs?: number } = {},
  ): Promise<Ended> {
    const { input = '', timeoutMs = COMMAND_MS } = options;
    return new Promise((resolve) => {
      const child = execFile(
        this.kubectlPath,
        args,
        {
          encoding: 'utf8',
          env: this.environment,
          maxBuffer: OUTPUT_BYTES_MAX,
          timeout: timeoutMs,
        },
        (error, stdout, stderr) =>
          resolve({ code: error === null ? 0 : (error.code ?? error.signal ?? 1), stdout, stderr }),
      );
      child.stdin?.on('error', () => {}); // It ended without reading; its exit code says why.
      child.stdin?.end(input);
    });
  }

  /** Starts kubectl and leaves it running; the caller ends it. */
  spawn(...args: string[]): ChildProcess {
    return spawn(this.kubectlPath, args, { env: this.environment, stdio: 'pipe' });
  }

  /** What a kubectl that must succeed prints. */
  async kubectl(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(args);
    if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${code}: ${stderr}${stdout}`);
    return stdout;
  }

  async apply(...manifests: readonly object[]): Promise<void> {
    await this.#send('apply', manifests);
  }

  /** As apply, without the annotation. */
  async create(...manifests: readonly object[]): Promise<void> {
    await this.#send('create', manifests);
  }

  async #send(verb: string, manifests: readonly object[]): Promise<void> {
    const input = manifests.map((manifest) => JSON.stringify(manifest)).join('\n---\n');
    const { code, stderr } = await this.run([verb, '-f', '-'], { input });
    if (code !== 0) throw new Error(`kubectl ${verb}: ${stderr}`);
  }

  // oxlint-disable-next-line typescript/no-explicit-any -- What a test looks into is what it is about.
  async get(...args: string[]): Promise<any> {
    return JSON.parse(await this.kubectl('get', ...args, '-o', 'json'));
  }

  /** Waits until a JSON path of a pod has a value; throws with the pod's status when it does not get it. */
  async waitFor(pod: string, jsonPath: string, value: string): Promise<void> {
    const condition = `--for=jsonpath=${jsonPath}=${value}`;
    const { code, stderr } = await this.run(
      ['wait', condition, `pod/${pod}`, `--timeout=${WAIT_MS / 1000}s`],
      { timeoutMs: WAIT_MS + COMMAND_MS },
    );
    if (code === 0) return;
    const { stdout } = await this.run(['get', 'pod', pod, '-o', 'jsonpath={.status}']);
    throw new Error(`kubectl wait ${condition} pod/${pod}: ${code}: ${stderr}${stdout}`);
  }

  /** The log of a pod that has Succeeded. */
  async outputOf(pod: string, ...args: string[]): Promise<string> {
    await this.waitFor(pod, '{.status.phase}', 'Succeeded');
    return this.kubectl('logs', pod, ...args);
  }

  /** Events about an object, as `reason: message`. */
  async events(name: string): Promise<string[]> {
    const selector = `--field-selector=involvedObject.name=${name}`;
    const { items } = await this.get('events', selector);
    return items.map((e: { reason: string; message: string }) => `${e.reason}: ${e.message}`);
  }

  exec(pod: string, script: string): Promise<string> {
    return this.kubectl('exec', pod, '--', 'sh', '-c', script);
  }

  /** The number, on the host, of the node's process named by its bundle. */
  pidOf(bundle: string): number | undefined {
    const path = `/usr/lib/bareboat/${bundle}.js`;
    return nodeProcesses(this.identity).find(({ command }) => command.includes(path))?.pid;
  }

  /** Mounts below a pod's directory, as the node sees them. */
  mountsOf(podUid: string): string[] {
    const agent = this.pidOf('agent');
    if (agent === undefined) throw new Error('the agent does not run');
    return readFileSync(`/proc/${agent}/mounts`, 'utf8')
      .split('\n')
      .filter((line) => line.includes(`/pods/${podUid}/`));
  }

  hasPodDirectory(podUid: string): boolean {
    return existsSync(join(this.identity.dir, 'var/lib/bareboat/agent/pods', podUid));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await down(this.identity);
    releaseDisk(this.identity);
    rmSync(this.scratch, { recursive: true, force: true });
  }
}

/** Runs `check` until it neither throws nor gives false; returns what it gave. */
export async function eventually<T>(
  what: string,
  check: () => T | Promise<T>,
  timeoutMs = 30_000,
): Promise<Exclude<T, false>> {
  const deadline = Date.now() + timeoutMs;
  let last: unknown = 'never tried';
  while (Date.now() < deadline) {
    try {
      const result = await check();
      if (result !== false) return result as Exclude<T, false>; // Just compared.
      last = 'not yet';
    } catch (error) {
      last = error;
    }
    await sleep(100);
  }
  throw new Error(`${what}: not within ${timeoutMs} ms`, { cause: last });
}

interface PodOptions {
  readonly spec?: object;
  readonly metadata?: object;
}

/** A pod of one busybox container, which is called `main`. */
export function pod(name: string, container: object, { spec, metadata }: PodOptions = {}): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', ...metadata },
    spec: {
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: 1,
      containers: [{ name: 'main', image: BUSYBOX, ...container }],
      ...spec,
    },
  };
}

/** The same, running a shell script. */
export function scriptPod(name: string, script: string, options: PodOptions = {}): object {
  return pod(name, { command: ['sh', '-c', script] }, options);
}
