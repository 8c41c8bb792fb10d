/**
 * Whether two JSON-shape values say the same, whatever the order of their keys; a key whose value
 * is undefined counts as absent. Pure.
 */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((item, i) => sameJson(item, b[i]));
  }
  let count = 0;
  for (const [key, value] of Object.entries(a)) {
    if (value === undefined) continue;
    count++;
    if (!Object.hasOwn(b, key) || !sameJson(value, Reflect.get(b, key))) return false;
  }
  for (const value of Object.values(b)) if (value !== undefined) count--;
  return count === 0;
}
