/**
 * Byte reader and writer of every encoding in the store: commands, replies, log records and
 * checkpoints. Integers are unsigned LEB128 of at most 53 bits, byte strings carry their length.
 * A reader throws RangeError on input that ends early, so that a decoder needs no checks of its own.
 */

const TWO_POW_28 = 2 ** 28;

const CAPACITY_BYTES_MIN = 256;

/** One large message must not make all that follow it large. */
const CAPACITY_BYTES_KEPT_MAX = 64 * 1024;

/** The same for memory that is used again and again: the largest append fits. */
const CAPACITY_BYTES_REUSED_MAX = 4 * 1024 * 1024;

/** Seven bits a byte: 56 bits hold every safe integer. */
const VARINT_BYTES_MAX = 8;

export class ByteWriter {
  readonly #allocate: (bytes: number) => Uint8Array<ArrayBuffer>;
  #bytes: Uint8Array<ArrayBuffer>;
  #length = 0;

  constructor(
    capacityBytes = CAPACITY_BYTES_MIN,
    allocate = (bytes: number) => new Uint8Array(bytes),
  ) {
    this.#allocate = allocate;
    this.#bytes = allocate(capacityBytes);
  }

  get length(): number {
    return this.#length;
  }

  /** Makes room for `count` more bytes. */
  reserve(count: number): void {
    const wanted = this.#length + count;
    if (wanted <= this.#bytes.length) return;
    const grown = this.#allocate(Math.max(wanted, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }

  u8(value: number): void {
    this.reserve(1);
    this.#bytes[this.#length++] = value;
  }

  u32(value: number): void {
    this.reserve(4);
    this.#length += 4;
    this.patchU32(this.#length - 4, value);
  }

  patchU8(at: number, value: number): void {
    this.#bytes[at] = value;
  }

  patchU32(at: number, value: number): void {
    const bytes = this.#bytes;
    bytes[at] = value;
    bytes[at + 1] = value >>> 8;
    bytes[at + 2] = value >>> 16;
    bytes[at + 3] = value >>> 24;
  }

  /** A non-negative integer below 2^53. */
  varint(value: number): void {
    this.reserve(8);
    const bytes = this.#bytes;
    let at = this.#length;
    let rest = value;
    while (rest >= TWO_POW_28) {
      bytes[at++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    while (rest > 127) {
      bytes[at++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    bytes[at++] = rest;
    this.#length = at;
  }

  /** Leaves room for a varint that is known later and returns where. */
  varintGap(): number {
    this.reserve(VARINT_BYTES_MAX);
    this.#length += VARINT_BYTES_MAX;
    return this.#length - VARINT_BYTES_MAX;
  }

  /** Fills a gap with a varint padded to its full width; readers accept the padding. */
  fillVarint(at: number, value: number): void {
    let rest = value;
    for (let i = 0; i < VARINT_BYTES_MAX - 1; i++) {
      this.#bytes[at + i] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    this.#bytes[at + VARINT_BYTES_MAX - 1] = rest;
  }

  /** Length and bytes. */
  bytes(value: Uint8Array): void {
    this.varint(value.length);
    this.raw(value);
  }

  raw(value: Uint8Array): void {
    this.reserve(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
  }

  zeros(count: number): void {
    this.reserve(count);
    this.#bytes.fill(0, this.#length, this.#length + count);
    this.#length += count;
  }

  /** Length and bytes of a latin1 string: one byte per code unit; RangeError above 255. */
  latin1(text: string): void {
    const count = text.length;
    this.varint(count);
    this.reserve(count);
    const bytes = this.#bytes;
    let at = this.#length;
    let seen = 0;
    for (let i = 0; i < count; i++) {
      const unit = text.charCodeAt(i);
      seen |= unit;
      bytes[at++] = unit;
    }
    if (seen > 255) throw new RangeError('text holds a code unit above 255');
    this.#length = at;
  }

  /** What was written, as a view: valid until the next write. */
  view(from = 0): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(from, this.#length);
  }

  /** Gives the bytes away and starts over, with room for about as much as this time. */
  take(): Uint8Array<ArrayBuffer> {
    const taken = this.#bytes.subarray(0, this.#length);
    const capacity = Math.max(CAPACITY_BYTES_MIN, this.#length + (this.#length >>> 2));
    this.#bytes = new Uint8Array(Math.min(CAPACITY_BYTES_KEPT_MAX, capacity));
    this.#length = 0;
    return taken;
  }

  /** What was written, in bytes of its own, and starts over in the same memory. */
  copy(): Uint8Array<ArrayBuffer> {
    const copied = this.#bytes.slice(0, this.#length);
    this.#length = 0;
    if (this.#bytes.length > CAPACITY_BYTES_REUSED_MAX) this.#bytes = new Uint8Array(0);
    return copied;
  }

  /** Forgets what was written from `length` on. */
  truncate(length: number): void {
    this.#length = length;
  }
}

export class ByteReader {
  readonly bytes: Uint8Array;
  /** Next byte to read. */
  at: number;
  readonly end: number;

  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  get remaining(): number {
    return this.end - this.at;
  }

  u8(): number {
    if (this.at >= this.end) throw new RangeError('input ends early');
    return this.bytes[this.at++] as number; // Checked above.
  }

  u32(): number {
    const at = this.skip(4);
    const b = this.bytes as { readonly [index: number]: number }; // Checked by skip().
    return ((b[at + 3]! << 24) | (b[at + 2]! << 16) | (b[at + 1]! << 8) | b[at]!) >>> 0; // Same.
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < VARINT_BYTES_MAX; i++) {
      const byte = this.u8();
      value += (byte & 127) * scale;
      if (byte < 128 && value <= Number.MAX_SAFE_INTEGER) return value;
      if (byte < 128) break; // Beyond it numbers stand still when one is added.
      scale *= 128;
    }
    throw new RangeError('varint longer than 53 bits');
  }

  /** Moves over `count` bytes and returns where they start. */
  skip(count: number): number {
    const at = this.at;
    if (count > this.end - at) throw new RangeError('input ends early');
    this.at = at + count;
    return at;
  }

  /** A byte string, as a view. */
  bytesView(): Uint8Array {
    const count = this.varint();
    const at = this.skip(count);
    return this.bytes.subarray(at, at + count);
  }

  latin1(): string {
    const count = this.varint();
    return latin1Text(this.bytes, this.skip(count), count);
  }
}

const TEXT_CHUNK = 4096;

/** The latin1 string of `count` bytes from `at`. */
export function latin1Text(bytes: Uint8Array, at: number, count: number): string {
  if (count <= TEXT_CHUNK) {
    return String.fromCharCode.apply(null, bytes.subarray(at, at + count) as unknown as number[]); // Array-like.
  }
  let text = '';
  for (let done = 0; done < count; done += TEXT_CHUNK) {
    text += latin1Text(bytes, at + done, Math.min(TEXT_CHUNK, count - done));
  }
  return text;
}

export function latin1Bytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
