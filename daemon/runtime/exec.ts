/**
 * Extra processes in running containers without a terminal: `runc exec` as a child with pipes (with
 * one: exec-terminal.ts). Sessions end with their process; a session that is left early ends its process, which
 * is known by runc's pid file (the pid of `runc exec` itself is only the messenger's).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { isErrno } from '#base/errors.ts';
import { EXEC_OUTPUT_BYTES_MAX } from './limits.ts';
import { type ExecResult, RuntimeError, type StreamRequest, type StreamSession } from './port.ts';
import { noBytes, readableBytes } from './byte-queue.ts';
import { type Runc, runcMessage } from './runc.ts';

const ENV = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', TERM: 'xterm' };

export interface ExecTarget {
  readonly runc: Runc;
  readonly containerId: string;
  /** For the pid file. */
  readonly bundle: string;
  readonly argv: readonly string[];
}

/** Runs to the end; rejects with START_FAILED when it could not run, with the reason of `signal`. */
export async function execSync(target: ExecTarget, signal: AbortSignal): Promise<ExecResult> {
  signal.throwIfAborted();
  const request = { stdin: false, stdout: true, stderr: true, tty: false };
  await using session = execPiped(target, request, signal);
  const stop = Promise.withResolvers<never>();
  const onAbort = () => stop.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    const [stdout, stderr, exitCode] = await Promise.race([
      Promise.all([head(session.stdout), head(session.stderr), session.exited]),
      stop.promise,
    ]);
    return { exitCode, stdout, stderr };
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

export function execPiped(
  target: ExecTarget,
  request: StreamRequest,
  signal: AbortSignal,
): StreamSession {
  signal.throwIfAborted();
  const pidFile = newPidFile(target);
  const child = spawn(target.runc.path, execArgs(target, pidFile, []), {
    env: ENV,
    stdio: [
      request.stdin ? 'pipe' : 'ignore',
      request.stdout ? 'pipe' : 'ignore',
      'pipe', // Also says why runc failed.
    ],
  });
  const { stdin, stdout, stderr } = child;
  let errorText = '';
  stderr?.on('data', (chunk: Buffer) => {
    if (errorText.length < 4096) errorText += chunk.toString('utf8');
  });
  if (request.stderr) stderr?.pause(); // The reader sets the pace.
  const exited = childExit(child, () => {
    if (readPid(pidFile) !== undefined) return undefined;
    return new RuntimeError('START_FAILED', runcMessage(errorText));
  }).finally(() => rmSync(pidFile, { force: true }));
  exited.catch(() => undefined); // Whoever cares awaits `exited` itself.
  stdin?.on('error', () => undefined); // EPIPE: the process does not read any more.
  return {
    stdout: stdout === null ? noBytes() : readableBytes(stdout),
    stderr: stderr === null || !request.stderr ? noBytes() : readableBytes(stderr),
    exited,
    writeStdin: (data) => (stdin === null ? Promise.resolve() : write(stdin, data)),
    closeStdin: () => void stdin?.end(),
    resize() {},
    async [Symbol.asyncDispose]() {
      endProcess(child, pidFile);
      for (const stream of [stdin, stdout, stderr]) stream?.destroy();
      await exited.catch(() => undefined);
    },
  };
}

function newPidFile(target: ExecTarget): string {
  return join(target.bundle, `exec-${randomBytes(6).toString('hex')}.pid`);
}

function execArgs(
  target: ExecTarget,
  pidFile: string,
  options: readonly string[],
): readonly string[] {
  const { runc, containerId, argv } = target;
  return [...runc.globalArgs, 'exec', '--pid-file', pidFile, ...options, containerId, ...argv];
}

async function childExit(
  child: ChildProcess,
  failure: () => RuntimeError | undefined,
): Promise<number> {
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null]; // 'exit' event.
  if (code === 0) return 0;
  const error = failure();
  if (error !== undefined) throw error;
  return code ?? (signal === null ? 255 : 137);
}

function readPid(pidFile: string): number | undefined {
  try {
    const pid = Number(readFileSync(pidFile, 'utf8'));
    return Number.isInteger(pid) && pid > 0 ? pid : undefined;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function endProcess(child: ChildProcess, pidFile: string): void {
  if (child.exitCode !== null || child.signalCode !== null) return;
  if (!killPid(readPid(pidFile))) child.kill('SIGKILL');
}

function killPid(pid: number | undefined): boolean {
  if (pid === undefined) return false;
  try {
    process.kill(pid, 'SIGKILL');
    return true;
  } catch (error) {
    if (isErrno(error, 'ESRCH')) return false; // It has just ended.
    throw error;
  }
}

function write(stream: Writable, data: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    // An error means that nobody reads: the bytes are dropped, as a closed terminal would.
    stream.write(data, () => resolve());
  });
}

async function head(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of source) {
    const part = chunk.subarray(0, EXEC_OUTPUT_BYTES_MAX - length);
    if (part.length > 0) chunks.push(part);
    length += part.length;
  }
  return Buffer.concat(chunks);
}
