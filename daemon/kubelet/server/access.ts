/**
 * Who may talk to the kubelet: a client certificate of the cluster's CA or a bearer token says who it
 * is, a SubjectAccessReview of the API server whether they may. Answers are kept for a while.
 */
import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '#base/clock.ts';
import { subjectaccessreviews, tokenreviews } from '#base/kube/api/resources.gen.ts';
import type { KubeClient } from '#base/kube/client.ts';

export interface Identity {
  readonly user: string;
  readonly groups: readonly string[];
}

const ALLOWED_MS = 300_000;
const DENIED_MS = 30_000;
const ANSWERS_MAX = 1_000;

/** The resource attributes of a request: nodes, and a subresource by path. */
export function nodeSubresource(path: string): string {
  const first = path.split('/')[1] ?? '';
  switch (first) {
    case 'stats':
    case 'metrics':
    case 'configz':
    case 'healthz':
      return first;
    case 'logs':
      return 'log';
    case 'pods':
    case 'runningpods':
      return 'pods';
    default:
      return 'proxy';
  }
}

const VERBS: Readonly<Record<string, string>> = {
  GET: 'get',
  HEAD: 'get',
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};

interface Answer {
  readonly allowed: boolean;
  readonly untilMs: number;
}

export class Access {
  readonly #client: KubeClient;
  readonly #clock: Clock;
  readonly #nodeName: string;
  readonly #answers = new Map<string, Answer>();

  constructor(io: { client: KubeClient; clock: Clock; nodeName: string }) {
    this.#client = io.client;
    this.#clock = io.clock;
    this.#nodeName = io.nodeName;
  }

  /** Undefined: nobody we know. */
  async identify(request: IncomingMessage, signal: AbortSignal): Promise<Identity | undefined> {
    const socket = request.socket as TLSSocket; // The server speaks TLS only.
    if (socket.authorized) {
      const { subject } = socket.getPeerCertificate();
      const list = (value: string | string[] | undefined) =>
        value === undefined ? [] : Array.isArray(value) ? value : [value];
      const user = list(subject?.CN).at(-1); // As the API server reads it.
      // Every authenticator of the cluster adds the last one; token reviews bring it along.
      if (user !== undefined)
        return { user, groups: [...list(subject?.O), 'system:authenticated'] };
    }
    const [, token] = /^Bearer (\S+)$/i.exec(request.headers.authorization ?? '') ?? [];
    return token === undefined ? undefined : this.#reviewToken(token, signal);
  }

  async #reviewToken(token: string, signal: AbortSignal): Promise<Identity | undefined> {
    const review = await this.#client.create(
      tokenreviews,
      {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenReview',
        metadata: {},
        spec: { token },
      },
      signal,
    );
    const { authenticated, user } = review.status ?? {};
    if (authenticated !== true || user?.username === undefined) return undefined;
    return { user: user.username, groups: user.groups ?? [] };
  }

  async allows(identity: Identity, method: string, path: string, signal: AbortSignal) {
    if (identity.groups.includes('system:masters')) return true;
    const verb = VERBS[method] ?? 'get';
    const subresource = nodeSubresource(path);
    const fine = await this.#ask(identity, { verb, subresource }, signal);
    // Before fine-grained subresources there was nodes/proxy for everything; it still opens all.
    if (fine || !['pods', 'healthz', 'configz'].includes(subresource)) return fine;
    return this.#ask(identity, { verb, subresource: 'proxy' }, signal);
  }

  async #ask(
    identity: Identity,
    { verb, subresource }: { verb: string; subresource: string },
    signal: AbortSignal,
  ): Promise<boolean> {
    const key = JSON.stringify([identity, verb, subresource]);
    const nowMs = this.#clock.monotonicMs();
    const known = this.#answers.get(key);
    if (known !== undefined && nowMs < known.untilMs) return known.allowed;
    const resourceAttributes = {
      verb,
      resource: 'nodes',
      subresource,
      name: this.#nodeName,
      version: 'v1',
    };
    const review = await this.#client.create(
      subjectaccessreviews,
      {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SubjectAccessReview',
        metadata: {},
        spec: { user: identity.user, groups: [...identity.groups], resourceAttributes },
      },
      signal,
    );
    const allowed = review.status?.allowed === true;
    if (this.#answers.size >= ANSWERS_MAX) this.#answers.clear();
    this.#answers.set(key, { allowed, untilMs: nowMs + (allowed ? ALLOWED_MS : DENIED_MS) });
    return allowed;
  }
}
