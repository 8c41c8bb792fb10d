/**
 * How long a request may take: a minute, or what it asks for with `?timeout=` if that is less. Streams
 * (watches, logs, exec, proxies) take as long as they take. Pure.
 * Source: apiserver endpoints/filters/request_deadline.go, server/filters/timeout.go.
 */
import { durationError, parseDuration } from '#control/schema/schema.ts';
import { type ApiError, badRequest, timeout } from './errors.ts';
import { REQUEST_TIMEOUT_MS_MAX } from './limits.ts';
import type { RequestInfo } from './request-info.ts';

const LONG_RUNNING_VERBS: ReadonlySet<string> = new Set(['watch', 'proxy']);
const LONG_RUNNING_SUBRESOURCES: ReadonlySet<string> = new Set([
  'exec',
  'attach',
  'portforward',
  'proxy',
  'log',
]);

export function isLongRunning(info: RequestInfo): boolean {
  return (
    LONG_RUNNING_VERBS.has(info.verb) ||
    (info.isResource && LONG_RUNNING_SUBRESOURCES.has(info.subresource))
  );
}

/** Milliseconds; undefined without a limit. Throws ApiError 400 for a timeout that is none. */
export function requestTimeoutMs(info: RequestInfo, asked: string | null): number | undefined {
  if (isLongRunning(info)) return undefined;
  if (asked === null || asked === '') return REQUEST_TIMEOUT_MS_MAX;
  const nanos = parseDuration(asked);
  if (nanos === undefined) {
    throw badRequest(`invalid timeout specified in the request URL - ${durationError(asked)}`);
  }
  const wantedMs = Number(nanos) / 1e6;
  return wantedMs > 0 && wantedMs < REQUEST_TIMEOUT_MS_MAX ? wantedMs : REQUEST_TIMEOUT_MS_MAX;
}

/** The 504 of a request that took longer. What it began may still come to its end. */
export function requestTimedOut(): ApiError {
  return timeout('request did not complete within the allotted timeout', 0);
}
