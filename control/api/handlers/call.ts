/**
 * One request on its way through the pipeline: what the stages found out so far, and the parts of
 * the server that handlers use.
 */
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Store } from '#control/store/store.ts';
import { attributesOf, type Authorizer, denialText } from '../auth/authorizer.ts';
import type { RbacAuthorizer } from '../auth/rbac.ts';
import type { ServiceAccountTokens } from '../auth/service-account-tokens.ts';
import type { CacheHub } from '../cache/cache-hub.ts';
import { type Format, negotiate, type Shape } from '../encode/media-type.ts';
import type { IncludeObject } from '../encode/shapes.ts';
import { forbidden } from '../errors.ts';
import { type ApiRequest, type ApiResponse, headerOf } from '../exchange.ts';
import type { MemoryBudget } from '../memory-budget.ts';
import type { AdmissionChain, WriteContext } from '../registry/admission.ts';
import type { Registry } from '../registry/registry.ts';
import type { ServedResources } from '../registry/served-resource.ts';
import type { RequestInfo } from '../request-info.ts';
import type { UserInfo } from '../resource.ts';
import type { Kubelets } from '../stream/kubelets.ts';

/** A body, what it is decoded to, and what is stored. */
const BODY_MEMORY_FACTOR = 4;

/** What handlers need of the server. */
export interface Services {
  readonly store: Store;
  readonly hub: CacheHub;
  readonly registry: Registry;
  readonly admission: AdmissionChain;
  readonly resources: ServedResources;
  readonly authorizer: Authorizer;
  readonly rbac: RbacAuthorizer;
  readonly tokens: ServiceAccountTokens;
  readonly kubelets: Kubelets;
  readonly memory: MemoryBudget;
  readonly clock: Clock;
  readonly log: Log;
  /** Aborts when the server stops: ends watches and waits. */
  readonly signal: AbortSignal;
}

export class Call {
  readonly request: ApiRequest;
  readonly info: RequestInfo;
  readonly query: URLSearchParams;
  readonly user: UserInfo;
  readonly services: Services;
  readonly nowMs: number;
  readonly warnings = new Set<string>();
  readonly auditAnnotations = new Map<string, string>();
  /** Name of the object that a POST made, which its URL does not say. */
  writtenName: string | undefined;
  #bytesHeld = 0;

  constructor(parts: {
    request: ApiRequest;
    info: RequestInfo;
    query: URLSearchParams;
    user: UserInfo;
    services: Services;
  }) {
    this.request = parts.request;
    this.info = parts.info;
    this.query = parts.query;
    this.user = parts.user;
    this.services = parts.services;
    this.nowMs = parts.services.clock.nowMs();
  }

  header(name: string): string | undefined {
    return headerOf(this.request.headers, name);
  }

  /**
   * Counts memory that this request holds until its answer has left. Throws ApiError 429 when the
   * requests under way hold too much; what this process asks of itself is not refused.
   */
  hold(bytes: number): void {
    if (this.request.peer.kind === 'channel') return;
    const { memory } = this.services;
    memory.take(bytes, this.#bytesHeld);
    this.#bytesHeld += bytes;
    if (this.#bytesHeld > bytes) return;
    this.request.onLeave(() => {
      memory.give(this.#bytesHeld);
      this.#bytesHeld = 0;
    });
  }

  /** The whole body. Throws ApiError 413 for one that is too large, 429 as `hold`. */
  async readBody(): Promise<Uint8Array> {
    return this.request.readBody((bytes) => this.hold(bytes * BODY_MEMORY_FACTOR));
  }

  writeContext(dryRun: boolean): WriteContext {
    return {
      nowMs: this.nowMs,
      user: this.user,
      dryRun,
      signal: this.services.signal,
      warn: (text) => this.warnings.add(text),
      annotate: (key, value) => this.auditAnnotations.set(key, value),
    };
  }

  /** Throws ApiError 403 unless the user may also do `verb` to what the request is about. */
  require(verb: string): void {
    const attributes = attributesOf({ ...this.info, verb });
    const { allowed, reason } = this.services.authorizer.decide(this.user, attributes);
    if (allowed) return;
    const { group, resource, name } = this.info;
    throw forbidden({ group, resource }, name, denialText(this.user, attributes, reason));
  }

  /** The format of the answer. Throws ApiError 406. */
  format(shapes: readonly Shape[] = []): Format {
    const format = negotiate(this.header('accept'), { shapes });
    // What Go's ParseBool takes for true.
    const isPretty = /^(?:1|t|T|true|TRUE|True)$/.test(this.query.get('pretty') ?? '');
    return isPretty ? { ...format, pretty: true } : format;
  }

  get include(): IncludeObject {
    const value = this.query.get('includeObject');
    return value === 'None' || value === 'Object' ? value : 'Metadata';
  }
}

export type Handler = (call: Call) => ApiResponse | Promise<ApiResponse>;
