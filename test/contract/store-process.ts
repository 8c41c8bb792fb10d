/** Members of a store as processes of their own, on loopback or elsewhere, for tests that harm them. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Interface } from 'node:readline';
import { must } from '#base/assert.ts';
import { createCa, issueLeaf } from '#base/pki/pki.ts';
import type { KeyPair } from '#base/pki/pki.ts';
import { connectStore } from '#control/store/transport/remote-store.ts';
import type { RemoteStoreOptions } from '#control/store/transport/remote-store.ts';
import { keyOfCertificate } from '#control/store/transport/tls.ts';
import type { Credentials } from '#control/store/transport/tls.ts';
import type { OwnStore } from '#control/store/store.ts';
import { NODE_FLAGS } from '#daemon/supervisor/unit-specs.ts';
import { freePort } from './free-ports.ts';
import { spawnTied } from './tied-child.ts';

const MAIN = join(import.meta.dirname, '../../control/store/main.ts');
export const LIFETIME_MS = 3_600_000;

interface Identity extends Credentials {
  readonly key: string;
}

export async function newIdentity(
  ca: KeyPair,
  name: string,
  nowMs = Date.now(),
): Promise<Identity> {
  const leaf = await issueLeaf(ca, {
    subject: { commonName: name },
    usages: ['client', 'server'],
    nowMs,
    lifetimeMs: LIFETIME_MS,
  });
  const { key: privateKey, certificate } = leaf;
  return { privateKey, certificate, key: keyOfCertificate(certificate) };
}

/** Writes what the configuration of a member names, and returns the names. */
export function writeIdentity(
  directory: string,
  name: string,
  identity: Credentials,
): { readonly privateKey: string; readonly certificate: string } {
  const files = {
    privateKey: join(directory, `${name}-key`),
    certificate: join(directory, `${name}-certificate`),
  };
  writeFileSync(files.privateKey, identity.privateKey, { mode: 0o600 });
  writeFileSync(files.certificate, identity.certificate);
  return files;
}

/** Where members run. */
export interface Place {
  /** host:port of a member, which nobody else listens on. */
  address(number: number): Promise<string>;
  /** Runs synchronous code there, which starts a process. */
  enter<T>(number: number, run: () => T): T;
  /** Where a member keeps its state; by default in a directory of the group. */
  dataDir?(number: number): string;
  /**
   * Arguments of Node for a program that has the member in it, given the configuration that
   * `bareboat-store` would get, and a path for its own; undefined = `bareboat-store`.
   */
  program?(number: number, config: object, path: string): readonly string[] | undefined;
}

/** Lines by which `bareboat-store` and `control` say that they serve. */
const SERVES = /^listening \d+$|API server is serving/;

const LOOPBACK: Place = { address: freeAddress, enter: (_number, run) => run() };

export class StoreProcess {
  readonly identity: Identity;
  readonly address: string;
  /** What its processes wrote to stderr. */
  readonly logged: string[] = [];
  readonly #launch: () => ChildProcess;
  #child: ChildProcess | undefined;
  #printed: Interface | undefined;

  constructor(identity: Identity, address: string, launch: () => ChildProcess) {
    this.identity = identity;
    this.address = address;
    this.#launch = launch;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Resolves when it serves. */
  async start(): Promise<void> {
    const child = this.#launch();
    this.#child = child;
    this.#printed = createInterface({ input: must(child.stdout, 'a pipe') });
    const logged = createInterface({ input: must(child.stderr, 'a pipe') });
    logged.on('line', (line) => {
      this.logged.push(`${line}\n`);
      this.#printed?.emit('line', line);
    });
    await this.#line(SERVES);
  }

  /** What the process holds of the machine's memory; 0 when it does not run. */
  get residentBytes(): number {
    const status = this.isAlive ? readFileSync(`/proc/${this.pid}/status`, 'utf8') : '';
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
  }

  /** What the member measured since it was last asked (control/store/measure.ts), as JSON. */
  async figures(): Promise<string> {
    const line = this.#line(/^figures /);
    this.#child?.kill('SIGUSR2');
    return (await line).slice('figures '.length);
  }

  /** The next line that matches. */
  async #line(pattern: RegExp): Promise<string> {
    const printed = must(this.#printed, 'the member was started');
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const onLine = (line: string) => {
      if (pattern.test(line)) resolve(line);
    };
    const onClose = () =>
      reject(new Error(`member at ${this.address} ended: ${this.logged.join('')}`));
    printed.on('line', onLine).on('close', onClose);
    try {
      return await promise;
    } finally {
      printed.off('line', onLine).off('close', onClose);
    }
  }

  /** Whether it runs, be it stopped. */
  get isAlive(): boolean {
    return this.#child?.exitCode === null && this.#child.signalCode === null;
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child?.kill(signal);
  }

  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#child;
    if (child === undefined || !this.isAlive) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
  }
}

/** Processes that are one group, three at first, made as an operator makes one. */
export class StoreGroup implements AsyncDisposable {
  readonly members: StoreProcess[] = [];
  readonly #directory = mkdtempSync(join(tmpdir(), 'store-members-'));
  readonly #ca: KeyPair;
  readonly #identities: Identity[];
  readonly #client: Identity;
  readonly #stores: OwnStore[] = [];
  readonly #place: Place;
  readonly #configs: object[] = [];

