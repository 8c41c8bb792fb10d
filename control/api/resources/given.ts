/**
 * An object as a client may have sent it: what its type calls required can be missing, since rules are
 * what finds that out.
 */
export function given<T extends object>(value: T): Partial<T> {
  return value;
}
