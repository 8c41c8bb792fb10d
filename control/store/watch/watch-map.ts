/**
 * Which watches want a key: the ends of all watched ranges cut the key space into stretches, and
 * each stretch lists the watches that cover it. A lookup is one binary search, whatever the number
 * of watches. The cuts are made again when watches came or went, before the next lookup.
 */
import { compareBytes, successor } from '../mvcc/byte-range.ts';
import type { ByteRange } from '../mvcc/byte-range.ts';

interface Stretch<W> {
  readonly start: Uint8Array;
  readonly watches: readonly W[];
}

export class WatchMap<W extends { readonly range: ByteRange }> {
  readonly #watches = new Set<W>();
  #stretches: Stretch<W>[] | undefined = [];

  get size(): number {
    return this.#watches.size;
  }

  add(watch: W): void {
    this.#watches.add(watch);
    this.#stretches = undefined;
  }

  delete(watch: W): void {
    if (this.#watches.delete(watch)) this.#stretches = undefined;
  }

  all(): IterableIterator<W> {
    return this.#watches.values();
  }

  /** The watches whose range holds `key`. */
  covering(key: Uint8Array): readonly W[] {
    this.#stretches ??= cut([...this.#watches]);
    let low = 0;
    let high = this.#stretches.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const stretch = this.#stretches[middle] as Stretch<W>; // Below length.
      if (compareBytes(stretch.start, key) <= 0) low = middle + 1;
      else high = middle;
    }
    return this.#stretches[low - 1]?.watches ?? NOBODY;
  }
}

const NOBODY: readonly never[] = [];

/** Sweeps over the ends of the ranges in key order. */
function cut<W extends { readonly range: ByteRange }>(watches: readonly W[]): Stretch<W>[] {
  const ends: { at: Uint8Array; watch: W; opens: boolean }[] = [];
  for (const watch of watches) {
    const { start, end } = watch.range;
    // A range that ends before it starts holds nothing.
    if (end !== undefined && end.length > 0 && compareBytes(end, start) <= 0) continue;
    ends.push({ at: start, watch, opens: true });
    if (end === undefined) ends.push({ at: successor(start), watch, opens: false });
    else if (end.length > 0) ends.push({ at: end, watch, opens: false });
  }
  ends.sort((a, b) => compareBytes(a.at, b.at));
  const stretches: Stretch<W>[] = [];
  const open = new Set<W>();
  for (const [i, end] of ends.entries()) {
    if (end.opens) open.add(end.watch);
    else open.delete(end.watch);
    const next = ends[i + 1];
    if (next !== undefined && compareBytes(next.at, end.at) === 0) continue;
    stretches.push({ start: end.at, watches: [...open] });
  }
  return stretches;
}
