/** Where the fields of an encoded message lie: noted by a writer while it writes, or a reader while it reads. */
import { ByteReader, ByteWriter } from '#control/store/codec/bytes.ts';

export interface Field {
  readonly kind: 'varint' | 'u8' | 'u32' | 'raw';
  readonly start: number;
  readonly end: number;
}

export interface Sample {
  readonly bytes: Uint8Array;
  readonly fields: readonly Field[];
}

export class NotingWriter extends ByteWriter {
  readonly fields: Field[] = [];

  override u8(value: number): void {
    super.u8(value);
    this.fields.push({ kind: 'u8', start: this.length - 1, end: this.length });
  }

  override u32(value: number): void {
    super.u32(value);
    this.fields.push({ kind: 'u32', start: this.length - 4, end: this.length });
  }

  override varint(value: number): void {
    const start = this.length;
    super.varint(value);
    this.fields.push({ kind: 'varint', start, end: this.length });
  }

  override raw(value: Uint8Array): void {
    const start = this.length;
    super.raw(value);
    this.fields.push({ kind: 'raw', start, end: this.length });
  }

  /** What was written. */
  sample(): Sample {
    const { fields } = this;
    return { bytes: this.take(), fields };
  }
}

export class NotingReader extends ByteReader {
  readonly fields: Field[] = [];

  override u8(): number {
    const value = super.u8();
    this.fields.push({ kind: 'u8', start: this.at - 1, end: this.at });
    return value;
  }

  override u32(): number {
    const value = super.u32();
    this.#note('u32', this.at - 4);
    return value;
  }

  override varint(): number {
    const start = this.at;
    const value = super.varint();
    this.#note('varint', start);
    return value;
  }

  override skip(count: number): number {
    const start = super.skip(count);
    this.#note('raw', start);
    return start;
  }

  /** In place of what its own steps noted. */
  #note(kind: Field['kind'], start: number): void {
    while ((this.fields.at(-1)?.start ?? -1) >= start) this.fields.pop();
    this.fields.push({ kind, start, end: this.at });
  }
}

/** The fields of a message as its decoder meets them. */
export function sampleOf(bytes: Uint8Array, decode: (input: ByteReader) => unknown): Sample {
  const input = new NotingReader(bytes);
  decode(input);
  return { bytes, fields: input.fields };
}
