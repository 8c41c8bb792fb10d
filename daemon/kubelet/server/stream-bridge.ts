/**
 * Joins a WebSocket with a runtime's stream session: bytes both ways with backpressure, resizing, the
 * end of stdin, and the exit status. Ends with the process, or with the client.
 */
import type { WebSocket } from 'ws';
import { errorText } from '#base/errors.ts';
import type { StreamSession } from '../../runtime/port.ts';
import {
  CHANNEL,
  type ChannelProtocol,
  decodeFrame,
  encodeFrame,
  exitStatus,
  failureStatus,
  type Frame,
} from './channel-protocol.ts';

/** Output waits while so much is unsent; input is not read while so much is unwritten. */
const BUFFERED_BYTES_MAX = 1024 * 1024;
/** Frames of a byte or none take memory too. */
const FRAME_OVERHEAD_BYTES = 256;

export async function bridge(
  socket: WebSocket,
  protocol: ChannelProtocol,
  openSession: (signal: AbortSignal) => Promise<StreamSession>,
): Promise<void> {
  const closed = new AbortController();
  socket.on('close', () => closed.abort(new Error('client has gone')));
  socket.on('error', () => closed.abort(new Error('connection to client failed')));
  const input = new Input(socket, protocol);
  try {
    await using session = await openSession(closed.signal);
    input.attach(session);
    const gone = new Promise<never>((_, reject) => {
      const onAbort = () => reject(closed.signal.reason);
      if (closed.signal.aborted) onAbort();
      else closed.signal.addEventListener('abort', onAbort, { once: true });
    });
    // Together: output that fails before the process ends must have somebody who waits for it.
    const ended = Promise.all([
      session.exited,
      pump(socket, { protocol, channel: CHANNEL.stdout }, session.stdout),
      pump(socket, { protocol, channel: CHANNEL.stderr }, session.stderr),
    ]);
    const [exitCode] = await Promise.race([ended, gone]);
    finish(socket, protocol, exitStatus(exitCode), exitCode === 0 ? '' : `exit code ${exitCode}`);
  } catch (error) {
    if (closed.signal.aborted) return;
    finish(socket, protocol, failureStatus(errorText(error)), errorText(error));
  }
}

function finish(
  socket: WebSocket,
  protocol: ChannelProtocol,
  status: object,
  plainError: string,
): void {
  if (socket.isPaused) socket.resume(); // To hear the peer's own close.
  const text = protocol.status ? JSON.stringify(status) : plainError;
  if (text !== '') socket.send(encodeFrame(protocol, CHANNEL.error, Buffer.from(text)));
  socket.close(1000);
}

async function pump(
  socket: WebSocket,
  to: { readonly protocol: ChannelProtocol; readonly channel: number },
  from: AsyncIterable<Uint8Array>,
): Promise<void> {
  for await (const data of from) {
    if (data.length === 0) continue;
    const frame = encodeFrame(to.protocol, to.channel, data);
    if (socket.bufferedAmount < BUFFERED_BYTES_MAX) socket.send(frame);
    else {
      await new Promise<void>((resolve) => {
        socket.send(frame, () => resolve()); // A failed send is followed by 'close'.
      });
    }
  }
}

/** What the client sends, in order; kept until the session is there. */
class Input {
  readonly #socket: WebSocket;
  #session: StreamSession | undefined;
  #waiting: Frame[] = [];
  #queue: Promise<void> = Promise.resolve();
  #bytesWaiting = 0;

  constructor(socket: WebSocket, protocol: ChannelProtocol) {
    this.#socket = socket;
    socket.on('message', (message: Buffer) => {
      const frame = decodeFrame(protocol, message);
      if (frame === undefined) return;
      if (this.#session !== undefined) this.#take(this.#session, frame);
      else {
        this.#waiting.push(frame);
        socket.pause(); // Until the session is there; what has arrived already still comes.
      }
    });
  }

  attach(session: StreamSession): void {
    this.#session = session;
    for (const frame of this.#waiting.splice(0)) this.#take(session, frame);
    if (this.#bytesWaiting <= BUFFERED_BYTES_MAX) this.#socket.resume();
  }

  #take(session: StreamSession, frame: Frame): void {
    if (frame.kind === 'resize') {
      session.resize(frame.columns, frame.rows);
      return;
    }
    if (frame.kind === 'closeStdin') {
      this.#queue = this.#queue.then(() => session.closeStdin()).catch(() => undefined); // As below.
      return;
    }
    const cost = frame.data.length + FRAME_OVERHEAD_BYTES;
    this.#bytesWaiting += cost;
    if (this.#bytesWaiting > BUFFERED_BYTES_MAX) this.#socket.pause();
    this.#queue = this.#queue
      .then(() => session.writeStdin(frame.data))
      .catch(() => undefined) // The process reads no more; its exit is what the client gets.
      .then(() => {
        this.#bytesWaiting -= cost;
        if (this.#bytesWaiting <= BUFFERED_BYTES_MAX && this.#socket.isPaused)
          this.#socket.resume();
      });
  }
}
