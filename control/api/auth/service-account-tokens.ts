/**
 * Service-account tokens: signing (TokenRequest) and checking. A token is a JWT whose
 * `kubernetes.io` claim binds it to a service account and, when asked for, to a pod, secret or
 * node; it is good only while those exist with the same uid (KEP-1205). Those that Secrets hold are
 * older and bound to their Secret (legacy-tokens.ts).
 *
 * Signatures that were checked are remembered until the token expires, so that a busy client costs
 * one verification; what the token is bound to is looked up every time.
 */
import { createPrivateKey, createPublicKey, type KeyObject, randomUUID } from 'node:crypto';
import { calculateJwkThumbprint, exportJWK, type JWTPayload, jwtVerify, SignJWT } from 'jose';
import type { KubeObject } from '#base/kube/client.ts';
import type { Clock } from '#base/clock.ts';
import type { UserInfo } from '../resource.ts';
import { checkLegacyToken, LEGACY_ISSUER } from './legacy-tokens.ts';
import { serviceAccountGroups, serviceAccountUserName } from './users.ts';

export interface BoundReference {
  readonly name: string;
  readonly uid: string;
}

/** The private claim `kubernetes.io`. */
export interface KubernetesClaim {
  readonly namespace: string;
  readonly serviceaccount: BoundReference;
  readonly pod?: BoundReference | undefined;
  readonly secret?: BoundReference | undefined;
  readonly node?: BoundReference | undefined;
  readonly warnafter?: number | undefined;
}

/** Looks objects up that tokens are bound to. */
export type Lookup = (
  resource: 'serviceaccounts' | 'pods' | 'secrets' | 'nodes',
  namespace: string,
  name: string,
) => KubeObject | undefined;

export interface CheckedToken {
  readonly user: UserInfo;
  readonly audiences: readonly string[];
}

interface Remembered {
  readonly payload: JWTPayload;
  readonly expiresMs: number;
}

const REMEMBERED_COUNT_MAX = 4096;

export class ServiceAccountTokens {
  readonly #issuer: string;
  readonly #lookup: Lookup;
  readonly #clock: Clock;
  readonly #remembered = new Map<string, Remembered>();
  #privateKey: KeyObject;
  #publicKey: KeyObject;
  #keyId: string | undefined;

  constructor(options: {
    issuer: string;
    keys: { privatePem: string };
    lookup: Lookup;
    clock: Clock;
  }) {
    this.#issuer = options.issuer;
    this.#lookup = options.lookup;
    this.#clock = options.clock;
    this.#privateKey = createPrivateKey(options.keys.privatePem);
    this.#publicKey = createPublicKey(this.#privateKey);
  }

  get issuer(): string {
    return this.#issuer;
  }

  /** Uses other keys from now on. */
  rekey(privatePem: string): void {
    this.#privateKey = createPrivateKey(privatePem);
    this.#publicKey = createPublicKey(this.#privateKey);
    this.#keyId = undefined;
    this.#remembered.clear();
  }

  get algorithm(): string {
    return this.#privateKey.asymmetricKeyType === 'rsa' ? 'RS256' : 'ES256';
  }

