/**
 * Request bodies to objects: decoding by Content-Type, strictness by fieldValidation, defaults, and
 * the way to the storage version. Texts: apiserver endpoints/handlers/{create,rest}.go.
 */
import type { KubeObject } from '#base/kube/client.ts';
import {
  type ApiObject,
  applyMarkerDefaults,
  type Decoded,
  decodeJson,
  decodeProtobuf,
  decodeYaml,
  formatApiVersion,
  type GroupVersionKind,
  SchemaError,
} from '#control/schema/schema.ts';
import { bodyEncoding } from '../encode/media-type.ts';
import { badRequest } from '../errors.ts';
import type { ServedResource } from '../registry/served-resource.ts';
import type { Call } from './call.ts';
import type { FieldValidation } from './options.ts';

/** `v1, Kind=Pod` as upstream prints kinds. */
export function formatGvk({ group, version, kind }: GroupVersionKind): string {
  return `${group === '' ? '' : `${group}/`}${version}, Kind=${kind}`;
}

/** The body as an object of `gvk`, canonical, without defaults. Throws ApiError 400 or 415. */
export async function readObject(
  call: Call,
  gvk: GroupVersionKind,
  validation: FieldValidation = 'Ignore',
): Promise<ApiObject> {
  const encoding = bodyEncoding(call.header('content-type'));
  const body = await call.readBody();
  const strict = validation !== 'Ignore' && encoding !== 'protobuf';
  let decoded: Decoded;
  try {
    const options = { defaults: gvk, strict };
    decoded =
      encoding === 'protobuf'
        ? decodeProtobuf(body, options)
        : encoding === 'yaml'
          ? decodeYaml(body, options)
          : decodeJson(Buffer.from(body.buffer, body.byteOffset, body.length).toString(), options);
  } catch (error) {
    throw decodeFailure(error, gvk);
  }
  report(call, decoded.problems, gvk, validation);
  const found = decoded.gvk;
  // Options of requests belong to every group (clients send them under the resource's own).
  const isOptions = gvk.kind === 'DeleteOptions' && found.kind === gvk.kind;
  const same =
    found.kind === gvk.kind && found.group === gvk.group && found.version === gvk.version;
  if (!same && !isOptions) {
    throw badRequest(
      `the object provided is unrecognized (must be of type ${gvk.kind}): ` +
        `${formatGvk(found)} does not match the expected ${formatGvk(gvk)}`,
    );
  }
  return decoded.object;
}

/** As readObject, for handlers that declare the part of the type that they use. */
export async function readAs<T>(
  call: Call,
  gvk: GroupVersionKind,
  validation: FieldValidation = 'Ignore',
): Promise<T> {
  // The decoder checked the types.
  return (await readObject(call, gvk, validation)) as unknown as T;
}

function decodeFailure(error: unknown, gvk: GroupVersionKind): unknown {
  if (!(error instanceof SchemaError)) return error;
  if (error.code === 'NOT_REGISTERED') return badRequest(error.message);
  const version = formatApiVersion(gvk);
  return badRequest(
    `${gvk.kind} in version ${JSON.stringify(version)} cannot be handled as a ${gvk.kind}: ${error.message}`,
  );
}

/** Problems of strict decoding: an error, warnings, or nothing. */
export function report(
  call: Call,
  problems: readonly string[],
  gvk: GroupVersionKind,
  validation: FieldValidation,
): void {
  if (problems.length === 0 || validation === 'Ignore') return;
  if (validation === 'Strict') {
    const version = formatApiVersion(gvk);
    throw badRequest(
      `${gvk.kind} in version ${JSON.stringify(version)} cannot be handled as a ${gvk.kind}: ` +
        `strict decoding error: ${problems.join(', ')}`,
    );
  }
  for (const problem of problems) call.warnings.add(problem);
}

/** What the storage layer takes: defaults filled in, storage version. */
export function toStored(resource: ServedResource, decoded: ApiObject): KubeObject {
  const object = applyMarkerDefaults(resource.gvk, decoded);
  const metadata = object['metadata'];
  const whole: KubeObject = {
    ...object,
    // Every stored kind has metadata; clients may leave all of it out.
    metadata: (typeof metadata === 'object' && metadata !== null
      ? metadata
      : {}) as KubeObject['metadata'],
  };
  const stored = resource.toStorage(whole);
  resource.rules.default?.(stored);
  return stored;
}
