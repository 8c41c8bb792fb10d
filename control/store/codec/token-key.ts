/** Where a join token stands in the store: before all keys that users of the store choose. */
export function tokenKey(token: string): string {
  return `\0join/${token}`;
}
