/**
 * The one path of every request: request info → deadline → authentication → impersonation →
 * authorization → handler, and back out through Warning headers, compression, audit, metrics and
 * the Status of whatever was thrown. Knows no transport.
 */
import { randomUUID } from 'node:crypto';
import { promisify } from 'node:util';
import * as zlib from 'node:zlib';
import { DeadlineExceeded } from '#base/clock.ts';
import { errorText } from '#base/errors.ts';
import { audit, type AuditLog, type Trail } from './audit/audit.ts';
import { attributesOf, denialText } from './auth/authorizer.ts';
import { authenticate } from './auth/authenticate.ts';
import { impersonate } from './auth/impersonate.ts';
import { ANONYMOUS, GROUP_MASTERS } from './auth/users.ts';
import { encodePlain } from './encode/encoder.ts';
import { contentTypeOf, type Format, JSON_FORMAT, negotiate } from './encode/media-type.ts';
import { ApiError, forbidden, internalError, tooManyRequests } from './errors.ts';
import { type ApiRequest, type ApiResponse, headerOf, isStream } from './exchange.ts';
import { Call, type Handler, type Services } from './handlers/call.ts';
import { GZIP_BYTES_MIN, REQUESTS_IN_FLIGHT_MAX } from './limits.ts';
import type { Metrics } from './metrics.ts';
import { isLongRunning, requestTimedOut, requestTimeoutMs } from './request-deadline.ts';
import { parseRequestInfo, type RequestInfo } from './request-info.ts';
import { storeFailure } from './registry/object-storage.ts';

const gzip = promisify(zlib.gzip);

export class Pipeline {
  readonly #services: Services;
  readonly #handler: Handler;
  readonly #metrics: Metrics;
  readonly #audit: AuditLog | undefined;
  #inFlight = 0;

  constructor(parts: {
    services: Services;
    handler: Handler;
    metrics: Metrics;
    audit?: AuditLog | undefined;
  }) {
    this.#services = parts.services;
    this.#handler = parts.handler;
    this.#metrics = parts.metrics;
    this.#audit = parts.audit;
  }

  /** Never rejects: whatever goes wrong becomes a Status. */
  async handle(request: ApiRequest): Promise<ApiResponse> {
    const startMs = this.#services.clock.monotonicMs();
    const mark = request.path.indexOf('?');
    const path = mark < 0 ? request.path : request.path.slice(0, mark);
    const query = new URLSearchParams(mark < 0 ? '' : request.path.slice(mark + 1));
    const info = parseRequestInfo(request.method, path, query);
    const call = new Call({ request, info, query, user: ANONYMOUS, services: this.#services });
    const trail: Trail = {
      call,
      auditId: headerOf(request.headers, 'audit-id') ?? randomUUID(),
    };
    let response: ApiResponse;
    try {
      const timeoutMs = requestTimeoutMs(info, query.get('timeout'));
      response = await (timeoutMs === undefined
        ? this.#serve(trail)
        : this.#serveWithin(timeoutMs, trail));
    } catch (error) {
      const failure = this.#toApiError(call, storeFailure(error));
      trail.failure = failure.status;
      response = refusal(call, failure);
    }
    response = await this.#finish(trail, response);
    if (this.#audit !== undefined) response = audit(this.#audit, trail, response);
    this.#metrics.observe(call, response.status, this.#services.clock.monotonicMs() - startMs);
    return response;
  }

  async #serve(trail: Trail): Promise<ApiResponse> {
    const { request, info, query } = trail.call;
    const services = this.#services;
    await this.#awaitCaches(info);
    trail.authenticated = await authenticate(request, services.tokens);
    const user = impersonate(trail.authenticated, request.headers, services.authorizer);
    trail.call = new Call({ request, info, query, user, services });
    this.#authorize(trail);
    return await this.#withinLimit(trail.call);
  }

  /** Throws ApiError 429 when too many requests are under way, before their bodies are read. */
  async #withinLimit(call: Call): Promise<ApiResponse> {
    const { info, request, user } = call;
    // What this machine's own parts ask for must not wait for strangers.
    const isExempt = request.peer.kind === 'channel' || user.groups.includes(GROUP_MASTERS);
    if (isExempt || isLongRunning(info)) return await this.#handler(call);
    if (this.#inFlight >= REQUESTS_IN_FLIGHT_MAX) {
      throw tooManyRequests('Too many requests, please try again later.', 1);
    }
    this.#inFlight++;
    try {
      return await this.#handler(call);
    } finally {
      this.#inFlight--; // Also when a request that timed out comes to its end at last.
    }
  }

  /** Answers 504 after `timeoutMs`; what was begun goes on, and nobody hears of it. */
  async #serveWithin(timeoutMs: number, trail: Trail): Promise<ApiResponse> {
    const { clock, signal } = this.#services;
    using deadline = clock.deadline(timeoutMs, signal);
    const { promise: expired, reject } = Promise.withResolvers<never>();
    deadline.signal.addEventListener('abort', () => {
      // Otherwise the server stops, which what is under way hears itself.
      if (deadline.signal.reason instanceof DeadlineExceeded) reject(requestTimedOut());
    });
    return await Promise.race([this.#serve(trail), expired]);
  }

  /**
   * While the caches are filled again, nothing can be looked up; health checks say so themselves.
   */
  async #awaitCaches(info: RequestInfo): Promise<void> {
    const { hub, signal } = this.#services;
    if (hub.ready || (!info.isResource && /^\/(healthz|livez|readyz)/.test(info.path))) return;
    await hub.waitFor(1, signal);
  }

  #authorize(trail: Trail): void {
    const { info, user, query } = trail.call;
    const attributes = attributesOf(info, query.get('fieldSelector'));
    trail.decision = this.#services.authorizer.decide(user, attributes);
    const { allowed, reason } = trail.decision;
    if (allowed) return;
    const of = { group: info.group, resource: info.resource };
    throw forbidden(of, info.name, denialText(user, attributes, reason));
  }

  #toApiError(call: Call, error: unknown): ApiError {
    if (error instanceof ApiError) return error;
    const { method, path } = call.request;
    this.#services.log.error('request failed', { method, path, error, at: stackLine(error) });
    return internalError(errorText(error));
  }

