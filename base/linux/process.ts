/** Facts about processes from /proc (proc(5)). */
import { readdirSync, readFileSync } from 'node:fs';
import { isErrno } from '../errors.ts';

/** Names a process for good: its number is used again, its number with its start time is not. */
export interface ProcessId {
  readonly pid: number;
  /** Clock ticks since boot, as in field 22 of /proc/PID/stat. */
  readonly startTicks: number;
}

/**
 * The identity of a process that exists now, or undefined. A zombie does not count as existing, unless
 * only its first thread has ended: the others hold its files, sockets and locks until they end too.
 */
export function processId(pid: number): ProcessId | undefined {
  const stat = readStat(pid);
  if (stat === undefined || (stat.state === 'Z' && stat.threadCount <= 1)) return undefined;
  return { pid, startTicks: stat.startTicks };
}

/** Whether that very process still runs. */
export function isRunning(id: ProcessId): boolean {
  return processId(id.pid)?.startTicks === id.startTicks;
}

/** The first process with just this command line whose parent is process 1, or undefined. */
export function findOrphan(argv: readonly string[]): ProcessId | undefined {
  const wanted = `${argv.join('\0')}\0`;
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!(pid > 1)) continue;
    try {
      if (readFileSync(`/proc/${pid}/cmdline`, 'latin1') !== wanted) continue;
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ESRCH', 'EACCES')) continue; // It has ended, or is not ours to see.
      throw error;
    }
    if (readStat(pid)?.parent === 1) return processId(pid);
  }
  return undefined;
}

/** The name in parentheses may hold blanks and parentheses: fields are counted behind the last one. */
function readStat(
  pid: number,
): { state: string; parent: number; threadCount: number; startTicks: number } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return {
      state: fields[0] ?? '',
      parent: Number(fields[1]),
      threadCount: Number(fields[17]),
      startTicks: Number(fields[19]),
    };
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ESRCH')) return undefined; // It has ended.
    throw error;
  }
}

/** Proportional set size in bytes (smaps_rollup), or 0 when the process is gone or not readable. */
export function proportionalBytes(pid: number): number {
  try {
    const found = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'));
    return Number(found?.[1] ?? 0) * 1024;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ESRCH', 'EACCES')) return 0; // It has ended, or is not ours.
    throw error;
  }
}