  private constructor(
    ca: KeyPair,
    of: { readonly identities: Identity[]; readonly client: Identity; readonly place: Place },
  ) {
    this.#ca = ca;
    this.#identities = of.identities;
    this.#client = of.client;
    this.#place = of.place;
  }

  static async start(
    settings: object,
    signal: AbortSignal,
    place: Place = LOOPBACK,
  ): Promise<StoreGroup> {
    const nowMs = Date.now();
    const ca = await createCa({ commonName: 'test', nowMs, lifetimeMs: LIFETIME_MS });
    const identities = await Promise.all(['a', 'b', 'c'].map((name) => newIdentity(ca, name)));
    const client = await newIdentity(ca, 'client');
    const group = new StoreGroup(ca, { identities, client, place });
    try {
      await group.#found(settings, signal);
    } catch (error) {
      await group[Symbol.asyncDispose]();
      throw error;
    }
    return group;
  }

  async #found(settings: object, signal: AbortSignal): Promise<void> {
    await this.#add(settings);
    const store = await this.connect([0], signal);
    for (const number of [1, 2]) await this.#join(store, number, { settings, signal });
  }

  /** Adds a voter, which the configuration of none of the others names. Resolves to its number. */
  async grow(store: OwnStore, settings: object, signal: AbortSignal): Promise<number> {
    const number = this.#identities.length;
    this.#identities.push(await newIdentity(this.#ca, `member ${number}`));
    await this.#join(store, number, { settings, signal });
    return number;
  }

  async #join(
    store: OwnStore,
    number: number,
    { settings, signal }: { readonly settings: object; readonly signal: AbortSignal },
  ): Promise<void> {
    const address = await this.#place.address(number);
    const { key } = this.#identities[number] as Identity; // Made before.
    const added = await retrying(() => store.addMember({ key, address, isToVote: true }, signal));
    const peers = this.members.map((member) => member.address);
    await this.#add({ ...settings, join: added, peers }, address);
    await waitFor(async () => {
      const { members } = await store.members(signal);
      return members.filter(({ role }) => role === 'voter').length === number + 1;
    });
  }

  /** Changes what a member is told at its next start. */
  configure(number: number, settings: object): void {
    const config = { ...this.#configs[number], ...settings };
    this.#configs[number] = config;
    writeFileSync(join(this.#directory, `${number}-config`), JSON.stringify(config));
  }

  /** A client that tries these members in turn. */
  async connect(numbers: readonly number[], signal: AbortSignal): Promise<OwnStore> {
    const store = await connectStore(this.access(numbers), signal);
    this.#stores.push(store);
    return store;
  }

  /** What a client needs to know to connect to these members. */
  access(numbers: readonly number[]): RemoteStoreOptions {
    return {
      addresses: numbers.map((number) => this.members[number]?.address ?? ''),
      credentials: this.#client,
      memberKeys: this.#identities.map(({ key }) => key),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.members.map((member) => member.end('SIGKILL')));
    for (const store of this.#stores) store.close().catch(() => {});
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #add(settings: object, address?: string): Promise<void> {
    const number = this.members.length;
    const identity = this.#identities[number] as Identity; // Made before.
    const own = address ?? (await this.#place.address(number));
    const [host, port] = own.split(':');
    const file = (name: string) => join(this.#directory, `${number}-${name}`);
    const config = {
      ...writeIdentity(this.#directory, String(number), identity),
      dataDir: this.#place.dataDir?.(number) ?? file('data'),
      host,
      port: Number(port),
      address: own,
      memberKeys: this.#identities.map(({ key }) => key),
      clientKeys: [this.#client.key],
      ...settings,
    };
    this.configure(number, config);
    const other = this.#place.program?.(number, config, file('program'));
    const program = other ?? [MAIN, file('config')];
    const launch = () =>
      this.#place.enter(number, () =>
        spawnTied(process.execPath, [...NODE_FLAGS, ...program], {
          stdio: ['ignore', 'pipe', 'pipe'],
        }),
      );
    const member = new StoreProcess(identity, own, launch);
    this.members.push(member);
    await member.start();
  }
}

/** An address on loopback that nobody listens on; it may be taken by the time it is used. */
export async function freeAddress(): Promise<string> {
  return `127.0.0.1:${await freePort()}`;
}

/** The number of the process that leads: a majority of those that answer within a second agree on it. */
export async function leaderOf(stores: readonly OwnStore[]): Promise<number> {
  let leader = -1;
  await waitFor(async () => {
    const statuses = await Promise.all(
      stores.map((store) => store.memberStatus(AbortSignal.timeout(1000)).catch(() => undefined)),
    );
    leader = statuses.findIndex(
      (own) =>
        own !== undefined &&
        own.leaderId === own.memberId &&
        statuses.filter((status) => status?.leaderId === own.memberId).length > stores.length / 2,
    );
    return leader >= 0;
  });
  return leader;
}

/** Until `isSo`; fails after a minute. */
export async function waitFor(isSo: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error('it did not come to that within a minute');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function retrying<T>(work: () => Promise<T>): Promise<T> {
  let result: T | undefined;
  await waitFor(async () => {
    result = await work().catch(() => undefined);
    return result !== undefined;
  });
  return result as T; // Not undefined, or waitFor had failed.
}
