/**
 * Rules on the spec of a PersistentVolumeClaim, also where a pod or StatefulSet holds one as template.
 * Source: kubernetes v1.36.3 pkg/apis/core/validation.
 */
import type {
  PersistentVolumeClaimSpec,
  TypedObjectReference,
} from '#base/kube/api/core-v1.gen.ts';
import { compareQuantities, formatQuantity, parseQuantity } from '#base/kube/quantity.ts';
import { type FieldErrors, RenderedValue } from './field-errors.ts';
import { checkDnsLabel, checkDnsSubdomain } from './formats.ts';
import { validateLabelSelector } from './meta.ts';
import { validateResourceValue } from './resource-lists.ts';

export const ACCESS_MODES: readonly string[] = [
  'ReadOnlyMany',
  'ReadWriteMany',
  'ReadWriteOnce',
  'ReadWriteOncePod',
];
export const VOLUME_MODES: readonly string[] = ['Block', 'Filesystem'];

export function validateClaimSpec(
  e: FieldErrors,
  at: string,
  spec: PersistentVolumeClaimSpec | undefined,
): void {
  validateAccessModes(
    e,
    `${at}.accessModes`,
    spec?.accessModes ?? [],
    {
      required: 'at least 1 access mode is required',
    },
    () => {
      if (spec?.selector !== undefined) validateLabelSelector(e, `${at}.selector`, spec.selector);
    },
  );
  validateStorageRequest(e, `${at}.resources[storage]`, spec?.resources?.requests?.storage);
  const className = spec?.storageClassName ?? '';
  if (className !== '')
    e.invalidEach(`${at}.storageClassName`, className, checkDnsSubdomain(className));
  const mode = spec?.volumeMode;
  if (mode !== undefined && !VOLUME_MODES.includes(mode)) {
    e.notSupported(`${at}.volumeMode`, mode, VOLUME_MODES);
  }
  validateDataSources(e, at, spec ?? {});
  const attributes = spec?.volumeAttributesClassName ?? '';
  if (attributes !== '') {
    e.invalidEach(`${at}.volumeAttributesClassName`, attributes, checkDnsSubdomain(attributes));
  }
}

/** `between` runs after the check for none and before those of each mode, as upstream orders them. */
export function validateAccessModes(
  e: FieldErrors,
  field: string,
  modes: readonly string[],
  texts: { readonly required: string },
  between: () => void = () => {},
): void {
  if (modes.length === 0) e.required(field, texts.required);
  between();
  for (const mode of modes) {
    if (!ACCESS_MODES.includes(mode)) e.notSupported(field, mode, ACCESS_MODES);
  }
  const known = modes.filter((mode) => ACCESS_MODES.includes(mode));
  const isMixed = known.includes('ReadWriteOncePod') && known.some((m) => m !== 'ReadWriteOncePod');
  if (isMixed) e.forbidden(field, 'may not use ReadWriteOncePod with other access modes');
}

function validateStorageRequest(e: FieldErrors, field: string, storage: string | undefined): void {
  if (storage === undefined) return e.required(field);
  const quantity = parseQuantity(storage);
  if (compareQuantities(quantity, parseQuantity('0')) <= 0) {
    return e.invalid(field, formatQuantity(quantity), 'must be greater than zero');
  }
  validateResourceValue(e, field, { name: 'storage', quantity: storage });
}

function validateDataSources(e: FieldErrors, at: string, spec: PersistentVolumeClaimSpec): void {
  const { dataSource, dataSourceRef } = spec;
  if (dataSource !== undefined) validateReference(e, `${at}.dataSource`, dataSource);
  if (dataSourceRef !== undefined) {
    validateReference(e, `${at}.dataSourceRef`, dataSourceRef);
    const namespace = dataSourceRef.namespace ?? '';
    if (namespace !== '') {
      e.invalidEach(`${at}.dataSourceRef.namespace`, namespace, checkDnsLabel(namespace));
    }
  }
  if (dataSource === undefined || dataSourceRef === undefined) return;
  const same =
    dataSource.apiGroup === dataSourceRef.apiGroup &&
    dataSource.kind === dataSourceRef.kind &&
    dataSource.name === dataSourceRef.name;
  if ((dataSourceRef.namespace ?? '') !== '') {
    e.invalid(
      at,
      new RenderedValue('{}'),
      'may not be specified when dataSourceRef.namespace is specified',
    );
  } else if (!same) e.invalid(at, new RenderedValue('{}'), 'must match dataSourceRef');
}

function validateReference(e: FieldErrors, at: string, reference: TypedObjectReference): void {
  if ((reference.name ?? '') === '') e.required(`${at}.name`);
  if ((reference.kind ?? '') === '') e.required(`${at}.kind`);
  const group = reference.apiGroup ?? '';
  if (group === '' && reference.kind !== 'PersistentVolumeClaim') {
    const detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
    e.invalid(at, reference.kind ?? '', detail);
  }
  if (group !== '') e.invalidEach(`${at}.apiGroup`, group, checkDnsSubdomain(group));
}
