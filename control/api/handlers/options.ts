/**
 * Query parameters of lists, watches and writes, checked as upstream checks them: 400 for a value
 * that cannot be read, 422 for values that do not go together. Source: apimachinery
 * pkg/apis/meta/internalversion/validation, meta/v1/validation.
 */
import type { StatusCause } from '#base/kube/api/meta-v1.gen.ts';
import { parseFieldSelector, parseLabelSelector, SelectorError } from '#base/kube/selectors.ts';
import { Selection } from '../cache/selection.ts';
import { badRequest, invalid, quote } from '../errors.ts';
import { dryRunCauses } from '../registry/delete-plan.ts';
import { isTrue } from '../request-info.ts';
import type { ServedResource } from '../registry/served-resource.ts';

export interface ListRequest {
  readonly selection: Selection;
  readonly resourceVersion: string;
  readonly match: '' | 'Exact' | 'NotOlderThan';
  readonly limit: number;
  readonly continue: string;
  readonly allowBookmarks: boolean;
  readonly sendInitialEvents: boolean | undefined;
  readonly timeoutSeconds: number | undefined;
}

const META_GROUP = 'meta.k8s.io';

export function parseListRequest(
  query: URLSearchParams,
  resource: ServedResource,
  isWatch: boolean,
): ListRequest {
  const causes: StatusCause[] = [];
  const forbid = (field: string, detail: string) =>
    causes.push({ reason: 'FieldValueForbidden', field, message: `Forbidden: ${detail}` });
  const match = query.get('resourceVersionMatch') ?? '';
  const resourceVersion = query.get('resourceVersion') ?? '';
  const token = query.get('continue') ?? '';
  const initial = query.get('sendInitialEvents');
  if (isWatch) {
    checkWatchMatch(match, initial !== null, forbid);
  } else {
    if (match !== '' && resourceVersion === '') {
      forbid(
        'resourceVersionMatch',
        'resourceVersionMatch is forbidden unless resourceVersion is provided',
      );
    }
    if (match === 'Exact' && resourceVersion === '0') {
      forbid(
        'resourceVersionMatch',
        'resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
      );
    }
    if (initial !== null) forbid('sendInitialEvents', 'sendInitialEvents is forbidden for list');
  }
  if (match !== '' && token !== '') {
    forbid('resourceVersionMatch', 'resourceVersionMatch is forbidden when continue is provided');
  }
  const known = isWatch ? ['NotOlderThan'] : ['Exact', 'NotOlderThan', ''];
  if (match !== '' && !known.includes(match)) {
    causes.push({
      reason: 'FieldValueNotSupported',
      field: 'resourceVersionMatch',
      message: `Unsupported value: ${quote(match)}: supported values: ${known.map(quote).join(', ')}`,
    });
  }
  if (causes.length > 0) throw invalid({ group: META_GROUP, kind: 'ListOptions' }, '', causes);
  return {
    selection: parseSelection(query, resource),
    resourceVersion,
    match: match === 'Exact' || match === 'NotOlderThan' ? match : '',
    limit: parseInteger(query, 'limit') ?? 0,
    continue: token,
    allowBookmarks: isTrue(query.get('allowWatchBookmarks')),
    sendInitialEvents: initial === null ? undefined : isTrue(initial),
    timeoutSeconds: parseInteger(query, 'timeoutSeconds'),
  };
}

function checkWatchMatch(
  match: string,
  hasInitial: boolean,
  forbid: (field: string, detail: string) => void,
): void {
  if (hasInitial && match !== 'NotOlderThan') {
    forbid(
      'resourceVersionMatch',
      'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan',
    );
  }
  if (!hasInitial && match !== '') {
    forbid(
      'resourceVersionMatch',
      'resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided',
    );
  }
}

export function parseSelection(query: URLSearchParams, resource: ServedResource): Selection {
  try {
    const labels = parseLabelSelector(query.get('labelSelector') ?? '');
    const { conversion } = resource;
    const fields = parseFieldSelector(query.get('fieldSelector') ?? '').map((one) => ({
      ...one,
      field: conversion?.storageField?.(one.field) ?? one.field,
    }));
    const known = resource.rules.fieldLabels ?? [];
    for (const { field } of fields) {
      if (field === 'metadata.name' || field === 'metadata.namespace') continue;
      if (!known.includes(field)) throw badRequest(unsupportedField(resource, field));
    }
    return new Selection(labels, fields);
  } catch (error) {
    if (error instanceof SelectorError) throw badRequest(error.message);
    throw error;
  }
}

function unsupportedField(resource: ServedResource, field: string): string {
  const kind = resource.facts.kind;
  // Kinds with selectable fields have a conversion of their own upstream, with a text of its own.
  if ((resource.rules.fieldLabels ?? []).length > 0) return `field label not supported: ${field}`;
  const text = `${quote(field)} is not a known field selector: only "metadata.name", "metadata.namespace"`;
  return kind === '' ? field : text;
}

const INT64_MAX = 2n ** 63n - 1n;

/** A number of the query, of which the first counts; 400 for what Go's ParseInt refuses. */
export function parseInteger(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  const refuse = (why: string) => badRequest(`strconv.ParseInt: parsing ${quote(text)}: ${why}`);
  if (!/^[+-]?\d+$/.test(text)) throw refuse('invalid syntax');
  const value = BigInt(text.replace(/^\+/, ''));
  if (value > INT64_MAX || value < -INT64_MAX - 1n) throw refuse('value out of range');
  return Number(value);
}

export type FieldValidation = 'Ignore' | 'Warn' | 'Strict';

export interface WriteOptions {
  readonly dryRun: boolean;
  readonly fieldValidation: FieldValidation;
}

/** Options that create, update and patch share; `kind` names them in the Status. */
export function parseWriteOptions(
  query: URLSearchParams,
  kind: 'CreateOptions' | 'UpdateOptions' | 'PatchOptions',
): WriteOptions {
  const causes: StatusCause[] = [];
  const dryRun = query.getAll('dryRun').filter((v) => v !== '');
  causes.push(...dryRunCauses(dryRun));
  const manager = query.get('fieldManager') ?? '';
  if (Buffer.byteLength(manager) > 128) {
    causes.push({
      reason: 'FieldValueTooLong',
      field: 'fieldManager',
      message: 'Too long: may not be more than 128 bytes',
    });
  }
  const validation = query.get('fieldValidation') ?? '';
  if (!['', 'Ignore', 'Warn', 'Strict'].includes(validation)) {
    causes.push({
      reason: 'FieldValueNotSupported',
      field: 'fieldValidation',
      message:
        `Unsupported value: ${quote(validation)}: ` +
        'supported values: "Ignore", "Strict", "Warn"',
    });
  }
  if (kind === 'PatchOptions' && query.has('force')) {
    causes.push({
      reason: 'FieldValueForbidden',
      field: 'force',
      message: 'Forbidden: may not be specified for non-apply patch',
    });
  }
  if (causes.length > 0) throw invalid({ group: META_GROUP, kind }, '', causes);
  return {
    dryRun: dryRun.length > 0,
    fieldValidation: validation === 'Ignore' || validation === 'Strict' ? validation : 'Warn',
  };
}
