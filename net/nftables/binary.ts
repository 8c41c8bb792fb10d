/**
 * Keys and values of set elements as binary strings: one char per byte. Tens of thousands of them are
 * map keys and are compared; strings make both cheap. Components of a concatenation fill whole
 * 32-bit registers, zeros behind. Pure.
 */

export function binaryOf(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

export function bytesOfBinary(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** One byte in a register of its own: `inet_proto`. */
export function binaryU8(value: number): string {
  return `${String.fromCharCode(value)}\0\0\0`;
}

/** A big-endian 16-bit number in a register of its own: `inet_service`. */
export function binaryU16be(value: number): string {
  return `${String.fromCharCode(value >> 8, value & 0xff)}\0\0`;
}

/** A number in the machine's (little-endian) order: `mark`. */
export function binaryU32(value: number): string {
  return String.fromCharCode(
    value & 0xff,
    (value >>> 8) & 0xff,
    (value >>> 16) & 0xff,
    value >>> 24,
  );
}
