/**
 * The continue token of a list: base64url of `{"v":"meta.k8s.io/v1","rv":N,"start":"KEY"}`, where
 * the key is relative to the collection. Pure. Source: apiserver pkg/storage/continue.go.
 */
import { badRequest } from '../errors.ts';

/** `rv` of a token that goes on at the latest state. */
export const INCONSISTENT = -1;

export interface ContinueToken {
  readonly revision: number;
  /** First key of the page, without the collection's prefix. */
  readonly start: string;
}

export function formatContinue(token: ContinueToken): string {
  const plain = { v: 'meta.k8s.io/v1', rv: token.revision, start: token.start };
  return Buffer.from(JSON.stringify(plain)).toString('base64url');
}

/** Throws ApiError 400. */
export function parseContinue(text: string): ContinueToken {
  const bad = (why: string) => badRequest(`continue key is not valid: ${why}`);
  let plain: unknown;
  try {
    plain = JSON.parse(Buffer.from(text, 'base64url').toString());
  } catch (error) {
    throw bad(error instanceof Error ? error.message : String(error));
  }
  if (typeof plain !== 'object' || plain === null) throw bad('not an object');
  // Checked below.
  const { v, rv, start } = plain as { v?: unknown; rv?: unknown; start?: unknown };
  if (v !== 'meta.k8s.io/v1') throw bad('server does not recognize this encoded version');
  if (typeof rv !== 'number' || rv === 0) {
    throw bad('incorrect encoded start resourceVersion (version meta.k8s.io/v1)');
  }
  if (typeof start !== 'string' || start === '') {
    throw bad('encoded start key empty (version meta.k8s.io/v1)');
  }
  if (start.split('/').includes('..')) throw bad(start);
  return { revision: rv, start };
}
