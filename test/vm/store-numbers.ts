/** What of the numbered writes (store-messages.ts) is in a store. */
import type { OwnStore } from '#control/store/store.ts';
import { keyOf, valueOf } from './store-messages.ts';

export interface Numbers {
  /** First, last, first, last...; ascending. */
  readonly ranges: readonly number[];
  /** Above all of them. */
  readonly next: number;
}

/** Throws when a key or value is none that a writer wrote, or was written twice. */
export async function readNumbers(store: OwnStore, signal: AbortSignal): Promise<Numbers> {
  const ranges: number[] = [];
  let next = 0;
  const { kvs } = await store.range({ key: '\0', rangeEnd: '\0' }, signal);
  for (const { key, value, version } of kvs) {
    const number = Number(key.slice(1));
    if (key !== keyOf(number) || version !== 1 || !valueOf(number).equals(value)) {
      throw new Error(`${key} (version ${version}, ${value.length} bytes) is not what was written`);
    }
    if (ranges.length > 0 && number === next) ranges[ranges.length - 1] = number;
    else ranges.push(number, number);
    next = number + 1;
  }
  return { ranges, next };
}

export function isIn(ranges: readonly number[], number: number): boolean {
  for (let i = 0; i + 1 < ranges.length; i += 2) {
    if (number >= (ranges[i] ?? 0) && number <= (ranges[i + 1] ?? 0)) return true;
  }
  return false;
}
