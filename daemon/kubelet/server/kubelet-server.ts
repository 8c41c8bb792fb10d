/**
 * The kubelet's HTTPS server, port 10250: health, pods, container logs, exec, attach, metrics. Every
 * request but /healthz is authenticated and authorised (access.ts). Certificates are read again when
 * their files change.
 */
import { readFileSync, watchFile, unwatchFile } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { assert } from '#base/assert.ts';
import { errorText } from '#base/errors.ts';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { ContainerRuntime, ImageService, StreamSession } from '../../runtime/port.ts';
import { readPodUsage } from '../eviction/pod-usage.ts';
import type { PodUsage } from '../eviction/rank.ts';
import { history } from '../lifecycle/containers.ts';
import { STREAM_SESSIONS_MAX } from '../limits.ts';
import { type Pressure, readCpuUsageNanos } from '../node/node-facts.ts';
import type { PodManager } from '../pod/pod-manager.ts';
import type { PodWorker } from '../pod/pod-worker.ts';
import type { Access } from './access.ts';
import { chooseProtocol } from './channel-protocol.ts';
import { chooseRecord, parseLogOptions, sendLog } from './container-logs.ts';
import { HttpError } from './http-error.ts';
import {
  formatMetrics,
  formatResourceMetrics,
  type NodeReading,
  type PodReading,
} from './metrics.ts';
import { type MeasuredPod, statsSummary } from './stats-summary.ts';
import { bridge } from './stream-bridge.ts';

