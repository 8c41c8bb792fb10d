/**
 * A machine on this host (machine-host.ts) with its operator and the DHCP server at the other end of its wire.
 * Moves this process into a network namespace of its own.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseDocument } from 'yaml';
import { CLONE, unshare } from '#base/linux/syscall.ts';
import { ensureKubectl } from '#image/kubectl.ts';
import { eventually, Operator } from '#test/vm/operator.ts';
import { DhcpServer } from './dhcp-server.ts';
import { HostMachine, INSIDE, OUTSIDE } from './machine-host.ts';

const CHECKOUT = dirname(dirname(import.meta.dirname));
export const ENDPOINT = `${INSIDE}:50000`;
const FINGERPRINT = /fingerprint ((?:[0-9A-F]{2}:){31}[0-9A-F]{2})/;

export interface Status {
  readonly stage: string;
  readonly bootReason: string;
  readonly timeSynchronized: boolean;
  readonly blockedBy: readonly string[];
  readonly warnings: readonly string[];
}

export class MachineScene implements AsyncDisposable {
  readonly machine: HostMachine;
  readonly operator: Operator;
  /** The operator's files. */
  readonly dir: string;
  readonly #dhcp: DhcpServer;

  private constructor(parts: {
    machine: HostMachine;
    operator: Operator;
    dir: string;
    dhcp: DhcpServer;
  }) {
    this.machine = parts.machine;
    this.operator = parts.operator;
    this.dir = parts.dir;
    this.#dhcp = parts.dhcp;
  }

  /** With a machine that was never started, of the image as the sources are now. */
  static async open(): Promise<MachineScene> {
    const dir = mkdtempSync(join(tmpdir(), 'bareboat-operator-'));
    const kubectl = await ensureKubectl();
    execFileSync(process.execPath, ['--no-warnings', join(CHECKOUT, 'image/make-root.ts')]);
    unshare(CLONE.NEWNET);
    const machine = new HostMachine(mkdtempSync(join(tmpdir(), 'bareboat-machine-')));
    const clientConfig = join(dir, 'bareboat.yaml');
    const kubeconfig = join(dir, 'kubeconfig');
    const operator = new Operator({ clientConfig, kubeconfig, kubectl }, 60_000);
    const mask = '255.255.255.0';
    const lease = { server: OUTSIDE, address: INSIDE, mask, hostName: 'box.lan', seconds: 3600 };
    return new MachineScene({ machine, operator, dir, dhcp: await DhcpServer.start(lease) });
  }

  /** Starts the machine; resolves to the fingerprint that its console shows. */
  async start(commandLine = ''): Promise<string> {
    const before = this.machine.console().length;
    await this.machine.start(commandLine);
    const [, fingerprint = ''] = await eventually(
      'the fingerprint is shown',
      60_000,
      () => FINGERPRINT.exec(this.machine.console().slice(before)) ?? undefined,
    );
    return fingerprint;
  }

  /** Makes the operator's files for node n1 of cluster c1, in a folder of their own when one is named. */
  async init(folder = '.'): Promise<void> {
    const names = ['--cluster', 'c1', '--node', 'n1', '--output', join(this.dir, folder)];
    await this.operator.bareboat('--endpoint', ENDPOINT, 'init', ...names);
  }

  /** The first configuration, to a machine in maintenance, with the secrets of a folder of `init`. */
  applyFirst(fingerprint: string, folder = '.'): Promise<string> {
    const file = join(this.dir, 'n1.yaml');
    const secrets = ['--secrets', join(this.dir, folder, 'secrets.yaml')];
    const insecure = ['--insecure', '--fingerprint', fingerprint];
    const at = ['--endpoint', ENDPOINT];
    return this.operator.bareboat(...at, 'config', 'apply', file, ...secrets, ...insecure);
  }

  /** Applies the configuration of `init` with `changes`; resolves to what the command printed. */
  apply(changes: object, ...options: string[]): Promise<string> {
    const path = join(this.dir, 'changed.yaml');
    writeFileSync(path, this.configWith(changes));
    return this.operator.bareboat('config', 'apply', path, ...options);
  }

  configWith(changes: object): string {
    const document = parseDocument(readFileSync(join(this.dir, 'n1.yaml'), 'utf8'));
    return JSON.stringify(merge(document.toJS(), changes));
  }

  async status(): Promise<Status> {
    return JSON.parse(await this.operator.bareboat('status', '-o', 'json'));
  }

  /** What the machine keeps in STATE. */
  stateFile(name: string): string {
    return join(this.machine.dir, 'var/lib/bareboat/state', name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#dhcp[Symbol.dispose]();
    await this.machine[Symbol.asyncDispose]();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

function merge(target: Record<string, unknown>, changes: object): object {
  const result = { ...target };
  for (const [key, value] of Object.entries(changes)) {
    const old = result[key];
    const both = [old, value].every((v) => typeof v === 'object' && !Array.isArray(v));
    result[key] = both ? merge(old as Record<string, unknown>, value) : value; // Just compared.
  }
  return result;
}
