/**
 * Starts conmon, which runs runc for us, holds the streams of what it starts, and outlives this process.
 * `create` makes a container, `exec` an extra process under a terminal. Protocol, from conmon's source:
 *
 *   fd 3 (_OCI_SYNCPIPE)    lines {"data": PID} or {"data": -1, "message": TEXT}; exec: then {"data": EXIT}
 *   fd 4 (_OCI_STARTPIPE)   conmon waits for a byte: by then it is in its pod's cgroup;
 *                           exec: for a second one, by then the client is attached
 *   fd 5 (_OCI_ATTACHPIPE)  exec: a line when the attach socket is there
 *   <bundle>/attach, ctl    attach socket (SOCK_SEQPACKET), control fifo: see attach.ts
 *   <bundle>/oom            exists when the kernel ended a process for want of memory
 *   <exit dir>/<id>         exit code as text, by rename
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { isErrno } from '#base/errors.ts';
import { collect } from './child.ts';
import { ERROR_TEXT_BYTES_MAX } from './limits.ts';
import { RuntimeError } from './port.ts';
import { type Runc, runcMessage } from './runc.ts';

export interface ConmonRequest {
  readonly id: string;
  readonly name: string;
  readonly bundle: string;
  readonly logPath: string;
  readonly exitDir: string;
  readonly tty: boolean;
  readonly stdin: boolean;
  /** Close the container's stdin when its first attached client leaves. */
  readonly stdinOnce: boolean;
}

export interface ConmonExecRequest {
  readonly containerId: string;
  /** Of the session: gets the attach socket and the pid file. */
  readonly dir: string;
  /** OCI process, as JSON. */
  readonly processPath: string;
  /** Puts conmon into its cgroup. */
  readonly adopt: (pid: number) => void;
  /** Connects the client; the process starts afterwards. */
  readonly attach: () => Promise<void>;
}

export interface ExecProcess {
  readonly pid: number;
  readonly exited: Promise<number>;
}

interface Launch {
  readonly sync: AsyncIterator<string>;
  readonly start: Writable;
  readonly attach: AsyncIterator<string> | undefined;
  readonly stderr: () => string;
  /** Rejects when conmon could not be run, or the signal fired. */
  readonly failed: Promise<never>;
  release(): void;
}

export class Conmon {
  readonly #path: string;
  readonly #runc: Runc;
  readonly #tmpDir: string;

  /** `tmpDir` holds sockets for a moment: its name must be short. */
  constructor(options: { path: string; runc: Runc; tmpDir: string }) {
    this.#path = options.path;
    this.#runc = options.runc;
    this.#tmpDir = options.tmpDir;
  }

  /** Resolves to the container's pid, the container being `created`. `adopt` gets conmon's first pid. */
  async create(
    request: ConmonRequest,
    adopt: (pid: number) => void,
    signal: AbortSignal,
  ): Promise<number> {
    const { id, bundle } = request;
    const args = [
      ['--cid', id, '--cuuid', id, '--name', request.name],
      ['--bundle', bundle, '--container-pidfile', join(bundle, 'pid')],
      ['--conmon-pidfile', join(bundle, 'conmon.pid')],
      ['--log-path', `k8s-file:${request.logPath}`, '--no-sync-log'],
      ['--exit-dir', request.exitDir],
      request.tty ? ['--terminal'] : [],
      request.stdin ? ['--stdin'] : [],
      request.stdin && !request.stdinOnce ? ['--leave-stdin-open'] : [],
    ].flat();
    const launch = this.#launch({ args, cwd: bundle, attach: false, adopt }, signal);
    try {
      const first = await Promise.race([launch.sync.next(), launch.failed]);
      return parsePid(first.value, launch.stderr());
    } finally {
      launch.release();
    }
  }

  /** A process under a terminal in a running container. `signal` counts until it runs. */
  async exec(request: ConmonExecRequest, signal: AbortSignal): Promise<ExecProcess> {
    const { containerId, dir, adopt } = request;
    const args = [
      ['--cid', containerId, '--cuuid', containerId, '--name', containerId],
      ['--exec', '--exec-attach', '--exec-process-spec', request.processPath, '--terminal'],
      ['--bundle', dir, '--container-pidfile', join(dir, 'pid')],
      ['--log-path', 'off', '--stdin', '--leave-stdin-open'],
    ].flat();
    const launch = this.#launch({ args, cwd: dir, attach: true, adopt }, signal);
    const { sync } = launch;
    try {
      const ready = await Promise.race([launch.attach?.next(), launch.failed]);
      // Ended already: the sync pipe says why.
      if (typeof ready?.value === 'string') await request.attach();
      launch.start.end('\0');
      const first = await Promise.race([sync.next(), launch.failed]);
      const pid = parsePid(first.value, launch.stderr());
      const exited = sync.next().then(({ value }) => {
        launch.release();
        return typeof value === 'string' ? parseReply(value).data : 255;
      });
      return { pid, exited };
    } catch (error) {
      launch.release();
      throw error;
    }
  }

