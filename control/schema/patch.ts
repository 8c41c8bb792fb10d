/** The patch formats that need no library: strategic merge patch and JSON merge patch (RFC 7386). */
import { type ApiObject, type GroupVersionKind, SchemaError } from './gvk.ts';
import { mustKindType } from './json-codec.ts';
import { setKey } from './normalise.ts';
import { isMap } from './patch-values.ts';
import { mergeStrategic } from './strategic-merge.ts';

/**
 * Kubernetes' strategic merge patch. Throws SchemaError BAD_PATCH (400), UNPROCESSABLE_PATCH (422)
 * or PATCH_FAILED (500) with upstream's text. The result may hold unknown fields: normalise it.
 */
export function strategicMergePatch(
  gvk: GroupVersionKind,
  original: ApiObject,
  patch: unknown,
): ApiObject {
  if (!isMap(patch)) throw new SchemaError('BAD_PATCH', 'invalid JSON document');
  const struct = mustKindType(gvk);
  const ref = { kind: 'struct', struct, go: struct.go } as const;
  return mergeStrategic(original, patch, ref) as ApiObject; // kind and apiVersion: normalise sets.
}

/** RFC 7386. */
export function jsonMergePatch(original: unknown, patch: unknown): unknown {
  if (!isMap(patch)) return patch;
  const out: Record<string, unknown> = isMap(original) ? { ...original } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete out[key];
    else setKey(out, key, jsonMergePatch(out[key], value));
  }
  return out;
}
