/** A short hash of text: for names, identifiers and damage, nothing that somebody must not forge. Pure. */

/** FNV-1a over the UTF-16 units of a text; 32 bits, unsigned. Another seed makes another hash. */
export function fnv1a32(text: string, seed = 0x811c9dc5): number {
  let hash = seed;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  return hash >>> 0;
}
