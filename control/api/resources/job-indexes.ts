/**
 * Sets of completion indexes in text form: `1,3-5,7`, increasing, below the number of completions.
 * Source: kubernetes v1.36.3 pkg/apis/batch/validation.
 */
import { goQuote } from './field-errors.ts';

export type IndexSet =
  | { readonly kind: 'ok'; readonly count: number; readonly intervals: readonly Interval[] }
  | { readonly kind: 'bad'; readonly problem: string };

export type Interval = readonly [first: number, last: number];

function parseIndex(text: string, completions: number): number | string {
  if (!/^[+-]?\d+$/.test(text))
    return `cannot convert string to integer for index: ${goQuote(text)}`;
  const index = Number(text);
  return index >= completions ? `too large index: ${goQuote(text)}` : index;
}

const notIncreasing = (previous: number, current: number): string =>
  `non-increasing order, previous: ${previous}, current: ${current}`;

function parseInterval(text: string, completions: number): Interval | string {
  const parts = text.split('-');
  if (parts.length > 2) {
    return `the fragment ${goQuote(text)} violates the requirement that an index interval can have at most two parts separated by '-'`;
  }
  const first = parseIndex(parts[0] ?? '', completions);
  if (typeof first === 'string') return first;
  if (parts[1] === undefined) return [first, first];
  const last = parseIndex(parts[1], completions);
  if (typeof last === 'string') return last;
  return first >= last ? notIncreasing(first, last) : [first, last];
}

export function parseIndexes(text: string, completions: number): IndexSet {
  const intervals: Interval[] = [];
  let count = 0;
  for (const part of text === '' ? [] : text.split(',')) {
    const interval = parseInterval(part, completions);
    if (typeof interval === 'string') return { kind: 'bad', problem: interval };
    const previous = intervals.at(-1)?.[1];
    if (previous !== undefined && previous >= interval[0]) {
      return { kind: 'bad', problem: notIncreasing(previous, interval[0]) };
    }
    intervals.push(interval);
    count += interval[1] - interval[0] + 1;
  }
  return { kind: 'ok', count, intervals };
}

/** The first index that both sets hold; malformed parts are reported elsewhere. */
export function firstOverlap(a: string, b: string, completions: number): number | undefined {
  const intervals = (text: string): Interval[] =>
    text
      .split(',')
      .map((part) => parseInterval(part, completions))
      .filter((interval) => typeof interval !== 'string');
  const others = intervals(b);
  for (const [first, last] of intervals(a)) {
    const hit = others.find((other) => first <= other[1] && other[0] <= last);
    if (hit !== undefined) return Math.max(first, hit[0]);
  }
  return undefined;
}
