/**
 * A real etcd for tests, on loopback: Debian's from the lock's verified cache, or the binary that ETCD
 * names. Its data lies in a directory of its own.
 */
import { execFileSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { must } from '#base/assert.ts';
import { PrivateApt } from '#image/debian/apt.ts';
import { fetchLock, readLock } from '#image/debian/lock.ts';
import { RELEASE } from '#image/packages.ts';
import { debianArchitecture, imagePaths } from '#image/paths.ts';
import { freePorts } from './free-ports.ts';
import { spawnTied } from './tied-child.ts';

const START_MS_MAX = 30_000;

/** Path of an etcd binary, fetched and unpacked at the first call on this machine. */
export function ensureEtcd(): string {
  const given = process.env['ETCD'];
  if (given !== undefined) return given;
  const paths = imagePaths();
  const lock = readLock(paths.lock);
  const locked = must(lock.test[0], 'the lock has etcd-server');
  const tools = join(dirname(paths.debCache), 'tools');
  const target = join(tools, `etcd-${locked.version}-${locked.sha256.slice(0, 8)}`);
  if (existsSync(target)) return target;
  mkdirSync(tools, { recursive: true });
  const dir = mkdtempSync(join(tools, 'etcd-unpack-'));
  try {
    const apt = new PrivateApt({
      dir: join(dir, 'apt'),
      release: RELEASE,
      architecture: debianArchitecture(),
      keysDir: join(paths.source, 'keys'),
    });
    if (!existsSync(join(paths.debCache, `${locked.sha256}.deb`))) apt.update();
    const { root } = fetchLock(
      apt,
      { ...lock, root: [locked], build: [] },
      { cacheDir: paths.debCache, say: (line) => console.error(line) },
    );
    execFileSync('dpkg-deb', ['-x', must(root[0], 'etcd was fetched').file, dir]);
    // Appears by one rename: test files run at the same time.
    copyFileSync(join(dir, 'usr/bin/etcd'), join(dir, 'etcd'));
    renameSync(join(dir, 'etcd'), target);
  } finally {
    rmSync(dir, { recursive: true });
  }
  return target;
}

export interface EtcdTlsFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export interface EtcdServerOptions {
  /** Server files; clients must then show a certificate of the same CA. */
  readonly tls?: EtcdTlsFiles;
  readonly flags?: Readonly<Record<string, string>>;
  /** Will be killed and started again: without syncs, etcd 3.5 loses acknowledged writes then. */
  readonly syncs?: boolean;
}

/** One member that is a cluster of its own. Ports and data stay through `stop` and `start`. */
export class EtcdServer implements AsyncDisposable {
  readonly url: string;
  readonly dataDir: string;
  readonly #args: readonly string[];
  readonly #healthUrl: string;
  #child: ChildProcess | undefined;

  private constructor(parts: { url: string; health: string; dataDir: string; args: string[] }) {
    this.url = parts.url;
    this.#healthUrl = parts.health;
    this.dataDir = parts.dataDir;
    this.#args = parts.args;
  }

  static async start(options: EtcdServerOptions = {}): Promise<EtcdServer> {
    const dataDir = mkdtempSync(join(tmpdir(), 'bareboat-etcd-'));
    const [client = 0, peer = 0, metrics = 0] = await freePorts(3);
    const scheme = options.tls === undefined ? 'http' : 'https';
    const url = `${scheme}://127.0.0.1:${client}`;
    const peerUrl = `http://127.0.0.1:${peer}`;
    const health = `http://127.0.0.1:${metrics}`;
    const flags: Record<string, string> = {
      'data-dir': dataDir,
      'listen-client-urls': url,
      'advertise-client-urls': url,
      'listen-peer-urls': peerUrl,
      'initial-advertise-peer-urls': peerUrl,
      'initial-cluster': `default=${peerUrl}`,
      'listen-metrics-urls': health,
      'log-level': 'fatal',
      // It has nobody to hear from: with the usual second, each start would take one.
      'heartbeat-interval': '10',
      'election-timeout': '50',
      ...(options.tls && {
        'client-cert-auth': 'true',
        'trusted-ca-file': options.tls.ca,
        'cert-file': options.tls.cert,
        'key-file': options.tls.key,
      }),
      ...options.flags,
    };
    const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
    if (options.syncs !== true) args.push('--unsafe-no-fsync');
    const server = new EtcdServer({ url, health, dataDir, args });
    try {
      await server.start();
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
    return server;
  }

  /** Starts the stopped member again and waits until it serves. */
  async start(): Promise<void> {
    this.#child = spawnTied(ensureEtcd(), this.#args, { stdio: ['ignore', 'inherit', 'inherit'] });
    const deadlineMs = performance.now() + START_MS_MAX;
    while (!(await this.#isHealthy())) {
      if (this.#child.exitCode !== null) throw new Error(`etcd ended with ${this.#child.exitCode}`);
      if (performance.now() > deadlineMs) throw new Error(`etcd at ${this.url} does not serve`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGKILL'): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
  }

  /** Holds the process still, or lets it go on. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    must(this.#child, 'etcd runs').kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.dataDir, { recursive: true });
  }

  async #isHealthy(): Promise<boolean> {
    try {
      return (await fetch(`${this.#healthUrl}/health`)).ok;
    } catch {
      return false; // Not listening yet.
    }
  }
}
