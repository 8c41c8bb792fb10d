/**
 * A machine from the image to a served page, step by step: what `make run` shows and the tests of the
 * image go through. Each step looks at what is there, so that a run that was interrupted, or a machine
 * that was stopped, goes on where it stood.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { contextOf, formatClientConfig, parseClientConfig } from '#base/client-config.ts';
import { errorText } from '#base/errors.ts';
import { ensureKubectl } from '#image/kubectl.ts';
import { COMMAND_LINE } from '#image/steps.ts';
import { prepareDisk } from './machine-disk.ts';
import {
  forwardedPort,
  GUEST,
  type MachineFiles,
  type MachineRecord,
  readRecord,
  writeRecord,
} from './machine-files.ts';
import { eventually, fetchPage, Operator, Refused } from './operator.ts';
import { freePort, isFree } from './ports.ts';
import { type Boot, chooseAccelerator, findFirmware, Machine } from './qemu.ts';
import { SAMPLE_MANIFESTS, writeSampleImage } from './sample.ts';
import type { Steps } from './steps.ts';

const MEMORY_MIB = 2048;
/** Of one command; deadlines of waiting are below. Twenty times what hardware needs. */
const COMMAND_MS = 120_000;
const BOOT_MS = 240_000;
const READY_MS = 300_000;
export const NODE_NAME = 'node-1';
const ANNOUNCED = /machine API: https:\/\/\S+ fingerprint ((?:[0-9A-F]{2}:){31}[0-9A-F]{2})/g;

export class MachineRun {
  readonly files: MachineFiles;
  readonly operator: Operator;
  readonly machine: Machine;
  readonly #image: string;
  readonly #steps: Steps;
  #record: MachineRecord;

  private constructor(
    at: { files: MachineFiles; image: string; kubectl: string },
    record: MachineRecord,
    steps: Steps,
  ) {
    this.files = at.files;
    this.#image = at.image;
    this.#record = record;
    this.#steps = steps;
    this.machine = new Machine(at.files.dir);
    const { kubeconfig, clientConfig } = at.files;
    this.operator = new Operator({ kubeconfig, clientConfig, kubectl: at.kubectl }, COMMAND_MS);
  }

  /** `image` is the folder out/image. */
  static async open(files: MachineFiles, image: string, steps: Steps): Promise<MachineRun> {
    mkdirSync(files.dir, { recursive: true });
    const record = await readRecord(files);
    writeRecord(files, record);
    const kubectl = await steps.run('kubectl', 'the lines above', () => ensureKubectl());
    return new MachineRun({ files, image, kubectl }, record, steps);
  }

