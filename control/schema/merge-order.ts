/**
 * The order of a merged list in a strategic merge patch: items of the patch in the patch's order,
 * items that only the server has in the server's order, the two interleaved so that what stood
 * before stays before.
 */

/** What identifies an item: the value of its merge key, or the item itself. */
export type Identify = (item: unknown) => unknown;

function indexIn(list: readonly unknown[], item: unknown, id: Identify): number {
  const wanted = id(item);
  return list.findIndex((other) => id(other) === wanted);
}

function sortBy(
  items: readonly unknown[],
  order: readonly unknown[],
  id: Identify,
  isDeletion: (item: unknown) => boolean,
): unknown[] {
  const kept = items.filter((item) => !isDeletion(item));
  const ranked = kept.map((item) => ({ item, rank: indexIn(order, item, id) }));
  ranked.sort((a, b) => (a.rank < 0 || b.rank < 0 ? 0 : a.rank - b.rank));
  return [...ranked.map((r) => r.item), ...items.filter(isDeletion)];
}

export interface MergedList {
  readonly fromPatch: readonly unknown[];
  readonly serverOnly: readonly unknown[];
  readonly patchOrder: readonly unknown[];
  readonly serverOrder: readonly unknown[];
}

/** All items in their final order. */
export function orderItems(
  list: MergedList,
  id: Identify,
  isDeletion: (item: unknown) => boolean,
): unknown[] {
  const right = sortBy(list.fromPatch, list.patchOrder, id, isDeletion);
  const left = sortBy(list.serverOnly, list.serverOrder, id, isDeletion);
  const rank = (item: unknown): number => indexIn(list.serverOrder, item, id);
  const merged: unknown[] = [];
  let i = 0;
  for (const item of right) {
    const place = rank(item);
    // A server item goes first only when the server knows both and had it first.
    for (; i < left.length; i++) {
      const other = rank(left[i]);
      if (place < 0 || other < 0 || other >= place) break;
      merged.push(left[i]);
    }
    merged.push(item);
  }
  return [...merged, ...left.slice(i)];
}
