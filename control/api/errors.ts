/**
 * Failures as the API answers them: an ApiError carries the Status owed to the client. One builder
 * for each reason, with the texts clients match on (apimachinery v0.36.3 pkg/api/errors).
 *
 * `GroupResource` prints as `deployments.apps`, or `pods` for the legacy group.
 */
import type { Status, StatusCause } from '#base/kube/api/meta-v1.gen.ts';

export interface GroupResource {
  readonly group: string;
  readonly resource: string;
}

export interface GroupKind {
  readonly group: string;
  readonly kind: string;
}

/** Thrown anywhere in the pipeline; the outermost stage writes `status` in the negotiated type. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: Status;

  constructor(status: Status, options?: ErrorOptions) {
    super(status.message ?? status.reason ?? '', options);
    this.status = status;
  }

  get code(): number {
    return this.status.code ?? 500;
  }

  get reason(): string {
    return this.status.reason ?? '';
  }
}

/** True when `error` is an ApiError of one of `reasons`. */
export function isApiError(error: unknown, ...reasons: string[]): error is ApiError {
  return error instanceof ApiError && (reasons.length === 0 || reasons.includes(error.reason));
}

function failure(
  code: number,
  reason: string,
  message: string,
  details?: Status['details'],
): ApiError {
  return new ApiError({
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    ...(reason === '' ? {} : { reason }),
    ...(details === undefined ? {} : { details }),
    code,
  });
}

export function formatGroupResource({ group, resource }: GroupResource): string {
  return group === '' ? resource : `${resource}.${group}`;
}

/** `"x"` as Go's %q prints it. */
export function quote(text: string): string {
  return JSON.stringify(text);
}

/** Details naming one object; empty members are left out, as upstream's encoder does. */
function details(
  of: { group: string; resource: string },
  name: string,
  more: { uid?: string; causes?: StatusCause[]; retryAfterSeconds?: number } = {},
): NonNullable<Status['details']> {
  return {
    ...(name === '' ? {} : { name }),
    ...(of.group === '' ? {} : { group: of.group }),
    ...(of.resource === '' ? {} : { kind: of.resource }),
    ...more,
  };
}

export function badRequest(message: string): ApiError {
  return failure(400, 'BadRequest', message);
}

export function unauthorized(): ApiError {
  return failure(401, 'Unauthorized', 'Unauthorized');
}

/** `resource` with an empty name for non-resource requests: `forbidden: because`. */
export function forbidden(
  of: GroupResource,
  name: string,
  because: string,
  causes?: StatusCause[],
): ApiError {
  const subject =
    of.resource === '' && of.group === ''
      ? 'forbidden'
      : name === ''
        ? `${formatGroupResource(of)} is forbidden`
        : `${formatGroupResource(of)} ${quote(name)} is forbidden`;
  const more = causes === undefined ? {} : { causes };
  return failure(403, 'Forbidden', `${subject}: ${because}`, details(of, name, more));
}

export function notFound(of: GroupResource, name: string): ApiError {
  const message = `${formatGroupResource(of)} ${quote(name)} not found`;
  return failure(404, 'NotFound', message, details(of, name));
}

/** For paths that name no resource of this server. */
export function noSuchResource(): ApiError {
  return failure(404, 'NotFound', 'the server could not find the requested resource', {});
}

export function methodNotSupported(of: GroupResource, verb: string): ApiError {
  const message = `${verb} is not supported on resources of kind ${quote(formatGroupResource(of))}`;
  return failure(405, 'MethodNotAllowed', message, details(of, ''));
}

export function notAcceptable(accepted: readonly string[]): ApiError {
  const message = `only the following media types are accepted: ${accepted.join(', ')}`;
  return failure(406, 'NotAcceptable', message);
}

export function alreadyExists(of: GroupResource, name: string): ApiError {
  const message = `${formatGroupResource(of)} ${quote(name)} already exists`;
  return failure(409, 'AlreadyExists', message, details(of, name));
}

export function generateNameConflict(of: GroupResource, name: string): ApiError {
  const message =
    `${formatGroupResource(of)} ${quote(name)} already exists, ` +
    'the server was not able to generate a unique name for the object';
  return failure(409, 'AlreadyExists', message, details(of, name, { retryAfterSeconds: 1 }));
}