  async #kid(): Promise<string> {
    this.#keyId ??= await calculateJwkThumbprint(await exportJWK(this.#publicKey));
    return this.#keyId;
  }

  /** The JSON Web Key Set of /openid/v1/jwks. */
  async jwks(): Promise<unknown> {
    const jwk = await exportJWK(this.#publicKey);
    return { keys: [{ use: 'sig', alg: this.algorithm, kid: await this.#kid(), ...jwk }] };
  }

  async sign(claims: {
    readonly audiences: readonly string[];
    readonly expirationSeconds: number;
    readonly kubernetes: KubernetesClaim;
  }): Promise<{ token: string; expiresMs: number }> {
    const nowSeconds = Math.floor(this.#clock.nowMs() / 1000);
    const { namespace, serviceaccount } = claims.kubernetes;
    const expires = nowSeconds + claims.expirationSeconds;
    const token = await new SignJWT({ 'kubernetes.io': claims.kubernetes })
      .setProtectedHeader({ alg: this.algorithm, kid: await this.#kid() })
      .setAudience([...claims.audiences])
      .setIssuer(this.#issuer)
      .setIssuedAt(nowSeconds)
      .setNotBefore(nowSeconds)
      .setExpirationTime(expires)
      .setJti(randomUUID())
      .setSubject(serviceAccountUserName(namespace, serviceaccount.name))
      .sign(this.#privateKey);
    return { token, expiresMs: expires * 1000 };
  }

  /**
   * The token's user, or a text that says why it is not good. `audiences`: one must be in the
   * token.
   */
  async check(token: string, audiences: readonly string[]): Promise<CheckedToken | string> {
    const payload = await this.#verify(token);
    if (typeof payload === 'string') return payload;
    if (payload.iss === LEGACY_ISSUER) return this.#checkLegacy(token, payload, audiences);
    const named = typeof payload.aud === 'string' ? [payload.aud] : (payload.aud ?? []);
    const shared = audiences.filter((a) => named.includes(a));
    if (shared.length === 0) return `token audiences ${JSON.stringify(named)} are not accepted`;
    const claim = payload['kubernetes.io'];
    if (!isClaim(claim)) return 'token has no kubernetes.io claim';
    const problem = this.#checkBound(claim);
    if (problem !== undefined) return problem;
    return { user: userOf(claim, payload.jti), audiences: shared };
  }

  /** They name no audience, and are meant for this server alone. */
  #checkLegacy(
    token: string,
    payload: JWTPayload,
    audiences: readonly string[],
  ): CheckedToken | string {
    const shared = audiences.filter((audience) => audience === this.#issuer);
    if (shared.length === 0) return 'token audiences [] are not accepted';
    const user = checkLegacyToken(token, payload, this.#lookup);
    return typeof user === 'string' ? user : { user, audiences: shared };
  }

  async #verify(token: string): Promise<JWTPayload | string> {
    const nowMs = this.#clock.nowMs();
    const known = this.#remembered.get(token);
    if (known !== undefined && known.expiresMs > nowMs) return known.payload;
    try {
      const { payload } = await jwtVerify(token, this.#publicKey, {
        issuer: [this.#issuer, LEGACY_ISSUER],
        algorithms: [this.algorithm],
        currentDate: new Date(nowMs),
        requiredClaims: ['sub'],
      });
      if (payload.exp === undefined && payload.iss !== LEGACY_ISSUER) return 'exp claim is missing';
      const expiresMs = payload.exp === undefined ? Infinity : payload.exp * 1000;
      if (this.#remembered.size >= REMEMBERED_COUNT_MAX) this.#remembered.clear();
      this.#remembered.set(token, { payload, expiresMs });
      return payload;
    } catch (error) {
      return error instanceof Error ? error.message : String(error); // A bad token is an answer.
    }
  }

  #checkBound(claim: KubernetesClaim): string | undefined {
    const { namespace, serviceaccount, pod, secret, node } = claim;
    const bound = [
      ['serviceaccounts', namespace, serviceaccount],
      ['pods', namespace, pod],
      ['secrets', namespace, secret],
      // A token bound to a pod names the pod's node for information only.
      ['nodes', '', pod === undefined ? node : undefined],
    ] as const;
    for (const [resource, inNamespace, reference] of bound) {
      if (reference === undefined) continue;
      const object = this.#lookup(resource, inNamespace, reference.name);
      if (object === undefined || object.metadata.uid !== reference.uid) {
        return `${resource} ${reference.name} that the token is bound to is gone`;
      }
      const deleting = object.metadata.deletionTimestamp;
      if (deleting !== undefined && Date.parse(deleting) + 60_000 < this.#clock.nowMs()) {
        return `${resource} ${reference.name} that the token is bound to is being deleted`;
      }
    }
    return undefined;
  }
}

function isClaim(value: unknown): value is KubernetesClaim {
  if (typeof value !== 'object' || value === null) return false;
  if (!('namespace' in value) || typeof value.namespace !== 'string') return false;
  return 'serviceaccount' in value && typeof value.serviceaccount === 'object';
}

function userOf(claim: KubernetesClaim, jti: string | undefined): UserInfo {
  const extra: Record<string, string[]> = {};
  const put = (key: string, value: string | undefined) => {
    if (value !== undefined) extra[`authentication.kubernetes.io/${key}`] = [value];
  };
  put('credential-id', jti === undefined ? undefined : `JTI=${jti}`);
  put('node-name', claim.node?.name);
  put('node-uid', claim.node?.uid);
  put('pod-name', claim.pod?.name);
  put('pod-uid', claim.pod?.uid);
  return {
    name: serviceAccountUserName(claim.namespace, claim.serviceaccount.name),
    uid: claim.serviceaccount.uid,
    groups: serviceAccountGroups(claim.namespace),
    extra,
  };
}
