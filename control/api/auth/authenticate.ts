/**
 * Who sends a request: client certificate (CN = user, O = groups), bearer token of a service
 * account, or nobody. A credential that does not hold is 401, never anonymous.
 */
import type { ApiRequest } from '../exchange.ts';
import { headerOf } from '../exchange.ts';
import { unauthorized } from '../errors.ts';
import type { UserInfo } from '../resource.ts';
import type { ServiceAccountTokens } from './service-account-tokens.ts';
import { ANONYMOUS, withAuthenticatedGroup } from './users.ts';

/** Begins the WebSocket subprotocol that carries a token. */
export const TOKEN_PROTOCOL = 'base64url.bearer.authorization.k8s.io.';

/** The token of `Authorization: Bearer`, or of the WebSocket subprotocol that browsers use. */
function bearerToken(request: ApiRequest): string | undefined {
  const header = headerOf(request.headers, 'authorization');
  const match = header === undefined ? null : /^bearer\s+(\S+)\s*$/i.exec(header);
  if (match?.[1] !== undefined) return match[1];
  const protocols = headerOf(request.headers, 'sec-websocket-protocol');
  const carrier = protocols?.split(/\s*,\s*/).find((p) => p.startsWith(TOKEN_PROTOCOL));
  if (carrier === undefined) return undefined;
  return Buffer.from(carrier.slice(TOKEN_PROTOCOL.length), 'base64url').toString();
}

/** The user of the request; throws ApiError 401. */
export async function authenticate(
  request: ApiRequest,
  tokens: ServiceAccountTokens,
): Promise<UserInfo> {
  const { peer } = request;
  if (peer.kind === 'channel') return peer.user;
  if (peer.user !== undefined) return withAuthenticatedGroup(peer.user);
  const token = bearerToken(request);
  if (token !== undefined) {
    const checked = await tokens.check(token, [tokens.issuer]);
    if (typeof checked === 'string') throw unauthorized();
    return withAuthenticatedGroup(checked.user);
  }
  if (peer.rejected) throw unauthorized();
  return ANONYMOUS;
}
