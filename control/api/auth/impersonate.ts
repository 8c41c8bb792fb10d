/**
 * Impersonation: a user that may `impersonate` another acts as that one from here on. Every part
 * that is asked for (user, groups, uid, extra) is authorized on its own.
 */
import type { Headers } from '../exchange.ts';
import { headerOf } from '../exchange.ts';
import { badRequest, forbidden, internalError } from '../errors.ts';
import type { UserInfo } from '../resource.ts';
import { type Attributes, type Authorizer, denialText } from './authorizer.ts';
import {
  ANONYMOUS,
  GROUP_AUTHENTICATED,
  GROUP_UNAUTHENTICATED,
  parseServiceAccountUser,
  serviceAccountGroups,
} from './users.ts';

const USER = 'impersonate-user';
const GROUP = 'impersonate-group';
const UID = 'impersonate-uid';
const EXTRA = 'impersonate-extra-';

function listOf(headers: Headers, name: string): string[] {
  const value = headers[name];
  if (value === undefined) return [];
  return Array.isArray(value) ? value : value.split(/\s*,\s*/);
}

/** The user to go on as: `user` itself without impersonation headers. Throws ApiError 403. */
export function impersonate(user: UserInfo, headers: Headers, authorizer: Authorizer): UserInfo {
  const name = headerOf(headers, USER);
  const groups = listOf(headers, GROUP);
  const uid = headerOf(headers, UID);
  const extraNames = Object.keys(headers).filter((h) => h.startsWith(EXTRA));
  if (name === undefined || name === '') {
    if (groups.length > 0 || uid !== undefined || extraNames.length > 0) {
      throw internalError('requested impersonation without impersonating a user');
    }
    return user;
  }
  const account = parseServiceAccountUser(name);
  if (account === undefined) check(user, authorizer, { resource: 'users', name });
  else check(user, authorizer, { resource: 'serviceaccounts', ...account });
  for (const group of groups) check(user, authorizer, { resource: 'groups', name: group });
  const authentication = { group: 'authentication.k8s.io' };
  if (uid) check(user, authorizer, { ...authentication, resource: 'uids', name: uid });
  const extra: Record<string, string[]> = {};
  for (const header of extraNames) {
    const key = decodeKey(header.slice(EXTRA.length));
    const values = listOf(headers, header);
    for (const value of values) {
      const asked = { ...authentication, resource: 'userextras', subresource: key, name: value };
      check(user, authorizer, asked);
    }
    extra[key] = values;
  }
  const implied = groups.length === 0 && account ? serviceAccountGroups(account.namespace) : groups;
  return { name, uid: uid ?? '', groups: completeGroups(name, implied), extra };
}

function decodeKey(key: string): string {
  try {
    return decodeURIComponent(key);
  } catch (error) {
    throw Object.assign(badRequest(`malformed impersonation header ${EXTRA}${key}`), {
      cause: error,
    });
  }
}

function completeGroups(name: string, groups: readonly string[]): string[] {
  const known = groups.includes(GROUP_AUTHENTICATED) || groups.includes(GROUP_UNAUTHENTICATED);
  if (known) return [...groups];
  const isAnonymous = name === ANONYMOUS.name;
  return [...groups, isAnonymous ? GROUP_UNAUTHENTICATED : GROUP_AUTHENTICATED];
}

function check(
  user: UserInfo,
  authorizer: Authorizer,
  asked: {
    group?: string;
    resource: string;
    subresource?: string;
    namespace?: string;
    name: string;
  },
): void {
  const attributes: Attributes = {
    kind: 'resource',
    verb: 'impersonate',
    group: '',
    version: 'v1',
    subresource: '',
    namespace: '',
    ...asked,
  };
  const { allowed, reason } = authorizer.decide(user, attributes);
  if (allowed) return;
  const of = { group: attributes.group, resource: attributes.resource };
  throw forbidden(of, attributes.name, denialText(user, attributes, reason));
}
