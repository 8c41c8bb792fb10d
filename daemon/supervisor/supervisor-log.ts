/**
 * Where the supervisor's words go: lines for people on the console and into its log file, which the API shows;
 * its log into the file, warnings also onto the console.
 */
import { mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { FdLog, type Log, type LogFields } from '#base/log.ts';
import { PLACES } from './unit-specs.ts';

const CONSOLE_FD = 2;

export interface SupervisorLog {
  readonly log: Log;
  /** A line on the console, with the seconds since the boot in front. */
  readonly print: (line: string) => void;
}

/** Opens the log file; /run must be mounted. */
export function openSupervisorLog(): SupervisorLog {
  mkdirSync(PLACES.logs, { recursive: true });
  const fd = openSync(join(PLACES.logs, 'supervisor.log'), 'a');
  const area = 'supervisor';
  const file = new FdLog({ fd, area, level: 'info' });
  return {
    log: new TeeLog(file, new FdLog({ fd: CONSOLE_FD, area, level: 'warn' })),
    print: (line) => {
      const sinceBoot = Number(process.hrtime.bigint() / 10_000_000n) / 100; // CLOCK_MONOTONIC.
      writeSync(CONSOLE_FD, `bareboat [${sinceBoot.toFixed(2)}] ${line}\n`);
      file.info(line);
    },
  };
}

class TeeLog implements Log {
  readonly #logs: readonly Log[];

  constructor(...logs: readonly Log[]) {
    this.#logs = logs;
  }

  debug(message: string, fields?: LogFields): void {
    for (const log of this.#logs) log.debug(message, fields);
  }
  info(message: string, fields?: LogFields): void {
    for (const log of this.#logs) log.info(message, fields);
  }
  warn(message: string, fields?: LogFields): void {
    for (const log of this.#logs) log.warn(message, fields);
  }
  error(message: string, fields?: LogFields): void {
    for (const log of this.#logs) log.error(message, fields);
  }
  child(area: string, fields?: LogFields): Log {
    return new TeeLog(...this.#logs.map((log) => log.child(area, fields)));
  }
}
