/**
 * Rules on the single files of configMap, secret, downward and projected volumes.
 * Source: kubernetes v1.36.3 pkg/apis/core/validation.
 */
import type { DownwardAPIVolumeFile, KeyToPath } from '#base/kube/api/core-v1.gen.ts';
import type { FieldErrors } from './field-errors.ts';
import { validateFieldRef, validateResourceFieldRef, VOLUME_FIELD_PATHS } from './field-refs.ts';
import { validateFileMode, validateVolumeFilePath } from './paths.ts';

export function validateKeyPath(e: FieldErrors, at: string, item: KeyToPath): void {
  if ((item.key ?? '') === '') e.required(`${at}.key`);
  if ((item.path ?? '') === '') e.required(`${at}.path`);
  validateVolumeFilePath(e, `${at}.path`, item.path ?? '');
  validateFileMode(e, `${at}.mode`, item.mode);
}

export function validateDownwardFile(
  e: FieldErrors,
  at: string,
  file: DownwardAPIVolumeFile,
): void {
  if ((file.path ?? '') === '') e.required(`${at}.path`);
  validateVolumeFilePath(e, `${at}.path`, file.path ?? '');
  if (file.fieldRef !== undefined) {
    validateFieldRef(e, `${at}.fieldRef`, file.fieldRef, VOLUME_FIELD_PATHS);
    if (file.resourceFieldRef !== undefined) {
      const detail = 'fieldRef and resourceFieldRef can not be specified simultaneously';
      e.invalid(at, 'resource', detail);
    }
  } else if (file.resourceFieldRef !== undefined) {
    const ref = file.resourceFieldRef;
    validateResourceFieldRef(e, `${at}.resourceFieldRef`, ref, { needsContainer: true });
  } else e.required(at, 'one of fieldRef and resourceFieldRef is required');
  validateFileMode(e, `${at}.mode`, file.mode);
}
