/**
 * Starts conmon, which creates the container by runc, holds its streams, writes its log and its exit
 * file, and outlives this process. Protocol, from conmon's source:
 *
 *   fd 4 (_OCI_STARTPIPE)  conmon waits for a byte: by then it is in its pod's cgroup
 *   fd 3 (_OCI_SYNCPIPE)   one line of JSON: {"data": PID} or {"data": -1, "message": TEXT}
 *   <bundle>/attach, ctl   attach socket (SOCK_SEQPACKET), control fifo: see attach.ts
 *   <bundle>/oom           exists when the kernel ended a process for want of memory
 *   <exit dir>/<id>        exit code as text, by rename
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { must } from '#base/assert.ts';
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
    signal.throwIfAborted();
    const child = spawn(this.#path, this.#args(request), {
      cwd: request.bundle,
      env: {
        PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
        TMPDIR: this.#tmpDir,
        _OCI_SYNCPIPE: '3',
        _OCI_STARTPIPE: '4',
      },
      stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'],
    });
    const sync = child.stdio[3] as Readable; // 'pipe' above.
    const start = child.stdio[4] as Writable; // 'pipe' above.
    start.on('error', () => undefined); // It may be gone already: the sync pipe tells why.
    const stderr = collect(child.stderr, ERROR_TEXT_BYTES_MAX);
    const failed = Promise.withResolvers<never>();
    child.once('error', failed.reject);
    const onAbort = () => {
      child.kill('SIGKILL');
      sync.destroy(); // The monitor may live on; the caller deletes the container.
      failed.reject(signal.reason);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      if (child.pid !== undefined) {
        adopt(child.pid);
        start.end('\0');
      }
      const line = await Promise.race([firstLine(sync), failed.promise]);
      return parsePid(line, stderr());
    } catch (error) {
      if (!isErrno(error, 'ENOENT', 'EACCES')) throw error;
      throw new RuntimeError('CREATE_FAILED', `cannot run ${this.#path}`, { cause: error });
    } finally {
      signal.removeEventListener('abort', onAbort);
      sync.destroy();
      start.destroy();
    }
  }

  #args(request: ConmonRequest): readonly string[] {
    const { id, bundle } = request;
    return [
      ['--api-version=1', '--cid', id, '--cuuid', id, '--name', request.name],
      ['--runtime', this.#runc.path],
      this.#runc.globalArgs.flatMap((arg) => ['--runtime-arg', arg]),
      ['--bundle', bundle, '--full-attach'],
      ['--container-pidfile', join(bundle, 'pid')],
      ['--conmon-pidfile', join(bundle, 'conmon.pid')],
      ['--log-path', `k8s-file:${request.logPath}`, '--no-sync-log'],
      ['--log-level', 'error', '--exit-dir', request.exitDir],
      request.tty ? ['--terminal'] : [],
      request.stdin ? ['--stdin'] : [],
      request.stdin && !request.stdinOnce ? ['--leave-stdin-open'] : [],
    ].flat();
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

async function firstLine(stream: Readable): Promise<string> {
  let text = '';
  for await (const chunk of stream) {
    text += String(chunk);
    const end = text.indexOf('\n');
    if (end >= 0) return text.slice(0, end);
    if (text.length > 64 * 1024) break;
  }
  return text;
}

function parsePid(line: string, stderr: string): number {
  const fail = (text: string): RuntimeError => {
    const message = text.trim() === '' ? 'conmon ended without a word' : runcMessage(text);
    return new RuntimeError('CREATE_FAILED', message);
  };
  if (line.trim() === '') throw fail(stderr);
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    throw fail(line);
  }
  const reply = must(json as { data?: number; message?: string } | null, 'conmon replied'); // Its format.
  if (typeof reply.data === 'number' && reply.data > 0) return reply.data;
  throw fail(reply.message ?? stderr);
}
