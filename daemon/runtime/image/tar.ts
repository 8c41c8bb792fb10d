/**
 * Reads a tar stream: ustar, GNU long names and base-256 numbers, PAX records. Members come one at a
 * time; the body of a member must be consumed (or is skipped) before the next header is read.
 * Ours and not tar-stream because that decodes PAX values as UTF-8, which destroys binary ones:
 * `SCHILY.xattr.security.capability` of every image with file capabilities.
 *
 *   header block, 512 bytes: name 0..100, mode 100, uid 108, gid 116, size 124 (12), mtime 136 (12),
 *   checksum 148, type 156, link 157..257, magic 257, major 329, minor 337, prefix 345..500
 *
 * Called by the archive import and by the layer unpacker.
 */
import { RuntimeError } from '../port.ts';
import { TAR_META_BYTES_MAX } from '../limits.ts';

const BLOCK = 512;

export type TarType =
  | 'file'
  | 'hardlink'
  | 'symlink'
  | 'character'
  | 'block'
  | 'directory'
  | 'fifo'
  | 'other';

export interface TarHeader {
  readonly name: string;
  readonly type: TarType;
  readonly size: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since the epoch, with fraction where PAX gives one. */
  readonly mtime: number;
  readonly linkName: string;
  readonly major: number;
  readonly minor: number;
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
}

export interface TarMember {
  readonly header: TarHeader;
  readonly body: AsyncIterable<Uint8Array>;
}

const TYPES: Readonly<Record<string, TarType>> = {
  '\0': 'file',
  '0': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'character',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
  '7': 'file',
};

function invalid(message: string): RuntimeError {
  return new RuntimeError('IMAGE_INVALID', `invalid tar archive: ${message}`);
}

/** Hands out exact byte counts from a stream of chunks. */
class Reader {
  readonly #source: AsyncIterator<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Between 1 and `max` bytes, or undefined at the end. */
  async some(max: number): Promise<Uint8Array | undefined> {
    while (this.#chunk.length === 0) {
      const next = await this.#source.next();
      if (next.done === true) return undefined;
      this.#chunk = next.value;
    }
    const part = this.#chunk.subarray(0, max);
    this.#chunk = this.#chunk.subarray(part.length);
    return part;
  }

  /** Exactly `count` bytes; undefined when the stream ends before the first one. */
  async exactly(count: number): Promise<Buffer | undefined> {
    const result = Buffer.alloc(count);
    for (let have = 0; have < count; ) {
      const part = await this.some(count - have);
      if (part === undefined) {
        if (have === 0) return undefined;
        throw invalid('cut off');
      }
      result.set(part, have);
      have += part.length;
    }
    return result;
  }

  async drain(): Promise<void> {
    while ((await this.some(Number.MAX_SAFE_INTEGER)) !== undefined);
  }

  async close(): Promise<void> {
    await this.#source.return?.();
  }
}

/** The members of `source`, which is read to its end (digests cover the padding too). */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarMember> {
  const reader = new Reader(source);
  try {
    let pax = new Map<string, Uint8Array>();
    let longName: string | undefined;
    let longLink: string | undefined;
    for (;;) {
      const block = await reader.exactly(BLOCK);
      if (block === undefined || isZero(block)) break;
      const raw = parseHeader(block);
      if (raw.flag === 'x' || raw.flag === 'g' || raw.flag === 'L' || raw.flag === 'K') {
        const data = await readMeta(reader, raw.header.size);
        if (raw.flag === 'x') pax = parsePax(data);
        if (raw.flag === 'L') longName = cString(data);
        if (raw.flag === 'K') longLink = cString(data);
        continue;
      }
      const header = withMeta(raw.header, { pax, longName, longLink });
      pax = new Map();
      longName = undefined;
      longLink = undefined;
      const body = memberBody(reader, header.size);
      yield { header, body };
      for await (const _ of body); // What the consumer left.
      await reader.exactly(padding(header.size));
    }
    await reader.drain();
  } finally {
    await reader.close();
  }
}

async function readMeta(reader: Reader, size: number): Promise<Buffer> {
  if (size > TAR_META_BYTES_MAX) throw invalid(`extended header of ${size} bytes`);
  const data = await reader.exactly(size);
  if (data === undefined && size > 0) throw invalid('cut off');
  await reader.exactly(padding(size));
  return data ?? Buffer.alloc(0);
}