export interface ServerFiles {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

export interface ServerIo {
  readonly runtime: ContainerRuntime;
  readonly images: Pick<ImageService, 'usage'>;
  readonly manager: PodManager;
  readonly access: Access;
  readonly clock: Clock;
  readonly log: Log;
  readonly pressure: () => Pressure;
  readonly nodeName: string;
}

/** Upstream's volume-stats-agg-period. */
const DISK_USAGE_MS = 60_000;
const CERTIFICATE_LOOK_MS = 10_000;
const MESSAGE_BYTES_MAX = 4 * 1024 * 1024;

export class KubeletServer implements AsyncDisposable {
  readonly #io: ServerIo;
  readonly #files: ServerFiles;
  readonly #server: Server;
  readonly #sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: MESSAGE_BYTES_MAX,
    handleProtocols: (offered) => chooseProtocol(offered)?.name ?? false,
  });
  readonly #stop = new AbortController();
  readonly #startedAtMs: number;
  #sessions = 0;
  #usages: { readonly atMs: number; readonly byUid: Promise<Map<string, PodUsage>> } | undefined;

  constructor(io: ServerIo, files: ServerFiles) {
    this.#io = io;
    this.#files = files;
    this.#startedAtMs = io.clock.nowMs();
    this.#server = createServer(
      { ...this.#credentials(), requestCert: true, rejectUnauthorized: false },
      (request, response) => {
        this.#answer(request, response).catch((error: unknown) => this.#fail(response, error));
      },
    );
    this.#server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      socket.on('error', () => socket.destroy());
      this.#upgrade(request, socket, head).catch((error: unknown) => refuse(socket, error));
    });
    this.#server.on('tlsClientError', () => undefined); // A peer that speaks no TLS; nothing to do.
  }

  /** On every address of the node, IPv6 too where the kernel has it. */
  async listen(port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ port }, () => resolve());
    });
    // Both: one is there before the other, and only then do they fit.
    for (const file of [this.#files.certFile, this.#files.keyFile]) {
      watchFile(file, { interval: CERTIFICATE_LOOK_MS, persistent: false }, () => this.#renew());
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    unwatchFile(this.#files.certFile);
    unwatchFile(this.#files.keyFile);
    this.#stop.abort(new Error('server stops'));
    for (const client of this.#sockets.clients) client.terminate();
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }

  #renew(): void {
    try {
      this.#server.setSecureContext(this.#credentials());
    } catch (error) {
      this.#io.log.warn('new serving certificate not usable', { error: errorText(error) });
    }
  }

  #credentials() {
    const { caFile, certFile, keyFile } = this.#files;
    return { ca: readFileSync(caFile), cert: readFileSync(certFile), key: readFileSync(keyFile) };
  }

  #fail(response: ServerResponse, error: unknown): void {
    const status = error instanceof HttpError ? error.status : 500;
    if (status === 500) this.#io.log.warn('request failed', { error: errorText(error) });
    if (response.headersSent) {
      response.destroy();
      return;
    }
    response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' });
    response.end(error instanceof HttpError ? error.message : errorText(error));
  }

  async #admit(request: IncomingMessage, path: string): Promise<void> {
    const { access } = this.#io;
    const identity = await access.identify(request, this.#stop.signal);
    if (identity === undefined) throw new HttpError(401, 'Unauthorized');
    const method = request.method ?? 'GET';
    if (await access.allows(identity, method, path, this.#stop.signal)) return;
    const what = `user=${identity.user}, verb=${method}, path=${path}`;
    throw new HttpError(403, `Forbidden (${what}, node=${this.#io.nodeName})`);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = urlOf(request);
    const parts = partsOf(url);
    if (url.pathname === '/healthz' || url.pathname === '/healthz/ping') {
      response.end('ok');
      return;
    }
    await this.#admit(request, url.pathname);
    switch (parts.join('/')) {
      case 'pods':
        sendJson(response, this.#podList());
        return;
      case 'metrics':
        sendText(response, formatMetrics(this.#podReadings(), this.#nodeReading()));
        return;
      case 'metrics/resource':
      case 'metrics/cadvisor':
        sendText(response, formatResourceMetrics(this.#podReadings(), this.#nodeReading()));
        return;
      case 'stats/summary':
        sendJson(response, await this.#summary());
        return;
      default:
    }
    const [kind, namespace = '', pod = '', container = ''] = parts;
    if (kind === 'containerLogs' && parts.length === 4) {
      const worker = this.#worker(namespace, pod);
      const options = parseLogOptions(url.searchParams, this.#io.clock.nowMs());
      const { previous } = options;
      const all = this.#io.runtime.listContainers();
      const record = chooseRecord(worker, all, { container, previous });
      await sendLog(this.#io, record, { options, response });
      return;
    }
    if (kind === 'exec' || kind === 'attach') {
      throw new HttpError(
        400,
        'you must specify at least 1 of stdin, stdout, stderr over WebSocket',
      );
    }
    throw new HttpError(404, '404 page not found');
  }

  #worker(namespace: string, name: string, uid?: string): PodWorker {
    const worker = this.#io.manager.find(namespace, name, uid);
    if (worker === undefined) throw new HttpError(404, `pod ${JSON.stringify(name)} not found`);
    return worker;
  }

  #podList(): object {
    const items = [...this.#io.manager.workers].map((w) => ({ ...w.pod, status: w.status }));
    return { kind: 'PodList', apiVersion: 'v1', metadata: {}, items };
  }

  #podReadings(): PodReading[] {
    const all = this.#io.runtime.listContainers();
    return [...this.#io.manager.workers].map(({ pod, uid, status }) => ({
      namespace: pod.metadata.namespace ?? 'default',
      name: pod.metadata.name,
      uid,
      startTime: status.startTime,
      containers: all
        .filter((c) => c.podUid === uid)
        .map((record) => ({ record, stats: this.#io.runtime.stats(record.id) })),
    }));
  }

  #nodeReading(): NodeReading {
    return {
      nodeName: this.#io.nodeName,
      atMs: this.#io.clock.nowMs(),
      cpuUsageNanos: readCpuUsageNanos(),
      machine: this.#io.pressure(),
      startedAtMs: this.#startedAtMs,
      residentBytes: process.memoryUsage.rss(),
    };
  }

  async #summary(): Promise<object> {
    const images = this.#io.images.usage();
    return statsSummary(await this.#measuredPods(), { ...this.#nodeReading(), images });
  }

  /** Disks are read through at most so often, however many ask. */
  async #measuredPods(): Promise<MeasuredPod[]> {
    const nowMs = this.#io.clock.monotonicMs();
    if (this.#usages === undefined || nowMs - this.#usages.atMs > DISK_USAGE_MS) {
      this.#usages = { atMs: nowMs, byUid: this.#measureDisks() };
    }
    const byUid = await this.#usages.byUid;
    return this.#podReadings().map((reading) => ({
      ...reading,
      usage: byUid.get(reading.uid) ?? { containers: [], volumes: {} },
    }));
  }

  async #measureDisks(): Promise<Map<string, PodUsage>> {
    const byUid = new Map<string, PodUsage>();
    for (const worker of this.#io.manager.workers) {
      byUid.set(worker.uid, await readPodUsage(this.#io, worker, { disk: true }));
    }
    return byUid;
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const url = urlOf(request);
    await this.#admit(request, url.pathname);
    const offered = (request.headers['sec-websocket-protocol'] ?? '')
      .split(',')
      .map((p) => p.trim())
      .filter((p) => p !== '');
    const protocol = chooseProtocol(offered);
    if (protocol === undefined) throw new HttpError(400, `unknown protocols ${offered.join(', ')}`);
    const open = this.#opener(url);
    if (this.#sessions >= STREAM_SESSIONS_MAX) throw new HttpError(429, 'too many streams');
    this.#sockets.handleUpgrade(request, socket, head, (webSocket) => {
      this.#sessions++;
      bridge(webSocket, protocol, open)
        .catch((error: unknown) => {
          this.#io.log.warn('stream failed', { error: errorText(error) });
          webSocket.terminate();
        })
        .finally(() => this.#sessions--);
    });
  }

  /** How to open the session that the request asks for; throws HttpError when it cannot be. */
  #opener(url: URL): (signal: AbortSignal) => Promise<StreamSession> {
    const parts = partsOf(url);
    const [kind, namespace = '', name = ''] = parts;
    const container = parts.at(-1) ?? '';
    if ((kind !== 'exec' && kind !== 'attach') || parts.length < 4 || parts.length > 5) {
      throw new HttpError(404, '404 page not found');
    }
    const worker = this.#worker(namespace, name, parts.length === 5 ? parts[3] : undefined);
    const { runtime } = this.#io;
    const own = runtime.listContainers().filter((c) => c.podUid === worker.uid);
    const record = history(own, container).find((c) => c.state === 'running');
    if (record === undefined) {
      throw new HttpError(404, `container not found (${JSON.stringify(container)})`);
    }
    const flag = (...names: string[]) =>
      names.some((n) => ['1', 'true'].includes(url.searchParams.get(n) ?? ''));
    const tty = flag('tty');
    const streams = {
      stdin: flag('stdin', 'input'),
      stdout: flag('stdout', 'output'),
      stderr: flag('stderr', 'error') && !tty,
      tty,
    };
    if (!streams.stdin && !streams.stdout && !streams.stderr) {
      throw new HttpError(400, 'you must specify at least 1 of stdin, stdout, stderr');
    }
    if (kind === 'attach') {
      return async (signal) => {
        const session = await runtime.attach(record.id, streams, signal);
        // How the container ended is the pod's status; being attached to it went well.
        return { ...session, exited: session.exited.then(() => 0) };
      };
    }
    const argv = url.searchParams.getAll('command');
    if (argv.length === 0) throw new HttpError(400, 'you must specify a command');
    return (signal) => runtime.exec(record.id, { ...streams, argv }, signal);
  }
}

function urlOf(request: IncomingMessage): URL {
  const url = URL.parse(request.url ?? '/', 'https://kubelet');
  if (url === null) throw new HttpError(400, 'malformed URL');
  return url;
}

function partsOf(url: URL): string[] {
  try {
    return url.pathname
      .split('/')
      .filter((part) => part !== '')
      .map(decodeURIComponent);
  } catch (error) {
    if (!(error instanceof URIError)) throw error;
    throw new HttpError(400, 'malformed escape in the path');
  }
}

function sendJson(response: ServerResponse, body: object): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function sendText(response: ServerResponse, body: string): void {
  response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' });
  response.end(body);
}

/** Refuses an upgrade: there is no response object, only the socket. */
function refuse(socket: Duplex, error: unknown): void {
  const status = error instanceof HttpError ? error.status : 500;
  const text = errorText(error);
  assert(status >= 400, 'a refusal is an error');
  socket.end(
    `HTTP/1.1 ${status} Refused\r\ncontent-type: text/plain\r\nconnection: close\r\n` +
      `content-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
}
