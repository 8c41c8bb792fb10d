/** Keys and ranges of keys as bytes. */

/** A key range in bytes. `end` undefined = the point `start`; empty = to the last key. */
export interface ByteRange {
  readonly start: Uint8Array;
  readonly end: Uint8Array | undefined;
}

/** Below 0, 0 or above 0 as `a` sorts before, equals or follows `b`; a prefix sorts first. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shared = a.length < b.length ? a.length : b.length;
  for (let i = 0; i < shared; i++) {
    const difference = (a[i] as number) - (b[i] as number); // Both in bounds.
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

export function covers(range: ByteRange, key: Uint8Array): boolean {
  const order = compareBytes(key, range.start);
  if (range.end === undefined) return order === 0;
  return order >= 0 && (range.end.length === 0 || compareBytes(key, range.end) < 0);
}

/** The first key behind `key`. */
export function successor(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}
