/**
 * The hardware watchdog (linux/Documentation/watchdog/watchdog-api): it resets the machine unless it is fed
 * within its time. It is never told to stop: whatever goes wrong between here and the next start of the
 * machine, the supervisor's death and the final reboot(2) among it, ends in a reset and not in silence.
 */
import { constants, openSync, writeSync } from 'node:fs';
import { isErrno } from '#base/errors.ts';
import { ioctlInt } from '#base/linux/syscall.ts';

const WDIOC_GETBOOTSTATUS = 0x80045702;
const WDIOC_SETTIMEOUT = 0xc0045706;
const WDIOC_GETTIMEOUT = 0x80045707;
const WDIOF_CARDRESET = 0x20;

/** What the supervisor asks for, best first; a device that takes none of them has its own. */
const TIMEOUTS_SECONDS = [120, 60];

export interface Watchdog {
  /** 0: the device does not say. */
  readonly timeoutSeconds: number;
  /** It was a watchdog that reset the machine. */
  readonly hasReset: boolean;
  feed(): void;
}

/** Opens the watchdog, which begins to count; undefined when the machine has none. */
export function openWatchdog(path = '/dev/watchdog'): Watchdog | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_WRONLY);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENODEV', 'ENXIO', 'EBUSY')) return undefined;
    throw error;
  }
  return {
    timeoutSeconds: setTimeoutSeconds(fd),
    hasReset: (tryIoctl(fd, WDIOC_GETBOOTSTATUS) & WDIOF_CARDRESET) !== 0,
    feed: () => writeSync(fd, '\0'), // Not `V`, which would tell it to stop.
  };
}

function setTimeoutSeconds(fd: number): number {
  for (const seconds of TIMEOUTS_SECONDS) {
    if (tryIoctl(fd, WDIOC_SETTIMEOUT, seconds) > 0) break;
  }
  return tryIoctl(fd, WDIOC_GETTIMEOUT);
}

/** Devices need not know every call: 0 then. */
function tryIoctl(fd: number, request: number, value = 0): number {
  try {
    return ioctlInt(fd, request, value);
  } catch (error) {
    if (isErrno(error, 'ENOTTY', 'EOPNOTSUPP', 'EINVAL')) return 0;
    throw error;
  }
}
