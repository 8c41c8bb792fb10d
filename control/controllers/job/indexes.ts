/** Sets of completion indexes and their text form `0,3-5,7` (batch/v1 completedIndexes). Pure. */

export type Indexes = ReadonlySet<number>;

interface Range {
  readonly first: number;
  readonly last: number;
}

/** The parts below `completions`; those that cannot be read are left out. */
function parseRanges(text: string | undefined, completions: number): Range[] {
  const ranges: Range[] = [];
  for (const part of (text ?? '').split(',')) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part);
    if (match === null) continue;
    const first = Number(match[1]);
    const last = Math.min(Number(match[2] ?? match[1]), completions - 1);
    if (first <= last) ranges.push({ first, last });
  }
  return ranges;
}

/**
 * How many indexes `text` names and how many of them are in `indexes`. Counted by ranges: users write
 * such texts, and the first range alone may hold two thousand million indexes.
 */
export function countIndexes(
  text: string,
  completions: number,
  indexes: Indexes,
): { readonly total: number; readonly found: number } {
  const ranges = parseRanges(text, completions);
  const total = ranges.reduce((sum, { first, last }) => sum + last - first + 1, 0);
  ranges.sort((a, b) => a.first - b.first);
  let at = 0;
  let found = 0;
  for (const index of [...indexes].sort((a, b) => a - b)) {
    while ((ranges[at]?.last ?? Infinity) < index) at++;
    if ((ranges[at]?.first ?? Infinity) <= index) found++;
  }
  return { total, found };
}

/** Indexes of `completions` and beyond, and parts that cannot be read, are left out. */
export function parseIndexes(text: string | undefined, completions: number): Set<number> {
  const indexes = new Set<number>();
  for (const { first, last } of parseRanges(text, completions)) {
    for (let index = first; index <= last; index++) indexes.add(index);
  }
  return indexes;
}

/** Neighbours of two are written `3,4`, longer runs `3-5`, as upstream does. */
export function formatIndexes(indexes: Indexes): string {
  const sorted = [...indexes].sort((a, b) => a - b);
  const parts: string[] = [];
  for (let i = 0; i < sorted.length; ) {
    let end = i;
    while (sorted[end + 1] === (sorted[end] ?? 0) + 1) end++;
    parts.push(end - i >= 2 ? `${sorted[i]}-${sorted[end]}` : sorted.slice(i, end + 1).join(','));
    i = end + 1;
  }
  return parts.join(',');
}

/** The first `count` indexes below `completions` that are in none of `taken`. */
export function firstFree(count: number, completions: number, taken: readonly Indexes[]): number[] {
  const free: number[] = [];
  for (let index = 0; index < completions && free.length < count; index++) {
    if (!taken.some((set) => set.has(index))) free.push(index);
  }
  return free;
}
