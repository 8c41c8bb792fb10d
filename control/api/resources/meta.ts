/**
 * Rules on metadata, labels and label selectors, shared by all kinds. `validateMeta` judges an object
 * before it is created, `validateMetaUpdate` what an update does to it.
 * Source: apimachinery v0.36.3 pkg/api/validation/objectmeta.go, pkg/apis/meta/v1/validation.
 */
import type {
  Condition,
  LabelSelector,
  ManagedFieldsEntry,
  ObjectMeta,
  OwnerReference,
} from '#base/kube/api/meta-v1.gen.ts';
import { type FieldErrors, goQuote, RenderedValue, sortedMap } from './field-errors.ts';
import {
  byteLength,
  checkDns1035Label,
  checkDnsLabel,
  checkDnsSubdomain,
  checkLabelValue,
  checkPathSegment,
  checkQualifiedName,
} from './formats.ts';

/** Complaints about a name; `prefix` means that a suffix is still to come (generateName). */
export type NameRule = (name: string, prefix?: boolean) => string[];

const ANNOTATIONS_BYTES_MAX = 256 * 1024;
const STANDARD_FINALIZERS = new Set(['kubernetes', 'orphan', 'foregroundDeletion']);
export const IMMUTABLE = 'field is immutable';
export const NOT_NEGATIVE = 'must be greater than or equal to 0';

const unmask = (name: string, prefix: boolean): string =>
  prefix && name.length > 1 && name.endsWith('-') ? `${name.slice(0, -2)}a` : name;

export const subdomainName: NameRule = (name, prefix = false) =>
  checkDnsSubdomain(unmask(name, prefix));
export const labelName: NameRule = (name, prefix = false) => checkDnsLabel(unmask(name, prefix));
export const dns1035Name: NameRule = (name, prefix = false) =>
  checkDns1035Label(unmask(name, prefix));
export const pathName: NameRule = (name, prefix = false) => checkPathSegment(name, prefix);

export interface MetaRules {
  readonly namespaced: boolean;
  readonly name: NameRule;
  /** Kinds of the core group know which unqualified finalizers exist. */
  readonly coreFinalizers?: boolean;
}

export function validateMeta(e: FieldErrors, meta: Partial<ObjectMeta>, rules: MetaRules): void {
  const path = 'metadata';
  const generateName = meta.generateName ?? '';
  if (generateName !== '') {
    e.invalidEach(`${path}.generateName`, generateName, rules.name(generateName, true));
  }
  const name = meta.name ?? '';
  if (name === '') e.required(`${path}.name`, 'name or generateName is required');
  else e.invalidEach(`${path}.name`, name, rules.name(name));
  const namespace = meta.namespace ?? '';
  if (rules.namespaced) {
    if (namespace === '') e.required(`${path}.namespace`);
    else e.invalidEach(`${path}.namespace`, namespace, checkDnsLabel(namespace));
  } else if (namespace !== '') {
    e.forbidden(`${path}.namespace`, 'not allowed on this type');
  }
  validateNotNegative(e, `${path}.generation`, meta.generation ?? 0);
  validateLabels(e, `${path}.labels`, meta.labels);
  validateAnnotations(e, `${path}.annotations`, meta.annotations);
  validateOwnerReferences(e, `${path}.ownerReferences`, meta.ownerReferences ?? []);
  validateFinalizers(e, `${path}.finalizers`, meta.finalizers ?? []);
  validateManagedFields(e, `${path}.managedFields`, meta.managedFields ?? []);
  if (rules.coreFinalizers === true) validateCoreFinalizers(e, meta.finalizers ?? []);
}

export function validateMetaUpdate(
  e: FieldErrors,
  meta: ObjectMeta,
  old: ObjectMeta,
  rules: Pick<MetaRules, 'coreFinalizers'>,
): void {
  if (old.deletionTimestamp !== undefined) {
    const before = new Set(old.finalizers ?? []);
    const added = [...new Set(meta.finalizers ?? [])].filter((f) => !before.has(f)).sort();
    if (added.length > 0) {
      const list = `[]string{${added.map(goQuote).join(', ')}}`;
      e.forbidden(
        'metadata.finalizers',
        `no new finalizers can be added if the object is being deleted, found new finalizers ${list}`,
      );
    }
  }
  if ((meta.resourceVersion ?? '') === '') {
    e.invalid('metadata.resourceVersion', '', 'must be specified for an update');
  }
  if ((meta.generation ?? 0) < (old.generation ?? 0)) {
    e.invalid('metadata.generation', meta.generation ?? 0, 'must not be decremented');
  }
  for (const field of ['name', 'namespace', 'uid'] as const) {
    if ((meta[field] ?? '') !== (old[field] ?? '')) {
      e.invalid(`metadata.${field}`, meta[field] ?? '', IMMUTABLE);
    }
  }
  for (const field of [
    'creationTimestamp',
    'deletionTimestamp',
    'deletionGracePeriodSeconds',
  ] as const) {
    if ((meta[field] ?? null) !== (old[field] ?? null)) {
      e.invalid(`metadata.${field}`, meta[field] ?? null, IMMUTABLE);
    }
  }
  validateLabels(e, 'metadata.labels', meta.labels);
  validateAnnotations(e, 'metadata.annotations', meta.annotations);
  validateOwnerReferences(e, 'metadata.ownerReferences', meta.ownerReferences ?? []);
  validateManagedFields(e, 'metadata.managedFields', meta.managedFields ?? []);
  if (rules.coreFinalizers === true) validateCoreFinalizers(e, meta.finalizers ?? []);
}