function memberBody(reader: Reader, size: number): AsyncIterableIterator<Uint8Array> {
  let left = size;
  return {
    async next(): Promise<IteratorResult<Uint8Array>> {
      if (left === 0) return { done: true, value: undefined };
      const part = await reader.some(left);
      if (part === undefined) throw invalid('cut off');
      left -= part.length;
      return { done: false, value: part };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

function padding(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

function isZero(block: Uint8Array): boolean {
  return block.every((byte) => byte === 0);
}

function parseHeader(block: Buffer): { flag: string; header: TarHeader } {
  let sum = 0;
  for (let i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? 32 : (block[i] ?? 0);
  if (sum !== number(block, 148, 8)) throw invalid('wrong header checksum');
  const flag = String.fromCharCode(block[156] ?? 0);
  const posix = block.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = posix ? cString(block.subarray(345, 500)) : '';
  const name = cString(block.subarray(0, 100));
  const fullName = prefix === '' ? name : `${prefix}/${name}`;
  let type = TYPES[flag] ?? 'other';
  if (type === 'file' && flag !== '7' && fullName.endsWith('/')) type = 'directory'; // V7 tar.
  const hasBody = type === 'file' || type === 'other';
  return {
    flag,
    header: {
      name: fullName,
      type,
      size: hasBody ? checkedSize(number(block, 124, 12)) : 0,
      mode: number(block, 100, 8) & 0o7777,
      uid: number(block, 108, 8),
      gid: number(block, 116, 8),
      mtime: number(block, 136, 12),
      linkName: cString(block.subarray(157, 257)),
      major: type === 'character' || type === 'block' ? number(block, 329, 8) : 0,
      minor: type === 'character' || type === 'block' ? number(block, 337, 8) : 0,
      xattrs: new Map(),
    },
  };
}

/** A negative or broken size would never be read to its end. */
function checkedSize(size: number): number {
  if (!Number.isSafeInteger(size) || size < 0) throw invalid(`size ${size}`);
  return size;
}

/** Octal text, or big-endian two's complement when the top bit of the first byte is set (GNU). */
function number(block: Buffer, offset: number, length: number): number {
  const first = block[offset] ?? 0;
  if ((first & 0x80) !== 0) {
    let value = BigInt(first & 0x7f);
    if ((first & 0x40) !== 0) value -= 0x80n;
    for (let i = 1; i < length; i++) value = (value << 8n) | BigInt(block[offset + i] ?? 0);
    const result = Number(value);
    if (!Number.isSafeInteger(result)) throw invalid('number out of range');
    return result;
  }
  const text = cString(block.subarray(offset, offset + length)).trim();
  if (text === '') return 0;
  if (!/^[0-7]+$/.test(text)) throw invalid(`number ${JSON.stringify(text)}`);
  return Number.parseInt(text, 8);
}

function cString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('utf8');
}

/** Records `LENGTH KEY=VALUE\n`, LENGTH counting itself; values stay bytes. */
export function parsePax(data: Buffer): Map<string, Uint8Array> {
  const records = new Map<string, Uint8Array>();
  for (let at = 0; at < data.length; ) {
    const space = data.indexOf(0x20, at);
    const length = space < 0 ? Number.NaN : Number(data.toString('latin1', at, space));
    const end = at + length;
    if (!Number.isInteger(length) || end > data.length || end <= space + 1) {
      throw invalid('extended header record');
    }
    const equals = data.indexOf(0x3d, space);
    if (equals < 0 || equals >= end || data[end - 1] !== 0x0a) {
      throw invalid('extended header record');
    }
    records.set(data.toString('utf8', space + 1, equals), data.subarray(equals + 1, end - 1));
    at = end;
  }
  return records;
}

function withMeta(
  header: TarHeader,
  meta: {
    pax: ReadonlyMap<string, Uint8Array>;
    longName: string | undefined;
    longLink: string | undefined;
  },
): TarHeader {
  const text = (key: string): string | undefined => {
    const value = meta.pax.get(key);
    return value === undefined ? undefined : Buffer.from(value).toString('utf8');
  };
  const numeric = (key: string): number | undefined => {
    const value = text(key);
    if (value === undefined) return undefined;
    const result = Number(value);
    if (!Number.isFinite(result)) throw invalid(`${key}=${value}`);
    return result;
  };
  const xattrs = new Map<string, Uint8Array>();
  for (const [key, value] of meta.pax) {
    if (key.startsWith('SCHILY.xattr.')) xattrs.set(key.slice('SCHILY.xattr.'.length), value);
  }
  const name = text('path') ?? meta.longName ?? header.name;
  const size = header.type === 'file' ? numeric('size') : undefined;
  return {
    ...header,
    name,
    type: header.type === 'file' && name.endsWith('/') ? 'directory' : header.type,
    size: size === undefined ? header.size : checkedSize(size),
    uid: numeric('uid') ?? header.uid,
    gid: numeric('gid') ?? header.gid,
    mtime: numeric('mtime') ?? header.mtime,
    linkName: text('linkpath') ?? meta.longLink ?? header.linkName,
    xattrs,
  };
}
