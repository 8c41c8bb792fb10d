/**
 * Reads protobuf's wire format from bytes: numbers, strings, nested messages with a moving end. What
 * is cut short or malformed throws SchemaError MALFORMED with Go's words.
 */
import { SchemaError } from './gvk.ts';
import { BYTES, FIXED32, FIXED64, VARINT } from './proto-writer.ts';
import { decodeUtf8 } from './utf8.ts';

/** Messages nest as deep as upstream's types do; only JSON schemas have no bound of their own. */
export const DEPTH_MAX = 400;

/** Throws SchemaError MALFORMED. */
export function malformed(what: string): never {
  throw new SchemaError('MALFORMED', what);
}

export class ProtoReader {
  readonly bytes: Uint8Array;
  at: number;
  end: number;
  depth = 0;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.bytes = bytes;
    this.at = start;
    this.end = end;
  }

  byte(): number {
    if (this.at >= this.end) malformed('unexpected EOF');
    return this.bytes[this.at++] as number; // Just checked.
  }

  /** Lengths, tags and small numbers: up to 2^53. */
  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 10; i++) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
    return malformed('proto: integer overflow');
  }

  /** A signed 64-bit integer. */
  bigInteger(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(64, value);
    }
    return malformed('proto: integer overflow');
  }

  /** A signed integer as a number; exact up to 2^53. */
  integer(): number {
    const start = this.at;
    const value = this.varint();
    if (value <= Number.MAX_SAFE_INTEGER) return value;
    this.at = start;
    return Number(this.bigInteger());
  }

  /** End offset of a length-delimited field that starts here. */
  limit(): number {
    const length = this.varint();
    const end = this.at + length;
    if (end > this.end) malformed('unexpected EOF');
    return end;
  }

  string(): string {
    const end = this.limit();
    const text = decodeUtf8(this.bytes, this.at, end);
    this.at = end;
    return text;
  }

  subarray(): Uint8Array {
    const end = this.limit();
    const part = this.bytes.subarray(this.at, end);
    this.at = end;
    return part;
  }

  double(): number {
    if (this.at + 8 > this.end) malformed('unexpected EOF');
    const view = new DataView(this.bytes.buffer, this.bytes.byteOffset + this.at, 8);
    this.at += 8;
    return view.getFloat64(0, true);
  }

  skip(wire: number): void {
    if (wire === VARINT) this.varint();
    else if (wire === BYTES) this.at = this.limit();
    else if (wire === FIXED64) this.at += 8;
    else if (wire === FIXED32) this.at += 4;
    else malformed(`proto: illegal wireType ${wire}`);
    if (this.at > this.end) malformed('unexpected EOF');
  }

  /** Calls `field` for each field up to the end of the message that starts here with a length. */
  message(field: (number: number, wire: number) => boolean): void {
    const outer = this.end;
    this.end = this.limit();
    this.depth += 1;
    if (this.depth > DEPTH_MAX) malformed('proto: message nested too deep');
    this.fields(field);
    this.depth -= 1;
    this.end = outer;
  }

  /** As message, up to the reader's end. `field` returns false for what is to be skipped. */
  fields(field: (number: number, wire: number) => boolean): void {
    while (this.at < this.end) {
      const tag = this.varint();
      const number = Math.floor(tag / 8);
      const wire = tag % 8;
      if (number === 0) malformed(`proto: illegal tag 0 (wire type ${wire})`);
      if (!field(number, wire)) this.skip(wire);
    }
  }
}
