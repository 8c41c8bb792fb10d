/**
 * Sorting in slices: a merge sort from below that stops again and again, so that a million records are
 * put in order while the thread goes on with other work.
 */

/** Steps of merging, and length of the runs sorted at once, in one slice: about a millisecond. */
const SLICE = 2048;

/** Sorts in place; each step of the generator is a slice. */
export function* sortInSlices(
  array: Uint32Array,
  compare: (a: number, b: number) => number,
): Generator<void> {
  for (let at = 0; at < array.length; at += SLICE) {
    array.subarray(at, at + SLICE).sort(compare);
    yield;
  }
  let from: Uint32Array = array;
  let to: Uint32Array = new Uint32Array(array.length);
  for (let width = SLICE; width < array.length; width *= 2) {
    for (let at = 0; at < array.length; at += 2 * width) {
      yield* merge({ from, to, at, width }, compare);
    }
    [from, to] = [to, from];
  }
  if (from !== array) array.set(from);
}

function* merge(
  of: { from: Uint32Array; to: Uint32Array; at: number; width: number },
  compare: (a: number, b: number) => number,
): Generator<void> {
  const { from, to, at, width } = of;
  const middle = Math.min(at + width, from.length);
  const end = Math.min(at + 2 * width, from.length);
  let left = at;
  let right = middle;
  for (let into = at; into < end; into++) {
    if ((into - at) % SLICE === SLICE - 1) yield;
    const isLeft =
      right >= end || (left < middle && compare(from[left] as number, from[right] as number) <= 0); // In bounds.
    to[into] = from[isLeft ? left++ : right++] as number; // Same.
  }
}
