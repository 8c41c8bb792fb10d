/**
 * The machine: boots it, keeps its units running, follows its configuration, and ends it in order.
 * Everything is a reconciliation: `#reconcile` looks at configuration, addresses and what was
 * bootstrapped, writes what processes read, and wants or does not want units. It is called at start and
 * after every change, so that a supervisor that was killed goes on where the last one stood.
 */
import { connect } from 'node:net';
import { hostname, totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '#base/clock.ts';
import { errorText } from '#base/errors.ts';
import { isClockSynchronized, setHostname } from '#base/linux/syscall.ts';
import type { Log } from '#base/log.ts';
import type { ClusterSecrets, MachineConfig } from '#base/machine-config.ts';
import type { MachineStatus } from '#base/protocol/bareboat.gen.ts';
import { ProtocolError } from '#base/protocol/frames.ts';
import { readConfigVolume } from '#daemon/disk/config-volume.ts';
import type { VolumeName } from '#daemon/disk/disk.ts';
import { issuedAtMs } from '#base/pki/pki.ts';
import type { BootRecord } from './boot-record.ts';
import { hasCgroups, reservedMemoryBytes, unitCgroupFile } from './cgroups.ts';
import type { CommandLine } from './command-line.ts';
import { ConfigSources } from './config-sources.ts';
import { listenDhcp } from './dhcp.ts';
import { type EndKind, readEnding, writeEnding } from './ending-note.ts';
import { EventLog } from './events.ts';
import { fetchDocument } from './fetch-document.ts';
import { lastLine } from './follow.ts';
import type { LogRotation } from './log-rotation.ts';
import { advanceClock, imageTimeMs, readSavedClock } from './machine-clock.ts';
import { MachineState } from './machine-state.ts';
import { machineStatus } from './machine-status.ts';
import { MachineNetwork } from './network.ts';
import {
  gatewayFingerprint,
  MACHINE_API_PORT,
  writeCertificates,
  writeGatewayCertificate,
  writeGatewayConfig,
  writeMaintenanceCertificate,
  writeProcessConfigs,
} from './process-files.ts';
import { writeChronyConfig, writeDhcpcdConfig } from './program-files.ts';
import { endUnits } from './shutdown.ts';
import { Sysctls } from './sysctls.ts';
import { UnitRunner } from './unit-runner.ts';
import { PLACES, UNIT_SPECS } from './unit-specs.ts';

const GATEWAY_TIMEOUT_MS = 120_000;
const POLL_MS = 100;
const DEFAULT_HOST_NAME = 'bareboat';
/** Of pods, when the configuration that tells it was damaged. */
const GRACE_SECONDS = 30;
/** How often certificates are looked at; they are issued again at two thirds of their life. */
const RENEWAL_PERIOD_MS = 3_600_000;

export interface SupervisorOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly print: (line: string) => void;
  /** Mounted volumes by name; empty when the machine runs in memory. */
  readonly volumes: ReadonlyMap<string, string>;
  /** What is wrong with volumes that exist and could not be mounted. */
  readonly volumeProblems: ReadonlyMap<VolumeName, string>;
  /** The first supervisor of this boot. */
  readonly isFirst: boolean;
  readonly rotation: LogRotation;
  readonly commandLine: CommandLine;
  /** For what only a volume asks for. */
  readonly loadModule: (name: string) => void;
  readonly boot: BootRecord;
  /** The units have ended: the last steps of the machine. */
  readonly onEnd: (kind: EndKind) => void;
}