export const OBJECT_MODIFIED =
  'the object has been modified; please apply your changes to the latest version and try again';

export function conflict(of: GroupResource, name: string, because: string): ApiError {
  const subject = `${formatGroupResource(of)} ${quote(name)}`;
  const message = `Operation cannot be fulfilled on ${subject}: ${because}`;
  return failure(409, 'Conflict', message, details(of, name));
}

/** 410 with reason Expired: a continue token or watch position that was compacted. */
export function expired(message: string, continueToken?: string): ApiError {
  const error = failure(410, 'Expired', message);
  if (continueToken !== undefined) error.status.metadata = { continue: continueToken };
  return error;
}

export function requestEntityTooLarge(message: string): ApiError {
  return failure(413, 'RequestEntityTooLarge', message);
}

export function unsupportedMediaType(accepted: readonly string[]): ApiError {
  const message =
    'the body of the request was in an unknown format - accepted media types include: ' +
    accepted.join(', ');
  return failure(415, 'UnsupportedMediaType', message);
}

/** `causes` in the order of the checks; ./resources/field-errors.ts makes them from FieldErrors. */
export function invalid(of: GroupKind, name: string, causes: readonly StatusCause[]): ApiError {
  const lines = causes.map((c) => (c.field ? `${c.field}: ${c.message}` : (c.message ?? '')));
  const distinct = [...new Set(lines)];
  const subject = `${of.group === '' ? of.kind : `${of.kind}.${of.group}`} ${quote(name)}`;
  const text = distinct.length === 1 ? distinct[0] : `[${distinct.join(', ')}]`;
  const message = `${subject} is invalid${distinct.length === 0 ? '' : `: ${text}`}`;
  const shown = { group: of.group, resource: of.kind };
  return failure(422, 'Invalid', message, details(shown, name, { causes: [...causes] }));
}

export function tooManyRequests(
  message: string,
  retryAfterSeconds: number,
  causes?: StatusCause[],
): ApiError {
  return failure(429, 'TooManyRequests', message, {
    ...(causes === undefined ? {} : { causes }),
    ...(retryAfterSeconds === 0 ? {} : { retryAfterSeconds }),
  });
}

export function internalError(message: string, options?: ErrorOptions): ApiError {
  const made = failure(500, 'InternalError', `Internal error occurred: ${message}`, {
    causes: [{ message }],
  });
  return options === undefined ? made : new ApiError(made.status, options);
}

/** 500 without a reason, as upstream answers a resourceVersion on create. */
export function plainError(message: string): ApiError {
  return failure(500, '', message);
}

export function serverTimeout(of: GroupResource, operation: string, retryAfterSeconds: number) {
  const message =
    `The ${operation} operation against ${formatGroupResource(of)} could not be completed ` +
    'at this time, please try again.';
  return failure(500, 'ServerTimeout', message, details(of, operation, { retryAfterSeconds }));
}

export function serviceUnavailable(message: string): ApiError {
  return failure(503, 'ServiceUnavailable', message);
}

export function timeout(message: string, retryAfterSeconds: number, causes?: StatusCause[]) {
  return failure(504, 'Timeout', `Timeout: ${message}`, {
    ...(causes === undefined ? {} : { causes }),
    ...(retryAfterSeconds === 0 ? {} : { retryAfterSeconds }),
  });
}

/** A list or watch asked for a revision that the server has not reached. */
export function tooLargeResourceVersion(wanted: number, current: number): ApiError {
  const message = `Too large resource version: ${wanted}, current: ${current}`;
  const cause = { reason: 'ResourceVersionTooLarge', message: 'Too large resource version' };
  return timeout(message, 1, [cause]);
}

/** A delete precondition that does not hold. */
export function preconditionFailed(of: GroupResource, name: string, because: string): ApiError {
  return conflict(of, name, because);
}

/** The success Status of writes that return no object. */
export function success(
  of?: GroupResource,
  name?: string,
  uid?: string,
  code?: number,
): Status & { kind: string; apiVersion: string } {
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Success',
    ...(of === undefined
      ? {}
      : { details: details(of, name ?? '', uid === undefined ? {} : { uid }) }),
    ...(code === undefined ? {} : { code }),
  };
}
