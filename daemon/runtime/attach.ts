/**
 * Attach: joins the streams of a container's first process through its conmon. All sessions share one
 * worker (attach-worker.ts), which lives as long as there is a session.
 */
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { must } from '#base/assert.ts';
import { isErrno } from '#base/errors.ts';
import { EFD, eventfd } from '#base/linux/syscall.ts';
import type { AttachCommand, AttachEvent, AttachWorkerData } from './attach-protocol.ts';
import { ByteQueue } from './byte-queue.ts';
import { ATTACH_SESSION_COUNT_MAX, STREAM_BYTES_MAX } from './limits.ts';
import { RuntimeError, type StreamRequest, type StreamSession } from './port.ts';

export interface AttachTarget {
  readonly containerId: string;
  readonly bundle: string;
  readonly tty: boolean;
  /** Resolves with the container's exit code. */
  readonly exited: Promise<number>;
}

interface Session {
  readonly id: number;
  readonly stdout: ByteQueue;
  readonly stderr: ByteQueue;
  readonly opened: PromiseWithResolvers<void>;
  readonly closed: PromiseWithResolvers<void>;
  /** Writes that wait for the kernel to take their bytes, in order. */
  readonly writes: (() => void)[];
}

interface Helper {
  readonly worker: Worker;
  readonly port: MessagePort;
  readonly wakeFd: number;
}

export class Attacher implements Disposable {
  readonly #sessions = new Map<number, Session>();
  #helper: Helper | undefined;
  #nextId = 1;

  async attach(
    target: AttachTarget,
    request: StreamRequest,
    signal: AbortSignal,
  ): Promise<StreamSession> {
    signal.throwIfAborted();
    if (this.#sessions.size >= ATTACH_SESSION_COUNT_MAX) {
      throw new RuntimeError('START_FAILED', 'too many attached clients on this node');
    }
    const session = this.#newSession();
    this.#send({ kind: 'open', session: session.id, bundle: target.bundle });
    try {
      await session.opened.promise;
    } catch (error) {
      this.#forget(session.id);
      throw error;
    }
    if (!request.stdout) session.stdout.discard();
    if (!request.stderr || target.tty) session.stderr.discard();
    return this.#stream(session, target);
  }

  [Symbol.dispose](): void {
    for (const id of this.#sessions.keys()) this.#end(id);
    this.#stopHelper();
  }

  #newSession(): Session {
    const id = this.#nextId++;
    const paused = { stdout: false, stderr: false };
    const flow = (stream: 'stdout' | 'stderr') => {
      // Both streams come through one socket: it is read while both have room.
      const set = (value: boolean): void => {
        paused[stream] = value;
        const kind = paused.stdout || paused.stderr ? 'pause' : 'resume';
        this.#send({ kind, session: id });
      };
      return { pause: () => set(true), resume: () => set(false) };
    };
    const session: Session = {
      id,
      stdout: new ByteQueue(STREAM_BYTES_MAX, flow('stdout')),
      stderr: new ByteQueue(STREAM_BYTES_MAX, flow('stderr')),
      opened: Promise.withResolvers<void>(),
      closed: Promise.withResolvers<void>(),
      writes: [],
    };
    this.#sessions.set(id, session);
    return session;
  }

  #stream(session: Session, target: AttachTarget): StreamSession {
    return {
      stdout: session.stdout,
      stderr: session.stderr,
      exited: target.exited,
      writeStdin: (data) =>
        new Promise((resolve) => {
          if (!this.#sessions.has(session.id) || data.length === 0) {
            resolve();
            return;
          }
          session.writes.push(resolve);
          this.#send({ kind: 'write', session: session.id, data });
        }),
      closeStdin: () => this.#send({ kind: 'endInput', session: session.id }),
      resize: (columns, rows) => {
        if (target.tty) controlMonitor(target.bundle, `1 ${rows} ${columns}\n`);
      },
      [Symbol.asyncDispose]: async () => {
        session.stdout.discard();
        session.stderr.discard();
        this.#send({ kind: 'close', session: session.id });
        await session.closed.promise;
      },
    };
  }

  #send(command: AttachCommand): void {
    if (command.kind !== 'stop' && !this.#sessions.has(command.session)) return;
    const helper = (this.#helper ??= this.#startHelper());
    helper.port.postMessage(command);
    writeSync(helper.wakeFd, new Uint8Array(BigUint64Array.of(1n).buffer));
  }

  #startHelper(): Helper {
    const { port1, port2 } = new MessageChannel();
    const wakeFd = eventfd(0, EFD.CLOEXEC);
    const workerData: AttachWorkerData = { wakeFd, port: port2 };
    const worker = new Worker(new URL('./attach-worker.ts', import.meta.url), {
      workerData,
      transferList: [port2],
      trackUnmanagedFds: false, // Its sockets are none that Node opened.
    });
    const helper = { worker, port: port1, wakeFd };
    port1.on('message', (event: AttachEvent) => this.#onEvent(event));
    worker.on('error', (error) => {
      if (this.#helper === helper) this.#helper = undefined;
      for (const [id, session] of this.#sessions) {
        session.opened.reject(new RuntimeError('START_FAILED', 'attach failed', { cause: error }));
        this.#end(id);
      }
    });
    return helper;
  }

  #onEvent(event: AttachEvent): void {
    const session = this.#sessions.get(event.session);
    if (session === undefined) return; // Data on its way while we closed.
    switch (event.kind) {
      case 'opened':
        session.opened.resolve();
        break;
      case 'failed':
        session.opened.reject(new RuntimeError('START_FAILED', `cannot attach: ${event.message}`));
        break;
      case 'data':
        session[event.stream].push(event.data);
        break;
      case 'written':
        session.writes.shift()?.();
        break;
      case 'closed':
        this.#forget(session.id);
        break;
    }
  }

  /** The connection is over: readers see the end, writers are let go. */
  #end(id: number): void {
    const session = must(this.#sessions.get(id), 'an attach session');
    this.#sessions.delete(id);
    session.stdout.end();
    session.stderr.end();
    for (const resolve of session.writes) resolve();
    session.closed.resolve();
  }

  #forget(id: number): void {
    this.#end(id);
    if (this.#sessions.size === 0) this.#stopHelper();
  }

  #stopHelper(): void {
    if (this.#helper === undefined) return;
    this.#send({ kind: 'stop' });
    this.#helper.port.close();
    this.#helper = undefined;
  }
}

/**
 * A line to conmon's control fifo: `1 ROWS COLUMNS` resizes the terminal, `2 0 0` opens the log anew.
 * Nothing when the monitor is gone, or so slow that its fifo is full.
 */
export function controlMonitor(bundle: string, line: string): void {
  try {
    const fd = openSync(join(bundle, 'ctl'), constants.O_WRONLY | constants.O_NONBLOCK);
    try {
      writeSync(fd, line);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (!isErrno(error, 'ENXIO', 'ENOENT', 'EPIPE', 'EAGAIN')) throw error;
  }
}