  #launch(
    options: {
      args: readonly string[];
      cwd: string;
      attach: boolean;
      adopt: (pid: number) => void;
    },
    signal: AbortSignal,
  ): Launch {
    signal.throwIfAborted();
    const runtimeArgs = this.#runc.globalArgs.flatMap((arg) => ['--runtime-arg', arg]);
    const common = ['--api-version=1', '--full-attach', '--log-level', 'error'];
    const runtime = ['--runtime', this.#runc.path, ...runtimeArgs];
    const child = spawn(this.#path, [...common, ...runtime, ...options.args], {
      cwd: options.cwd,
      env: {
        PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
        TMPDIR: this.#tmpDir,
        _OCI_SYNCPIPE: '3',
        _OCI_STARTPIPE: '4',
        ...(options.attach ? { _OCI_ATTACHPIPE: '5' } : {}),
      },
      stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe', options.attach ? 'pipe' : 'ignore'],
    });
    const sync = child.stdio[3] as Readable; // 'pipe' above.
    const start = child.stdio[4] as Writable; // 'pipe' above.
    const attach = child.stdio.at(5) as Readable | null; // 'pipe' or 'ignore' above.
    start.on('error', () => undefined); // It may be gone already: the sync pipe tells why.
    const failed = Promise.withResolvers<never>();
    failed.promise.catch(() => undefined); // Raced against by whoever waits at that moment.
    child.once('error', (error) => failed.reject(runError(this.#path, error)));
    const onAbort = () => {
      child.kill('SIGKILL'); // Its monitor may live on; the caller deletes the container.
      failed.reject(signal.reason);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    const launch: Launch = {
      sync: lines(sync),
      start,
      attach: attach === null ? undefined : lines(attach),
      stderr: collect(child.stderr, ERROR_TEXT_BYTES_MAX),
      failed: failed.promise,
      release() {
        signal.removeEventListener('abort', onAbort);
        for (const stream of [sync, start, attach]) stream?.destroy();
      },
    };
    if (child.pid === undefined) return launch;
    try {
      options.adopt(child.pid);
      start.write('\0');
    } catch (error) {
      // ESRCH: it ended at once, and the sync pipe says why. Anything else, and nobody would end it.
      if (!isErrno(error, 'ESRCH')) {
        child.kill('SIGKILL');
        launch.release();
        throw error;
      }
    }
    return launch;
  }
}

/** Did conmon see the kernel end a process of the container for want of memory? */
export function sawOom(bundle: string): boolean {
  return existsSync(join(bundle, 'oom'));
}

/** Pid of the monitor itself, which outlives us; undefined when it never came that far. */
export function conmonPid(bundle: string): number | undefined {
  try {
    const pid = Number(readFileSync(join(bundle, 'conmon.pid'), 'utf8'));
    return Number.isInteger(pid) && pid > 0 ? pid : undefined;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function runError(path: string, error: unknown): unknown {
  if (!isErrno(error, 'ENOENT', 'EACCES')) return error;
  return new RuntimeError('CREATE_FAILED', `cannot run ${path}`, { cause: error });
}

/** Whole lines of a pipe; what follows the last newline counts as one. A destroyed pipe just ends. */
async function* lines(stream: Readable): AsyncGenerator<string> {
  let text = '';
  try {
    for await (const chunk of stream) {
      text += String(chunk);
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
        yield text.slice(0, end);
        text = text.slice(end + 1);
      }
      if (text.length > ERROR_TEXT_BYTES_MAX * 4) break;
    }
  } catch (error) {
    if (!isErrno(error, 'ERR_STREAM_PREMATURE_CLOSE', 'ECONNRESET')) throw error;
  }
  if (text !== '') yield text;
}

function parseReply(line: string): { data: number; message: string } {
  try {
    const reply = JSON.parse(line) as { data?: number; message?: string }; // conmon's format.
    return { data: reply.data ?? -1, message: reply.message ?? '' };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return { data: -1, message: line };
  }
}

function parsePid(line: unknown, stderr: string): number {
  const reply = typeof line === 'string' ? parseReply(line) : { data: -1, message: '' };
  if (reply.data > 0) return reply.data;
  const text = reply.message.trim() === '' ? stderr : reply.message;
  const message = text.trim() === '' ? 'conmon ended without a word' : runcMessage(text);
  throw new RuntimeError('CREATE_FAILED', message);
}
