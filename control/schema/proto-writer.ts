/**
 * Writes protobuf from the end to the front, as Go's generated code does: the length of a message is
 * known when its header is written, so that one pass does. Callers put a field's payload first,
 * then its tag; fields go in from the highest number to the lowest.
 */
import { assert } from '#base/assert.ts';
import { utf8Length, writeUtf8 } from './utf8.ts';

export const VARINT = 0;
export const FIXED64 = 1;
export const BYTES = 2;
export const FIXED32 = 5;

const SIZE_MIN = 16 * 1024;
/** A buffer that one large object made is not kept. */
const SIZE_KEPT_MAX = 1024 * 1024;

const INT64_MAX = 2n ** 63n - 1n;

export class ProtoWriter {
  #bytes = new Uint8Array(SIZE_MIN);
  #at = SIZE_MIN;

  /** Bytes written so far: the difference of two marks is the length between them. */
  get mark(): number {
    return this.#bytes.length - this.#at;
  }

  /** What was written, and starts anew. */
  take(): Uint8Array {
    const result = this.#bytes.slice(this.#at);
    if (this.#bytes.length > SIZE_KEPT_MAX) this.#bytes = new Uint8Array(SIZE_MIN);
    this.#at = this.#bytes.length;
    return result;
  }

  /** Drops what an encoder that threw left behind. */
  reset(): void {
    this.#at = this.#bytes.length;
  }

  #reserve(count: number): number {
    if (this.#at < count) this.#grow(count);
    this.#at -= count;
    return this.#at;
  }

  #grow(count: number): void {
    const old = this.#bytes;
    const used = old.length - this.#at;
    const size = Math.max(old.length * 2, used + count);
    this.#bytes = new Uint8Array(size);
    this.#bytes.set(old.subarray(this.#at), size - used);
    this.#at = size - used;
  }

  raw(bytes: Uint8Array): void {
    const to = this.#reserve(bytes.length); // May replace the buffer: before it is looked at.
    this.#bytes.set(bytes, to);
  }

  /** A non-negative integer up to 2^53. */
  varint(value: number): void {
    if (value < 0x80) {
      const to = this.#reserve(1);
      this.#bytes[to] = value;
      return;
    }
    let size = 2;
    for (let rest = value / 0x4000; rest >= 1; rest /= 0x80) size += 1;
    let to = this.#reserve(size);
    let rest = value;
    while (rest >= 0x80) {
      this.#bytes[to++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#bytes[to] = rest;
  }

  /** int32 and int64: negative numbers take ten bytes. */
  integer(value: number): void {
    if (value >= 0 && value <= Number.MAX_SAFE_INTEGER) return this.varint(value);
    this.bigInteger(BigInt(value));
  }

  bigInteger(value: bigint): void {
    const capped = value > INT64_MAX ? INT64_MAX : value; // 2^63 stands for 2^63 - 1 in a double.
    let rest = BigInt.asUintN(64, capped);
    const bytes: number[] = [];
    for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
    bytes.push(Number(rest));
    this.raw(Uint8Array.from(bytes));
  }

  double(value: number): void {
    const view = new DataView(new ArrayBuffer(8));
    view.setFloat64(0, value, true);
    this.raw(new Uint8Array(view.buffer));
  }

  /** Length and bytes of a string. */
  string(text: string): void {
    const length = text.length;
    const to = this.#reserve(length);
    const bytes = this.#bytes;
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code >= 0x80) {
        this.#at += length; // Not ASCII: once more, with room for more.
        return this.#longString(text);
      }
      bytes[to + i] = code;
    }
    this.varint(length);
  }

  #longString(text: string): void {
    const length = utf8Length(text);
    const to = this.#reserve(length);
    const end = writeUtf8(this.#bytes, to, text);
    assert(end === to + length, 'length of a string in UTF-8');
    this.varint(length);
  }

  /** Length and bytes. */
  bytes(bytes: Uint8Array): void {
    this.raw(bytes);
    this.varint(bytes.length);
  }

  tag(number: number, wire: number): void {
    this.varint(number * 8 + wire);
  }
}
