/** runc's commands, as one class; every failure is a RuntimeError with runc's own text. */
import { isErrno } from '#base/errors.ts';
import { runChild } from './child.ts';
import { type RuntimeErrorCode, RuntimeError } from './port.ts';

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

  constructor(options: { path: string; root: string }) {
    this.path = options.path;
    this.root = options.root;
  }

  /** Arguments before any command. */
  get globalArgs(): readonly string[] {
    return ['--root', this.root];
  }

  async start(id: string, signal: AbortSignal): Promise<void> {
    await this.#run(['start', id], { code: 'START_FAILED', signal });
  }

  /** Kills what is left and forgets the container; nothing when there is none. */
  async delete(id: string, signal: AbortSignal): Promise<void> {
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
