/**
 * The supervisor process, started by stage0: boots the machine step by step, a line each on the console,
 * then keeps it running (run.ts, which is loaded while the kernel takes in further modules). Its exit code tells stage0 what to do: 64 restart, 65 power off; anything else
 * means that it died and is to be started again, and every step finds what the last one left.
 */
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { enableCompileCache, flushCompileCache } from 'node:module';
import { release } from 'node:os';
import { join } from 'node:path';
import { errorText, isErrno } from '#base/errors.ts';
import { exitAtOnce, MS, mount } from '#base/linux/syscall.ts';
import {
  awaitBootDisk,
  findBootDisk,
  mountVolume,
  prepareDisk,
  VOLUME_NAMES,
  type VolumeName,
} from '#daemon/disk/disk.ts';
import { prepareCgroups } from './cgroups.ts';
import { coldplug, NODE_MODULES } from './devices.ts';
import { endMachine } from './end-machine.ts';
import { ModuleLoader } from './modules.ts';
import { mountBase, mountTargets } from './mounts.ts';
import { type EndKind, forgetEnding } from './ending-note.ts';
import { openSupervisorLog, type SupervisorLog } from './supervisor-log.ts';
import { PLACES, UID } from './unit-specs.ts';

const EXIT = { reboot: 64, powerOff: 65 } as const;
const BOOTED = '/run/bareboat/.booted';
const CODE_CACHE = '/var/cache/bareboat/supervisor';
/** Where dhcpcd keeps its identity and its leases. */
const DHCP_STATE = '/var/lib/dhcpcd';

type Print = SupervisorLog['print'];

async function boot(): Promise<void> {
  mountBase();
  enableCompileCache(CODE_CACHE); // The next supervisor of this boot starts in half the time.
  const again = existsSync(BOOTED);
  const { log, print } = openSupervisorLog();
  print(again ? 'supervisor restarted' : 'supervisor started');
  let modules = Promise.resolve();
  if (!again) {
    const loader = ModuleLoader.open({ release: release(), log });
    if (loader === undefined) print(`no modules for kernel ${release()} in this image`);
    else {
      coldplug(loader);
      print('devices found');
      modules = loader.loadInBackground(NODE_MODULES).then(async () => {
        // The kernel's own, where the hardware has none.
        if (!existsSync('/dev/watchdog')) await loader.loadInBackground(['softdog']);
      });
    }
    prepareCgroups(log);
  }
  prepareSocketDirectories();
  const [{ volumes, volumeProblems }, { runMachine }] = await Promise.all([
    prepareVolumes(again, print),
    import('./run.ts'),
  ]);
  if (volumes.has('STATE')) keepDhcpState();
  if (volumes.has('DATA')) bindPodLogs(print);
  await modules;
  await runMachine({
    log,
    print,
    volumes,
    volumeProblems,
    isFirst: !again,
    onEnd: (kind) => end(kind, volumes, print),
  });
  writeFileSync(BOOTED, '');
  flushCompileCache();
}

/** Mounts the volumes of the boot disk; a machine without one runs in memory. */
async function prepareVolumes(
  again: boolean,
  print: Print,
): Promise<{
  volumes: Map<VolumeName, string>;
  volumeProblems: Map<VolumeName, string>;
}> {
  const volumes = new Map<VolumeName, string>();
  const volumeProblems = new Map<VolumeName, string>();
  // A later supervisor of this boot finds what the first one found.
  const disk = again ? findBootDisk() : await awaitBootDisk();
  if (disk === undefined) {
    print('no disk of ours: the machine runs in memory');
    return { volumes, volumeProblems };
  }
  try {
    const { done, problems } = await prepareDisk(disk);
    for (const line of done) print(`disk ${disk}: ${line}`);
    for (const [volume, problem] of problems) volumeProblems.set(volume, problem);
    const targets = { STATE: PLACES.state, STORE: PLACES.control, DATA: PLACES.agent };
    for (const volume of VOLUME_NAMES) {
      if (volumeProblems.has(volume)) continue;
      try {
        mountVolume(disk, volume, targets[volume]);
        volumes.set(volume, targets[volume]);
      } catch (error) {
        volumeProblems.set(volume, errorText(error)); // The other volumes are of use without it.
      }
    }
    print(`disk ${disk}: ${[...volumes.keys()].join(', ')} mounted`);
  } catch (error) {
    // The API stays up, and says what is wrong; nothing on the disk was given up.
    for (const volume of VOLUME_NAMES) volumeProblems.set(volume, errorText(error));
  }
  for (const [volume, problem] of volumeProblems) {
    print(`disk ${disk}: error: ${volume}: ${problem}`);
  }
  return { volumes, volumeProblems };
}

/** A machine that asks under the same name gets the same address after a reboot. */
function keepDhcpState(): void {
  const kept = join(PLACES.state, 'dhcpcd');
  mkdirSync(kept, { recursive: true });
  try {
    symlinkSync(kept, DHCP_STATE);
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error; // Made by an earlier supervisor.
  }
}

/** Pods' logs are kept on DATA: in memory they would fill it, and be lost with the power. */
function bindPodLogs(print: Print): void {
  if (mountTargets().has(PLACES.podLogs)) return; // By an earlier supervisor of this boot.
  const source = join(PLACES.agent, 'log/pods');
  try {
    mkdirSync(source, { recursive: true });
    mkdirSync(PLACES.podLogs, { recursive: true });
    mount({ source, target: PLACES.podLogs, flags: MS.BIND });
  } catch (error) {
    print(`error: pods' logs stay in memory: ${errorText(error)}`); // DATA is full, or failing.
  }
}

/** The gateway connects to the sockets of the others: their folders are its group's. */
function prepareSocketDirectories(): void {
  const owners = { supervisor: UID.root, agent: UID.root, control: UID.control };
  for (const [name, uid] of Object.entries(owners)) {
    const dir = `/run/bareboat/${name}`;
    mkdirSync(dir, { recursive: true });
    chownSync(dir, uid, UID.gateway);
    chmodSync(dir, 0o2750); // What is made in it has the folder's group.
  }
}

/** Ends what is left, gives the disks back, and tells stage0. */
function end(kind: EndKind, volumes: ReadonlyMap<string, string>, print: Print): void {
  const finish = () => {
    rmSync(BOOTED, { force: true });
    forgetEnding();
    print(kind === 'reboot' ? 'restart' : 'power off');
    exitAtOnce(EXIT[kind]);
  };
  endMachine([PLACES.podLogs, ...volumes.values()], print).then(finish, (error: unknown) => {
    print(`error: ${errorText(error)}`);
    finish();
  });
}

boot().catch((error: unknown) => {
  writeSync(2, `supervisor: ${errorText(error)}\n`);
  if (error instanceof Error) writeSync(2, `${error.stack}\n`);
  process.exit(1);
});
