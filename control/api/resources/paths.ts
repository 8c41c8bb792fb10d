/**
 * Rules on file paths inside volumes and on hosts.
 * Source: kubernetes v1.36.3 pkg/apis/core/validation.
 */
import type { FieldErrors } from './field-errors.ts';

/** No element of the path may be `..`. */
export function validateNoBacksteps(e: FieldErrors, field: string, path: string): void {
  if (path.split('/').includes('..')) e.invalid(field, path, "must not contain '..'");
}

/** Relative, and never leaving its root. */
export function validateDescendingPath(e: FieldErrors, field: string, path: string): void {
  if (path.startsWith('/')) e.invalid(field, path, 'must be a relative path');
  validateNoBacksteps(e, field, path);
}

/** As above; names that start with `..` are the kubelet's own. */
export function validateVolumeFilePath(e: FieldErrors, field: string, path: string): void {
  validateDescendingPath(e, field, path);
  if (path.startsWith('..') && !path.startsWith('../')) {
    e.invalid(field, path, "must not start with '..'");
  }
}

const MODE_MAX = 0o777;

export function validateFileMode(e: FieldErrors, field: string, mode: number | undefined): void {
  if (mode !== undefined && (mode < 0 || mode > MODE_MAX)) {
    e.invalid(field, mode, 'must be a number between 0 and 0777 (octal), both inclusive');
  }
}
