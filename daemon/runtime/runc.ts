/** runc's commands, as one class; every failure is a RuntimeError with runc's own text. */
import { closeSync, constants, existsSync, openSync, readSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import { isErrno } from '#base/errors.ts';
import { runChild } from './child.ts';
import { processStart } from './host.ts';
import { type RuntimeErrorCode, RuntimeError } from './port.ts';
import type { ProcessName } from './records.ts';

export interface RuncState {
  readonly id: string;
  readonly pid: number;
  readonly status: 'creating' | 'created' | 'running' | 'paused' | 'stopped';
  readonly createdAtMs: number;
}

export class Runc {
  readonly path: string;
  /** Directory of runc's state, on a tmpfs: it must not outlive a boot. */
  readonly root: string;

  readonly #clock: Clock;

  constructor(options: { path: string; root: string; clock: Clock }) {
    this.#clock = options.clock;
    this.path = options.path;
    this.root = options.root;
  }

  /** Arguments before any command. */
  get globalArgs(): readonly string[] {
    return ['--root', this.root];
  }

  /**
   * Lets the first process of a created container go on to its program. Does what `runc start` does
   * (libcontainer, `Container.exec`): the process waits until it can write a byte to `exec.fifo`, and the
   * container counts as created as long as that file is there. Starting runc for it costs 10 ms.
   */
  async start(id: string, process: ProcessName, signal: AbortSignal): Promise<void> {
    const path = join(this.root, id, 'exec.fifo');
    // Not to block: a process that died would leave a thread of the pool waiting for ever.
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      while (!hasByte(fd)) {
        if (processStart(process.pid) !== process.start) {
          if (hasByte(fd)) break; // It went on, and ended, between the two looks.
          throw new RuntimeError('START_FAILED', 'the container ended before its program ran');
        }
        await this.#clock.sleep(1, signal);
      }
    } finally {
      closeSync(fd);
    }
    rmSync(path, { force: true });
  }

  /** Kills what is left and forgets the container; nothing when there is none. */
  async delete(id: string, signal: AbortSignal): Promise<void> {
    if (!existsSync(join(this.root, id))) return; // runc would start only to find out the same.
    await this.#run(['delete', '--force', id], { code: 'NOT_FOUND', signal });
  }

  async update(id: string, resources: object, signal: AbortSignal): Promise<void> {
    await this.#run(['update', '--resources', '-', id], {
      code: 'CREATE_FAILED',
      signal,
      stdin: JSON.stringify(resources),
    });
  }

  async list(signal: AbortSignal): Promise<readonly RuncState[]> {
    const text = await this.#run(['list', '--format', 'json'], { code: 'NOT_FOUND', signal });
    const states: unknown = text.trim() === '' ? null : JSON.parse(text);
    if (!Array.isArray(states)) return []; // runc prints `null` for none.
    return states.map((state: { id: string; pid: number; status: string; created: string }) => ({
      id: state.id,
      pid: state.pid,
      status: state.status as RuncState['status'], // runc's own words.
      createdAtMs: Date.parse(state.created),
    }));
  }

  async #run(
    args: readonly string[],
    options: { code: RuntimeErrorCode; signal: AbortSignal; stdin?: string },
  ): Promise<string> {
    const { code, signal, stdin } = options;
    const request = {
      path: this.path,
      args: [...this.globalArgs, ...args],
      stdoutBytesMax: 64 * 1024 * 1024,
      ...(stdin === undefined ? {} : { stdin }),
    };
    try {
      const result = await runChild(request, signal);
      if (result.code === 0) return result.stdout;
      throw new RuntimeError(code, `runc ${args[0]}: ${runcMessage(result.stderr)}`);
    } catch (error) {
      if (!isErrno(error, 'ENOENT', 'EACCES')) throw error;
      throw new RuntimeError(code, `cannot run ${this.path}`, { cause: error });
    }
  }
}

/** False while nobody has written: end of file without a writer, EAGAIN with one. */
function hasByte(fd: number): boolean {
  try {
    return readSync(fd, new Uint8Array(1)) > 0;
  } catch (error) {
    if (isErrno(error, 'EAGAIN')) return false;
    throw error;
  }
}

/** The message of runc's last log line: `time="..." level=error msg="..."` or bare text. */
export function runcMessage(stderr: string): string {
  const last = stderr.trim().split('\n').at(-1) ?? '';
  const message = /\bmsg=("(?:[^"\\]|\\.)*")/.exec(last)?.[1];
  if (message === undefined) return last;
  try {
    return String(JSON.parse(message));
  } catch {
    return message; // Go quotes a few characters otherwise than JSON does; the raw text still tells.
  }
}
