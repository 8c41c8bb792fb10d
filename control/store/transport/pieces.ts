/**
 * A long message leaves in pieces, so that neither side holds it in one WebSocket message, and pings and
 * what else waits pass in between. Both ways a socket carries a run of frames (codec/frame.ts), cut
 * anywhere; who receives puts whole frames together again.
 */
import type { WebSocket } from 'ws';
import { ByteReader } from '../codec/bytes.ts';
import { readFrameHead } from '../codec/frame.ts';
import { REPLY_BYTES_MAX, SOCKET_PIECE_BYTES } from '../limits.ts';

export function sendInPieces(socket: WebSocket, message: Uint8Array): void {
  for (let at = 0; at < message.length; at += SOCKET_PIECE_BYTES) {
    socket.send(message.subarray(at, at + SOCKET_PIECE_BYTES));
  }
}

const NOTHING = new Uint8Array(0);

export class FrameJoiner {
  /** The beginning of a frame, in pieces. */
  #pieces: Uint8Array[] = [];
  #bytes = 0;
  /** Length of that frame with its head; 0 while that is not known. */
  #wanted = 0;

  /** Takes a piece and returns the frames that are whole now. Throws RangeError for one beyond any bound. */
  add(piece: Uint8Array): Uint8Array {
    let bytes = piece;
    if (this.#bytes > 0) {
      this.#pieces.push(piece);
      this.#bytes += piece.length;
      if (this.#bytes < this.#wanted) return NOTHING;
      bytes = Buffer.concat(this.#pieces);
    }
    const end = this.#endOfWhole(bytes);
    this.#pieces = end < bytes.length ? [bytes.subarray(end)] : [];
    this.#bytes = bytes.length - end;
    return end === bytes.length ? bytes : bytes.subarray(0, end);
  }

  /** Where the frame begins that is not whole. */
  #endOfWhole(bytes: Uint8Array): number {
    const input = new ByteReader(bytes);
    for (;;) {
      const start = input.at;
      const length = readFrameHead(input);
      if (length === undefined) {
        this.#wanted = 0;
        return start;
      }
      if (length > REPLY_BYTES_MAX) throw new RangeError(`frame of ${length} bytes is too long`);
      if (length > input.remaining) {
        this.#wanted = input.at - start + length;
        return start;
      }
      input.skip(length);
    }
  }
}
