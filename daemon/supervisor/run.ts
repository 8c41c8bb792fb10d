/**
 * The later half of the supervisor's start: constructs the machine with its real adapters and lets it
 * run. It is a module of its own because its libraries (schemas, certificates, WebSocket) take longer to
 * load than the devices take to be found; main.ts loads it meanwhile.
 */
import { chownSync, existsSync } from 'node:fs';
import { Socket } from 'node:net';
import { release } from 'node:os';
import { createInterface } from 'node:readline';
import { RealClock } from '#base/clock.ts';
import { errorText } from '#base/errors.ts';
import type { Log } from '#base/log.ts';
import { serveMachineSocket } from '#base/protocol/serve-socket.ts';
import type { VolumeName } from '#daemon/disk/disk.ts';
import { subscribeUevents } from '#net/netlink/netlink.ts';
import { BootRecord } from './boot-record.ts';
import { readCommandLine } from './command-line.ts';
import { Hotplug, type HotplugIo } from './hotplug.ts';
import { LogRotation } from './log-rotation.ts';
import { saveClock } from './machine-clock.ts';
import { machineServices } from './machine-services.ts';
import { ModuleLoader } from './modules.ts';
import { PowerButtons } from './power-button.ts';
import type { EndKind } from './ending-note.ts';
import { Supervisor } from './supervisor.ts';
import { PLACES, UID } from './unit-specs.ts';
import { Vitals } from './vitals.ts';
import { openWatchdog } from './watchdog.ts';

/** stage0's pipe of reaped orphans. */
const ORPHANS_FD = 3;

/** Resolves when all that is wanted was started once; the process goes on. */
export async function runMachine(options: {
  log: Log;
  print: (line: string) => void;
  volumes: ReadonlyMap<string, string>;
  volumeProblems: ReadonlyMap<VolumeName, string>;
  isFirst: boolean;
  onEnd: (kind: EndKind) => void;
}): Promise<void> {
  const rotation = new LogRotation(PLACES.logs);
  const { isFirst, volumes, onEnd } = options;
  const clock = new RealClock();
  const stateDir = volumes.has('STATE') ? PLACES.state : undefined;
  const boot = new BootRecord({ stateDir, noteFile: PLACES.bootReason, isFirst });
  const later: { vitals?: Vitals } = {};
  const supervisor = new Supervisor({
    ...options,
    clock,
    rotation,
    commandLine: readCommandLine(),
    loadModule: (name) => ModuleLoader.open({ release: release(), log: options.log })?.load(name),
    boot,
    onEnd: (kind) => {
      later.vitals?.endSaving(); // STATE is about to be unmounted.
      onEnd(kind);
    },
  });
  followOrphans(supervisor);
  const server = await serveMachineSocket(PLACES.supervisorSocket, machineServices(supervisor));
  chownSync(PLACES.supervisorSocket, UID.root, UID.gateway);
  const buttons = new PowerButtons(() => supervisor.beginShutdown('powerOff'));
  buttons.look();
  await supervisor.start();
  later.vitals = watchVitals(supervisor);
  watchDevices(options.log, {
    onInput: () => buttons.look(),
    onBlock: () => supervisor.lookForConfig(),
  });
  server.unref();
}

/** Feeds the watchdog from here on: a start that hangs is seen on the console. */
function watchVitals(supervisor: Supervisor): Vitals {
  const { clock, events, units } = supervisor;
  const watchdog = openWatchdog();
  if (watchdog === undefined) events.add('watchdog', 'this machine has none', 'warning');
  else {
    const cause = watchdog.hasReset ? '; it has reset the machine' : '';
    events.add('watchdog', `resets the machine after ${watchdog.timeoutSeconds} s${cause}`);
  }
  return new Vitals({
    clock,
    events,
    watchdog,
    save: () => saveClock(PLACES.clock, clock.nowMs()),
    gatewayPort: () => supervisor.gatewayPort,
    restartGateway: () => units.signal('gateway', 'SIGKILL'),
  });
}

/** Modules for what comes from here on, and for what came meanwhile. */
function watchDevices(log: Log, on: Pick<HotplugIo, 'onInput' | 'onBlock'>): void {
  const open = () => ModuleLoader.open({ release: release(), log });
  const hotplug = new Hotplug({ ...on, open, log });
  subscribeUevents(
    (notice) => hotplug.onNotice(notice),
    (error) => log.error('new devices are no longer told', { error: errorText(error) }),
  );
  hotplug.start().catch((error: unknown) => {
    log.error('devices not looked at', { error: errorText(error) });
  });
}

/** Lines `PID STATUS` (wait(2)) of orphans, among them units that an earlier supervisor started. */
function followOrphans(supervisor: Supervisor): void {
  if (!existsSync(`/proc/self/fd/${ORPHANS_FD}`)) return; // Not under stage0.
  // A socket and not a file: reading must not hold a thread of the pool.
  const pipe = new Socket({ fd: ORPHANS_FD, readable: true, writable: false });
  createInterface(pipe).on('line', (line) => {
    const [pid = 0, status = 0] = line.split(' ').map(Number);
    const signal = status & 0x7f;
    supervisor.units.onOrphan(
      pid,
      signal === 0 ? { code: status >> 8, signal: undefined } : { code: undefined, signal },
    );
  });
}
