/**
 * How a registry wants to be convinced: WWW-Authenticate challenges (RFC 9110 section 11) and the token
 * request of the distribution specification. Pure.
 */

export type Challenge =
  | { readonly scheme: 'basic' }
  | {
      readonly scheme: 'bearer';
      readonly realm: string;
      readonly service: string | undefined;
      readonly scope: string | undefined;
    };

/** The first challenge that we can answer; bearer before basic. */
export function parseChallenge(header: string | null): Challenge | undefined {
  const challenges = splitChallenges(header ?? '');
  const bearer = challenges.find((c) => c.scheme === 'bearer' && c.params.has('realm'));
  if (bearer !== undefined) {
    return {
      scheme: 'bearer',
      realm: bearer.params.get('realm') ?? '',
      service: bearer.params.get('service'),
      scope: bearer.params.get('scope'),
    };
  }
  return challenges.some((c) => c.scheme === 'basic') ? { scheme: 'basic' } : undefined;
}

function splitChallenges(header: string): readonly {
  scheme: string;
  params: ReadonlyMap<string, string>;
}[] {
  const result: { scheme: string; params: Map<string, string> }[] = [];
  const token = /\s*,?\s*(?:([\w.~+-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))|([\w.~+-]+))/gy;
  for (let match = token.exec(header); match !== null; match = token.exec(header)) {
    const [, name, quoted, bare, scheme] = match;
    if (scheme !== undefined) result.push({ scheme: scheme.toLowerCase(), params: new Map() });
    else if (name !== undefined) {
      const value = quoted?.replace(/\\(.)/g, '$1') ?? bare ?? '';
      result.at(-1)?.params.set(name.toLowerCase(), value);
    }
  }
  return result;
}

/** Where to ask for a token to pull `repository`. Throws TypeError when the realm is no URL. */
export function tokenUrl(challenge: Challenge & { scheme: 'bearer' }, repository: string): URL {
  const url = new URL(challenge.realm);
  if (challenge.service !== undefined) url.searchParams.set('service', challenge.service);
  url.searchParams.set('scope', challenge.scope ?? `repository:${repository}:pull`);
  return url;
}

export function basicAuthorization(auth: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString('base64')}`;
}

/** A host's name or address, without port. */
export function isLoopback(name: string): boolean {
  return name === 'localhost' || /^127(\.\d+){3}$/.test(name) || name === '[::1]';
}

/**
 * Whether a token server may have the registry's credentials: over TLS or within this machine. Without TLS
 * it must be the registry itself, which then is one that the user calls insecure.
 */
export function mayHaveCredentials(tokenServer: URL, baseUrl: string): boolean {
  if (tokenServer.protocol === 'https:' || isLoopback(tokenServer.hostname)) return true;
  return tokenServer.protocol === 'http:' && tokenServer.origin === new URL(baseUrl).origin;
}
