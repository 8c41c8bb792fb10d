/** One client on a socket: its requests to the engine, the engine's frames to it. */
import type { WebSocket } from 'ws';
import type { Log } from '#base/log.ts';
import type { EngineHost } from '../engine-host.ts';
import { CLIENT_BUFFERED_BYTES_MAX } from '../limits.ts';
import { StoreError } from '../port.ts';
import { CLOSE, bytesOf } from './peer-links.ts';

export function serveClient(
  socket: WebSocket,
  of: {
    readonly host: EngineHost;
    readonly log: Log;
    /** Throws RangeError or StoreError for what is no request. */
    readonly check: (message: Uint8Array) => void;
  },
): void {
  const { host, log } = of;
  const connection = host.engine.connect((message) => {
    if (socket.bufferedAmount <= CLIENT_BUFFERED_BYTES_MAX) socket.send(message);
    else {
      log.warn('client does not take its answers');
      socket.terminate();
    }
  });
  socket.on('message', (data) => {
    try {
      const message = bytesOf(data);
      of.check(message);
      connection.inbox.push(message);
      host.wake();
    } catch (error) {
      if (!(error instanceof RangeError) && !(error instanceof StoreError)) throw error;
      log.warn('client sent what is no request', { error });
      socket.close(CLOSE.malformed, error.message.slice(0, 100));
    }
  });
  socket.on('close', () => host.engine.disconnect(connection));
}
