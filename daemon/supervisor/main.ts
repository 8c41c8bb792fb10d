/**
 * The supervisor process, started by stage0: boots the machine step by step, a line each on the console,
 * then keeps it running. Its exit code tells stage0 what to do: 64 restart, 65 power off; anything else
 * means that it died and is to be started again, and every step finds what the last one left.
 */
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  writeFileSync,
  writeSync,
  createReadStream,
} from 'node:fs';
import { release } from 'node:os';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { RealClock } from '#base/clock.ts';
import { errorText } from '#base/errors.ts';
import { FdLog } from '#base/log.ts';
import { MNT_DETACH, umount } from '#base/linux/syscall.ts';
import { serveMachineSocket } from '#base/protocol/serve-socket.ts';
import { findBootDisk, mountVolume, prepareDisk, VOLUME_NAMES } from '#daemon/disk/disk.ts';
import { coldplug, NODE_MODULES } from './devices.ts';
import { LogRotation } from './log-rotation.ts';
import { machineServices } from './machine-services.ts';
import { ModuleLoader } from './modules.ts';
import { mountBase } from './mounts.ts';
import { watchPowerButton } from './power-button.ts';
import { type EndKind, Supervisor } from './supervisor.ts';
import { PLACES, UID } from './unit-specs.ts';

const EXIT = { reboot: 64, powerOff: 65 } as const;
/** stage0's pipe of reaped orphans. */
const ORPHANS_FD = 3;
const BOOTED = '/run/bareboat/.booted';

const SYSCTLS: Readonly<Record<string, string>> = {
  'fs/inotify/max_user_instances': '8192',
  'fs/inotify/max_user_watches': '524288',
  'kernel/panic': '10',
  'kernel/pid_max': '4194304',
  'net/ipv4/ip_forward': '1',
  'vm/max_map_count': '262144',
  'vm/overcommit_memory': '1',
  'vm/panic_on_oom': '0',
};

const clock = new RealClock();
const print = (line: string) => {
  const sinceBoot = Number(process.hrtime.bigint() / 10_000_000n) / 100; // CLOCK_MONOTONIC.
  writeSync(2, `bareboat [${sinceBoot.toFixed(2)}] ${line}\n`);
};

async function boot(): Promise<void> {
  mountBase();
  const again = existsSync(BOOTED);
  mkdirSync(PLACES.logs, { recursive: true });
  const log = new FdLog({ fd: 2, area: 'supervisor', level: 'warn' });
  print(again ? 'supervisor restarted' : 'supervisor started');
  if (!again) {
    const loader = new ModuleLoader({ release: release(), log });
    coldplug(loader);
    for (const name of NODE_MODULES) loader.load(name);
    print('devices found');
    prepareCgroups();
    for (const [name, value] of Object.entries(SYSCTLS)) writeSysctl(name, value);
  }
  const volumes = await prepareVolumes();
  prepareSocketDirectories();
  const supervisor = new Supervisor({
    clock,
    log,
    print,
    volumes,
    rotation: new LogRotation(PLACES.logs),
    onEnd: (kind) => end(kind, volumes),
  });
  followOrphans(supervisor);
  const server = await serveMachineSocket(PLACES.supervisorSocket, machineServices(supervisor));
  chownSync(PLACES.supervisorSocket, UID.root, UID.gateway);
  watchPowerButton(() => supervisor.beginShutdown('powerOff'));
  writeFileSync(BOOTED, '');
  await supervisor.start();
  server.unref();
}

/** Mounts the volumes of the boot disk; a machine without one runs in memory. */
async function prepareVolumes(): Promise<Map<string, string>> {
  const volumes = new Map<string, string>();
  const disk = findBootDisk();
  if (disk === undefined) {
    print('no disk of ours: the machine runs in memory');
    return volumes;
  }
  try {
    for (const line of await prepareDisk(disk)) print(`disk ${disk}: ${line}`);
    const targets = { STATE: PLACES.state, STORE: PLACES.control, DATA: PLACES.agent };
    for (const volume of VOLUME_NAMES) {
      mountVolume(volume, targets[volume]);
      volumes.set(volume, targets[volume]);
    }
    print(`disk ${disk}: ${[...volumes.keys()].join(', ')} mounted`);
  } catch (error) {
    // The API stays up, and says what is wrong; nothing on the disk was given up.
    print(`disk ${disk}: error: ${errorText(error)}`);
  }
  return volumes;
}

function prepareCgroups(): void {
  const root = '/sys/fs/cgroup';
  writeFileSync(join(root, 'cgroup.subtree_control'), '+cpu +memory +pids +io');
  const system = join(root, 'system.slice');
  mkdirSync(system, { recursive: true });
  writeFileSync(join(system, 'cgroup.subtree_control'), '+cpu +memory +pids +io');
  // Pods together never starve the node's own processes.
  writeFileSync(join(system, 'cpu.weight'), '1000');
  writeFileSync(join(system, 'memory.low'), String(192 << 20));
}

function writeSysctl(name: string, value: string): void {
  const path = join('/proc/sys', name);
  if (existsSync(path)) writeFileSync(path, value);
}

/** The gateway connects to the sockets of the others: their folders are its group's. */
function prepareSocketDirectories(): void {
  for (const name of ['supervisor', 'agent', 'control']) {
    const dir = `/run/bareboat/${name}`;
    mkdirSync(dir, { recursive: true });
    chownSync(dir, name === 'control' ? UID.control : UID.root, UID.gateway);
    chmodSync(dir, 0o2750); // What is made in it has the folder's group.
  }
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

/** Kills what is left, gives the disks back, and tells stage0. */
function end(kind: EndKind, volumes: ReadonlyMap<string, string>): void {
  rmSync(BOOTED, { force: true });
  killRemaining();
  for (const target of [...volumes.values()].toReversed()) {
    try {
      umount(target, MNT_DETACH);
    } catch (error) {
      print(`cannot unmount ${target}: ${errorText(error)}`);
    }
  }
  print(kind === 'reboot' ? 'restart' : 'power off');
  process.exit(EXIT[kind]);
}

/** Containers and their conmons: everything but process 1, this process and kernel threads. */
function killRemaining(): void {
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!(pid > 1) || pid === process.pid) continue;
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It ended meanwhile, or is a kernel thread, which signals do not reach.
    }
  }
}

boot().catch((error: unknown) => {
  print(`error: ${errorText(error)}`);
  if (error instanceof Error) writeSync(2, `${error.stack}\n`);
  process.exit(1);
});
