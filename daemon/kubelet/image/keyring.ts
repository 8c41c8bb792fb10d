/**
 * Registry credentials from imagePullSecrets: docker's config JSON, matched by registry host and
 * path prefix, the longest match first. Pure.
 */
import type { Secret } from '#base/kube/api/core-v1.gen.ts';
import type { RegistryAuth } from '../../runtime/port.ts';

interface Entry {
  readonly host: string;
  readonly path: string;
  readonly auth: RegistryAuth;
}

/** `registry.example/team/app:1` -> host and path; names without a host are Docker Hub's. */
export function splitReference(reference: string): { host: string; path: string } {
  const slash = reference.indexOf('/');
  const first = slash === -1 ? '' : reference.slice(0, slash);
  const isHost = first.includes('.') || first.includes(':') || first === 'localhost';
  const host = isHost ? first : 'docker.io';
  const rest = isHost ? reference.slice(slash + 1) : reference;
  const path = rest.replace(/@.*$/, '').replace(/:[^/:]*$/, '');
  return { host, path: host === 'docker.io' && !path.includes('/') ? `library/${path}` : path };
}

/** Credentials to try for an image, best first; secrets that cannot be read are passed over. */
export function credentialsFor(reference: string, secrets: readonly Secret[]): RegistryAuth[] {
  const { host, path } = splitReference(reference);
  return secrets
    .flatMap(entriesOf)
    .filter((e) => sameHost(e.host, host))
    .filter((e) => e.path === '' || path === e.path || path.startsWith(`${e.path}/`))
    .toSorted((a, b) => b.path.length - a.path.length)
    .map((e) => e.auth);
}

/** `*.example.com` matches one label in place of each star. */
function sameHost(pattern: string, host: string): boolean {
  const hub = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io']);
  if (hub.has(pattern) && hub.has(host)) return true;
  const wanted = pattern.split('.');
  const got = host.split('.');
  return (
    wanted.length === got.length &&
    wanted.every((part, i) => part === got[i] || (part === '*' && got[i] !== ''))
  );
}

function entriesOf(secret: Secret): Entry[] {
  const modern = secret.data?.['.dockerconfigjson'];
  const legacy = secret.data?.['.dockercfg'];
  const text = modern ?? legacy;
  if (text === undefined) return [];
  let config: unknown;
  try {
    config = JSON.parse(Buffer.from(text, 'base64').toString('utf8'));
  } catch {
    return []; // The API server refuses such secrets; another secret may still fit.
  }
  const auths = modern === undefined ? config : field(config, 'auths');
  if (typeof auths !== 'object' || auths === null) return [];
  return Object.entries(auths).flatMap(([key, value]) => {
    const auth = authOf(value);
    return auth === undefined ? [] : [{ ...locationOf(key), auth }];
  });
}

function field(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return (value as Record<string, unknown>)[name]; // An object, checked above.
}

function locationOf(key: string): { host: string; path: string } {
  const bare = key.replace(/^https?:\/\//, '').replace(/\/+$/, '');
  const slash = bare.indexOf('/');
  const host = slash === -1 ? bare : bare.slice(0, slash);
  const path = slash === -1 ? '' : bare.slice(slash + 1);
  // `https://index.docker.io/v1/` and the like name an API version, no repository.
  return { host, path: /^v[12]$/.test(path) ? '' : path };
}

function authOf(value: unknown): RegistryAuth | undefined {
  const username = field(value, 'username');
  const password = field(value, 'password');
  if (typeof username === 'string' && typeof password === 'string') return { username, password };
  const auth = field(value, 'auth');
  if (typeof auth !== 'string') return undefined;
  const text = Buffer.from(auth, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon === -1) return undefined;
  return { username: text.slice(0, colon), password: text.slice(colon + 1) };
}
