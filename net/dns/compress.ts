/**
 * Name compression (RFC 1035 4.1.4) for messages that do not fit a datagram; dns-packet writes every
 * name in full. Owner names and the names inside CNAME, NS and PTR records are compressed; those in
 * SRV must not be (RFC 2782), the rest is not worth it. Pure.
 */
import { assert } from '#base/assert.ts';

const HEADER_BYTES = 12;
const POINTER = 0xc000;
/** Pointers have 14 bits. */
const OFFSET_END = 0x4000;
const TYPES_OF_ONE_NAME: ReadonlySet<number> = new Set([2, 5, 12]); // NS, CNAME, PTR

class Compressor {
  readonly #source: Uint8Array;
  readonly #view: DataView;
  readonly #out: Uint8Array;
  readonly #offsets = new Map<string, number>();
  #at = 0;
  #length = 0;

  constructor(source: Uint8Array) {
    this.#source = source;
    this.#view = new DataView(source.buffer, source.byteOffset, source.byteLength);
    this.#out = new Uint8Array(source.length);
  }

  run(): Uint8Array {
    this.#copy(HEADER_BYTES);
    for (let i = this.#view.getUint16(4); i > 0; i--) {
      this.#name();
      this.#copy(4);
    }
    const recordCount =
      this.#view.getUint16(6) + this.#view.getUint16(8) + this.#view.getUint16(10);
    for (let i = 0; i < recordCount; i++) this.#record();
    return this.#out.slice(0, this.#length);
  }

  #record(): void {
    this.#name();
    const type = this.#view.getUint16(this.#at);
    const dataBytes = this.#view.getUint16(this.#at + 8);
    this.#copy(10);
    const start = this.#length;
    if (TYPES_OF_ONE_NAME.has(type)) this.#name();
    else this.#copy(dataBytes);
    new DataView(this.#out.buffer).setUint16(start - 2, this.#length - start);
  }

  #copy(count: number): void {
    this.#out.set(this.#source.subarray(this.#at, this.#at + count), this.#length);
    this.#at += count;
    this.#length += count;
  }

  /** Labels up to the longest suffix that was written before, then a pointer to it. */
  #name(): void {
    const end = this.#endOfName();
    while (this.#at < end - 1) {
      const suffix = String.fromCharCode(...this.#source.subarray(this.#at, end));
      const known = this.#offsets.get(suffix);
      if (known !== undefined) {
        new DataView(this.#out.buffer).setUint16(this.#length, POINTER | known);
        this.#length += 2;
        this.#at = end;
        return;
      }
      if (this.#length < OFFSET_END) this.#offsets.set(suffix, this.#length);
      this.#copy((this.#source[this.#at] ?? 0) + 1);
    }
    this.#copy(1);
  }

  #endOfName(): number {
    let at = this.#at;
    for (;;) {
      const length = this.#source[at] ?? 0;
      assert(length < 64, 'a message of ours is not compressed yet');
      at += length + 1;
      if (length === 0) return at;
    }
  }
}

/** `message` must be well formed and without pointers. */
export function compressed(message: Uint8Array): Uint8Array {
  return new Compressor(message).run();
}
