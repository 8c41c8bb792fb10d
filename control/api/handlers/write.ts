/** POST, PUT and DELETE of objects, and of whole collections. */
import type { ListMeta } from '#base/kube/api/meta-v1.gen.ts';
import type { KubeObject } from '#base/kube/client.ts';
import { CachedObject } from '../cache/cached-object.ts';
import { encodeList, encodeObject, listMemory } from '../encode/encoder.ts';
import { badRequest, isApiError, success } from '../errors.ts';
import type { ApiResponse } from '../exchange.ts';
import { DELETE_COLLECTION_PARALLEL } from '../limits.ts';
import type { DeleteOptions } from '../registry/delete-plan.ts';
import type { Written } from '../registry/registry.ts';
import type { ServedResource } from '../registry/served-resource.ts';
import { isTrue } from '../request-info.ts';
import { readObject, toStored } from './body.ts';
import type { Call } from './call.ts';
import { prefixOf, scopeOf, selectPage } from './list.ts';
import { parseInteger, parseListRequest, parseWriteOptions } from './options.ts';
import { reply, replyObject } from './reply.ts';

const SHAPES = ['Table', 'PartialObjectMetadata'] as const;
const LIST_SHAPES = ['Table', 'PartialObjectMetadataList'] as const;

export function replyWritten(
  call: Call,
  resource: ServedResource,
  status: number,
  written: Written,
): ApiResponse {
  const format = call.format(SHAPES);
  const options = { format, include: call.include, nowMs: call.nowMs };
  return reply(status, format, encodeObject(resource, written.json, options));
}

export async function createObject(call: Call, resource: ServedResource): Promise<ApiResponse> {
  call.format(SHAPES); // Refuses before anything is written.
  const { namespace } = call.info;
  const options = parseWriteOptions(call.query, 'CreateOptions');
  const decoded = await readObject(call, resource.gvk, options.fieldValidation);
  const object = toStored(resource, decoded);
  const where = { resource, namespace: scopeOf(resource, namespace) };
  const context = call.writeContext(options.dryRun);
  try {
    const written = await call.services.registry.create(where, object, context);
    return replyWritten(call, resource, 201, written);
  } finally {
    call.writtenName = object.metadata.name;
  }
}

export async function updateObject(call: Call, resource: ServedResource): Promise<ApiResponse> {
  call.format(SHAPES);
  const { name, subresource } = call.info;
  const namespace = scopeOf(resource, call.info.namespace);
  const options = parseWriteOptions(call.query, 'UpdateOptions');
  const decoded = await readObject(call, resource.gvk, options.fieldValidation);
  const object = toStored(resource, decoded);
  checkName(object, { name, namespace });
  const written = await call.services.registry.update(
    { resource, namespace, name, subresource },
    (current) => {
      if (current === undefined) call.require('create'); // An update of nothing makes it.
      return structuredClone(object);
    },
    call.writeContext(options.dryRun),
  );
  return replyWritten(call, resource, written.created === true ? 201 : 200, written);
}

/** The name in the object must be the URL's; an absent one is filled in. */
function checkName(object: KubeObject, url: { name: string; namespace: string }): void {
  const { metadata } = object;
  if ((metadata.name ?? '') === '') {
    throw badRequest(
      `the name of the object (${objectText(object)}) does not match the name on the URL (${url.name})`,
    );
  }
  if (metadata.name !== url.name) {
    throw badRequest(
      `the name of the object (${metadata.name}) does not match the name on the URL (${url.name})`,
    );
  }
  const namespace = metadata.namespace ?? '';
  if (url.namespace !== '' && namespace !== '' && namespace !== url.namespace) {
    throw badRequest(
      `the namespace of the object (${namespace}) does not match the namespace on the URL (${url.namespace})`,
    );
  }
}

function objectText(object: KubeObject): string {
  return object.metadata.name ?? '';
}

/** DeleteOptions from the body, else from the query. */
export async function readDeleteOptions(call: Call): Promise<DeleteOptions> {
  const body = await call.readBody();
  if (body.length > 0) {
    const gvk = { group: '', version: 'v1', kind: 'DeleteOptions' };
    // The decoder has checked the types of the fields.
    return (await readObject(call, gvk)) as unknown as DeleteOptions;
  }
  const { query } = call;
  const gracePeriodSeconds = parseInteger(query, 'gracePeriodSeconds');
  const orphan = query.get('orphanDependents');
  return {
    ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
    ...(orphan === null ? {} : { orphanDependents: isTrue(orphan) }),
    propagationPolicy: query.get('propagationPolicy') ?? undefined,
    dryRun: query.getAll('dryRun').filter((v) => v !== ''),
  };
}

export async function deleteObject(call: Call, resource: ServedResource): Promise<ApiResponse> {
  const format = call.format(SHAPES);
  const { name } = call.info;
  const namespace = scopeOf(resource, call.info.namespace);
  const options = await readDeleteOptions(call);
  const context = call.writeContext((options.dryRun ?? []).length > 0);
  const deleted = await call.services.registry.delete(
    { resource, namespace, name },
    options,
    context,
  );
  if (!deleted.removed || resource.rules.returnsDeletedObject === true) {
    // 202 tells old clients that a delete with orphanDependents=false is not over.
    const status = !deleted.removed && options.orphanDependents === false ? 202 : 200;
    const encode = { format, include: call.include, nowMs: call.nowMs };
    return reply(status, format, encodeObject(resource, deleted.json, encode));
  }
  const { uid } = deleted.object.metadata;
  return replyObject(200, success(resource.groupResource, name, uid), plain(call));
}

function plain(call: Call) {
  return { ...call.format(SHAPES), shape: undefined };
}

export async function deleteCollection(call: Call, resource: ServedResource): Promise<ApiResponse> {
  const format = call.format(LIST_SHAPES);
  const namespace = scopeOf(resource, call.info.namespace);
  const options = await readDeleteOptions(call);
  const request = parseListRequest(call.query, resource, false);
  const scope = { resource, prefix: prefixOf(resource, namespace) };
  const page = await selectPage(call, scope, request);
  // Before anything is deleted: what the deletions return, which no cache has, and the answer made of it.
  call.hold(page.items.reduce((sum, { json }) => sum + json.length, 0));
  call.hold(listMemory(page.items, format));
  const context = call.writeContext((options.dryRun ?? []).length > 0);
  const { registry } = call.services;
  const removed: CachedObject[] = [];
  const queue = [...page.items];
  const worker = async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) {
      const { key, name, namespace: inNamespace } = item;
      try {
        const at = { resource, namespace: inNamespace, name };
        const { json, revision } = await registry.delete(at, { ...options }, context);
        const fieldsOf = () => ({});
        removed.push(new CachedObject({ key, revision }, json, fieldsOf));
      } catch (error) {
        if (!isApiError(error, 'NotFound')) throw error; // Gone meanwhile is what was wanted.
      }
    }
  };
  await Promise.all(Array.from({ length: DELETE_COLLECTION_PARALLEL }, worker));
  removed.sort((a, b) => (a.key < b.key ? -1 : 1));
  const metadata: ListMeta = page.metadata;
  const encode = { format, include: call.include, nowMs: call.nowMs };
  return reply(200, format, await encodeList(resource, removed, metadata, encode));
}
