/**
 * JSON patch (RFC 6902) within bounds: of operations, and of what `copy` adds, which would double a
 * document with every operation. Source: apiserver endpoints/handlers/patch.go, evanphx/json-patch.
 */
import jsonPatch from 'fast-json-patch';
import type { ApiObject } from '#control/schema/schema.ts';
import { ApiError, badRequest, requestEntityTooLarge } from '../errors.ts';
import { JSON_PATCH_COPY_BYTES_MAX, JSON_PATCH_OPERATIONS_MAX } from '../limits.ts';

/** A patched copy. Throws ApiError 400 for no patch, 413 for too long a one, 422 when it does not apply. */
export function applyJsonPatch(current: ApiObject, patch: unknown): unknown {
  if (!Array.isArray(patch)) {
    throw badRequest(
      'error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch',
    );
  }
  if (patch.length > JSON_PATCH_OPERATIONS_MAX) {
    throw requestEntityTooLarge(
      `The allowed maximum operations in a JSON patch is ${JSON_PATCH_OPERATIONS_MAX}, got ${patch.length}`,
    );
  }
  const operations: jsonPatch.Operation[] = structuredClone(patch);
  let document: unknown = structuredClone(current);
  let copiedBytes = 0;
  try {
    for (const [index, operation] of operations.entries()) {
      resolveNegative(operation, document);
      copiedBytes += bytesCopied(operation, document);
      if (copiedBytes > JSON_PATCH_COPY_BYTES_MAX) throw tooMuchCopied(copiedBytes);
      // Checked, in place, without access to prototypes.
      document = jsonPatch.applyOperation(document, operation, true, true, true, index).newDocument;
    }
    return document;
  } catch (error) {
    if (error instanceof ApiError) throw error;
    const text = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    throw unprocessablePatch(text);
  }
}

function bytesCopied(operation: jsonPatch.Operation, document: unknown): number {
  if (operation?.op !== 'copy' || typeof operation.from !== 'string') return 0;
  const value: unknown = jsonPatch.getValueByPointer(document, operation.from);
  return value === undefined ? 0 : Buffer.byteLength(JSON.stringify(value));
}

function tooMuchCopied(bytes: number): ApiError {
  return unprocessablePatch(
    'Unable to complete the copy, the accumulated size increase of copy is ' +
      `${bytes}, exceeding the limit ${JSON_PATCH_COPY_BYTES_MAX}`,
  );
}

/** 422 as upstream answers a patch that does not apply. */
export function unprocessablePatch(text: string): ApiError {
  return new ApiError({
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: `the server rejected our request due to an error in our request: ${text}`,
    reason: 'Invalid',
    details: {},
    code: 422,
  });
}

/** `/list/-1` counts from the end; fast-json-patch knows only `/list/-`. */
function resolveNegative(operation: jsonPatch.Operation, document: unknown): void {
  if (typeof operation?.path !== 'string') return; // Applying it says what is wrong.
  const match = /^(.*)\/-(\d+)$/.exec(operation.path);
  if (match === null) return;
  const [, parent = '', back = '0'] = match;
  let list: unknown;
  try {
    list = jsonPatch.getValueByPointer(document, parent);
  } catch {
    return; // The path does not exist: applying the patch says so.
  }
  if (Array.isArray(list)) operation.path = `${parent}/${list.length - Number(back)}`;
}
