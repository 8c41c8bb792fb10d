/** Debian's docker-registry for tests that pull, and what pushes to it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { until } from './runtime-host.ts';
import { type ociParts, sha256 } from './runtime-images.ts';

const REGISTRY = process.env['BAREBOAT_REGISTRY'] ?? '/usr/bin/docker-registry';

/** Who may use a registry with `authenticated`; the hash is bcrypt's, of `secret`. */
export const USER = { name: 'ann', password: 'secret' };
const HTPASSWD = 'ann:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n';

export interface RegistryOptions {
  /** Where it keeps everything. */
  readonly dir: string;
  /** Process whose network namespace it runs in; ours when absent. */
  readonly netnsOf?: number;
  /** Host that reaches it from here. */
  readonly host: string;
  readonly port: number;
  readonly authenticated: boolean;
}

export interface Registry extends Disposable {
  /** `HOST:PORT`, as reached from here. */
  readonly name: string;
  readonly child: ChildProcess;
}

/** Why there is no registry here; undefined when there is. */
export function noRegistry(): string | undefined {
  return existsSync(REGISTRY) ? undefined : `needs ${REGISTRY}: apt-get install docker-registry`;
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // TCP.
  server.close();
  await once(server, 'close');
  return port;
}

export async function startRegistry(options: RegistryOptions): Promise<Registry> {
  const { dir, netnsOf, host, port } = options;
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'htpasswd'), HTPASSWD);
  const config = {
    version: 0.1,
    log: { level: 'error', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: dir } },
    http: { addr: `${netnsOf === undefined ? host : '0.0.0.0'}:${port}` },
    ...(options.authenticated && {
      auth: { htpasswd: { realm: 'test', path: join(dir, 'htpasswd') } },
    }),
  };
  const path = join(dir, 'config.yml');
  writeFileSync(path, JSON.stringify(config)); // JSON is YAML.
  const enter = netnsOf === undefined ? [] : ['nsenter', `--net=/proc/${netnsOf}/ns/net`];
  const [program, ...args] = [...enter, REGISTRY, 'serve', path];
  const child = spawn(program, args, { stdio: 'ignore' });
  const name = `${host}:${port}`;
  let up = false;
  await until('the registry answers', () => {
    fetch(`http://${name}/v2/`).then(
      () => (up = true),
      () => undefined,
    );
    return up;
  });
  return { name, child, [Symbol.dispose]: () => child.kill('SIGKILL') };
}

/** Pushes an image as `REPOSITORY:v1`. */
export async function push(
  { name }: Registry,
  repository: string,
  parts: ReturnType<typeof ociParts>,
): Promise<void> {
  const base = `http://${name}/v2/${repository}`;
  const credentials = Buffer.from(`${USER.name}:${USER.password}`).toString('base64');
  const authorization = `Basic ${credentials}`;
  for (const blob of parts.blobs) {
    const headers = { authorization };
    const started = await fetch(`${base}/blobs/uploads/`, { method: 'POST', headers });
    const url = new URL(started.headers.get('location') ?? '', base);
    url.searchParams.set('digest', `sha256:${sha256(blob)}`);
    const done = await fetch(url, {
      method: 'PUT',
      body: new Uint8Array(blob),
      headers: { authorization, 'content-type': 'application/octet-stream' },
    });
    if (done.status !== 201) throw new Error(`push of a blob: ${done.status}`);
  }
  const done = await fetch(`${base}/manifests/v1`, {
    method: 'PUT',
    body: new Uint8Array(parts.manifest),
    headers: { authorization, 'content-type': 'application/vnd.oci.image.manifest.v1+json' },
  });
  if (done.status !== 201) throw new Error(`push of a manifest: ${done.status}`);
}
