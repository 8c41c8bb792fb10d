/**
 * GET of one object and of collections: resource versions and pages.
 * Rules: reference/kubernetes-api.md section 2.6.
 */
import type { ListMeta } from '#base/kube/api/meta-v1.gen.ts';
import { StoreError } from '#control/store/store.ts';
import { rangeEndOf } from '../cache/cache-hub.ts';
import { CachedObject, withResourceVersion } from '../cache/cached-object.ts';
import { encodeList, encodeObject, listMemory } from '../encode/encoder.ts';
import { badRequest, expired, plainError, quote, tooLargeResourceVersion } from '../errors.ts';
import type { ApiResponse } from '../exchange.ts';
import { LOAD_PAGE_COUNT } from '../limits.ts';
import { parseRevision } from '../registry/codec.ts';
import type { ServedResource } from '../registry/served-resource.ts';
import type { Call, Services } from './call.ts';
import { formatContinue, INCONSISTENT, parseContinue } from './continue-token.ts';
import { type ListRequest, parseListRequest } from './options.ts';
import { reply } from './reply.ts';

const SHAPES = ['Table', 'PartialObjectMetadata'] as const;
const LIST_SHAPES = ['Table', 'PartialObjectMetadataList'] as const;

export async function getObject(call: Call, resource: ServedResource): Promise<ApiResponse> {
  const format = call.format(SHAPES);
  const { namespace, name } = call.info;
  const { registry, signal } = call.services;
  const wanted = call.query.get('resourceVersion') ?? '';
  if (wanted !== '' && wanted !== '0') {
    await call.services.hub.waitFor(requireRevision(wanted), signal);
  }
  const found = await registry.get(
    resource,
    resource.key(scopeOf(resource, namespace), name),
    signal,
  );
  const options = { format, include: call.include, nowMs: call.nowMs };
  return reply(200, format, encodeObject(resource, found.json, options));
}

/** Requests for `namespaces/x` carry x as namespace too, which cluster-scoped keys leave out. */
export function scopeOf(resource: ServedResource, namespace: string): string {
  return resource.facts.namespaced ? namespace : '';
}

/** Throws what upstream answers to a revision that is no number: 400 to lists, 500 to others. */
export function requireRevision(text: string, isList = false): number {
  const revision = parseRevision(text);
  if (revision !== undefined) return revision;
  const quoted = quote(text);
  const problem = `resourceVersion: Invalid value: ${quoted}: strconv.ParseUint: parsing ${quoted}: invalid syntax`;
  throw isList ? badRequest(`invalid resource version: ${problem}`) : plainError(problem);
}

export async function listObjects(call: Call, resource: ServedResource): Promise<ApiResponse> {
  const format = call.format(LIST_SHAPES);
  const request = parseListRequest(call.query, resource, false);
  const scope = { resource, prefix: prefixOf(resource, call.info.namespace) };
  const { items, metadata } = await selectPage(call, scope, request);
  const options = { format, include: call.include, nowMs: call.nowMs };
  call.hold(listMemory(items, format));
  return reply(200, format, await encodeList(resource, items, metadata, options));
}

export function prefixOf(resource: ServedResource, namespace: string): string {
  return resource.facts.namespaced && namespace !== '' ? `${namespace}/` : '';
}

interface Scope {
  readonly resource: ServedResource;
  /** `namespace/`, or '' for all. */
  readonly prefix: string;
}

export interface Page {
  readonly items: readonly CachedObject[];
  readonly metadata: ListMeta;
}

/** Throws ApiError 429 as `Call.hold`, for what is read from the store. */
export async function selectPage(call: Call, scope: Scope, request: ListRequest): Promise<Page> {
  const { services } = call;
  const { hub, signal } = services;
  if (request.continue !== '') return continuePage(call, scope, request);
  const { resourceVersion, match, limit } = request;
  const isAny = resourceVersion === '' || resourceVersion === '0';
  const revision = isAny ? 0 : requireRevision(resourceVersion, true);
  const exact = match === 'Exact' || (match === '' && limit > 0 && !isAny);
  if (exact) return pageAt(call, scope, request, { revision, start: scope.prefix });
  if (resourceVersion === '') await hub.waitForLatest(signal);
  else if (!isAny) await hub.waitFor(revision, signal);
  return pageNow(services, scope, request, scope.prefix);
}

async function continuePage(call: Call, scope: Scope, request: ListRequest): Promise<Page> {
  const { services } = call;
  const token = parseContinue(request.continue);
  if (request.resourceVersion !== '' && request.resourceVersion !== '0') {
    throw badRequest('specifying resource version is not allowed when using continue');
  }
  const start = scope.prefix + token.start;
  if (token.revision === INCONSISTENT) {
    await services.hub.waitForLatest(services.signal);
    return pageNow(services, scope, request, start);
  }
  return pageAt(call, scope, request, { revision: token.revision, start });
}

