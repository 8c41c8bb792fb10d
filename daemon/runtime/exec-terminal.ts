/**
 * Exec under a terminal: conmon starts the process and holds its terminal, the client is attached as to
 * a container. Not `runc exec --tty` under a terminal of ours: it copies from terminal to terminal, and
 * until it has changed the modes of both (after the process runs) newlines are translated twice, which
 * a shell that saves its terminal's modes then keeps for good (seen in one run of six).
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '#base/errors.ts';
import type { Attacher } from './attach.ts';
import type { Conmon } from './conmon.ts';
import { processStart } from './host.ts';
import type { OciSpec } from './oci/spec.ts';
import { RuntimeError, type StreamRequest, type StreamSession } from './port.ts';

export interface TerminalTarget {
  readonly conmon: Conmon;
  readonly attacher: Attacher;
  readonly containerId: string;
  /** The container's: its spec is the model of the process. */
  readonly bundle: string;
  readonly argv: readonly string[];
  readonly adopt: (pid: number) => void;
}

export async function execTerminal(
  target: TerminalTarget,
  request: StreamRequest,
  signal: AbortSignal,
): Promise<StreamSession> {
  const { conmon, attacher, containerId, bundle, adopt } = target;
  const dir = join(bundle, `exec-${randomBytes(6).toString('hex')}`);
  const processPath = join(dir, 'process.json');
  const exited = Promise.withResolvers<number>();
  exited.promise.catch(() => undefined); // Whoever cares awaits it.
  let session: StreamSession | undefined;
  try {
    mkdirSync(dir, { mode: 0o700 });
    writeFileSync(processPath, JSON.stringify(planProcess(bundle, target.argv)), { mode: 0o600 });
    const attach = async (): Promise<void> => {
      const joined = { containerId, bundle: dir, tty: true, exited: exited.promise };
      session = await attacher.attach(joined, request, signal);
    };
    const process = await conmon.exec({ containerId, dir, processPath, adopt, attach }, signal);
    if (session === undefined) throw new RuntimeError('START_FAILED', 'conmon took no client');
    const start = processStart(process.pid);
    const ended = process.exited.finally(() => rmSync(dir, { recursive: true, force: true }));
    ended.then(exited.resolve, exited.reject);
    return endedWith(session, { pid: process.pid, start });
  } catch (error) {
    await session?.[Symbol.asyncDispose]();
    rmSync(dir, { recursive: true, force: true });
    if (!(error instanceof RuntimeError)) throw error;
    throw new RuntimeError('START_FAILED', error.message, { cause: error });
  }
}

/** As the container's first process, but for the command. */
function planProcess(bundle: string, argv: readonly string[]): OciSpec['process'] {
  const spec = JSON.parse(readFileSync(join(bundle, 'config.json'), 'utf8')) as OciSpec; // Ours.
  const hasTerm = spec.process.env.some((entry) => entry.startsWith('TERM='));
  const env = hasTerm ? spec.process.env : [...spec.process.env, 'TERM=xterm'];
  return { ...spec.process, args: argv, env, terminal: true };
}

/** The session, whose end is the end of its process. */
function endedWith(
  session: StreamSession,
  process: { pid: number; start: number | undefined },
): StreamSession {
  return {
    stdout: session.stdout,
    stderr: session.stderr,
    exited: session.exited,
    writeStdin: (data) => session.writeStdin(data),
    closeStdin() {
      session.writeStdin(Uint8Array.of(4)).catch(() => undefined); // End of file, as typed.
    },
    resize: (columns, rows) => session.resize(columns, rows),
    async [Symbol.asyncDispose]() {
      const { pid, start } = process;
      if (start !== undefined && processStart(pid) === start) kill(pid);
      await session[Symbol.asyncDispose]();
    },
  };
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (!isErrno(error, 'ESRCH')) throw error; // It has just ended.
  }
}
