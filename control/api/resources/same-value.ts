/**
 * Semantic equality of two values in JSON shape: an empty map or list equals an absent one, as in
 * upstream's equality of API objects. Objects are canonical (control/schema), so texts of quantities
 * and times compare as texts.
 */

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null) return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}

export function sameValue(a: unknown, b: unknown): boolean {
  if (a === b || (isEmpty(a) && isEmpty(b))) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const left = new Map(Object.entries(a));
  const right = new Map(Object.entries(b));
  if (Array.isArray(a) && left.size !== right.size) return false;
  for (const key of new Set([...left.keys(), ...right.keys()])) {
    if (!sameValue(left.get(key), right.get(key))) return false;
  }
  return true;
}