export class Supervisor {
  readonly clock: Clock;
  readonly events: EventLog;
  readonly state: MachineState;
  readonly units: UnitRunner;
  readonly network: MachineNetwork;
  readonly #options: SupervisorOptions;
  /** One reconciliation at a time; a change meanwhile asks for one more. */
  #reconciling: Promise<void> | undefined;
  #again = false;
  #announced = '';
  readonly #sources: ConfigSources;
  /** Of a source without secrets: for the network of maintenance mode. */
  #provisional: MachineConfig | undefined;
  readonly #sysctls = new Sysctls({
    root: '/proc/sys',
    recordFile: PLACES.sysctls,
    memoryBytes: totalmem(),
  });
  #sysctlProblems: readonly string[] = [];
  #toldProblems: readonly string[] = [];
  #ending = false;

  constructor(options: SupervisorOptions) {
    const { clock, log, print } = options;
    this.#options = options;
    this.clock = clock;
    this.events = new EventLog(({ source, message, level }) => {
      print(`${source}: ${level === 'info' ? '' : `${level}: `}${message}`);
    });
    this.state = new MachineState(PLACES.state);
    if (options.isFirst) this.state.promoteNext();
    this.units = new UnitRunner({
      clock,
      log,
      runDir: PLACES.units,
      logDir: PLACES.logs,
      adoptOrphans: !options.isFirst,
      onReport: (unit, { message, level }) => {
        const why = level === 'info' ? '' : lastLine(join(PLACES.logs, `${unit}.log`));
        this.events.add(unit, why === '' ? message : `${message}: ${why}`, level);
      },
    });
    const withCgroups = hasCgroups();
    for (const spec of UNIT_SPECS) {
      this.units.add({ ...spec, cgroupFiles: withCgroups ? [unitCgroupFile(spec.name)] : [] });
    }
    this.network = new MachineNetwork({
      log,
      memoryFile: PLACES.network,
      extraLinks: options.commandLine.links,
      onChange: ({ primary, addresses }) => {
        this.events.add(
          'network',
          `addresses: ${addresses.join(' ') || 'none'}, reached at ${primary ?? 'nowhere'}`,
        );
        this.lookForConfig();
        this.#wake();
      },
    });
    this.#sources = new ConfigSources({
      commandLine: options.commandLine,
      readVolume: () => readConfigVolume(options.loadModule),
      fetchDocument,
      isNew: () => this.state.isNew,
      hasAddress: () => this.network.state.primary !== undefined,
      events: this.events,
      apply: async (yaml, secrets) => {
        this.requireState();
        this.state.save(yaml, secrets);
        await this.configChanged();
      },
      onProvisional: (config) => {
        this.#provisional = config;
        this.network.configure(config.network);
      },
    });
  }

  /** Begins to run; returns when everything has been started once. */
  async start(): Promise<void> {
    const ending = readEnding();
    if (ending !== undefined) {
      this.beginShutdown(ending); // Which an earlier supervisor had begun.
      return;
    }
    // Later supervisors of this boot find a clock that may have been set right since.
    if (this.#options.isFirst) this.#advanceClock([readSavedClock(PLACES.clock), imageTimeMs()]);
    listenDhcp((event) => this.network.onDhcp(event));
    this.lookForConfig();
    this.network.configure(this.state.config()?.network);
    writeDhcpcdConfig(this.network.state.withoutDhcp);
    const adopted = this.units.state('dhcpcd').pid;
    this.units.want('dhcpcd');
    // What it said while nobody listened is lost: SIGHUP makes it ask for its leases again.
    if (adopted !== undefined) this.units.signal('dhcpcd', 'SIGHUP');
    await this.configChanged();
    setInterval(() => this.#wake(), RENEWAL_PERIOD_MS).unref();
  }

  /** What of the configuration in force could not be carried out; each names its field. */
  get warnings(): string[] {
    return [...this.network.state.problems, ...this.#sysctlProblems];
  }

  /** The same of a configuration that is not in force, as far as is known without trying. */
  foreseeProblems({ network, sysctls }: MachineConfig): string[] {
    return [...this.network.problemsOf(network), ...this.#sysctls.missing(sysctls)];
  }

  /** Refuses when what is saved now would be gone at the next boot. */
  requireState(): void {
    const problem = this.#options.volumeProblems.get('STATE');
    if (problem !== undefined) throw new ProtocolError('FAILED_PRECONDITION', problem);
  }

  /** The configuration, or FAILED_PRECONDITION in maintenance. */
  requireConfig(): { config: MachineConfig; secrets: ClusterSecrets } {
    const config = this.state.config();
    const secrets = this.state.secrets();
    if (config === undefined || secrets === undefined) {
      const { problems } = this.state;
      const why = problems.length > 0 ? problems.join('; ') : 'no configuration was applied yet';
      throw new ProtocolError('FAILED_PRECONDITION', why);
    }
    return { config, secrets };
  }

  /** Follows what was just saved; resolves when it is in force. */
  async configChanged(): Promise<void> {
    this.#advanceClock([]);
    this.network.configure(this.state.config()?.network ?? this.#provisional?.network);
    this.#wake();
    await this.#reconciling;
  }

  /** A new machine may be given its configuration by a disk, or by what its kernel was told. */
  lookForConfig(): void {
    if (!this.state.isNew || this.#ending) return;
    this.#sources.look().catch((error: unknown) => {
      this.events.add('config', errorText(error), 'error');
    });
  }

  /** The gateway's port, while it is expected to answer. */
  get gatewayPort(): number | undefined {
    return this.#announced === '' || this.#ending ? undefined : MACHINE_API_PORT;
  }

  /** Certificates must be valid before time servers answer: the cluster's keys are not from the future. */
  #advanceClock(known: readonly (number | undefined)[]): void {
    const secrets = this.state.secrets();
    const issued = secrets === undefined ? undefined : issuedAtMs(secrets.machineCa.certificate);
    try {
      if (isClockSynchronized()) return;
      const done = advanceClock([...known, issued]);
      if (done !== undefined) this.events.add('clock', done, 'warning');
    } catch (error) {
      this.events.add('clock', `cannot be set: ${errorText(error)}`, 'warning');
    }
  }

  /** Refuses unless the cluster may begin on this node, and has not. */
  requireNoCluster(): void {
    const { config } = this.requireConfig();
    if (config.node.role === 'worker') {
      throw new ProtocolError('FAILED_PRECONDITION', `node.role: ${config.node.name} is a worker`);
    }
    if (this.state.bootstrapped) {
      throw new ProtocolError('FAILED_PRECONDITION', 'the cluster was bootstrapped already');
    }
    const problem = this.#options.volumeProblems.get('STORE');
    if (problem !== undefined) throw new ProtocolError('FAILED_PRECONDITION', problem);
  }

  /** Starts the cluster on this node: once in a cluster's life. */
  async bootstrap(): Promise<void> {
    this.requireNoCluster();
    this.state.saveBootstrapped();
    this.events.add('machine', 'cluster bootstrapped');
    await this.configChanged();
  }

  beginShutdown(kind: EndKind): void {
    if (this.#ending) return;
    this.#ending = true;
    writeEnding(kind);
    this.events.add('machine', kind === 'reboot' ? 'restarting' : 'powering off');
    this.#endUnits()
      .catch((error: unknown) => {
        this.events.add('machine', `shutdown: ${errorText(error)}`, 'error');
      })
      .finally(() => {
        this.units[Symbol.dispose](); // What is killed now must not be started again.
        this.#options.boot.end(kind);
        this.#options.onEnd(kind);
      });
  }

  status(): Partial<MachineStatus> {
    const { state, units, network, warnings } = this;
    const { volumes, volumeProblems, boot } = this.#options;
    return machineStatus({
      state,
      units,
      network: network.state,
      volumes,
      volumeProblems,
      bootReason: boot.reason,
      ending: this.#ending,
      warnings,
      nowMs: this.clock.monotonicMs(),
    });
  }

  #wake(): void {
    this.#again = true;
    this.#reconciling ??= this.#reconcileAll().finally(() => {
      this.#reconciling = undefined;
    });
  }

  async #reconcileAll(): Promise<void> {
    while (this.#again && !this.#ending) {
      this.#again = false;
      try {
        await this.#reconcile();
      } catch (error) {
        this.events.add('machine', errorText(error), 'error');
      }
    }
  }

  async #reconcile(): Promise<void> {
    const config = this.state.config();
    const secrets = this.state.secrets();
    const { primary, addresses, timeServers, hostName, withoutDhcp } = this.network.state;
    const nowMs = this.clock.nowMs();
    this.#sysctlProblems = this.#sysctls.apply(config?.sysctls ?? {});
    this.#tellProblems();
    const ownName = config?.node.name ?? hostName ?? DEFAULT_HOST_NAME;
    nameHost(ownName);
    if (writeDhcpcdConfig(withoutDhcp)) this.#restart('dhcpcd');
    // Without a server chronyd has nothing to do; the hardware clock serves then.
    if (writeChronyConfig(timeServers)) this.#restart('chronyd');
    if (timeServers.length > 0) this.units.want('chronyd');
    else this.units.unwant('chronyd');
    if (secrets === undefined) await writeMaintenanceCertificate(addresses, nowMs);
    // Certificates need an address; the network wakes us when there is one.
    else if (primary === undefined) return;
    else await writeGatewayCertificate({ secrets, addresses, hostName: ownName, nowMs });
    if (writeGatewayConfig(secrets === undefined)) this.#restart('gateway');
    this.units.want('gateway');
    if (primary !== undefined) this.#announceSoon(primary, secrets === undefined);
    if (config === undefined || secrets === undefined || primary === undefined) return;
    const reserved = { memoryBytes: reservedMemoryBytes() };
    const facts = { config, secrets, addresses, primary, reserved, nowMs };
    await writeCertificates(facts);
    for (const name of writeProcessConfigs(facts)) this.#restart(name);
    const control = config.node.role !== 'worker' && this.state.bootstrapped;
    const { volumeProblems } = this.#options;
    // Without its volume the control plane would begin an empty cluster in memory.
    if (control && volumeProblems.has('STORE')) return;
    if (control) this.units.want('control');
    if (volumeProblems.has('DATA')) return; // Images would fill the memory.
    if (control || config.node.role === 'worker') this.units.want('agent');
  }

  /** Each problem once, when it appears. */
  #tellProblems(): void {
    const { warnings } = this;
    for (const warning of warnings) {
      if (!this.#toldProblems.includes(warning)) this.events.add('config', warning, 'warning');
    }
    this.#toldProblems = warnings;
  }

  /** Once the gateway answers: who acts on the line must not find the door closed. */
  #announceSoon(primary: string, maintenance: boolean): void {
    untilListening(MACHINE_API_PORT)
      .then(() => this.#announce(primary, maintenance))
      .catch((error: unknown) => this.events.add('gateway', errorText(error), 'warning'));
  }

  /** The line that an operator compares; its form is fixed. */
  async #announce(primary: string, maintenance: boolean): Promise<void> {
    const line = `machine API: https://${primary}:50000 fingerprint ${await gatewayFingerprint()}`;
    if (line === this.#announced) return;
    this.#announced = line;
    const { problems } = this.state;
    for (const problem of problems) this.events.add('machine', problem, 'error');
    const waits = problems.length > 0 ? 'the secrets of its cluster' : 'a configuration';
    if (maintenance) this.#options.print(`maintenance mode: waiting for ${waits}`);
    this.#options.print(line);
  }

  /** A unit that runs reads its new configuration by starting again. */
  #restart(name: string): void {
    if (this.units.state(name).phase !== 'running') return;
    this.units.unwant(name);
    this.units.onStopped(name, () => this.units.want(name));
  }

  async #endUnits(): Promise<void> {
    const graceSeconds = this.state.config()?.node.shutdownGraceSeconds ?? GRACE_SECONDS;
    const { units, events, clock } = this;
    await endUnits({ units, events, clock, agentSocket: PLACES.agentSocket }, { graceSeconds });
  }
}

/** Resolves when something accepts connections on a port of this machine. */
async function untilListening(port: number): Promise<void> {
  for (let waited = 0; waited < GATEWAY_TIMEOUT_MS; waited += POLL_MS) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1');
      socket.once('connect', () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => resolve(false));
    });
    if (open) return;
    await sleep(POLL_MS);
  }
  throw new Error(`does not answer on port ${port} after ${GATEWAY_TIMEOUT_MS / 1000} s`);
}

function nameHost(name: string): void {
  if (hostname() !== name) setHostname(name);
}
