/**
 * The one path of every request: request info → authentication → audit id → impersonation →
 * authorization → handler, and back out through Warning headers, compression, metrics and the
 * Status of whatever was thrown. Knows no transport.
 */
import { randomUUID } from 'node:crypto';
import { promisify } from 'node:util';
import * as zlib from 'node:zlib';
import { errorText } from '#base/errors.ts';
import { attributesOf, denialText } from './auth/authorizer.ts';
import { authenticate } from './auth/authenticate.ts';
import { impersonate } from './auth/impersonate.ts';
import { ANONYMOUS } from './auth/users.ts';
import { encodePlain } from './encode/encoder.ts';
import { contentTypeOf, type Format, JSON_FORMAT, negotiate } from './encode/media-type.ts';
import { ApiError, forbidden, internalError } from './errors.ts';
import { type ApiRequest, type ApiResponse, headerOf, isStream } from './exchange.ts';
import { Call, type Handler, type Services } from './handlers/call.ts';
import { GZIP_BYTES_MIN } from './limits.ts';
import type { Metrics } from './metrics.ts';
import { parseRequestInfo, type RequestInfo } from './request-info.ts';
import { storeFailure } from './registry/object-storage.ts';

const gzip = promisify(zlib.gzip);

export class Pipeline {
  readonly #services: Services;
  readonly #handler: Handler;
  readonly #metrics: Metrics;

  constructor(parts: { services: Services; handler: Handler; metrics: Metrics }) {
    this.#services = parts.services;
    this.#handler = parts.handler;
    this.#metrics = parts.metrics;
  }

  /** Never rejects: whatever goes wrong becomes a Status. */
  async handle(request: ApiRequest): Promise<ApiResponse> {
    const startMs = this.#services.clock.monotonicMs();
    const mark = request.path.indexOf('?');
    const path = mark < 0 ? request.path : request.path.slice(0, mark);
    const query = new URLSearchParams(mark < 0 ? '' : request.path.slice(mark + 1));
    const info = parseRequestInfo(request.method, path, query);
    const call = new Call({ request, info, query, user: ANONYMOUS, services: this.#services });
    let response: ApiResponse;
    let inner: Call = call;
    try {
      await this.#awaitCaches(info);
      const authenticated = await authenticate(request, this.#services.tokens);
      const { authorizer } = this.#services;
      const user = impersonate(authenticated, request.headers, authorizer);
      inner = new Call({ request, info, query, user, services: this.#services });
      this.#authorize(inner);
      response = await this.#handler(inner);
    } catch (error) {
      response = this.#failure(call, error);
    }
    response = await this.#finish(inner, response);
    this.#metrics.observe(call, response.status, this.#services.clock.monotonicMs() - startMs);
    return response;
  }

  /**
   * While the caches are filled again, nothing can be looked up; health checks say so themselves.
   */
  async #awaitCaches(info: RequestInfo): Promise<void> {
    const { hub, signal } = this.#services;
    if (hub.ready || (!info.isResource && /^\/(healthz|livez|readyz)/.test(info.path))) return;
    await hub.waitFor(1, signal);
  }

  #authorize(call: Call): void {
    const { info, user } = call;
    const attributes = attributesOf(info, call.query.get('fieldSelector'));
    const { allowed, reason } = this.#services.authorizer.decide(user, attributes);
    if (allowed) return;
    const of = { group: info.group, resource: info.resource };
    throw forbidden(of, info.name, denialText(user, attributes, reason));
  }

  #failure(call: Call, error: unknown): ApiResponse {
    const failure = this.#toApiError(call, storeFailure(error));
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

  #toApiError(call: Call, error: unknown): ApiError {
    if (error instanceof ApiError) return error;
    const { method, path } = call.request;
    this.#services.log.error('request failed', { method, path, error, at: stackLine(error) });
    return internalError(errorText(error));
  }

  async #finish(call: Call, response: ApiResponse): Promise<ApiResponse> {
    const headers: Record<string, string | string[]> = {
      'audit-id': headerOf(call.request.headers, 'audit-id') ?? randomUUID(),
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
