/**
 * The later half of the supervisor's start: constructs the machine with its real adapters and lets it
 * run. It is a module of its own because its libraries (schemas, certificates, WebSocket) take longer to
 * load than the devices take to be found; main.ts loads it meanwhile.
 */
import { chownSync, createReadStream, existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { RealClock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { serveMachineSocket } from '#base/protocol/serve-socket.ts';
import type { VolumeName } from '#daemon/disk/disk.ts';
import { readCommandLine } from './command-line.ts';
import { LogRotation } from './log-rotation.ts';
import { machineServices } from './machine-services.ts';
import { watchPowerButton } from './power-button.ts';
import type { EndKind } from './ending-note.ts';
import { Supervisor } from './supervisor.ts';
import { PLACES, UID } from './unit-specs.ts';

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
  const commandLine = readCommandLine();
  const supervisor = new Supervisor({ ...options, clock: new RealClock(), rotation, commandLine });
  followOrphans(supervisor);
  const server = await serveMachineSocket(PLACES.supervisorSocket, machineServices(supervisor));
  chownSync(PLACES.supervisorSocket, UID.root, UID.gateway);
  watchPowerButton(() => supervisor.beginShutdown('powerOff'));
  await supervisor.start();
  server.unref();
}

/** Lines `PID STATUS` (wait(2)) of orphans, among them units that an earlier supervisor started. */
function followOrphans(supervisor: Supervisor): void {
  if (!existsSync(`/proc/self/fd/${ORPHANS_FD}`)) return; // Not under stage0.
  createInterface(createReadStream('', { fd: ORPHANS_FD })).on('line', (line) => {
    const [pid = 0, status = 0] = line.split(' ').map(Number);
    const signal = status & 0x7f;
    supervisor.units.onOrphan(
      pid,
      signal === 0 ? { code: status >> 8, signal: undefined } : { code: undefined, signal },
    );
  });
}