  port(guest: number): number {
    return forwardedPort(this.#record, guest);
  }

  get accelerator(): string {
    return this.#record.accelerator ?? 'unknown';
  }

  prepareDisk(): void {
    const done = prepareDisk(this.files, join(this.#image, 'bareboat.img'));
    if (done !== undefined) this.#steps.note(done);
  }

  /** Firmware, unless it is missing or `fast`: then QEMU loads the kernel itself. */
  boot(fast: boolean): Boot {
    const direct = {
      kind: 'direct',
      kernel: join(this.#image, 'vmlinuz'),
      initramfs: join(this.#image, 'initramfs'),
      commandLine: COMMAND_LINE,
    } as const;
    const firmware = findFirmware();
    return fast || firmware === undefined ? direct : { kind: 'firmware', firmware };
  }

  /** Starts QEMU; KVM is tried once and its outcome remembered. */
  async start(fast: boolean): Promise<void> {
    const accelerator = this.#record.accelerator ?? (await this.#tryAccelerators());
    await this.#keepFreePorts();
    const forwards = new Map(
      Object.entries(this.#record.ports).map(([guest, host]) => [Number(guest), host]),
    );
    const { dir, disk } = this.files;
    const boot = this.boot(fast);
    this.#steps.note(`${accelerator === 'kvm' ? 'KVM' : 'software emulation'}, ${boot.kind} boot`);
    await Machine.start({ dir, boot, disk, memoryMiB: MEMORY_MIB, accelerator, forwards });
  }

  /** A port that another program has taken meanwhile is replaced. */
  async #keepFreePorts(): Promise<void> {
    const ports: Record<string, number> = {};
    for (const [guest, host] of Object.entries(this.#record.ports)) {
      ports[guest] = (await isFree(host)) ? host : await freePort();
      if (ports[guest] === host) continue;
      this.#steps.note(`127.0.0.1:${host} is taken: port ${guest} is at ${ports[guest]} now`);
    }
    this.#record = { ...this.#record, ports };
    writeRecord(this.files, this.#record);
    this.#writeClientConfig();
  }

  async #tryAccelerators(): Promise<'kvm' | 'tcg'> {
    const dir = join(this.files.dir, 'try');
    mkdirSync(dir, { recursive: true });
    const boot = this.boot(true);
    const accelerator = boot.kind === 'direct' ? await chooseAccelerator(dir, boot) : 'tcg';
    this.#record = { ...this.#record, accelerator };
    writeRecord(this.files, this.#record);
    return accelerator;
  }

  /** Adds a forward to the machine that runs and to the record; returns the host's port. */
  async forward(guest: number, host: number): Promise<void> {
    this.#record = { ...this.#record, ports: { ...this.#record.ports, [guest]: host } };
    writeRecord(this.files, this.#record);
    if (!this.machine.isRunning()) return;
    const line = `hostfwd_add net0 tcp:127.0.0.1:${host}-:${guest}`;
    const answer = await this.machine.qmp('human-monitor-command', { 'command-line': line });
    if (String(answer).trim() !== '') throw new Error(`QEMU: ${String(answer).trim()}`);
  }

  /** The fingerprint that the console showed last; and whether the machine waits for a configuration. */
  async awaitConsole(): Promise<{ fingerprint: string; maintenance: boolean }> {
    await this.machine.waitFor(new RegExp(ANNOUNCED.source), BOOT_MS);
    const text = this.machine.console();
    const fingerprint = [...text.matchAll(ANNOUNCED)].at(-1)?.[1] ?? '';
    return { fingerprint, maintenance: /maintenance mode: /.test(text) };
  }

  get endpoint(): string {
    return `127.0.0.1:${this.port(GUEST.machineApi)}`;
  }

  /** The operator's part of the first boot; the files that it makes stay for later boots. */
  async configure(fingerprint: string): Promise<void> {
    const { operator, endpoint } = this;
    const dir = join(this.files.dir, 'config');
    if (!existsSync(join(dir, 'secrets.yaml'))) {
      const names = ['--cluster', 'bareboat', '--node', NODE_NAME];
      await operator.bareboat('--endpoint', endpoint, 'init', ...names, '--output', dir, '--force');
    }
    this.#writeClientConfig();
    await this.applyConfig(fingerprint);
  }

  /** What `init` made, with the endpoint as it is now. */
  #writeClientConfig(): void {
    const made = join(this.files.dir, 'config/bareboat.yaml');
    if (!existsSync(made)) return; // Before the first boot.
    const config = parseClientConfig(readFileSync(made, 'utf8'));
    const context = { ...contextOf(config, undefined), endpoints: [this.endpoint] };
    const contexts = { ...config.contexts, [config.currentContext]: context };
    const text = formatClientConfig({ ...config, contexts });
    writeFileSync(this.files.clientConfig, text, { mode: 0o600 });
  }

  /** `config apply` to a machine in maintenance; a machine that shows another fingerprint is refused. */
  applyConfig(fingerprint: string): Promise<string> {
    const dir = join(this.files.dir, 'config');
    const files = [join(dir, `${NODE_NAME}.yaml`), '--secrets', join(dir, 'secrets.yaml')];
    return eventually('the machine API answers', COMMAND_MS, async () => {
      try {
        const options = ['--insecure', '--fingerprint', fingerprint];
        const at = ['--endpoint', this.endpoint];
        return await this.operator.bareboat(...at, 'config', 'apply', ...files, ...options);
      } catch (error) {
        const text = errorText(error);
        // 3 = not reachable: the gateway is starting, or starts anew because it was applied.
        const again = text.includes('code 3') && !text.includes('fingerprint of');
        if (again) return (await this.#isConfigured()) ? 'applied' : undefined;
        throw new Refused(text, { cause: error });
      }
    });
  }

  /** Starts the cluster, unless it was started; and fetches the administrator's credentials. */
  async bootstrap(): Promise<void> {
    const { operator } = this;
    await eventually('bootstrap', COMMAND_MS, async () => {
      const status = await this.status();
      const waits = status.blockedBy.some((reason) => reason.includes('not bootstrapped'));
      if (waits) await operator.bareboat('bootstrap');
      return true;
    });
    const server = `https://127.0.0.1:${this.port(GUEST.api)}`;
    await operator.bareboat('kubeconfig', '--server', server, '--output', this.files.kubeconfig);
  }

  async status(): Promise<{
    stage: string;
    blockedBy: string[];
    bootId: string;
    disks: { name: string; freeBytes: number }[];
  }> {
    return JSON.parse(await this.operator.bareboat('status', '-o', 'json'));
  }

  awaitApi(): Promise<string> {
    return eventually('the API answers', READY_MS, () =>
      this.operator.kubectl('get', '--raw', '/readyz'),
    );
  }

  async awaitReady(): Promise<void> {
    await eventually('the node is Ready', READY_MS, async () => {
      const path = '{.items[*].status.conditions[?(@.type=="Ready")].status}';
      return (await this.operator.kubectl('get', 'nodes', '-o', `jsonpath=${path}`)) === 'True';
    });
  }

  async importSample(): Promise<void> {
    const archive = await writeSampleImage(this.files.dir);
    await eventually('import', COMMAND_MS, () =>
      this.operator.bareboat('image', 'import', archive),
    );
  }

  async applySample(): Promise<void> {
    await this.operator.apply(...SAMPLE_MANIFESTS);
    await this.operator.kubectl('rollout', 'status', 'deployment/sample', '--timeout=110s');
  }

  get sampleUrl(): string {
    return `http://127.0.0.1:${this.port(GUEST.sample)}/`;
  }

  fetchSample(): Promise<string> {
    return eventually('the page is served', READY_MS, () => fetchPage(this.sampleUrl, 10_000));
  }

  /** The whole path, for a machine in any state. Returns the page. */
  async up(options: { fast: boolean }): Promise<string> {
    const steps = this.#steps;
    const { serialLog } = this.files;
    if (this.machine.isRunning()) steps.note('it runs already');
    else {
      await steps.run('preparing the disk', this.files.dir, () => this.prepareDisk());
      await steps.run('starting the machine', join(this.files.dir, 'qemu.log'), () =>
        this.start(options.fast),
      );
    }
    const { fingerprint, maintenance } = await steps.run('booting', serialLog, () =>
      this.awaitConsole(),
    );
    if (maintenance && !(await this.#isConfigured())) {
      steps.note(`fingerprint on the console: ${fingerprint}`);
      await steps.run('config apply', serialLog, () => this.configure(fingerprint));
    }
    await steps.run('bootstrap and kubeconfig', serialLog, () => this.bootstrap());
    await steps.run('waiting for the Kubernetes API', serialLog, () => this.awaitApi());
    await steps.run('waiting for the node to be Ready', serialLog, () => this.awaitReady());
    await steps.run('importing the sample image', serialLog, () => this.importSample());
    await steps.run('applying the sample', serialLog, () => this.applySample());
    return steps.run('fetching the page', serialLog, () => this.fetchSample());
  }

  /** The console of this boot may show maintenance mode although it was left since. */
  async #isConfigured(): Promise<boolean> {
    if (!existsSync(this.files.clientConfig)) return false;
    try {
      await this.status();
      return true;
    } catch {
      return false; // Not reachable with the operator's certificate: the console is right.
    }
  }
}