export function validateNotNegative(e: FieldErrors, field: string, value: number): void {
  if (value < 0) e.invalid(field, value, NOT_NEGATIVE);
}

/** Labels and annotations alone may be set on embedded templates. */
export function validateTemplateMeta(
  e: FieldErrors,
  path: string,
  meta: Partial<ObjectMeta> | undefined,
): void {
  validateAnnotations(e, `${path}.annotations`, meta?.annotations);
  validateLabels(e, `${path}.labels`, meta?.labels);
}

export function validateLabels(
  e: FieldErrors,
  path: string,
  labels: Readonly<Record<string, string>> | undefined,
): void {
  for (const [key, value] of Object.entries(sortedMap(labels))) {
    validateLabelKey(e, path, key);
    e.invalidEach(path, value, checkLabelValue(value));
  }
}

export function validateLabelKey(e: FieldErrors, field: string, key: string): void {
  e.invalidEach(field, key, checkQualifiedName(key));
}

export function validateAnnotations(
  e: FieldErrors,
  path: string,
  annotations: Readonly<Record<string, string>> | undefined,
): void {
  let bytes = 0;
  for (const [key, value] of Object.entries(sortedMap(annotations))) {
    e.invalidEach(path, key, checkQualifiedName(key.toLowerCase()));
    bytes += byteLength(key) + byteLength(value);
  }
  if (bytes > ANNOTATIONS_BYTES_MAX) e.tooLong(path, ANNOTATIONS_BYTES_MAX);
}

function validateOwnerReferences(
  e: FieldErrors,
  path: string,
  references: readonly OwnerReference[],
): void {
  let controller = '';
  for (const reference of references) {
    validateOwnerReference(e, path, reference);
    if (reference.controller !== true) continue;
    const name = `${reference.kind}/${reference.name}`;
    if (controller === '') controller = name;
    else {
      e.invalid(
        path,
        references.map(orderedReference),
        `Only one reference can have Controller set to true. Found "true" in references for ${controller} and ${name}`,
      );
    }
  }
}

/** The fields in the order in which upstream prints them. */
function orderedReference(reference: OwnerReference): OwnerReference {
  const { apiVersion, kind, name, uid, controller, blockOwnerDeletion } = reference;
  return { apiVersion, kind, name, uid, controller, blockOwnerDeletion };
}

function validateOwnerReference(e: FieldErrors, path: string, reference: OwnerReference): void {
  const apiVersion = reference.apiVersion ?? '';
  const version = apiVersion.split('/').length > 2 ? '' : (apiVersion.split('/').at(-1) ?? '');
  if (version === '') e.invalid(`${path}.apiVersion`, apiVersion, 'version must not be empty');
  for (const field of ['kind', 'name', 'uid'] as const) {
    if ((reference[field] ?? '') === '') e.invalid(`${path}.${field}`, '', 'must not be empty');
  }
  if (apiVersion === 'v1' && reference.kind === 'Event') {
    e.invalid(
      path,
      orderedReference(reference),
      '/v1, Kind=Event is disallowed from being an owner',
    );
  }
}

function validateFinalizers(e: FieldErrors, path: string, finalizers: readonly string[]): void {
  for (const finalizer of finalizers) e.invalidEach(path, finalizer, checkQualifiedName(finalizer));
  if (finalizers.includes('orphan') && finalizers.includes('foregroundDeletion')) {
    e.invalid(path, finalizers, 'finalizer orphan and foregroundDeletion cannot be both set');
  }
}

function validateCoreFinalizers(e: FieldErrors, finalizers: readonly string[]): void {
  for (const [i, finalizer] of finalizers.entries()) {
    validateCoreFinalizer(e, `metadata.finalizers[${i}]`, finalizer);
  }
}

