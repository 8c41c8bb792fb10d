/** etcd with three members as processes on loopback, mutual TLS among them and to clients. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { must } from '#base/assert.ts';
import { createCa, issueLeaf } from '#base/pki/pki.ts';
import type { KeyPair } from '#base/pki/pki.ts';
import { freePorts } from '../../contract/free-ports.ts';
import { spawnTied } from '../../contract/tied-child.ts';
import { EtcdSession } from './etcd-session.ts';
import type { Access, Group } from './target.ts';

const HOST = '127.0.0.1';
const MEMBERS = [0, 1, 2];
const LIFETIME_MS = 86_400_000;
const READY_MS_MAX = 120_000;

/** What differs from the defaults, beside addresses and certificates: as kubeadm runs it. */
const FLAGS = {
  'snapshot-count': '10000',
  'quota-backend-bytes': String(8 * 1024 ** 3),
  'client-cert-auth': 'true',
  'peer-client-cert-auth': 'true',
  'log-level': 'error',
} as const;

/** For the record. */
export const ETCD_FLAGS = Object.entries(FLAGS)
  .map(([name, value]) => `--${name}=${value}`)
  .join(' ');

export interface EtcdSettings {
  readonly binary: string;
  readonly heartbeatMs?: number | undefined;
  readonly electionMs?: number | undefined;
}

export class EtcdGroup implements Group {
  readonly name = 'etcd';
  readonly #binary: string;
  readonly #directory = mkdtempSync(join(tmpdir(), 'bench-etcd-'));
  readonly #clients: readonly string[];
  readonly #args: string[][];
  readonly #children: (ChildProcess | undefined)[] = [];
  readonly #ca: string;
  readonly #client: KeyPair;

  private constructor(
    settings: EtcdSettings,
    pki: { ca: KeyPair; server: KeyPair; client: KeyPair },
    ports: readonly number[],
  ) {
    this.#binary = settings.binary;
    this.#ca = pki.ca.certificate;
    this.#client = pki.client;
    const at = (place: number) => `${HOST}:${must(ports[place], 'a port')}`;
    this.#clients = MEMBERS.map((number) => at(number));
    const peers = MEMBERS.map((number) => `https://${at(number + MEMBERS.length)}`);
    const cluster = MEMBERS.map((number) => `m${number}=${peers[number]}`).join(',');
    const file = (name: string, text: string) => {
      writeFileSync(join(this.#directory, name), text);
      return join(this.#directory, name);
    };
    const ca = file('ca', pki.ca.certificate);
    const cert = file('certificate', pki.server.certificate);
    const key = file('key', pki.server.key);
    this.#args = MEMBERS.map((number) => {
      const flags: Record<string, string> = {
        name: `m${number}`,
        'data-dir': join(this.#directory, `m${number}`),
        'listen-client-urls': `https://${this.#clients[number]}`,
        'advertise-client-urls': `https://${this.#clients[number]}`,
        'listen-peer-urls': must(peers[number], 'a peer'),
        'initial-advertise-peer-urls': must(peers[number], 'a peer'),
        'initial-cluster': cluster,
        'trusted-ca-file': ca,
        'cert-file': cert,
        'key-file': key,
        'peer-trusted-ca-file': ca,
        'peer-cert-file': cert,
        'peer-key-file': key,
        ...FLAGS,
      };
      if (settings.heartbeatMs !== undefined)
        flags['heartbeat-interval'] = `${settings.heartbeatMs}`;
      if (settings.electionMs !== undefined) flags['election-timeout'] = `${settings.electionMs}`;
      return Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
    });
  }

  static async start(settings: EtcdSettings): Promise<EtcdGroup> {
    const nowMs = Date.now();
    const ca = await createCa({ commonName: 'bench', nowMs, lifetimeMs: LIFETIME_MS });
    const leaf = (commonName: string) =>
      issueLeaf(ca, {
        subject: { commonName },
        ips: [HOST],
        usages: ['client', 'server'],
        nowMs,
        lifetimeMs: LIFETIME_MS,
      });
    const pki = { ca, server: await leaf('member'), client: await leaf('client') };
    const group = new EtcdGroup(settings, pki, await freePorts(2 * MEMBERS.length));
    try {
      for (const number of MEMBERS) group.#spawn(number);
      for (const number of MEMBERS) await group.#ready(number);
    } catch (error) {
      await group[Symbol.asyncDispose]();
      throw error;
    }
    return group;
  }

  get pids(): readonly number[] {
    return this.#children.map((child) => must(child?.pid, 'a member runs'));
  }

  async access(): Promise<Access> {
    const { number } = await this.leader();
    const [before, after] = [this.#clients.slice(0, number), this.#clients.slice(number)];
    return this.#access([...after, ...before]);
  }

  async leader(): Promise<{ number: number; term: number }> {
    const deadlineMs = performance.now() + READY_MS_MAX;
    for (;;) {
      for (const number of MEMBERS) {
        if (this.#children[number] === undefined) continue;
        const status = await this.#with(number, (session) => session.status());
        if (status?.isLeader === true) return { number, term: status.term };
      }
      if (performance.now() > deadlineMs) throw new Error('no member of etcd leads');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async kill(number: number): Promise<void> {
    await this.#end(number, 'SIGKILL');
  }

  async stop(number: number): Promise<void> {
    await this.#end(number, 'SIGTERM');
  }

  async start(number: number): Promise<void> {
    this.#spawn(number);
    await this.#ready(number);
  }

  async compact(): Promise<void> {
    const { number } = await this.leader();
    await this.#with(number, (session) => session.compact());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(MEMBERS.map((number) => this.kill(number)));
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #access(addresses: readonly string[]): Extract<Access, { kind: 'etcd' }> {
    const { key: privateKey, certificate } = this.#client;
    return { kind: 'etcd', addresses, ca: this.#ca, credentials: { privateKey, certificate } };
  }

  #spawn(number: number): void {
    const log = openSync(join(this.#directory, `m${number}.log`), 'a');
    const args = must(this.#args[number], 'arguments');
    this.#children[number] = spawnTied(this.#binary, args, { stdio: ['ignore', log, log] });
  }

  /** Until a linearizable read is answered. */
  async #ready(number: number): Promise<void> {
    const deadlineMs = performance.now() + READY_MS_MAX;
    const read = (session: EtcdSession) => session.get('x').then(() => true);
    while ((await this.#with(number, read)) !== true) {
      if (performance.now() > deadlineMs)
        throw new Error(`member ${number} of etcd does not serve`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** Undefined when it does not answer. */
  async #with<T>(
    number: number,
    work: (session: EtcdSession) => Promise<T>,
  ): Promise<T | undefined> {
    let session: EtcdSession | undefined;
    try {
      session = await EtcdSession.connect(this.#access([must(this.#clients[number], 'a member')]));
      return await work(session);
    } catch {
      return undefined; // Down, or without a leader: the caller asks again.
    } finally {
      session?.close();
    }
  }

  async #end(number: number, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#children[number];
    this.#children[number] = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
  }
}
