/**
 * UTF-8 in pure code: protobuf strings are mostly short and ASCII, where a loop is faster than a
 * call into the platform. Ill-formed input becomes U+FFFD, as Go's JSON encoder does.
 */

/** The text when all bytes are ASCII, eight characters a call: spreading an array costs far more. */
function decodeAscii(bytes: Uint8Array, start: number, end: number): string | undefined {
  let text = '';
  let i = start;
  for (; i + 8 <= end; i += 8) {
    const a = bytes[i] as number; // All eight are within bounds.
    const b = bytes[i + 1] as number;
    const c = bytes[i + 2] as number;
    const d = bytes[i + 3] as number;
    const e = bytes[i + 4] as number;
    const f = bytes[i + 5] as number;
    const g = bytes[i + 6] as number;
    const h = bytes[i + 7] as number;
    if ((a | b | c | d | e | f | g | h) >= 0x80) return undefined;
    text += String.fromCharCode(a, b, c, d, e, f, g, h);
  }
  for (; i < end; i++) {
    const code = bytes[i] as number; // Within bounds.
    if (code >= 0x80) return undefined;
    text += String.fromCharCode(code);
  }
  return text;
}

/** One code point: 1 + its bytes beyond the first in `size`; U+FFFD for what is ill-formed. */
function decodeMultibyte(bytes: Uint8Array, at: number, end: number): [code: number, size: number] {
  const first = bytes[at] as number; // The caller checked the bound.
  const size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || at + size > end) return [0xfffd, 1];
  let code = first & (0x7f >> size);
  for (let i = 1; i < size; i++) {
    const byte = bytes[at + i] as number; // Within `end`.
    if ((byte & 0xc0) !== 0x80) return [0xfffd, 1];
    code = (code << 6) | (byte & 0x3f);
  }
  const isShorter = (size === 3 && code < 0x800) || (size === 4 && code < 0x10000);
  const isSurrogate = code >= 0xd800 && code <= 0xdfff;
  return isShorter || isSurrogate || code > 0x10ffff ? [0xfffd, 1] : [code, size];
}

export function decodeUtf8(bytes: Uint8Array, start: number, end: number): string {
  const ascii = decodeAscii(bytes, start, end);
  if (ascii !== undefined) return ascii;
  let text = '';
  for (let i = start; i < end; ) {
    const byte = bytes[i] as number; // `i` is within bounds.
    if (byte < 0x80) {
      text += String.fromCharCode(byte);
      i += 1;
    } else {
      const [code, size] = decodeMultibyte(bytes, i, end);
      text += String.fromCodePoint(code);
      i += size;
    }
  }
  return text;
}

/** Number of bytes that `text` takes. */
export function utf8Length(text: string): number {
  let length = text.length;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x80) continue;
    if (code < 0x800) length += 1;
    else {
      length += 2;
      const isPair = code >= 0xd800 && code <= 0xdbff && isLow(text.charCodeAt(i + 1));
      if (isPair) i += 1; // Two units, four bytes: 2 + 2.
    }
  }
  return length;
}

const isLow = (code: number): boolean => code >= 0xdc00 && code <= 0xdfff;

/** Writes `text` at `at`; returns the offset behind it. The room must be there. */
export function writeUtf8(bytes: Uint8Array, at: number, text: string): number {
  let to = at;
  for (let i = 0; i < text.length; i++) {
    let code = text.charCodeAt(i);
    if (code < 0x80) {
      bytes[to++] = code;
      continue;
    }
    if (code >= 0xd800 && code <= 0xdfff) {
      const isPair = code <= 0xdbff && isLow(text.charCodeAt(i + 1));
      code = isPair ? (text.codePointAt(i) as number) : 0xfffd; // `i` is within bounds.
      if (isPair) i += 1;
    }
    if (code < 0x800) {
      bytes[to++] = 0xc0 | (code >> 6);
    } else if (code < 0x10000) {
      bytes[to++] = 0xe0 | (code >> 12);
      bytes[to++] = 0x80 | ((code >> 6) & 0x3f);
    } else {
      bytes[to++] = 0xf0 | (code >> 18);
      bytes[to++] = 0x80 | ((code >> 12) & 0x3f);
      bytes[to++] = 0x80 | ((code >> 6) & 0x3f);
    }
    bytes[to++] = 0x80 | (code & 0x3f);
  }
  return to;
}