  async #finish({ call, auditId }: Trail, response: ApiResponse): Promise<ApiResponse> {
    const headers: Record<string, string | string[]> = {
      'audit-id': auditId,
      'cache-control': 'no-cache, private',
      ...response.headers,
    };
    if (call.warnings.size > 0) headers['warning'] = [...call.warnings].map(formatWarning);
    if (isStream(response.body)) return { ...response, headers };
    const pieces = response.body instanceof Uint8Array ? [response.body] : response.body;
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    const accepted = headerOf(call.request.headers, 'accept-encoding') ?? '';
    const isPacked = headers['content-encoding'] !== undefined;
    if (isPacked || length <= GZIP_BYTES_MIN || !/\bgzip\b/.test(accepted)) {
      return { ...response, headers };
    }
    const packed = await gzip(pieces.length === 1 ? (pieces[0] ?? '') : Buffer.concat(pieces), {
      level: 1,
    });
    return {
      status: response.status,
      headers: { ...headers, 'content-encoding': 'gzip', vary: 'Accept-Encoding' },
      body: packed,
    };
  }
}

function refusal(call: Call, failure: ApiError): ApiResponse {
  const headers: Record<string, string> = { 'x-content-type-options': 'nosniff' };
  const retry = failure.status.details?.retryAfterSeconds ?? 0;
  if (retry > 0) headers['retry-after'] = String(retry);
  const format = statusFormat(call);
  return {
    status: failure.code,
    headers: { ...headers, 'content-type': contentTypeOf(format) },
    body: encodePlain(failure.status, format),
  };
}

/** A Status goes out in the encoding that the client accepts, JSON when it accepts none of ours. */
function statusFormat(call: Call): Format {
  try {
    const format = negotiate(call.header('accept'), {
      shapes: ['Table', 'PartialObjectMetadata', 'PartialObjectMetadataList'],
    });
    return { ...format, shape: undefined };
  } catch (error) {
    if (error instanceof ApiError) return JSON_FORMAT;
    throw error;
  }
}

/** `299 - "text"`, quoted as RFC 9110 wants. */
function formatWarning(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters may not stand in headers
  const plain = text.replaceAll(/[\x00-\x1f\x7f]/g, ' ').replaceAll(/["\\]/g, '\\$&');
  return `299 - "${Buffer.from(plain).toString('latin1')}"`;
}

function stackLine(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  return error.stack?.split('\n')[1]?.trim();
}
