/**
 * Writes netlink messages into one growing buffer (include/uapi/linux/netlink.h). Pure.
 *
 *   nlmsghdr   u32 length | u16 type | u16 flags | u32 seq | u32 port id      then the payload
 *   nlattr     u16 length (header included) | u16 type | value | zeros to 4 bytes
 *
 * Headers and rtnetlink values are in the machine's order; Linux on amd64 and arm64 is little-endian
 * and NetlinkSocket asserts that. nf_tables and conntrack values are big-endian (`...be`).
 * Invariant: a length is written when its message or attribute is closed; an attribute's length
 * fits 16 bits (asserted: callers split long lists).
 */
import { assert } from '#base/assert.ts';

export const NLA_F_NESTED = 0x8000;
const ATTRIBUTE_BYTES_MAX = 0xffff;

export interface MessageHead {
  readonly type: number;
  readonly flags: number;
}

export class NetlinkWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;
  #length = 0;
  #messageStart = -1;
  #seq: number;
  #messageCount = 0;

  /** `firstSeq` numbers the first message; each further one counts up. */
  constructor(firstSeq = 1, capacity = 1024) {
    this.#seq = firstSeq;
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** What was written; a view that later writes may move away from. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  get length(): number {
    return this.#length;
  }

  get messageCount(): number {
    return this.#messageCount;
  }

  /** Sequence number of the message that `message` will write next. */
  get nextSeq(): number {
    return this.#seq;
  }

  /** Writes one message; `payload` fills it. Returns its sequence number. */
  message(head: MessageHead, payload: () => void): number {
    assert(this.#messageStart === -1, 'netlink messages do not nest');
    const start = this.#length;
    const seq = this.#seq++;
    this.#messageStart = start;
    this.#reserve(16);
    this.u32(0).u16(head.type).u16(head.flags).u32(seq).u32(0);
    payload();
    this.#view.setUint32(start, this.#length - start, true);
    this.#align();
    this.#messageStart = -1;
    this.#messageCount++;
    return seq;
  }

  u8(value: number): this {
    this.#reserve(1);
    this.#view.setUint8(this.#length, value);
    this.#length += 1;
    return this;
  }

  u16(value: number): this {
    this.#reserve(2);
    this.#view.setUint16(this.#length, value, true);
    this.#length += 2;
    return this;
  }

  u32(value: number): this {
    this.#reserve(4);
    this.#view.setUint32(this.#length, value, true);
    this.#length += 4;
    return this;
  }

  u16be(value: number): this {
    this.#reserve(2);
    this.#view.setUint16(this.#length, value, false);
    this.#length += 2;
    return this;
  }

  raw(value: Uint8Array): this {
    this.#reserve(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  zeros(count: number): this {
    this.#reserve(count);
    this.#bytes.fill(0, this.#length, this.#length + count);
    this.#length += count;
    return this;
  }

  attribute(type: number, value: Uint8Array): this {
    this.#head(type, value.length);
    this.raw(value);
    this.#align();
    return this;
  }

  flag(type: number): this {
    this.#head(type, 0);
    return this;
  }

  attributeU8(type: number, value: number): this {
    this.#head(type, 1);
    this.u8(value);
    this.#align();
    return this;
  }

  attributeU16(type: number, value: number): this {
    this.#head(type, 2);
    this.u16(value);
    this.#align();
    return this;
  }

  attributeU16be(type: number, value: number): this {
    this.#head(type, 2);
    this.u16be(value);
    this.#align();
    return this;
  }

  attributeU32(type: number, value: number): this {
    this.#head(type, 4);
    return this.u32(value);
  }

  attributeU32be(type: number, value: number): this {
    this.#head(type, 4);
    this.#reserve(4);
    this.#view.setUint32(this.#length, value, false);
    this.#length += 4;
    return this;
  }

  attributeU64be(type: number, value: number): this {
    this.#head(type, 8);
    this.#reserve(8);
    this.#view.setBigUint64(this.#length, BigInt(value), false);
    this.#length += 8;
    return this;
  }

  /** A zero-terminated string; names are ASCII in every protocol used here. */
  attributeString(type: number, value: string): this {
    this.#head(type, value.length + 1);
    this.#reserve(value.length + 4);
    for (let i = 0; i < value.length; i++) this.u8(value.charCodeAt(i));
    this.u8(0);
    this.#align();
    return this;
  }

  /** A binary string: one char per byte. */
  attributeBinary(type: number, value: string): this {
    this.#head(type, value.length);
    this.#reserve(value.length + 4);
    for (let i = 0; i < value.length; i++) this.#bytes[this.#length++] = value.charCodeAt(i);
    this.#align();
    return this;
  }

  /** An attribute that holds attributes; NLA_F_NESTED is set. */
  nest(type: number, fill: () => void): this {
    return this.container(type | NLA_F_NESTED, fill);
  }

  /** An attribute whose value `fill` writes, with `type` as it stands. */
  container(type: number, fill: () => void): this {
    const start = this.#length;
    this.#head(type, 0);
    fill();
    const length = this.#length - start;
    assert(length <= ATTRIBUTE_BYTES_MAX, `netlink attribute of ${length} bytes`);
    this.#view.setUint16(start, length, true);
    this.#align();
    return this;
  }

  #head(type: number, valueBytes: number): void {
    assert(valueBytes + 4 <= ATTRIBUTE_BYTES_MAX, `netlink attribute of ${valueBytes} bytes`);
    this.u16(valueBytes + 4).u16(type);
  }

  #align(): void {
    const rest = (4 - (this.#length & 3)) & 3;
    if (rest > 0) this.zeros(rest);
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    grown.set(this.#bytes);
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}
