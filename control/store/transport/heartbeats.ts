/**
 * Finds connections whose other end is gone without a word, as a machine that lost its power, or a network
 * that forgot them: each is pinged from time to time, and cut when several pings had no sign of life behind
 * them. A ping waits behind what has not left yet, so who reads slowly is given longer.
 */
import { WebSocket } from 'ws';
import {
  SERVER_PINGS_UNANSWERED_BACKLOG_MAX,
  SERVER_PINGS_UNANSWERED_MAX,
  SERVER_PING_MS,
} from '../limits.ts';

export class Heartbeats implements Disposable {
  /** Pings since the last sign of life. */
  readonly #unanswered = new Map<WebSocket, number>();
  readonly #timer: NodeJS.Timeout;

  constructor(pingMs: number = SERVER_PING_MS) {
    this.#timer = setInterval(() => this.#look(), pingMs);
  }

  /** From now on, until it is closed. */
  watch(socket: WebSocket): void {
    const isAlive = () => void this.#unanswered.set(socket, 0);
    isAlive();
    socket.on('message', isAlive).on('pong', isAlive).on('ping', isAlive);
    socket.on('close', () => this.#unanswered.delete(socket));
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    for (const [socket, unanswered] of this.#unanswered) {
      const hasBacklog = socket.bufferedAmount > 0;
      const most = hasBacklog ? SERVER_PINGS_UNANSWERED_BACKLOG_MAX : SERVER_PINGS_UNANSWERED_MAX;
      // What a paused one says is not heard.
      if (unanswered >= most && !socket.isPaused) {
        socket.terminate();
        continue;
      }
      this.#unanswered.set(socket, unanswered + 1);
      if (socket.readyState === WebSocket.OPEN) socket.ping();
    }
  }
}