/** An unqualified finalizer must be one that Kubernetes itself handles. */
export function validateCoreFinalizer(e: FieldErrors, field: string, finalizer: string): void {
  const known = finalizer.includes('/') || STANDARD_FINALIZERS.has(finalizer);
  if (!known) {
    e.invalid(
      field,
      finalizer,
      'name is neither a standard finalizer name nor is it fully qualified',
    );
  }
}

function validateManagedFields(
  e: FieldErrors,
  path: string,
  entries: readonly ManagedFieldsEntry[],
): void {
  for (const [i, entry] of entries.entries()) {
    const at = `${path}[${i}]`;
    if (entry.operation !== 'Apply' && entry.operation !== 'Update') {
      e.invalid(`${at}.operation`, entry.operation ?? '', 'must be `Apply` or `Update`');
    }
    const type = entry.fieldsType ?? '';
    if (type !== '' && type !== 'FieldsV1') {
      e.invalid(`${at}.fieldsType`, type, 'must be `FieldsV1`');
    }
    if (byteLength(entry.manager ?? '') > 128) e.tooLong(`${at}.manager`, 128);
    if (byteLength(entry.subresource ?? '') > 256) e.tooLong(`${at}.subresource`, 256);
  }
}

export function validateLabelSelector(
  e: FieldErrors,
  path: string,
  selector: LabelSelector | undefined,
): void {
  validateLabels(e, `${path}.matchLabels`, selector?.matchLabels);
  for (const [i, requirement] of (selector?.matchExpressions ?? []).entries()) {
    const at = `${path}.matchExpressions[${i}]`;
    const { operator, values = [] } = requirement;
    if (operator === 'In' || operator === 'NotIn') {
      if (values.length === 0) {
        e.required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'");
      }
    } else if (operator === 'Exists' || operator === 'DoesNotExist') {
      if (values.length > 0) {
        e.forbidden(
          `${at}.values`,
          "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        );
      }
    } else e.invalid(`${at}.operator`, operator ?? '', 'not a valid selector operator');
    validateLabelKey(e, `${at}.key`, requirement.key ?? '');
    for (const [j, value] of values.entries()) {
      e.invalidEach(`${at}.values[${j}]`, value, checkLabelValue(value));
    }
  }
}

/** A selector that selects everything. */
export function isEmptySelector(selector: LabelSelector | undefined): boolean {
  const labels = Object.keys(selector?.matchLabels ?? {}).length;
  return labels + (selector?.matchExpressions?.length ?? 0) === 0;
}

/** The selector as Go prints it inside an error. */
export function selectorValue(selector: LabelSelector | undefined): unknown {
  if (selector === undefined) return new RenderedValue('null');
  const { matchLabels, matchExpressions } = selector;
  const labels = Object.keys(matchLabels ?? {}).length === 0 ? undefined : sortedMap(matchLabels);
  const expressions = (matchExpressions ?? []).map(({ key, operator, values }) => ({
    key,
    operator,
    values: values === undefined || values.length === 0 ? undefined : values,
  }));
  return {
    matchLabels: labels,
    matchExpressions: expressions.length === 0 ? undefined : expressions,
  };
}

const CONDITION_REASON = '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?';

/** Conditions of the shared type (metav1.Condition). */
export function validateConditions(
  e: FieldErrors,
  path: string,
  conditions: readonly Condition[],
): void {
  const types = new Set<string>();
  for (const [i, condition] of conditions.entries()) {
    const at = `${path}[${i}]`;
    if (types.has(condition.type)) e.duplicate(`${at}.type`, condition.type);
    types.add(condition.type);
    validateLabelKey(e, `${at}.type`, condition.type ?? '');
    if (!['True', 'False', 'Unknown'].includes(condition.status)) {
      e.notSupported(`${at}.status`, condition.status ?? '', ['False', 'True', 'Unknown']);
    }
    if ((condition.observedGeneration ?? 0) < 0) {
      const detail = 'must be greater than or equal to zero';
      e.invalid(`${at}.observedGeneration`, condition.observedGeneration, detail);
    }
    if ((condition.lastTransitionTime ?? '') === '') e.required(`${at}.lastTransitionTime`);
    const reason = condition.reason ?? '';
    if (reason === '') e.required(`${at}.reason`);
    else if (!new RegExp(`^${CONDITION_REASON}$`).test(reason)) {
      e.invalid(
        `${at}.reason`,
        reason,
        `a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '${CONDITION_REASON}')`,
      );
    }
    if (byteLength(reason) > 1024) e.tooLong(`${at}.reason`, 1024);
    if (byteLength(condition.message ?? '') > 32_768) e.tooLong(`${at}.message`, 32_768);
  }
}
