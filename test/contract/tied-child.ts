/** Processes that tests start. */
import { spawn } from 'node:child_process';
import type { ChildProcess, SpawnOptions } from 'node:child_process';

/**
 * Starts a program that is killed when this process ends, in whatever way: a test that a time-out cut off
 * leaves nothing running. It has the process id of the child (setpriv(1) becomes it).
 */
export function spawnTied(
  program: string,
  args: readonly string[],
  options: SpawnOptions,
): ChildProcess {
  return spawn('setpriv', ['--pdeathsig', 'KILL', program, ...args], options);
}
