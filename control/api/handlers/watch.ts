/**
 * Watches: where one starts, its initial events, bookmarks, and its end.
 * Rules: reference/kubernetes-api.md section 2.6.
 */
import type { CachedObject } from '../cache/cached-object.ts';
import type { CacheEvent } from '../cache/resource-cache.ts';
import { tooOld, Watcher } from '../cache/watcher.ts';
import { EventEncoder } from '../encode/encoder.ts';
import { contentTypeOf } from '../encode/media-type.ts';
import { badRequest, notAcceptable } from '../errors.ts';
import type { ApiResponse, BodySink } from '../exchange.ts';
import { BOOKMARK_PERIOD_MS, WATCH_SECONDS_MIN } from '../limits.ts';
import type { ServedResource } from '../registry/served-resource.ts';
import type { Call } from './call.ts';
import { prefixOf, requireRevision } from './list.ts';
import { type ListRequest, parseListRequest } from './options.ts';

const SHAPES = ['Table', 'PartialObjectMetadata', 'PartialObjectMetadataList'] as const;

/** Where a watch begins. */
type Start =
  | { readonly kind: 'now' }
  | { readonly kind: 'after'; readonly revision: number }
  | { readonly kind: 'state' };

export async function watchObjects(call: Call, resource: ServedResource): Promise<ApiResponse> {
  const format = call.format(SHAPES);
  if (format.encoding === 'yaml') {
    throw notAcceptable(['application/json', 'application/vnd.kubernetes.protobuf;stream=watch']);
  }
  const query = new URLSearchParams(call.query);
  const { name, namespace } = call.info;
  if (name !== '') narrowToName(query, name);
  const request = parseListRequest(query, resource, true);
  const start = startOf(request);
  const { hub, signal } = call.services;
  if (request.resourceVersion === '') await hub.waitForLatest(signal);
  else await hub.waitFor(requireRevision(request.resourceVersion), signal);
  const encoder = new EventEncoder(resource, {
    format: { ...format, pretty: false },
    include: call.include,
    nowMs: call.nowMs,
  });
  return {
    status: 200,
    headers: { 'content-type': contentTypeOf(format, true) },
    body: {
      start: (sink) => startWatch(call, sink, { resource, request, start, encoder, namespace }),
    },
  };
}

function narrowToName(query: URLSearchParams, name: string): void {
  const selector = query.get('fieldSelector') ?? '';
  const wanted = /(?:^|,)metadata\.name==?([^,]*)/.exec(selector)?.[1];
  if (wanted !== undefined && wanted !== name) {
    throw badRequest("fieldSelector metadata.name doesn't match requested name");
  }
  if (wanted === undefined) {
    query.set('fieldSelector', `${selector === '' ? '' : `${selector},`}metadata.name=${name}`);
  }
}

function startOf(request: ListRequest): Start {
  const { resourceVersion, sendInitialEvents } = request;
  if (sendInitialEvents === true) return { kind: 'state' };
  if (sendInitialEvents === false && (resourceVersion === '' || resourceVersion === '0')) {
    return { kind: 'now' };
  }
  if (resourceVersion === '' || resourceVersion === '0') return { kind: 'state' };
  return { kind: 'after', revision: requireRevision(resourceVersion) };
}

/** Runs without a pause from reading the cache to subscribing: no event is lost or doubled. */
function startWatch(
  call: Call,
  sink: BodySink,
  watch: {
    resource: ServedResource;
    request: ListRequest;
    start: Start;
    encoder: EventEncoder;
    namespace: string;
  },
): void {
  const { resource, request, start, encoder, namespace } = watch;
  const { cache } = resource;
  const { hub, signal, clock } = call.services;
  const prefix = prefixOf(resource, namespace);
  const { selection } = request;
  const scope = subscriptionScope(resource, prefix, selection.name);
  let initial: CachedObject[] = [];
  let missed: CacheEvent[] = [];
  if (start.kind === 'state') {
    const only = scope === prefix ? undefined : cache.get(scope);
    if (scope === prefix) initial = [...cache.scan(prefix)];
    else if (only !== undefined) initial = [only];
  } else if (start.kind === 'after') {
    if (start.revision < cache.windowStart) {
      sink.write(encoder.error(tooOld(start.revision, cache.windowStart).status));
      sink.end();
      return;
    }
    missed = cache.eventsAfter(start.revision).filter((e) => e.key.startsWith(prefix));
  }
  const initialEndsAt = request.sendInitialEvents === true ? hub.revision : undefined;
  const watcher = new Watcher(sink, { selection, encoder, initial, missed, initialEndsAt });
  const subscription = cache.subscribe(scope, watcher);

  const seconds = request.timeoutSeconds ?? WATCH_SECONDS_MIN * (1 + Math.random());
  const end = setTimeout(() => watcher.end(), seconds * 1000);
  // Just before the end too, so that the client comes back at a fresh position.
  const beforeEnd = setTimeout(() => bookmark(), Math.max(seconds - 2, 0) * 1000);
  const bookmark = () => {
    if (request.allowBookmarks) watcher.bookmark(hub.revision);
  };
  const period = setInterval(bookmark, BOOKMARK_PERIOD_MS);
  const stop = () => watcher.end();
  signal.addEventListener('abort', stop, { once: true });
  call.services.log.debug('watch started', {
    resource: resource.facts.resource,
    at: clock.nowMs(),
  });
  sink.onClose(() => {
    clearTimeout(end);
    clearTimeout(beforeEnd);
    clearInterval(period);
    signal.removeEventListener('abort', stop);
    subscription[Symbol.dispose]();
    watcher.abandon();
  });
}

function subscriptionScope(
  resource: ServedResource,
  prefix: string,
  name: string | undefined,
): string {
  if (name === undefined) return prefix;
  if (resource.facts.namespaced && prefix === '') return '';
  return prefix + name;
}
