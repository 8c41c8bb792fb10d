/**
 * PATCH: JSON patch (RFC 6902), merge patch (RFC 7386) and strategic merge patch. The patch is
 * applied again to the new state whenever another writer came first, so only a patch that names a
 * resourceVersion can conflict.
 */
import type { KubeObject } from '#base/kube/client.ts';
import {
  type ApiObject,
  formatApiVersion,
  goFormat,
  jsonMergePatch,
  normalise,
  SchemaError,
  strategicMergePatch,
} from '#control/schema/schema.ts';
import {
  type ApiError,
  badRequest,
  invalid,
  plainError,
  quote,
  unsupportedMediaType,
} from '../errors.ts';
import type { ApiResponse } from '../exchange.ts';
import type { ServedResource } from '../registry/served-resource.ts';
import { formatGvk, toStored } from './body.ts';
import type { Call } from './call.ts';
import { applyJsonPatch, unprocessablePatch } from './json-patch.ts';
import { scopeOf } from './list.ts';
import { type FieldValidation, parseWriteOptions } from './options.ts';
import { replyWritten } from './write.ts';

const JSON_PATCH = 'application/json-patch+json';
const MERGE_PATCH = 'application/merge-patch+json';
const STRATEGIC_PATCH = 'application/strategic-merge-patch+json';
const SUPPORTED = [JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH];

interface Patch {
  readonly apply: (current: ApiObject) => unknown;
  /** The value that upstream blames for a result that cannot be decoded. */
  readonly blamed: (result: unknown) => string;
}

/** A function that applies the request's patch to objects of the resource's served version. */
export async function readPatch(call: Call, gvk: ServedResource['gvk']): Promise<Patch> {
  const [type = ''] = (call.header('content-type') ?? '').split(';');
  if (!SUPPORTED.includes(type.trim())) throw unsupportedMediaType(SUPPORTED);
  const text = Buffer.from(await call.readBody()).toString();
  const patch = parsePatch(text);
  switch (type.trim()) {
    case JSON_PATCH:
      return { apply: (current) => applyJsonPatch(current, patch), blamed: JSON.stringify };
    case MERGE_PATCH:
      requireObject(patch, text);
      return { apply: (current) => jsonMergePatch(current, patch), blamed: JSON.stringify };
    default:
      requireObject(patch, text);
      return {
        apply: (current) => applyStrategicPatch(gvk, current, patch),
        blamed: () => goFormat(patch),
      };
  }
}

function applyStrategicPatch(
  gvk: ServedResource['gvk'],
  current: ApiObject,
  patch: unknown,
): ApiObject {
  try {
    return strategicMergePatch(gvk, current, patch);
  } catch (error) {
    throw error instanceof SchemaError ? strategicFailure(error) : error;
  }
}

function strategicFailure(error: SchemaError): ApiError {
  switch (error.code) {
    case 'BAD_PATCH':
      return badRequest(error.message);
    case 'UNPROCESSABLE_PATCH':
      return unprocessablePatch(error.message);
    default:
      return plainError(error.message);
  }
}

function parsePatch(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    // kubectl may send YAML; upstream accepts only JSON here.
    throw badRequest(
      `error decoding patch: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

function requireObject(patch: unknown, text: string): unknown {
  if (typeof patch === 'object' && patch !== null && !Array.isArray(patch)) return patch;
  throw badRequest(`error decoding patch: json: cannot unmarshal ${text.slice(0, 40)}`);
}

export async function patchObject(call: Call, resource: ServedResource): Promise<ApiResponse> {
  const { name, subresource } = call.info;
  const namespace = scopeOf(resource, call.info.namespace);
  const patch = await readPatch(call, resource.gvk);
  const options = parseWriteOptions(call.query, 'PatchOptions');
  const written = await call.services.registry.update(
    { resource, namespace, name, subresource },
    (current) => patched(call, resource, patch, current, options.fieldValidation),
    call.writeContext(options.dryRun),
    { isPatch: true },
  );
  return replyWritten(call, resource, 200, written);
}

function patched(
  call: Call,
  resource: ServedResource,
  patch: Patch,
  current: KubeObject | undefined,
  validation: FieldValidation,
): KubeObject {
  if (current === undefined) throw badRequest('cannot patch an object that does not exist');
  const before: ApiObject = { ...resource.fromStorage(current) };
  const value = patch.apply(before);
  const decoded = decodePatched(call, resource, { value, patch }, validation);
  const object = toStored(resource, decoded);
  const { metadata } = object;
  if (metadata.name !== call.info.name) {
    throw badRequest(
      `the name of the object (${metadata.name}) does not match the name on the URL (${call.info.name})`,
    );
  }
  return object;
}

function decodePatched(
  call: Call,
  resource: ServedResource,
  { value, patch }: { value: unknown; patch: Patch },
  validation: FieldValidation,
): ApiObject {
  const { gvk } = resource;
  let decoded: ReturnType<typeof normalise>;
  try {
    decoded = normalise(gvk, value, validation !== 'Ignore');
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    throw patchInvalid(patch.blamed(value), error.message);
  }
  const found = decoded.gvk;
  if (found.kind !== gvk.kind || formatApiVersion(found) !== formatApiVersion(gvk)) {
    throw badRequest(`${formatGvk(found)} does not match the expected ${formatGvk(gvk)}`);
  }
  if (decoded.problems.length > 0 && validation === 'Strict') {
    const text = `strict decoding error: ${decoded.problems.join(', ')}`;
    throw patchInvalid(patch.blamed(value), text);
  }
  if (validation === 'Warn') for (const problem of decoded.problems) call.warnings.add(problem);
  return decoded.object;
}

/** Upstream reports a patch result that cannot be decoded as a bad field named `patch`. */
function patchInvalid(value: string, text: string): ApiError {
  return invalid({ group: '', kind: '' }, '', [
    {
      reason: 'FieldValueInvalid',
      field: 'patch',
      message: `Invalid value: ${quote(value)}: ${text}`,
    },
  ]);
}
