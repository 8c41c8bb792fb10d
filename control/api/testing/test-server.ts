/**
 * An API server of a test in this process: real store, real TLS, throw-away keys, a port of its
 * own.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import * as https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RealClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import type { KeyPair } from '#base/pki/pki.ts';
import { openStore, type Store } from '#control/store/store.ts';
import { ApiServer, TlsFrontEnd } from '../api.ts';
import type { AuditLog } from '../audit/audit.ts';
import { type ClusterFiles, issueUser, writeClusterFiles } from './cluster-files.ts';

/** Keys and a store that several servers may share. */
export interface TestCluster {
  readonly files: ClusterFiles;
  readonly store: Store;
  close(): Promise<void>;
}

export interface TestServer {
  readonly port: number;
  readonly api: ApiServer;
  stop(): Promise<void>;
}

const clock = new RealClock();

export async function makeTestCluster(
  more: { readonly quotaBytes?: number } = {},
): Promise<TestCluster> {
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-api-'));
  const files = await writeClusterFiles(dir, 0);
  const dataDir = join(dir, 'store');
  const store = await openStore({ dataDir, clock, log: silentLog, ...more });
  return {
    files,
    store,
    async close() {
      await store.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** One more server on the cluster's store; its caches begin at the present. */
export async function startTestServer(
  { files, store }: TestCluster,
  more: { readonly audit?: AuditLog; readonly requestMemoryBytes?: number } = {},
): Promise<TestServer> {
  const pki = (name: string) => join(files.pkiDir, name);
  const kubelet = {
    certificate: pki('kubelet-client.crt'),
    key: pki('kubelet-client.key'),
    ca: pki('ca.crt'),
  };
  const serviceAccountKey = readFileSync(pki('sa.key'), 'utf8');
  const api = new ApiServer({
    config: {
      nodeName: 'test',
      advertiseAddress: '192.0.2.1',
      advertisePort: 6443,
      serviceCidr: '10.96.0.0/16',
      nodePortRange: [30000, 32767],
      serviceAccountIssuer: 'https://kubernetes.default.svc.cluster.local',
      version: { gitVersion: 'v1.36.3', gitCommit: '', buildDate: '1970-01-01T00:00:00Z' },
      requestMemoryBytes: more.requestMemoryBytes,
    },
    keys: { serviceAccountKey, clientCa: files.ca.certificate, kubelet },
    store,
    clock,
    log: silentLog,
    audit: more.audit,
  });
  await api.start();
  const frontEnd = new TlsFrontEnd({
    files: { certificate: pki('server.crt'), key: pki('server.key'), clientCa: pki('ca.crt') },
    log: silentLog,
    handle: (request) => api.handle(request),
  });
  const port = await frontEnd.listen({ host: '127.0.0.1', port: 0 });
  return {
    port,
    api,
    async stop() {
      await Promise.all([frontEnd.close(100), api.stop()]);
    },
  };
}

export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look into any kind of object
  body: any;
}

export interface Ask {
  /** A client certificate, a token, or nothing (anonymous); the cluster's admin when absent. */
  as?: KeyPair | { token: string } | 'anonymous';
  headers?: Record<string, string>;
  body?: unknown;
}

export interface TestClient {
  port: number;
  readonly send: (method: string, path: string, ask?: Ask) => Promise<Answer>;
  readonly user: (name: string, groups: readonly string[]) => Promise<KeyPair>;
}

/** Raw HTTPS requests; `port` may be changed to talk to another server. */
export function testClient({ files }: TestCluster, port: number): TestClient {
  const client: TestClient = {
    port,
    user: (name, groups) => issueUser(files.ca, name, groups),
    send: (method, path, ask = {}) => {
      const { as = files.admin, headers = {}, body } = ask;
      const secrets =
        typeof as === 'object' && 'key' in as ? { cert: as.certificate, key: as.key } : {};
      const bearer =
        typeof as === 'object' && 'token' in as ? { authorization: `Bearer ${as.token}` } : {};
      const text =
        body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body);
      const type = { 'content-type': 'application/json' };
      const framing =
        text === undefined ? {} : { ...type, 'content-length': Buffer.byteLength(text) };
      return request(
        {
          ...secrets,
          host: '127.0.0.1',
          port: client.port,
          method,
          path,
          ca: files.ca.certificate,
          headers: { ...framing, ...bearer, ...headers },
        },
        text,
      );
    },
  };
  return client;
}

function request(options: https.RequestOptions, text: string | undefined): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = https.request(options, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('error', reject);
      response.on('end', () => {
        const all = Buffer.concat(parts).toString();
        const { 'content-type': type = '', 'content-encoding': packed } = response.headers;
        const isJson = /json/.test(type) && packed === undefined;
        const body: unknown = isJson && !all.includes('}\n{') ? JSON.parse(all) : undefined;
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text: all, body });
      });
    });
    outgoing.on('error', reject);
    outgoing.end(text);
  });
}

/** Waits for `condition`, looking often; fails after five seconds. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