/** A page of what the cache holds now. */
function pageNow(services: Services, scope: Scope, request: ListRequest, start: string): Page {
  const objects = named(scope, request) ?? scope.resource.cache.scan(scope.prefix, start);
  return cut(objects, scope, request, services.hub.revision, start);
}

/** Just the one object that `metadata.name=` allows within a namespace. */
function named(scope: Scope, request: ListRequest): CachedObject[] | undefined {
  const { name } = request.selection;
  if (name === undefined || (scope.resource.facts.namespaced && scope.prefix === '')) {
    return undefined;
  }
  const found = scope.resource.cache.get(scope.prefix + name);
  return found === undefined ? [] : [found];
}

/** A page of the state at a revision that may be past. */
async function pageAt(
  call: Call,
  scope: Scope,
  request: ListRequest,
  at: { revision: number; start: string },
): Promise<Page> {
  const { hub, signal } = call.services;
  const { revision, start } = at;
  try {
    await hub.waitFor(revision, signal);
  } catch {
    signal.throwIfAborted();
    throw tooLargeResourceVersion(revision, hub.revision);
  }
  const cached =
    revision < hub.compactRevision
      ? undefined
      : scope.resource.cache.snapshot(scope.prefix, revision);
  const past = cached ?? (await history(call, scope, request, at));
  const from = past.filter((object) => object.key >= start);
  return cut(from, scope, request, revision, start);
}

/** The state at a revision from the store's history; 410 when it is compacted. */
async function history(
  call: Call,
  scope: Scope,
  request: ListRequest,
  at: { revision: number; start: string },
): Promise<CachedObject[]> {
  const { services } = call;
  const { resource, prefix } = scope;
  const end = rangeEndOf(resource.storeKey(prefix));
  const root = resource.storeKey('').length;
  const found: CachedObject[] = [];
  let key = resource.storeKey(at.start);
  const fieldsOf = (object: Parameters<NonNullable<typeof resource.rules.selectableFields>>[0]) =>
    resource.rules.selectableFields?.(object) ?? {};
  for (;;) {
    try {
      const page = await services.store.range(
        { key, rangeEnd: end, revision: at.revision, limit: LOAD_PAGE_COUNT },
        services.signal,
      );
      // The cache's objects are there anyway; these are this request's own.
      call.hold(page.kvs.reduce((sum, { value }) => sum + value.length, 0));
      for (const kv of page.kvs) {
        const json = withResourceVersion(kv.value, kv.modRevision);
        const where = { key: kv.key.slice(root), revision: kv.modRevision };
        found.push(new CachedObject(where, json, fieldsOf));
      }
      const last = page.kvs.at(-1);
      const enough = request.limit > 0 && found.length > request.limit && request.selection.isEmpty;
      if (!page.more || last === undefined || enough) return found;
      key = `${last.key}\0`;
    } catch (error) {
      if (error instanceof StoreError && error.code === 'COMPACTED') {
        throw compacted(request, at.start.slice(prefix.length));
      }
      throw error;
    }
  }
}

function compacted(request: ListRequest, start: string) {
  if (request.continue === '') {
    return expired('The resourceVersion for the provided list is too old.');
  }
  return expired(
    'The provided continue parameter is too old to display a consistent list result. You can ' +
      'start a new list without the continue parameter, or use the continue token in this response ' +
      'to retrieve the remainder of the results. Continuing with the provided token results in an ' +
      'inconsistent list - objects that were created, modified, or deleted between the time the ' +
      'first chunk was returned and now may show up in the list.',
    formatContinue({ revision: INCONSISTENT, start }),
  );
}

function cut(
  objects: Iterable<CachedObject>,
  scope: Scope,
  request: ListRequest,
  revision: number,
  start: string,
): Page {
  const { limit, selection } = request;
  const items: CachedObject[] = [];
  let last = '';
  let isCut = false;
  for (const object of objects) {
    if (limit > 0 && items.length >= limit) {
      isCut = true;
      break;
    }
    last = object.key;
    if (selection.isEmpty || selection.matches(object)) items.push(object);
  }
  const metadata: ListMeta = { resourceVersion: String(revision) };
  if (!isCut) return { items, metadata };
  metadata.continue = formatContinue({ revision, start: `${last.slice(scope.prefix.length)}\0` });
  if (selection.isEmpty) {
    const total = Array.isArray(objects)
      ? objects.length
      : scope.resource.cache.count(scope.prefix, start > scope.prefix ? start : scope.prefix);
    const remaining = total - items.length;
    if (remaining > 0) metadata.remainingItemCount = remaining;
  }
  return { items, metadata };
}
