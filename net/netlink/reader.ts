/**
 * Reads netlink messages and attributes from bytes that the kernel sent; layouts stand in writer.ts.
 * Pure. Truncated or overlapping lengths throw NetlinkFormatError: the kernel never sends them, so
 * one means a bug of ours or a buffer too small.
 */

export class NetlinkFormatError extends Error {
  override readonly name = 'NetlinkFormatError';
}

export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly seq: number;
  readonly portId: number;
  readonly payload: Uint8Array;
}

export const NLMSG = { NOOP: 1, ERROR: 2, DONE: 3, OVERRUN: 4 } as const;
export const NLM_F = {
  REQUEST: 0x1,
  MULTI: 0x2,
  ACK: 0x4,
  DUMP_INTR: 0x10,
  DUMP: 0x300,
  REPLACE: 0x100,
  EXCL: 0x200,
  CREATE: 0x400,
  APPEND: 0x800,
  CAPPED: 0x100,
  ACK_TLVS: 0x200,
} as const;

const NLA_TYPE_MASK = 0x3fff;

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function parseMessages(bytes: Uint8Array): NetlinkMessage[] {
  const view = viewOf(bytes);
  const messages: NetlinkMessage[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (bytes.length - at < 16) throw new NetlinkFormatError(`message head cut off at ${at}`);
    const length = view.getUint32(at, true);
    if (length < 16 || at + length > bytes.length) {
      throw new NetlinkFormatError(`message of ${length} bytes at ${at} of ${bytes.length}`);
    }
    messages.push({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      seq: view.getUint32(at + 8, true),
      portId: view.getUint32(at + 12, true),
      payload: bytes.subarray(at + 16, at + length),
    });
    at += (length + 3) & ~3;
  }
  return messages;
}

/** What an NLMSG_ERROR says: errno 0 is an acknowledgement. */
export interface Acknowledgement {
  readonly errno: number;
  readonly extack: string;
}

const NLMSGERR_ATTR_MSG = 1;

export function parseAcknowledgement(message: NetlinkMessage): Acknowledgement {
  const { payload, flags } = message;
  if (payload.length < 4) throw new NetlinkFormatError('error message cut off');
  const view = viewOf(payload);
  const errno = -view.getInt32(0, true) || 0; // Never -0.
  let extack = '';
  if ((flags & NLM_F.ACK_TLVS) !== 0 && payload.length >= 20) {
    // The request follows: its head alone when capped, else all of it.
    const echoed = (flags & NLM_F.CAPPED) === 0 ? view.getUint32(4, true) : 16;
    extack = parseAttributes(payload, 4 + ((echoed + 3) & ~3)).string(NLMSGERR_ATTR_MSG) ?? '';
  }
  return { errno, extack };
}

/** The errno that ends a dump (an int in NLMSG_DONE), 0 when it was complete. */
export function parseDone(message: NetlinkMessage): number {
  return message.payload.length < 4 ? 0 : -viewOf(message.payload).getInt32(0, true) || 0;
}

export function parseAttributes(bytes: Uint8Array, offset = 0): Attributes {
  const map = new Map<number, Uint8Array>();
  for (const { type, value } of eachAttribute(bytes, offset)) map.set(type, value);
  return new Attributes(map);
}

/** Attributes in order, repeated ones included (lists). */
export function eachAttribute(
  bytes: Uint8Array,
  offset = 0,
): { readonly type: number; readonly value: Uint8Array }[] {
  const view = viewOf(bytes);
  const found: { type: number; value: Uint8Array }[] = [];
  for (let at = offset; at + 4 <= bytes.length; ) {
    const length = view.getUint16(at, true);
    if (length < 4 || at + length > bytes.length) {
      throw new NetlinkFormatError(`attribute of ${length} bytes at ${at} of ${bytes.length}`);
    }
    found.push({
      type: view.getUint16(at + 2, true) & NLA_TYPE_MASK,
      value: bytes.subarray(at + 4, at + length),
    });
    at += (length + 3) & ~3;
  }
  return found;
}

/** Attributes by type. Every getter answers undefined for one that is absent or too short. */
export class Attributes {
  readonly #map: ReadonlyMap<number, Uint8Array>;

  constructor(map: ReadonlyMap<number, Uint8Array>) {
    this.#map = map;
  }

  has(type: number): boolean {
    return this.#map.has(type);
  }

  bytes(type: number): Uint8Array | undefined {
    return this.#map.get(type);
  }

  u8(type: number): number | undefined {
    return this.#map.get(type)?.[0];
  }

  u16(type: number): number | undefined {
    return this.#view(type, 2)?.getUint16(0, true);
  }

  u16be(type: number): number | undefined {
    return this.#view(type, 2)?.getUint16(0, false);
  }

  u32(type: number): number | undefined {
    return this.#view(type, 4)?.getUint32(0, true);
  }

  u32be(type: number): number | undefined {
    return this.#view(type, 4)?.getUint32(0, false);
  }

  /** Exact up to 2^53: handles, timeouts and counters stay below. */
  u64be(type: number): number | undefined {
    const value = this.#view(type, 8)?.getBigUint64(0, false);
    return value === undefined ? undefined : Number(value);
  }

  string(type: number): string | undefined {
    const value = this.#map.get(type);
    if (value === undefined) return undefined;
    let text = '';
    for (const byte of value) {
      if (byte === 0) break;
      text += String.fromCharCode(byte);
    }
    return text;
  }

  nested(type: number): Attributes | undefined {
    const value = this.#map.get(type);
    return value === undefined ? undefined : parseAttributes(value);
  }

  #view(type: number, bytes: number): DataView | undefined {
    const value = this.#map.get(type);
    return value === undefined || value.length < bytes ? undefined : viewOf(value);
  }
}
