/**
 * Unified diff (three lines of context) of two values printed as JSON, for errors that say which part
 * of an object must not change. Matching follows the Ratcliff-Obershelp method of Python's difflib,
 * whose Go port upstream uses: the longest common block first, then both sides of it.
 */

interface Block {
  readonly a: number;
  readonly b: number;
  readonly size: number;
}

interface Change {
  readonly tag: 'equal' | 'change';
  readonly a: readonly [number, number];
  readonly b: readonly [number, number];
}

const CONTEXT = 3;
/** From this many lines on, lines that repeat often do not anchor a match. */
const POPULAR_FROM_LINES = 200;

export function jsonDiff(before: unknown, after: unknown): string {
  const text = (value: unknown): string[] =>
    JSON.stringify(value ?? null, undefined, 1).split('\n');
  return unifiedDiff(text(before), text(after));
}

export function unifiedDiff(a: readonly string[], b: readonly string[]): string {
  return grouped(changes(a, b))
    .map((group) => formatHunk(a, b, group))
    .join('');
}

function positions(lines: readonly string[]): Map<string, number[]> {
  const index = new Map<string, number[]>();
  for (const [i, line] of lines.entries()) {
    const known = index.get(line);
    if (known === undefined) index.set(line, [i]);
    else known.push(i);
  }
  if (lines.length < POPULAR_FROM_LINES) return index;
  const most = Math.floor(lines.length / 100) + 1;
  for (const [line, found] of index) if (found.length > most) index.delete(line);
  return index;
}

function matchingBlocks(a: readonly string[], b: readonly string[]): Block[] {
  const index = positions(b);
  const blocks: Block[] = [];
  const visit = (aLow: number, aHigh: number, bLow: number, bHigh: number): void => {
    const match = longestMatch({ a, b, index }, [aLow, aHigh], [bLow, bHigh]);
    if (match.size === 0) return;
    if (aLow < match.a && bLow < match.b) visit(aLow, match.a, bLow, match.b);
    blocks.push(match);
    const [aNext, bNext] = [match.a + match.size, match.b + match.size];
    if (aNext < aHigh && bNext < bHigh) visit(aNext, aHigh, bNext, bHigh);
  };
  visit(0, a.length, 0, b.length);
  return blocks;
}

function longestMatch(
  texts: {
    readonly a: readonly string[];
    readonly b: readonly string[];
    readonly index: ReadonlyMap<string, readonly number[]>;
  },
  [aLow, aHigh]: readonly [number, number],
  [bLow, bHigh]: readonly [number, number],
): Block {
  const { a, b, index } = texts;
  let best = { a: aLow, b: bLow, size: 0 };
  let runs = new Map<number, number>();
  for (let i = aLow; i < aHigh; i++) {
    const next = new Map<number, number>();
    for (const j of index.get(a[i] ?? '') ?? []) {
      if (j < bLow || j >= bHigh) continue;
      const size = (runs.get(j - 1) ?? 0) + 1;
      next.set(j, size);
      if (size > best.size) best = { a: i - size + 1, b: j - size + 1, size };
    }
    runs = next;
  }
  // Lines too popular to anchor a match may still lengthen one.
  while (best.a > aLow && best.b > bLow && a[best.a - 1] === b[best.b - 1]) {
    best = { a: best.a - 1, b: best.b - 1, size: best.size + 1 };
  }
  while (
    best.a + best.size < aHigh &&
    best.b + best.size < bHigh &&
    a[best.a + best.size] === b[best.b + best.size]
  ) {
    best = { ...best, size: best.size + 1 };
  }
  return best;
}

function changes(a: readonly string[], b: readonly string[]): Change[] {
  const list: Change[] = [];
  let [i, j] = [0, 0];
  const end = { a: a.length, b: b.length, size: 0 };
  for (const block of [...matchingBlocks(a, b), end]) {
    if (i < block.a || j < block.b) list.push({ tag: 'change', a: [i, block.a], b: [j, block.b] });
    [i, j] = [block.a + block.size, block.b + block.size];
    if (block.size > 0) list.push({ tag: 'equal', a: [block.a, i], b: [block.b, j] });
  }
  return list;
}

function grouped(list: readonly Change[]): Change[][] {
  const groups: Change[][] = [[]];
  for (const [at, change] of list.entries()) {
    const isFirst = at === 0;
    const isLast = at === list.length - 1;
    const size = change.a[1] - change.a[0];
    if (change.tag === 'change') {
      groups.at(-1)?.push(change);
      continue;
    }
    const head = Math.min(size, CONTEXT);
    if (isFirst) groups.at(-1)?.push(trimmed(change, size - head, size));
    else if (isLast) groups.at(-1)?.push(trimmed(change, 0, head));
    else if (size > 2 * CONTEXT) {
      groups.at(-1)?.push(trimmed(change, 0, CONTEXT));
      groups.push([trimmed(change, size - CONTEXT, size)]);
    } else groups.at(-1)?.push(change);
  }
  return groups.filter((group) => group.some(({ tag }) => tag === 'change'));
}

function trimmed(change: Change, from: number, to: number): Change {
  const part = ([start]: readonly [number, number]): [number, number] => [start + from, start + to];
  return { tag: 'equal', a: part(change.a), b: part(change.b) };
}

function formatRange(start: number, end: number): string {
  const length = end - start;
  if (length === 1) return `${start + 1}`;
  return `${length === 0 ? start : start + 1},${length}`;
}

function formatHunk(a: readonly string[], b: readonly string[], group: readonly Change[]): string {
  const first = group[0];
  const last = group.at(-1);
  if (first === undefined || last === undefined) return '';
  const aRange = formatRange(first.a[0], last.a[1]);
  const bRange = formatRange(first.b[0], last.b[1]);
  const lines = group.flatMap((change) => {
    const old = a.slice(...change.a);
    if (change.tag === 'equal') return old.map((line) => ` ${line}\n`);
    const added = b.slice(...change.b);
    return [...old.map((line) => `-${line}\n`), ...added.map((line) => `+${line}\n`)];
  });
  return `@@ -${aRange} +${bRange} @@\n${lines.join('')}`;
}
