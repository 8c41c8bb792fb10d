/**
 * Tokens of Secrets of type kubernetes.io/service-account-token: JWTs without an end, good as long as
 * their Secret holds them and their account exists. Source: kubernetes pkg/serviceaccount/legacy.go.
 */
import type { JWTPayload } from 'jose';
import type { Secret } from '#base/kube/api/core-v1.gen.ts';
import type { UserInfo } from '../resource.ts';
import type { Lookup } from './service-account-tokens.ts';
import { serviceAccountGroups, serviceAccountUserName } from './users.ts';

export const LEGACY_ISSUER = 'kubernetes/serviceaccount';

const PREFIX = 'kubernetes.io/serviceaccount/';
/** Set on the Secret of a token that has long not been used. */
const INVALID_SINCE = 'kubernetes.io/legacy-token-invalid-since';

/** The user of a token whose signature holds, or a text that says why it is not good. */
export function checkLegacyToken(
  token: string,
  payload: JWTPayload,
  lookup: Lookup,
): UserInfo | string {
  const claim = (name: string) => {
    const value = payload[PREFIX + name];
    return typeof value === 'string' ? value : '';
  };
  const namespace = claim('namespace');
  const secretName = claim('secret.name');
  const name = claim('service-account.name');
  const uid = claim('service-account.uid');
  for (const [what, value] of Object.entries({ namespace, secretName, name, uid })) {
    if (value === '') return `${what} claim is missing`;
  }
  if (payload.sub !== serviceAccountUserName(namespace, name)) {
    return 'sub claim does not match the namespace and name of the account';
  }
  const secret = lookup('secrets', namespace, secretName) as Secret | undefined; // By resource.
  if (secret === undefined) return 'service account token has been invalidated';
  if (secret.metadata.deletionTimestamp !== undefined) return 'token is deleted';
  if (secret.data?.['token'] !== Buffer.from(token).toString('base64')) {
    return "token does not match server's copy";
  }
  if (secret.metadata.labels?.[INVALID_SINCE] !== undefined) {
    return `the token in secret ${namespace}/${secretName} has been marked invalid`;
  }
  const account = lookup('serviceaccounts', namespace, name);
  if (account === undefined || account.metadata.deletionTimestamp !== undefined) {
    return `ServiceAccount ${namespace}/${name} has been deleted`;
  }
  if (account.metadata.uid !== uid) {
    return `ServiceAccount UID (${account.metadata.uid}) does not match claim (${uid})`;
  }
  return {
    name: serviceAccountUserName(namespace, name),
    uid,
    groups: serviceAccountGroups(namespace),
    extra: {},
  };
}
