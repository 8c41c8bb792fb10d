/**
 * Tokens by which new members come into a group by themselves. A token is a key of the store beside all
 * others, under a lease: every member knows it, and it expires by itself.
 */
import { randomBytes } from 'node:crypto';
import { tokenKey } from './codec/token-key.ts';
import type { Store } from './port.ts';

const TOKEN_BYTES = 24;

/** Resolves to a token that lets members in for so long. Rejects as the store's writes do. */
export async function createJoinToken(
  store: Store,
  ttlSeconds: number,
  signal: AbortSignal,
): Promise<string> {
  const token = randomBytes(TOKEN_BYTES).toString('base64url');
  const { leaseId } = await store.leaseGrant(ttlSeconds, signal);
  const request = { key: tokenKey(token), value: new Uint8Array(0), leaseId };
  const put = { kind: 'put', request } as const;
  await store.txn({ compare: [], success: [put], failure: [] }, signal);
  return token;
}
