/**
 * Entry of the one worker that holds every attach connection of the node. conmon's socket is
 * SOCK_SEQPACKET, which Node cannot open; so this thread sleeps in poll(2) over all of them and an
 * eventfd, by which attach.ts says that messages wait. Its event loop never runs.
 *
 * Messages of conmon: one byte, 2 = stdout (and terminals) or 3 = stderr, then output. Messages to it
 * are input as it is.
 */
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { receiveMessageOnPort, workerData } from 'node:worker_threads';
import { errorText, isErrno } from '#base/errors.ts';
import {
  AF,
  connect,
  poll,
  POLL,
  recv,
  send,
  SHUT,
  shutdown,
  SOCK,
  socket,
  unixAddress,
} from '#base/linux/syscall.ts';
import type { AttachCommand, AttachEvent, AttachWorkerData } from './attach-protocol.ts';
import { ATTACH_MESSAGE_BYTES_MAX } from './limits.ts';

interface Session {
  readonly id: number;
  readonly fd: number;
  paused: boolean;
  /** Input not taken yet; `end` = no more will come. One entry is answered by one `written`. */
  readonly input: (Uint8Array | 'end')[];
  /** Nobody takes input any more; what was put out before is still there to be read. */
  isDeaf: boolean;
}

const { wakeFd, port } = workerData as AttachWorkerData; // Set by attach.ts.
const sessions = new Map<number, Session>();
const buffer = new Uint8Array(64 * 1024);

function post(event: AttachEvent): void {
  port.postMessage(event);
}

/** The socket is found through its directory: full paths may be longer than sun_path. */
function openSession(id: number, bundle: string): void {
  let fd: number | undefined;
  try {
    const dir = openSync(bundle, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      fd = socket(AF.UNIX, SOCK.SEQPACKET | SOCK.NONBLOCK);
      connect(fd, unixAddress(`/proc/self/fd/${dir}/attach`));
    } finally {
      closeSync(dir);
    }
    sessions.set(id, { id, fd, paused: false, input: [], isDeaf: false });
    post({ kind: 'opened', session: id });
  } catch (error) {
    if (fd !== undefined) closeSync(fd);
    post({ kind: 'failed', session: id, message: errorText(error) });
  }
}

function closeSession(session: Session): void {
  closeSync(session.fd);
  sessions.delete(session.id);
  post({ kind: 'closed', session: session.id });
}

function obey(command: AttachCommand): boolean {
  if (command.kind === 'stop') return false;
  if (command.kind === 'open') {
    openSession(command.session, command.bundle);
    return true;
  }
  const session = sessions.get(command.session);
  if (session === undefined) return true; // Closed by conmon meanwhile; it was told.
  switch (command.kind) {
    case 'write':
      session.input.push(command.data);
      if (session.isDeaf) dropInput(session);
      break;
    case 'endInput':
      if (!session.isDeaf) session.input.push('end');
      break;
    case 'pause':
    case 'resume':
      session.paused = command.kind === 'pause';
      break;
    case 'close':
      closeSession(session);
      break;
  }
  return true;
}

function readOutput(session: Session): void {
  const length = recv(session.fd, buffer);
  if (length === 0) {
    closeSession(session);
    return;
  }
  const stream = buffer[0] === 3 ? 'stderr' : 'stdout';
  post({ kind: 'data', session: session.id, stream, data: buffer.slice(1, length) });
}

function writeInput(session: Session): void {
  const next = session.input[0];
  if (next === undefined) return;
  if (next === 'end') {
    session.input.shift();
    shutdown(session.fd, SHUT.WR);
    return;
  }
  const sent = send(session.fd, next.subarray(0, ATTACH_MESSAGE_BYTES_MAX));
  if (sent < next.length) {
    session.input[0] = next.subarray(sent);
    return;
  }
  session.input.shift();
  post({ kind: 'written', session: session.id });
}

function dropInput(session: Session): void {
  session.isDeaf = true;
  for (const entry of session.input.splice(0)) {
    if (entry !== 'end') post({ kind: 'written', session: session.id });
  }
}

/**
 * A send to a conmon that has ended fails with EPIPE; so does, with ECONNRESET and once, the recv after
 * conmon ended with input unread (unix(7)). The output in the socket outlives both: only recv's 0 is the
 * end.
 */
function serve(session: Session, revents: number): void {
  try {
    if ((revents & POLL.OUT) !== 0) writeInput(session);
    if ((revents & (POLL.IN | POLL.HUP | POLL.ERR)) !== 0) readOutput(session);
  } catch (error) {
    if (isErrno(error, 'EAGAIN')) return;
    if (isErrno(error, 'EPIPE', 'ECONNRESET')) dropInput(session);
    else closeSession(session);
  }
}

function drainCommands(): boolean {
  const counter = new Uint8Array(8);
  readSync(wakeFd, counter);
  for (;;) {
    const received = receiveMessageOnPort(port);
    if (received === undefined) return true;
    if (!obey(received.message as AttachCommand)) return false; // Sent by attach.ts only.
  }
}

for (let running = true; running; ) {
  const open = [...sessions.values()].filter((s) => !s.paused || s.input.length > 0);
  const entries = open.map((s) => ({
    fd: s.fd,
    events: (s.paused ? 0 : POLL.IN) | (s.input.length > 0 ? POLL.OUT : 0),
  }));
  const [wake = 0, ...revents] = poll([{ fd: wakeFd, events: POLL.IN }, ...entries], -1);
  open.forEach((session, i) => {
    const seen = revents[i] ?? 0;
    if (seen !== 0) serve(session, seen);
  });
  if (wake !== 0) running = drainCommands();
}
for (const session of sessions.values()) closeSession(session);
closeSync(wakeFd);
port.close();
