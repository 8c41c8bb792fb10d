/**
 * Typed arrays that grow in place. A column of a million rows would take milliseconds to copy, all in the
 * write that finds it full, and at the same write on every member. So a large column lies in shared
 * memory with room in the address space behind it: growing hands out pages, and copies nothing. An array
 * keeps its length, which keeps access as fast as to any other; whoever grows it goes on with the new
 * one. The old one stays a view of the same memory, or a stale copy where the column was small.
 */
import { COLUMN_BYTES_IN_PLACE_MIN, COLUMN_BYTES_MAX } from '../limits.ts';

export function growU32(from: Uint32Array, capacity: number): Uint32Array {
  const buffer = grownBuffer(from, capacity * 4);
  const grown = new Uint32Array(buffer, 0, capacity);
  if (buffer !== from.buffer) grown.set(from);
  return grown;
}

export function growF64(from: Float64Array, capacity: number): Float64Array {
  const buffer = grownBuffer(from, capacity * 8);
  const grown = new Float64Array(buffer, 0, capacity);
  if (buffer !== from.buffer) grown.set(from);
  return grown;
}

/** The buffer of `from` where it could grow, else another one, of zeros. */
function grownBuffer(from: Uint32Array | Float64Array, bytes: number): ArrayBufferLike {
  const { buffer } = from;
  if (buffer instanceof SharedArrayBuffer && buffer.growable && bytes <= buffer.maxByteLength) {
    buffer.grow(bytes);
    return buffer;
  }
  return zeros(bytes);
}

/** Memory whose pages are made when they are written to, if it is large. */
function zeros(bytes: number): ArrayBufferLike {
  if (bytes < COLUMN_BYTES_IN_PLACE_MIN) return new ArrayBuffer(bytes);
  const maxByteLength = Math.max(bytes, COLUMN_BYTES_MAX);
  return new SharedArrayBuffer(bytes, { maxByteLength });
}

export function zerosU32(length: number): Uint32Array {
  return new Uint32Array(zeros(length * 4), 0, length);
}
