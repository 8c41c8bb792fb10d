/**
 * Service account tokens of one pod, asked from the API and bound to the pod: kept until 80 % of
 * their life (or a day) has passed, then replaced. A renewal that fails leaves the old token in use
 * while it is valid.
 */
import type { Clock } from '#base/clock.ts';
import { serviceaccounts } from '#base/kube/api/resources.gen.ts';
import type { Pod, ServiceAccountTokenProjection } from '#base/kube/api/core-v1.gen.ts';
import type { KubeClient } from '#base/kube/client.ts';

const EXPIRATION_SECONDS_DEFAULT = 3600;
const AGE_MS_MAX = 24 * 3600 * 1000;

interface Token {
  readonly token: string;
  readonly renewAtMs: number;
  readonly expiresAtMs: number;
}

export interface TokensIo {
  readonly client: KubeClient;
  readonly clock: Clock;
}

export class PodTokens {
  readonly #io: TokensIo;
  readonly #tokens = new Map<string, Token>();

  constructor(io: TokensIo) {
    this.#io = io;
  }

  /** When the next token should be replaced. */
  get renewAtMs(): number | undefined {
    const times = [...this.#tokens.values()].map((t) => t.renewAtMs);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  async get(
    pod: Pod,
    request: ServiceAccountTokenProjection,
    signal: AbortSignal,
  ): Promise<string> {
    const key = JSON.stringify([request.audience ?? '', request.expirationSeconds ?? 0]);
    const known = this.#tokens.get(key);
    const nowMs = this.#io.clock.nowMs();
    if (known !== undefined && nowMs < known.renewAtMs) return known.token;
    try {
      const fresh = await this.#request(pod, request, signal);
      this.#tokens.set(key, fresh);
      return fresh.token;
    } catch (error) {
      signal.throwIfAborted();
      if (known === undefined || nowMs >= known.expiresAtMs) throw error;
      return known.token; // Still good; the next refresh tries again.
    }
  }

  async #request(
    pod: Pod,
    { audience, expirationSeconds }: ServiceAccountTokenProjection,
    signal: AbortSignal,
  ): Promise<Token> {
    const { name, namespace, uid } = pod.metadata;
    const seconds = expirationSeconds ?? EXPIRATION_SECONDS_DEFAULT;
    const startMs = this.#io.clock.nowMs();
    const answer = await this.#io.client.createSubresource(
      serviceaccounts,
      { namespace, name: pod.spec.serviceAccountName ?? 'default', subresource: 'token' },
      {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        metadata: {},
        spec: {
          audiences: audience === undefined || audience === '' ? [] : [audience],
          expirationSeconds: seconds,
          boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name, uid },
        },
      },
      signal,
    );
    const { token, expirationTimestamp } = parseAnswer(answer);
    const expiresAtMs = Date.parse(expirationTimestamp);
    const lifeMs = Math.min(seconds * 1000, expiresAtMs - startMs);
    const renewAtMs = startMs + Math.min(lifeMs * 0.8, AGE_MS_MAX);
    return { token, renewAtMs, expiresAtMs };
  }
}

function parseAnswer(answer: unknown): { token: string; expirationTimestamp: string } {
  const { status } = (answer ?? {}) as { status?: Record<string, unknown> }; // Checked next.
  const { token, expirationTimestamp } = status ?? {};
  if (typeof token !== 'string' || typeof expirationTimestamp !== 'string') {
    throw new Error('token request was answered without a token');
  }
  return { token, expirationTimestamp };
}
