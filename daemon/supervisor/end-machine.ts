/**
 * The last steps of a machine: ends every process that is left (containers that did not end, their monitors),
 * gives the volumes back, and leaves the rest to stage0, which syncs and makes the final reboot(2) call. Its
 * steps are bounded, so that a machine that is told to go down does.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { unmountVolumes } from '#daemon/disk/unmount.ts';
import { isErrno } from '#base/errors.ts';

/** Containers' root filesystems are mounted there, with layers on DATA. */
const RUNTIME = '/run/bareboat/agent';
const KILL_MS = 5_000;
const LOOK_MS = 20;
/** Flags of a kernel thread (include/linux/sched.h). */
const PF_KTHREAD = 0x00200000;

/** Nothing but this process and stage0 runs, and no volume is mounted, when it resolves; or it says so. */
export async function endMachine(
  volumes: readonly string[],
  print: (line: string) => void,
): Promise<void> {
  const left = await killRemaining();
  if (left.length > 0) print(`error: processes that cannot be ended: ${left.join(', ')}`);
  for (const line of await unmountVolumes(volumes, [RUNTIME])) print(`error: ${line}`);
}

/** Kills until none is left but those that wait for the kernel; these are named. */
async function killRemaining(): Promise<string[]> {
  const startedAt = performance.now();
  for (;;) {
    const others = otherProcesses();
    if (others.length === 0) return [];
    if (performance.now() - startedAt > KILL_MS) {
      return others.map(({ pid, name }) => `${name} (${pid})`);
    }
    for (const { pid } of others) kill(pid);
    await sleep(LOOK_MS);
  }
}

/** All processes but process 1, this one, kernel threads and zombies. */
function otherProcesses(): { pid: number; name: string }[] {
  return readdirSync('/proc').flatMap((entry) => {
    const pid = Number(entry);
    if (!(pid > 1) || pid === process.pid) return [];
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const end = stat.lastIndexOf(')');
      const [state = '', ...fields] = stat.slice(end + 2).split(' ');
      const flags = Number(fields[5]); // Field 9 of proc(5).
      if (state === 'Z' || (flags & PF_KTHREAD) !== 0) return [];
      return [{ pid, name: stat.slice(stat.indexOf('(') + 1, end) }];
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ESRCH')) return []; // It has ended.
      throw error;
    }
  });
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (!isErrno(error, 'ESRCH')) throw error; // It has ended.
  }
}
