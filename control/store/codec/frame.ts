/**
 * Frames between a client and the engine. Both ways a message is a run of frames:
 *
 *   frame = request or watch id, u8 kind, u32 body length, body
 */
import type { ByteReader, ByteWriter } from './bytes.ts';

/**
 * Version of these frames and of what is in them, as WebSocket's subprotocol: a client over a network
 * offers it, and a member that speaks another refuses the socket.
 */
export const CLIENT_PROTOCOL = 'bareboat-store.1';

/** Kinds of requests. `propose` carries a whole command, which goes into the log as it is. */
export const REQUEST = {
  range: 1,
  readTxn: 2,
  propose: 3,
  leaseKeepAlive: 4,
  status: 5,
  /** Id = watch id; body = key range, start revision, u8 wants previous. */
  watch: 6,
  unwatch: 7,
  watchProgress: 8,
  /** Body = bytes of watch frames that the client has taken in. */
  watchTaken: 9,
  /** Who the members are. */
  members: 10,
  /** Body = request (roster.ts). */
  changeMembers: 11,
  /** Answer = snapshot info (reply.ts). */
  snapshotOpen: 12,
  /** Body = handle, at, length; answer = bytes. */
  snapshotRead: 13,
  /** Body = handle. */
  snapshotClose: 14,
} as const;

/** Kinds of frames to a client. */
export const REPLY = {
  /** Id = request id; body = answer. */
  answer: 1,
  /** Body = revision, n, event{n}, m, (watch id, k, event number{k}){m}; k = 0 means all. */
  events: 2,
  /** Id = watch id; body = revision. */
  progress: 3,
  /** Id = watch id; body = error. The watch has ended. */
  watchEnd: 4,
} as const;

/** Starts a frame and returns where its length goes. */
export function beginFrame(out: ByteWriter, id: number, kind: number): number {
  out.varint(id);
  out.u8(kind);
  const lengthAt = out.length;
  out.u32(0);
  return lengthAt;
}

export function endFrame(out: ByteWriter, lengthAt: number): void {
  out.patchU32(lengthAt, out.length - lengthAt - 4);
}

export interface Frame {
  readonly id: number;
  readonly kind: number;
  /** Body = bytes[start, end). */
  readonly start: number;
  readonly end: number;
}

/** Moves behind the head of a frame and returns the length of its body; undefined when the head ends early. */
export function readFrameHead(input: ByteReader): number | undefined {
  const { bytes, at } = input;
  let end = at;
  while ((bytes[end] ?? 0) > 127) end++;
  // Kind and length stand behind the id.
  if (end + 6 > input.end) return undefined;
  input.varint();
  input.u8();
  return input.u32();
}

export function readFrame(input: ByteReader): Frame {
  const id = input.varint();
  const kind = input.u8();
  const length = input.u32();
  const start = input.skip(length);
  return { id, kind, start, end: start + length };
}
